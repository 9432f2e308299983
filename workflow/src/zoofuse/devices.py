"""Where the heavy work runs. Of several GPUs each process takes one that no other process of zoofuse has."""

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from filelock import FileLock, Timeout

_held: list[FileLock] = []  # this process's GPU; the system frees it when the process ends, however it ends


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


def claim(names: Sequence[str], folder: Path | None = None, poll: float = 0.5) -> int:
    """Index of the first of these devices that no process holds; this process holds it until it ends.

    Waits while all are held. Each is a lock file in `folder`, by default the machine's folder for temporary files.
    """
    folder = folder or Path(tempfile.gettempdir())
    # Read and write for everybody: on a shared machine the file may have been made by somebody else's job.
    locks = [FileLock(folder / f"zoofuse-{name}.lock", mode=0o666) for name in names]
    told = False
    while True:
        for index, lock in enumerate(locks):
            try:
                lock.acquire(blocking=False)
            except Timeout:
                continue
            _held.append(lock)
            return index
        if not told:
            print(f"Waiting for a GPU: other jobs use all {len(names)}.", file=sys.stderr, flush=True)
            told = True
        time.sleep(poll)
