"""Other people's files, read in a child process with limits on time and memory.

HDF5 and PyTorch can hang, crash or exhaust memory on a corrupt or forged file without raising an exception. The child
replies with JSON and plain float32 or int64 arrays, never with a pickle. If it takes too long, needs too much memory
or crashes, the parent raises a ValueError about that file, and the next file gets a new child.
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

MEMORY = 2**30  # bytes that a child may allocate after its libraries are loaded
CPU_SECONDS = 60  # CPU time of one request, without loading PyTorch
MAX_WAIT = 600  # wall-clock seconds of one request, because a slow disk takes no CPU time
LOADING = 240  # further seconds of both for loading libraries from a cold network disk
MAX_REPLY = 2**28  # bytes of one array


class Unreadable(ValueError):
    """A foreign file that can't be read; the message says why, without naming the file."""


class Reader:
    """A child process that reads foreign files, started on the first request and after it died."""

    def __init__(self) -> None:
        self._process: subprocess.Popen | None = None
        self._link: Connection | None = None
        self._errors = None

    def ask(self, operation: str, **arguments) -> tuple[dict, dict[str, np.ndarray]]:
        """Send one request to the child.

        Args:
            operation: A function of `foreign_files`.
            arguments: Its arguments; JSON values.

        Returns:
            What the function returns: JSON values, and arrays.

        Raises:
            Unreadable: The file is bad, or the child took too long, needed too much memory or crashed.
        """
        if self._process is None:
            self._start()
        timed_out = threading.Event()

        def stop() -> None:
            timed_out.set()
            self._process.kill()

        timer = threading.Timer(MAX_WAIT + LOADING, stop)
        timer.start()
        try:
            limits = {"memory": MEMORY, "seconds": CPU_SECONDS, "loading": LOADING}
            self._link.send_bytes(json.dumps([operation, arguments, limits]).encode())
            head = json.loads(self._link.recv_bytes(2**24))
            if "error" in head:
                if head["last"]:  # the library may keep the corrupt file open, so the next file gets a new child
                    self.close()
                raise Unreadable(head["error"])
            arrays = {name: self._array(*form) for name, form in head["arrays"].items()}
        except (OSError, EOFError, ValueError) as error:
            if isinstance(error, Unreadable):
                raise
            status, output = self._end()
            raise Unreadable(_cause(status, timed_out.is_set(), output, arguments)) from None
        except BaseException:  # interrupted, so the child's next reply belongs to no request
            self.close()
            raise
        finally:
            timer.cancel()
        return head["values"], arrays

    def close(self) -> None:
        """End the child."""
        if self._process is not None:
            self._process.kill()
            self._end()

    def _array(self, kind: str, shape: list[int]) -> np.ndarray:
        if kind not in ("<f4", "<i8") or 8 * math.prod(shape) > MAX_REPLY:
            raise ValueError("an unexpected array")
        return np.frombuffer(self._link.recv_bytes(MAX_REPLY), kind).reshape(shape)

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

    def _end(self) -> tuple[int | None, str]:
        """Clean up after the child: its exit status, and what it or its libraries printed."""
        status = None
        with contextlib.suppress(subprocess.TimeoutExpired):  # a process that waits for a dead disk cannot end
            status = self._process.wait(10)
        if status is None:
            self._process.kill()
        self._link.close()
        self._errors.seek(0)
        output = self._errors.read(2**16).decode("utf-8", "replace").strip()
        self._errors.close()
        self._process = self._link = self._errors = None
        return status, output


_shared: Reader | None = None


@contextlib.contextmanager
def reader() -> Iterator[Reader]:
    """Yield a Reader, which nested calls share; its child ends with the outermost call."""
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


def _cause(status: int | None, timed_out: bool, output: str, arguments: dict) -> str:
    library = "HDF5" if arguments.get("library") == "HDF5" else "PyTorch"
    if timed_out:
        return f"not read within {MAX_WAIT} seconds; is its disk reachable?"
    if status == -signal.SIGXCPU:
        return f"not read within {CPU_SECONDS} seconds of CPU time: corrupt or forged"
    if status == -signal.SIGKILL:
        return "the process that read it was killed, probably because memory ran out"
    if status is not None and status < 0:
        return f"{library} crashed on this file ({signal.Signals(-status).name}): corrupt or forged"
    last_line = (output.splitlines() or ["no output"])[-1]
    return f"the process that reads foreign files ended ({last_line[:300]})"


# ---------------------------------------------------------------------------------------------- the child


def serve(descriptor: int) -> None:
    """Serve requests until the parent is gone; this is all that the child does.

    Args:
        descriptor: The child's end of the socket.
    """
    from zoofuse.importers import foreign_files

    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))  # it prints to stderr and writes nothing else
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
        try:
            values, arrays = getattr(foreign_files, operation)(**arguments)
            head = {"values": values, "arrays": {name: [a.dtype.str, a.shape] for name, a in arrays.items()}}
        except Exception as error:  # libraries raise many types for a corrupt or forged file
            cause, no_memory = foreign_files.cause_of(error), isinstance(error, MemoryError)
            if no_memory:
                cause = f"needs more than {limits['memory'] // 2**20:,} MiB of memory"
            head, arrays = {"error": cause[:4000], "last": no_memory or library == "HDF5"}, {}
        link.send_bytes(json.dumps(head).encode())
        for array in arrays.values():
            link.send_bytes(np.ascontiguousarray(array).data.cast("B") if array.size else b"")


def _memory() -> int:
    """Bytes of address space that this process uses."""
    with contextlib.suppress(OSError):
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    return 0


def _limit(memory: int | None, seconds: int) -> None:
    """Limit this process's address space (None: no limit) and its CPU time from now on."""
    used = math.ceil(time.process_time())
    for kind, limit in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_CPU, used + seconds)):
        with contextlib.suppress(OSError, ValueError):  # macOS has no limit of address space
            highest = resource.getrlimit(kind)[1]
            limit = highest if limit is None else limit
            resource.setrlimit(kind, (limit if highest == resource.RLIM_INFINITY else min(limit, highest), highest))
