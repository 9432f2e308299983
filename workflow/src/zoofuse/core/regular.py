"""What lies at a path where a file is wanted, in words: the one place that knows pipes, devices and broken links."""

import contextlib
import errno
import os
import stat

from zoofuse.core.text import printable

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe (FIFO)",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def fault(path: str | os.PathLike | bytes) -> str | None:
    """Why a path is not a regular file. Nothing is opened: opening some devices alone does something.

    Args:
        path: links are followed.

    Returns:
        The cause, without the path; None where it is a regular file.
    """
    try:
        return fault_of(os.stat(path).st_mode)
    except (OSError, ValueError) as error:
        return unreachable_by(path, error)


def fault_of(mode: int) -> str | None:
    """As `fault`, of the mode that stat or fstat gave."""
    if stat.S_ISREG(mode):
        return None
    return f"{_KINDS.get(stat.S_IFMT(mode), 'something else')}, not a file"


def unreachable(path: str | os.PathLike) -> str:
    """Why there is nothing at a path, file or folder; "" where something is there."""
    try:
        os.stat(path)
    except (OSError, ValueError) as error:
        return unreachable_by(path, error)
    return ""


def unreachable_by(path: str | os.PathLike | bytes, error: Exception) -> str:
    """What an error says of a path: for a link where it leads, and what brings it back."""
    code = getattr(error, "errno", None)
    if code == errno.ELOOP:
        return "a link that leads to itself"
    with contextlib.suppress(OSError, ValueError):
        if os.path.islink(path) and code in (errno.ENOENT, errno.ENOTDIR, errno.EACCES):
            target = printable(os.readlink(path))
            why = "can't be read" if code == errno.EACCES else "is not there"
            annexed = "; run git annex get" if "/annex/objects/" in target else ""
            return f"a link to {target!r}, which {why}{annexed}"
    return getattr(error, "strerror", None) or str(error)
