"""Files of other people, read in a process of their own, with limits of time and memory.

HDF5 and PyTorch can hang, crash or take all memory on a corrupt or forged file, and no exception tells. So they see
such a file only in a child process. The child answers with JSON and plain float32 or int64 arrays, never with a pickle.
Where it takes too long, needs too much or crashes, that is one ValueError about one file, and the next file gets a new
child.
"""

import contextlib
import json
import math
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

MEMORY = 2**30  # bytes that a child may take beyond what it has when its libraries are loaded
SECONDS = 60  # of processor time for one request, to which loading PyTorch is not counted
PATIENCE = 600  # seconds by the clock for one request: a slow disk takes no processor time
LOADING = 240  # more of both for loading the libraries, on a cold network disk
LARGEST = 2**28  # bytes of one answer


class Unreadable(ValueError):
    """A foreign file that cannot be read; the message says why, without naming the file."""


class Reader:
    """A child process that reads foreign files, started when it is first asked, and again after it died."""

    def __init__(self) -> None:
        self._process: subprocess.Popen | None = None
        self._link: Connection | None = None
        self._errors = None

    def ask(self, operation: str, **arguments) -> tuple[dict, dict[str, np.ndarray]]:
        """Let the child do one thing.

        Args:
            operation: A function of `foreign_files`.
            arguments: What it takes; anything JSON can hold.

        Returns:
            What the function returns: values that JSON can hold, and arrays.

        Raises:
            Unreadable: The file is at fault, or the child took too long, needed too much memory or crashed.
        """
        if self._process is None:
            self._start()
        late = threading.Event()

        def stop() -> None:
            late.set()
            self._process.kill()

        timer = threading.Timer(PATIENCE + LOADING, stop)
        timer.start()
        try:
            limits = {"memory": MEMORY, "seconds": SECONDS, "loading": LOADING}
            self._link.send_bytes(json.dumps([operation, arguments, limits]).encode())
            head = json.loads(self._link.recv_bytes(2**24))
            if "error" in head:
                if head["last"]:  # the library may hold the corrupt file open: the next file gets a new child
                    self.close()
                raise Unreadable(head["error"])
            arrays = {name: self._array(*form) for name, form in head["arrays"].items()}
        except (OSError, EOFError, ValueError) as error:
            if isinstance(error, Unreadable):
                raise
            status, said = self._ended()
            raise Unreadable(_cause(status, late.is_set(), said, arguments)) from None
        except BaseException:  # interrupted: what the child says next belongs to no question
            self.close()
            raise
        finally:
            timer.cancel()
        return head["values"], arrays

    def close(self) -> None:
        """End the child."""
        if self._process is not None:
            self._process.kill()
            self._ended()

    def _array(self, kind: str, shape: list[int]) -> np.ndarray:
        if kind not in ("<f4", "<i8") or 8 * math.prod(shape) > LARGEST:
            raise ValueError("an array that was not asked for")
        return np.frombuffer(self._link.recv_bytes(LARGEST), kind).reshape(shape)

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        source = str(Path(__file__).parents[2])
        program = (
            f"import sys; sys.path.insert(0, {source!r}); from zoofuse.importers import foreign; foreign.serve({{}})"
        )
        threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        with ours, theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", program.format(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                pass_fds=(theirs.fileno(),),
                env=os.environ | threads | {"CUDA_VISIBLE_DEVICES": "", "HDF5_USE_FILE_LOCKING": "FALSE"},
            )
            self._link = Connection(ours.detach())

    def _ended(self) -> tuple[int | None, str]:
        """How the child ended, and the last that it or its libraries printed."""
        status = None
        with contextlib.suppress(subprocess.TimeoutExpired):  # where a disk does not answer, it cannot end
            status = self._process.wait(10)
        if status is None:
            self._process.kill()
        self._link.close()
        self._errors.seek(0)
        said = self._errors.read(2**16).decode("utf-8", "replace").strip()
        self._errors.close()
        self._process = self._link = self._errors = None
        return status, said


_shared: Reader | None = None


@contextlib.contextmanager
def reader() -> Iterator[Reader]:
    """Yield a Reader, the same to those who ask for one within; its child ends when the outermost is left."""
    global _shared
    if _shared is not None:
        yield _shared
        return
    _shared = Reader()
    try:
        yield _shared
    finally:
        child, _shared = _shared, None
        child.close()


def _cause(status: int | None, late: bool, said: str, arguments: dict) -> str:
    library = "HDF5" if arguments.get("library") == "HDF5" else "PyTorch"
    if late:
        return f"not read within {PATIENCE} seconds; is its disk reachable?"
    if status == -signal.SIGXCPU:
        return f"not read within {SECONDS} seconds of processor time: corrupt or forged"
    if status == -signal.SIGKILL:
        return "the process that read it was killed, probably for want of memory"
    if status is not None and status < 0:
        return f"{library} crashed on this file ({signal.Signals(-status).name}): corrupt or forged"
    last = (said.splitlines() or ["without a word"])[-1]
    return f"the process that reads foreign files ended ({last[:300]})"


# ---------------------------------------------------------------------------------------------- the child


def serve(descriptor: int) -> None:
    """Answer questions until the parent is gone; this is all that the child does.

    Args:
        descriptor: The child's end of the socket.
    """
    from zoofuse.importers import foreign_files

    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))  # it prints, and writes nothing else
    link, base = Connection(descriptor), None
    while True:
        try:
            operation, arguments, limits = json.loads(link.recv_bytes())
        except (EOFError, OSError, KeyboardInterrupt):
            os._exit(0)
        library = arguments.pop("library", None)
        if base is None or not foreign_files.is_loaded(library):
            _limit(None, limits["seconds"] + limits["loading"])
            foreign_files.load(library)
            base = _memory()
        _limit(base + limits["memory"], limits["seconds"])
        last = False
        try:
            values, arrays = getattr(foreign_files, operation)(**arguments)
            head = {"values": values, "arrays": {name: [a.dtype.str, a.shape] for name, a in arrays.items()}}
        except Unreadable as error:
            head, arrays, last = {"error": str(error)[:4000]}, {}, library == "HDF5"
        except MemoryError:
            head, arrays, last = {"error": f"needs more than {limits['memory'] // 2**20:,} MiB of memory"}, {}, True
        except Exception as error:  # whatever a library says about a corrupt or forged file
            head, arrays, last = {"error": foreign_files.damage(error)[:4000]}, {}, library == "HDF5"
        if "error" in head:
            head["last"] = last
        link.send_bytes(json.dumps(head).encode())
        for array in arrays.values():
            link.send_bytes(np.ascontiguousarray(array).data.cast("B") if array.size else b"")


def _memory() -> int:
    """Bytes of address space that this process has taken."""
    with contextlib.suppress(OSError):
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    return 0


def _limit(memory: int | None, seconds: int) -> None:
    """Limit this process's address space, and the processor time from now on; None is without a limit."""
    used = math.ceil(time.process_time())
    for kind, wanted in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_CPU, used + seconds)):
        with contextlib.suppress(OSError, ValueError):  # macOS knows no limit of address space
            highest = resource.getrlimit(kind)[1]
            wanted = highest if wanted is None else wanted
            resource.setrlimit(kind, (wanted if highest == resource.RLIM_INFINITY else min(wanted, highest), highest))
