"""Files and folders written whole or not at all: beside their place first, under a temporary name, then renamed.

What killed processes left behind is removed; locks distinguish it from what is in use.
"""

import contextlib
import errno
import functools
import hashlib
import os
import re
import secrets
import shutil
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

from zoofuse.core.errors import FileError

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None

_NO_PLACE = (
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE,
)  # fmt: skip
_STALE = 7 * 86_400  # seconds after which a temporary file is removed where locks do not show whether it is in use
_TEMPORARY = re.compile(r"\..+?\.(?:([0-9a-f]{8})\.[0-9a-f]{16}|\d+)\.tmp", re.DOTALL)  # \d+: of version 0.1
_LONGEST = 200  # bytes of a name that a temporary name repeats, of the 255 that file systems allow


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """Yield an empty temporary file beside `path`; on success it replaces `path`, on any error it is removed.

    What killed processes left in that folder is removed first. A link is replaced, never written through.

    Args:
        path: the file to write; its folder is made where it is missing.

    Raises:
        FileError: there is no room, no permission to write, or a folder of that name.
    """
    path = Path(path)
    with _reported(path), contextlib.ExitStack() as stack:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        temporary, descriptor = _claimed(path, _new_file)
        stack.callback(os.close, descriptor)  # which ends the lock
        stack.callback(_discard, temporary)
        yield temporary
        _sync(temporary)  # on disk before the name is, also after a power cut
        os.replace(temporary, path)


@contextlib.contextmanager
def atomic_folder(folder: str | os.PathLike) -> Iterator[Path]:
    """Yield an empty folder beside `folder`; on success it replaces `folder`, on any error it is removed.

    Raises:
        FileError: as `atomic_path`.
    """
    folder = Path(folder)
    with _reported(folder), contextlib.ExitStack() as stack:
        folder.parent.mkdir(parents=True, exist_ok=True)
        if folder.is_file():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), folder)
        temporary, descriptor = _claimed(folder, _new_folder)
        stack.callback(os.close, descriptor)
        stack.callback(_discard, temporary)
        yield temporary
        replaced = temporary.with_name(_temporary_name(folder))
        if there := os.path.lexists(folder):
            os.rename(folder, replaced)
        try:
            os.rename(temporary, folder)
        except OSError:
            if there:
                os.rename(replaced, folder)
            raise
        _discard(replaced)


def link_or_copy(source: str | os.PathLike, path: str | os.PathLike) -> None:
    """Give a file the second name `path` too, or copy it where the file system has no hard links.

    Raises:
        FileError: as `atomic_path`.
    """
    with atomic_path(path) as temporary:
        temporary.unlink()
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)


@contextlib.contextmanager
def _reported(path: Path) -> Iterator[None]:
    """Errors of writing `path` as FileError; those of other files that the caller uses meanwhile pass."""
    try:
        yield
    except OSError as error:
        named = Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes | os.PathLike) else None
        about = named is None or named.parent == path.parent or named in path.parents
        if error.errno is None or not about or (named is None and error.errno not in _NO_PLACE):
            raise
        if error.errno == errno.EISDIR:
            way_out = "A folder has this name: rename or remove it"
        elif error.errno in _NO_PLACE:
            way_out = "Make room, or make the folder writable,"
        else:
            way_out = "Check its name and the folders that it lies in,"
        raise FileError(
            f"{path}: can't be written ({os.strerror(error.errno)}). {way_out} and run the same snakemake command "
            "again: what is finished is kept."
        ) from error


@functools.cache
def _machine() -> str:
    """Eight digits for this start of this machine: only there does a lock tell for certain who is alive."""
    try:
        said = Path("/proc/sys/kernel/random/boot_id").read_text()  # the same in all containers of a machine
    except OSError:
        said = socket.gethostname()
    return hashlib.sha256(said.encode()).hexdigest()[:8]


def _temporary_name(path: Path) -> str:
    name = path.name
    if len(os.fsencode(name)) > _LONGEST:
        name = hashlib.sha256(os.fsencode(name)).hexdigest()
    return f".{name}.{_machine()}.{secrets.token_hex(8)}.tmp"


def _new_file(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)


def _new_folder(path: Path) -> int:
    os.mkdir(path)
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)


def _claimed(path: Path, new) -> tuple[Path, int]:
    """A new temporary beside `path` and its descriptor, locked while it is open where the file system has locks."""
    for _ in range(3):
        temporary = path.with_name(_temporary_name(path))
        descriptor = new(temporary)
        locked = _locked(descriptor)
        if locked is not False and _is_still(temporary, descriptor):
            break
        # Another process took it for a killed one's, before it was locked; or locks do not work here.
        os.close(descriptor)
        _discard(temporary)
    else:
        temporary = path.with_name(_temporary_name(path))
        descriptor, locked = new(temporary), None
    with contextlib.suppress(OSError):
        _remove_stale(path.parent, os.fstat(descriptor), locked is True)
    return temporary, descriptor


def _locked(descriptor: int) -> bool | None:
    """Whether the lock was got; False where another process holds it, None where the file system has no locks."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.lstat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _remove_stale(folder: Path, new: os.stat_result, locks: bool) -> None:
    """Remove the temporary files and folders of killed processes, but none that may be in use.

    In use is what is locked. Where a lock says nothing (a file system without them, another machine, a second name of
    a file), what has not changed for a week is taken for left behind.
    """
    kind = stat.S_IFMT(new.st_mode)
    for entry in list(os.scandir(folder)):
        match = _TEMPORARY.fullmatch(entry.name)
        with contextlib.suppress(OSError):
            if match is None or stat.S_IFMT((listed := entry.stat(follow_symlinks=False)).st_mode) != kind:
                continue
            # NFS wants a file open for writing before it locks it.
            mode = os.O_RDWR | os.O_NONBLOCK if stat.S_ISREG(kind) else os.O_RDONLY | os.O_DIRECTORY
            descriptor = os.open(entry.path, mode | os.O_NOFOLLOW)
            try:
                if not os.path.samestat(listed, os.fstat(descriptor)) or os.path.samestat(listed, new):
                    continue
                locked = _locked(descriptor) if locks else None
                certain = locked and match[1] == _machine() and (listed.st_nlink == 1 or stat.S_ISDIR(kind))
                if locked is not False and (certain or new.st_ctime - listed.st_ctime > _STALE):
                    _discard(Path(entry.path))
            finally:
                os.close(descriptor)


def _discard(path: Path) -> None:
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
