"""Private folders: one that others own or can write to is refused, and symbolic links are not followed."""

import atexit
import contextlib
import functools
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path


class Folder:
    """An open folder that this user owns and nobody else can write to; `path` is for messages."""

    def __init__(self, path: Path):
        """Open a folder.

        Raises:
            OSError: it is a symbolic link, belongs to another user, or others can write to it.
        """
        if path.is_symlink():
            raise OSError(f"{path} is a symbolic link, which is not followed")
        self.path = path
        self.fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            check_private(os.fstat(self.fd), path)
            if not os.access(path, os.W_OK):
                raise OSError(f"{path} cannot be written")
        except BaseException:
            os.close(self.fd)
            raise

    def __enter__(self) -> "Folder":
        return self

    def __exit__(self, *_) -> None:
        os.close(self.fd)

    @property
    def opened(self) -> Path:
        """A path to the folder that was opened, for this process and its children, even if `path` was replaced."""
        by_descriptor = Path(f"/proc/self/fd/{self.fd}")
        return by_descriptor if by_descriptor.exists() else self.path


def check_private(status: os.stat_result, path: Path) -> None:
    """Raise OSError unless this user owns the file or folder and nobody else can write to it."""
    if status.st_uid != os.getuid():
        raise OSError(f"{path} belongs to user {status.st_uid}, not to {os.getuid()}")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise OSError(f"{path} can be written by other users (chmod go-w {path})")


def cache_folder(say: Callable[[str], None] | None = None) -> Folder:
    """Open the cache folder, for compiled libraries and other things that are made once; for a `with` statement.

    Args:
        say: takes a line where it is not the usual folder.

    Returns:
        $XDG_CACHE_HOME/zoofuse or ~/.cache/zoofuse; else zoofuse-UID in the temporary folder; else a new folder
        that is removed when this process ends.

    Raises:
        RuntimeError: none of these can be written.
    """
    refused = []
    for path in _candidates():
        try:
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            folder = Folder(path)
        except OSError as error:
            refused.append(str(error))
            continue
        if refused and say:
            say(f"Compile cache: {'; '.join(refused)}. Using {path} instead.")
        return folder
    raise RuntimeError(f"no folder to compile in ({'; '.join(refused)}); set XDG_CACHE_HOME")


def _candidates() -> Iterator[Path]:
    with contextlib.suppress(RuntimeError):  # no HOME and no passwd entry
        yield Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "zoofuse"
    with contextlib.suppress(OSError):  # no temporary folder
        yield Path(tempfile.gettempdir()) / f"zoofuse-{os.getuid()}"
        yield _of_this_process()


@functools.cache
def _of_this_process() -> Path:
    path, owner = tempfile.mkdtemp(prefix="zoofuse-"), os.getpid()
    atexit.register(lambda: os.getpid() == owner and shutil.rmtree(path, ignore_errors=True))
    return Path(path)
