"""Folders that belong to this user alone: one that others own or can write to is refused, links are not followed."""

import atexit
import contextlib
import functools
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path


class Folder:
    """A folder that was opened and found to be this user's own and private; `path` is for messages."""

    def __init__(self, path: Path):
        """Open `path`; raises OSError where it is a link, or not this user's, or others can write to it."""
        if path.is_symlink():
            raise OSError(f"{path} is a link, which is not followed")
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
        """For this process and its children: the folder that was opened, whatever its own path leads to by now."""
        through = Path(f"/proc/self/fd/{self.fd}")
        return through if through.exists() else self.path


def check_private(status: os.stat_result, path: Path) -> None:
    if status.st_uid != os.getuid():
        raise OSError(f"{path} belongs to user {status.st_uid}, not to {os.getuid()}")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise OSError(f"{path} can be written by other users (chmod go-w {path})")


def cache_folder() -> Folder:
    """The folder libraries are kept in, opened; use it in a `with` statement.

    $XDG_CACHE_HOME/zoofuse or ~/.cache/zoofuse; where that cannot be used, zoofuse-UID in the folder for temporary
    files; where others can write to that too, or own it, a new folder that goes when this process ends.

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
        if refused:
            tell(f"Compile cache: {'; '.join(refused)}. Using {path} instead.")
        return folder
    raise RuntimeError(f"no folder to compile into ({'; '.join(refused)}); set XDG_CACHE_HOME")


def _candidates() -> Iterator[Path]:
    with contextlib.suppress(RuntimeError):  # neither HOME nor an entry in the list of users
        yield Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "zoofuse"
    with contextlib.suppress(OSError):  # no folder for temporary files
        yield Path(tempfile.gettempdir()) / f"zoofuse-{os.getuid()}"
        yield _of_this_process()


@functools.cache
def _of_this_process() -> Path:
    path, owner = tempfile.mkdtemp(prefix="zoofuse-"), os.getpid()
    atexit.register(lambda: os.getpid() == owner and shutil.rmtree(path, ignore_errors=True))
    return Path(path)


@functools.cache
def tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
