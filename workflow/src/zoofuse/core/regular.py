"""Opening regular files only: the one place that knows pipes, devices and broken links."""

import contextlib
import errno
import os
import stat
from typing import BinaryIO

from zoofuse.core.text import printable

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe (FIFO)",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class NotRegular(ValueError):
    """A path that is not a readable regular file; the message gives the cause, without the path."""


def open_regular(path: str | os.PathLike | bytes) -> BinaryIO:
    """Open a regular file for reading. A pipe or a device never blocks and is never opened.

    Args:
        path: links are followed.

    Returns:
        The open file.

    Raises:
        NotRegular: it is something else, cannot be reached or cannot be read.
    """
    if cause := fault(path):
        raise NotRegular(cause)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise NotRegular(unreachable_by(path, error)) from None
    if cause := _fault_of(os.fstat(descriptor).st_mode):  # replaced since the check
        os.close(descriptor)
        raise NotRegular(cause)
    return open(descriptor, "rb")


def read_regular(path: str | os.PathLike, max_bytes: int) -> bytes:
    """Read a regular file of limited size.

    Args:
        path: links are followed.
        max_bytes: the largest size to read.

    Returns:
        All bytes.

    Raises:
        NotRegular: as `open_regular`, and for a larger or growing file.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > max_bytes:
            raise NotRegular(f"{size:,} bytes; at most {max_bytes:,} are read")
        try:
            content = file.read(size + 1)
        except OSError as error:
            raise NotRegular(unreachable_by(path, error)) from None
    if len(content) > size:
        raise NotRegular("grows while it is read")
    return content


def fault(path: str | os.PathLike | bytes) -> str | None:
    """Why a path is not a regular file, without the path; None if it is one. Links are followed, nothing is opened."""
    try:
        return _fault_of(os.stat(path).st_mode)
    except (OSError, ValueError) as error:
        return unreachable_by(path, error)


def file_size(path: str | os.PathLike) -> int | str:
    """Size of a regular file in bytes, or the cause why it is not one. Links are followed, nothing is opened."""
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:
        return unreachable_by(path, error)
    return _fault_of(status.st_mode) or status.st_size


def _fault_of(mode: int) -> str | None:
    return None if stat.S_ISREG(mode) else f"{_KINDS.get(stat.S_IFMT(mode), 'a special file')}, not a file"


def unreachable(path: str | os.PathLike) -> str:
    """Why there is no file or folder at a path; "" if there is one."""
    try:
        os.stat(path)
    except (OSError, ValueError) as error:
        return unreachable_by(path, error)
    return ""


def unreachable_by(path: str | os.PathLike | bytes, error: Exception) -> str:
    """The cause of an error of a path, in words; for a broken link also its target and how to restore it."""
    code = getattr(error, "errno", None)
    if code == errno.ELOOP:
        return "a link that leads to itself"
    with contextlib.suppress(OSError, ValueError):
        if os.path.islink(path) and code in (errno.ENOENT, errno.ENOTDIR, errno.EACCES):
            target = printable(os.readlink(path))
            state = "can't be read" if code == errno.EACCES else "is not there"
            annexed = "; run git annex get" if "/annex/objects/" in target else ""
            return f"a link to {target!r}, which {state}{annexed}"
    return getattr(error, "strerror", None) or str(error)
