"""Choice of the device. Of several GPUs, each process takes one that no other zoofuse process uses."""

import contextlib
import errno
import fcntl
import os
import pwd
import stat
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from zoofuse.core import logs, private

MAX_WAIT = 600  # seconds to wait for a GPU that another user's process holds, before it is shared
_held: list["_Lock"] = []  # this process's GPU; the system releases it when the process ends, however it ends


def choose_device(device: str = "auto") -> str:
    """Choose the device, and wait for a free GPU where it is one.

    Args:
        device: "auto", "cpu" or "cuda".

    Returns:
        "cuda" if requested, or if "auto" and a GPU is available; else "cpu". With "cuda", this process holds one of
        the GPUs that CUDA_VISIBLE_DEVICES shows until it ends.

    Raises:
        ValueError: "cuda" was requested and there is no GPU.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device cuda: PyTorch finds no CUDA device; write device: auto or device: cpu.")
    if device == "cpu" or not torch.cuda.is_available():
        return "cpu"
    if not _held:
        # By UUID, because indices differ between jobs with different CUDA_VISIBLE_DEVICES.
        names = [str(torch.cuda.get_device_properties(i).uuid) for i in range(torch.cuda.device_count())]
        torch.cuda.set_device(claim(names))
    return "cuda"


def claim(names: Sequence[str], folder: Path | None = None, poll: float = 0.5, max_wait: float = MAX_WAIT) -> int:
    """Lock the first device that no other process holds, until this process ends; wait while all are held.

    A device held by another user's process is shared after `max_wait` seconds, because anybody can hold a lock in a
    folder that everybody can write to. Lock files are opened for reading and never through a link. If something else
    lies in the place of one, a file in this user's cache is locked instead.

    Args:
        names: of the devices.
        folder: of the lock files; default: the machine's temporary folder.
        poll: seconds between two attempts.
        max_wait: seconds to wait for other users.

    Returns:
        The device's index in `names`.
    """
    folder = folder or Path(tempfile.gettempdir())
    start = time.monotonic()
    while True:
        holders = []
        for index, name in enumerate(names):
            lock = _Lock(folder, name)
            if lock.acquire():
                _held.append(lock)
                return index
            holders.append(lock.holder())
        others = [index for index, holder in enumerate(holders) if holder != os.getuid()]
        if others and time.monotonic() - start >= max_wait:
            index = others[0]
            lock = _Lock(folder, names[index])
            if not lock.acquire():  # it may have been released since
                logs.once(
                    f"GPU {names[index]}: {_user(holders[index])} has held its lock for {max_wait:.0f} s; this job "
                    "now shares the GPU. To use another one, set CUDA_VISIBLE_DEVICES."
                )
            _held.append(lock)
            return index
        users = ", ".join(dict.fromkeys(map(_user, holders)))
        logs.once(f"Waiting for a GPU: other jobs use all {len(names)} (held by {users}).")
        time.sleep(poll)


class _Lock:
    """A device's lock file; `acquire` locks it until `release` or the end of the process."""

    def __init__(self, folder: Path, name: str):
        self.path, self.fd = folder / f"zoofuse-{name}.lock", None

    def acquire(self) -> bool:
        """Whether the lock is now this process's."""
        try:
            fd = _opened(self.path)
        except OSError as error:
            fd = self._in_cache(error)
            if fd is None:
                return True  # no place for a lock file: the device is used without one
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The file may have been removed and created again since it was opened.
            if os.path.samestat(os.fstat(fd), os.stat(self.path, follow_symlinks=False)):
                self.fd = fd
                return True
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                os.close(fd)
                logs.once(
                    f"{self.path}: cannot be locked ({os.strerror(error.errno)}); the GPU is used without a lock."
                )
                return True
        os.close(fd)
        return False

    def _in_cache(self, error: OSError) -> int | None:
        """Open a lock file in this user's cache, in place of one that cannot be used."""
        with contextlib.suppress(OSError, RuntimeError), private.cache_folder(logs.once) as cache:
            logs.once(f"{self.path}: not used as a lock ({error.strerror or error}); {cache.path} is used instead.")
            self.path = cache.path / self.path.name
            return _opened(self.path)
        return None

    def holder(self) -> int | None:
        """User ID of the process that holds the lock; None if the system does not report it."""
        try:
            status = os.stat(self.path, follow_symlinks=False)
            lines = Path("/proc/locks").read_text().splitlines()
        except OSError:
            return None
        file = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
        for line in lines:
            words = line.split()  # 1: FLOCK ADVISORY WRITE 1234 08:01:56789 0 EOF
            if words[1] == "FLOCK" and words[5] == file:
                with contextlib.suppress(OSError):
                    return os.stat(f"/proc/{words[4]}").st_uid
        return None

    def release(self) -> None:
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None


def _opened(path: Path) -> int:
    """Open a lock file, creating it if necessary; raises OSError for anything but a regular file."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # non-blocking: it may be a pipe
    try:
        fd = os.open(path, flags)
    except FileNotFoundError:
        try:
            # Readable by everybody, because other users' jobs lock it too, which needs no write permission.
            fd = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o644)
            os.fchmod(fd, 0o644)
        except FileExistsError:
            fd = os.open(path, flags)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return fd


def _user(holder: int | None) -> str:
    if holder is None:
        return "an unknown user"
    try:
        return pwd.getpwuid(holder).pw_name
    except KeyError:
        return f"user {holder}"
