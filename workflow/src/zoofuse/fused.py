"""Train the published CNN in C++ (fused.cpp), one CNN per thread, with everything in the core's cache.

The C++ is compiled on first use, for the vector instructions of the machine at hand, into a folder of the user's own;
nodes of another kind compile their own library beside it. No compiler: `available` says so.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

ARCHITECTURE = "published"
_SOURCE = Path(__file__).with_name("fused.cpp")
_FLAGS = ["-std=c++17", "-O3", "-fPIC", "-shared", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math"]
_SETS = {  # LANES floats in a vector; 4 * BLOCK sums beside BLOCK weights and a pixel fit in 16 or 32 registers
    "avx512": "-mavx512f -mavx512vl -mavx512bw -mavx512dq -mfma -DLANES=16 -DBLOCK=6",
    "avx2": "-mavx2 -mfma -DLANES=8 -DBLOCK=3",
    "neon": "-DLANES=4 -DBLOCK=6",
    "generic": "-DLANES=4 -DBLOCK=3",
}


class _Job(ctypes.Structure):  # mirrors fused.cpp
    _fields_ = (
        [(name, ctypes.c_void_p) for name in ("images", "labels", "validation_images", "validation_labels")]
        + [(name, ctypes.c_void_p) for name in ("order", "flip", "gain", "rates")]
        + [(name, ctypes.c_int64) for name in ("validation", "epochs", "per_epoch", "batch_size", "checkpoint_every")]
        + [(name, ctypes.c_void_p) for name in ("weights", "checkpoints", "loss", "answered", "passes", "stop")]
    )


def instruction_set() -> str:
    """The widest vectors this machine's processor and system run, as PyTorch detects them."""
    if platform.machine().lower() in ("arm64", "aarch64"):
        return "neon"
    return {"AVX512": "avx512", "AVX2": "avx2"}.get(torch.backends.cpu.get_cpu_capability(), "generic")


def available() -> tuple[bool, str]:
    """Whether the fused trainer runs here (building it if need be), and how or why not, in one line."""
    try:
        _library(instruction_set())
    except (OSError, RuntimeError) as error:
        return False, str(error)
    return True, f"C++ with {instruction_set()} vectors"


def train_one(job, row: int, passes: np.ndarray, stop: np.ndarray) -> None:
    """Train CNN `row` of a training job on the calling thread; the interpreter is free meanwhile."""
    settings, plan = job.settings, job.plan(slice(row, row + 1))
    weights = _flat(job.weights, row)
    checkpoints = np.empty((len(settings.checkpoint_epochs), len(weights)), np.float32)
    arrays = {
        **job.bytes,
        "order": plan.order,
        "flip": plan.flip,
        "gain": plan.gain,
        "rates": settings.learning_rates,
        "weights": weights,
        "checkpoints": checkpoints,
        "loss": job.loss[row],
        "answered": job.answered[row],
        "passes": passes,
        "stop": stop,
    }
    sizes = {
        "validation": len(job.data.validation_labels),
        "epochs": settings.epochs,
        "per_epoch": settings.images_per_epoch,
        "batch_size": settings.batch_size,
        "checkpoint_every": settings.checkpoint_every,
    }
    pointers = {name: None if array is None else array.ctypes.data for name, array in arrays.items()}
    _library(instruction_set()).zoofuse_train(ctypes.byref(_Job(**pointers, **sizes)))
    _unflatten(weights, job.weights, row)
    _unflatten(checkpoints, job.checkpoints, row)


