"""Where the heavy work runs. Of several GPUs each process takes one that no other process of zoofuse has."""

import contextlib
import errno
import fcntl
import functools
import os
import pwd
import stat
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from zoofuse.core import private

PATIENCE = 600  # seconds that a GPU held by another user is waited for; then it is shared
_held: list["_Lock"] = []  # this process's GPU; the system frees it when the process ends, however it ends


def choose_device(device: str = "auto") -> str:
    """ "cuda" when asked for, or for "auto" when there is one; else "cpu". Raises ValueError for a missing GPU.

    "cuda" then means a GPU of the process's own: waits until one of those that CUDA_VISIBLE_DEVICES shows is free.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device cuda: PyTorch sees no CUDA device here; write device: auto or device: cpu.")
    if device == "cpu" or not torch.cuda.is_available():
        return "cpu"
    if not _held:
        # By the hardware's own name: numbers differ between jobs that are shown different GPUs.
        names = [str(torch.cuda.get_device_properties(i).uuid) for i in range(torch.cuda.device_count())]
        torch.cuda.set_device(claim(names))
    return "cuda"


def claim(names: Sequence[str], folder: Path | None = None, poll: float = 0.5, patience: float = PATIENCE) -> int:
    """Index of the first of these devices that no process holds; this process holds it until it ends.

    Waits while processes of this user hold all of them. A device that only another user's process holds is shared
    after `patience` seconds, as anybody can hold a lock in a folder that all can write to. Each device has a lock file
    in `folder`, by default the machine's folder for temporary files; it is opened for reading, never through a link.
    Where somebody has put something else in its place, the lock is a file in this user's own cache.
    """
    folder = folder or Path(tempfile.gettempdir())
    start, said = time.monotonic(), False
    while True:
        busy = []
        for index, name in enumerate(names):
            lock = _Lock(folder, name)
            if lock.acquire():
                _held.append(lock)
                return index
            busy.append(lock.holder())
        others = [index for index, holder in enumerate(busy) if holder != os.getuid()]
        if others and time.monotonic() - start >= patience:
            index = others[0]
            lock = _Lock(folder, names[index])
            if not lock.acquire():  # it may be free by now
                _say(
                    f"GPU {names[index]}: {_user(busy[index])} has held its lock for {patience:.0f} s; this job now "
                    "shares the GPU. CUDA_VISIBLE_DEVICES chooses another one."
                )
            _held.append(lock)
            return index
        if not said:
            users = ", ".join(dict.fromkeys(map(_user, busy)))
            _say(f"Waiting for a GPU: other jobs use all {len(names)} (held by {users}).")
            said = True
        time.sleep(poll)


class _Lock:
    """A device's lock file, locked by `acquire` until `release` or the end of the process."""

    def __init__(self, folder: Path, name: str):
        self.path, self.fd = folder / f"zoofuse-{name}.lock", None

    def acquire(self) -> bool:
        """Whether the lock is now this process's."""
        try:
            fd = _opened(self.path)
        except OSError as error:
            fd = self._own(error)
            if fd is None:
                return True  # no lock to be had anywhere: the device is used without one
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The file may have been removed, and made anew, since it was opened.
            if os.path.samestat(os.fstat(fd), os.stat(self.path, follow_symlinks=False)):
                self.fd = fd
                return True
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                os.close(fd)
                _say(f"{self.path}: cannot be locked ({os.strerror(error.errno)}); the GPU is used without a lock.")
                return True
        os.close(fd)
        return False

    def _own(self, error: OSError) -> int | None:
        """A lock file in this user's own cache, in place of one that cannot be used."""
        with contextlib.suppress(OSError, RuntimeError), private.cache_folder() as cache:
            _say(f"{self.path}: not used as a lock ({error.strerror or error}); {cache.path} is used instead.")
            self.path = cache.path / self.path.name
            return _opened(self.path)
        return None

    def holder(self) -> int | None:
        """The user whose process has locked the file; None where the system does not tell."""
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
    """Descriptor of a lock file, made if need be; raises OSError for anything but a regular file."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # not blocking: it may be a pipe
    try:
        fd = os.open(path, flags)
    except FileNotFoundError:
        try:
            # For everybody to read: on a shared machine somebody else's job locks it too, which needs no writing.
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


@functools.cache  # each line once
def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