def gradient(
    images: np.ndarray,
    labels: np.ndarray,
    weights: dict[str, np.ndarray],
    order: np.ndarray,
    flip: np.ndarray | None = None,
    gain: np.ndarray | None = None,
    kind: str | None = None,
) -> tuple[float, dict[str, np.ndarray]]:
    """Mean cross-entropy of one CNN on one batch, and its gradient.

    images: uint8 (N, 32, 32, 3); labels: uint8 (N,); weights: name -> float32, of one CNN; order: int32 (b,) rows of
    images; flip: uint8 (b,); gain: float32 (b, 3); kind: an instruction set's name, this machine's by default.
    """
    flat = np.concatenate([value.ravel() for value in weights.values()])
    result = np.empty_like(flat)
    arrays = (images, labels, order, flip, gain)
    pointers = [None if array is None else array.ctypes.data for array in arrays]
    call = _library(kind or instruction_set()).zoofuse_gradient
    loss = call(*pointers, len(order), flat.ctypes.data, result.ctypes.data)
    shapes = {name: value[None] * 0 for name, value in weights.items()}
    _unflatten(result, shapes, 0)
    return loss, {name: value[0] for name, value in shapes.items()}


def peak(seconds: float = 0.2) -> float:
    """Measured floating-point operations per second of one thread on fused multiply-adds alone."""
    return _library(instruction_set()).zoofuse_peak(seconds)


def _flat(stacked: dict[str, np.ndarray], row: int) -> np.ndarray:
    return np.concatenate([value[row].ravel() for value in stacked.values()])


def _unflatten(flat: np.ndarray, stacked: dict[str, np.ndarray], row: int) -> None:
    start = 0
    for value in stacked.values():
        size = value[row].size if flat.ndim == 1 else value[row, 0].size
        value[row] = flat[..., start : start + size].reshape(value[row].shape)
        start += size


@functools.cache
def _library(kind: str) -> ctypes.CDLL:
    """The compiled trainer for an instruction set; RuntimeError when it cannot be built, OSError when not loaded."""
    library = ctypes.CDLL(str(_built(kind)))
    library.zoofuse_train.argtypes, library.zoofuse_train.restype = [ctypes.c_void_p], None
    pointers = [ctypes.c_void_p] * 5
    library.zoofuse_gradient.argtypes = [*pointers, ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p]
    library.zoofuse_gradient.restype = ctypes.c_double
    library.zoofuse_peak.argtypes, library.zoofuse_peak.restype = [ctypes.c_double], ctypes.c_double
    return library


def _built(kind: str) -> Path:
    """Path of the library, compiled now unless it lies in the cache already."""
    compiler = next(filter(None, map(shutil.which, [os.environ.get("CXX") or "c++", "g++", "clang++"])), None)
    if compiler is None:
        raise RuntimeError("no C++ compiler found (c++, g++ or clang++); install one, or set CXX")
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True).stdout
    command = [compiler, *_FLAGS, *_SETS[kind].split()]
    key = hashlib.sha256("\0".join([_SOURCE.read_text(), *command, version, sys.platform]).encode()).hexdigest()[:16]
    library = cache_folder() / f"fused-{kind}-{key}.so"
    if not library.exists():
        handle, temporary = tempfile.mkstemp(dir=library.parent, prefix=f".{library.name}.")
        os.close(handle)
        try:
            built = subprocess.run([*command, str(_SOURCE), "-o", temporary], capture_output=True, text=True)
            if built.returncode:
                raise RuntimeError(f"{compiler} failed: {next(iter(built.stderr.strip().splitlines()), '')}")
            os.replace(temporary, library)  # several processes may build at once: each puts a whole file in place
        finally:
            Path(temporary).unlink(missing_ok=True)
    return library


def cache_folder() -> Path:
    """Where libraries are kept: $XDG_CACHE_HOME/zoofuse or ~/.cache/zoofuse, else a temporary folder of the user's."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "zoofuse"
    for folder in (home, Path(tempfile.gettempdir()) / f"zoofuse-{os.getuid()}"):
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError:
            continue
        if os.access(folder, os.W_OK) and folder.stat().st_uid == os.getuid():  # code is loaded from it
            return folder
    raise RuntimeError(f"no folder to compile into ({home} cannot be written); set XDG_CACHE_HOME")
