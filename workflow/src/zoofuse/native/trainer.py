"""Train the published CNN in C++ (train.cpp), one CNN per thread, with everything in the core's cache."""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path

import numpy as np
import torch

from zoofuse.models import cnn
from zoofuse.models.architectures import trunk
from zoofuse.native import bindings, build
from zoofuse.native.bindings import pointer

ARCHITECTURE = "published"
_SOURCE = Path(__file__).with_name("train.cpp")


class _Job(ctypes.Structure):  # JOB of train.cpp
    _fields_ = (
        [(name, pointer("uint8")) for name in ("images", "labels", "validation_images", "validation_labels")]
        + [("targets", pointer("float32")), ("order", pointer("int32")), ("flip", pointer("uint8"))]
        + [("gain", pointer("float32")), ("rates", pointer("float64"))]
        + [(name, ctypes.c_int64) for name in ("validation", "epochs", "per_epoch", "batch_size", "checkpoint_every")]
        + [(name, pointer("float32")) for name in ("weights", "checkpoints")]
        + [("loss", pointer("float64"))]
        + [(name, pointer("int64")) for name in ("predicted", "passes", "stop")]
    )


def available() -> tuple[bool, str]:
    """Whether the C++ trainer runs here (building it if need be), and how or why not, in one line."""
    return bindings.available(_SOURCE, _Job)


def train_one(job, row: int, passes: np.ndarray, stop: np.ndarray) -> None:
    """Train CNN `row` of a training job on the calling thread; the interpreter is free meanwhile."""
    settings, plan = job.settings, job.plan(slice(row, row + 1))
    weights = flatten(job.weights, row)
    checkpoints = np.empty((len(settings.checkpoint_epochs), len(weights)), np.float32)
    arrays = {
        **job.bytes,
        "targets": job.data.targets,
        "order": plan.order,
        "flip": plan.flip,
        "gain": plan.gain,
        "rates": settings.learning_rates,
        "weights": weights,
        "checkpoints": checkpoints,
        "loss": job.loss[row],
        "predicted": job.predicted[row],
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
    _library().zoofuse_train(ctypes.byref(_Job(**pointers, **sizes)))
    unflatten(weights, job.weights, row)
    unflatten(checkpoints, job.checkpoints, row)


def gradient(
    images: np.ndarray,
    labels: np.ndarray,
    weights: dict[str, np.ndarray],
    order: np.ndarray,
    flip: np.ndarray | None = None,
    gain: np.ndarray | None = None,
    kind: str | None = None,
    targets: np.ndarray | None = None,
) -> tuple[float, dict[str, np.ndarray]]:
    """Mean loss of one CNN on one batch, and its gradient.

    images: uint8 (N, 32, 32, 3); labels: uint8 (N,); weights: name -> float32, of one CNN; order: int32 (b,) rows of
    images; flip: uint8 (b,); gain: float32 (b, 3); kind: an instruction set's name, this machine's by default;
    targets: float32 (N, 2), see training.Data.
    """
    flat = np.concatenate([value.ravel() for value in weights.values()])
    result = np.empty_like(flat)
    arrays = (images, labels, targets, order, flip, gain)
    pointers = [None if array is None else array.ctypes.data for array in arrays]
    call = _library(kind).zoofuse_gradient
    loss = call(*pointers, len(order), flat.ctypes.data, result.ctypes.data)
    shapes = {name: value[None] * 0 for name, value in weights.items()}
    unflatten(result, shapes, 0)
    return loss, {name: value[0] for name, value in shapes.items()}


def logits(weights: dict[str, np.ndarray], images: np.ndarray, kind: str | None = None) -> np.ndarray:
    """(n, m, 2) float32: the outputs of n CNNs, weights (n, ...), for m uint8 images (m, 32, 32, 3)."""
    images = np.ascontiguousarray(images, np.uint8)
    names = cnn.ARCHITECTURES[ARCHITECTURE].shapes
    stacked = {name: np.asarray(weights[name], np.float32) for name in names}
    result = np.empty((len(stacked["fc1.bias"]), len(images), 2), np.float32)
    for row, of_cnn in enumerate(result):
        flat = flatten(stacked, row)
        _library(kind).zoofuse_logits(images.ctypes.data, len(images), flat.ctypes.data, of_cnn.ctypes.data)
    return result


def outputs(weights: dict[str, np.ndarray], images: np.ndarray) -> np.ndarray:
    """As `logits`, for CNNs of any architecture, with or without a compiler: then by PyTorch."""
    own = {name: weights[name] for name in (*trunk(weights), "fc1.weight", "fc1.bias")}
    shapes = {name: values.shape[1:] for name, values in own.items()}
    # Every tensor of the CNN counts: one with a further conv layer may share the first two with the published one.
    if shapes == cnn.ARCHITECTURES[ARCHITECTURE].shapes and available()[0]:
        return logits(weights, images)
    tensors = {name: torch.from_numpy(values) for name, values in own.items()}
    with torch.inference_mode():
        parts = [cnn.logits(tensors, cnn.normalise(part)) for part in torch.from_numpy(images).split(128)]
    return torch.cat(parts, 1).numpy()


def peak(seconds: float = 0.2) -> float:
    """Measured floating-point operations per second of one thread on fused multiply-adds alone."""
    return _library().zoofuse_peak(seconds)


def flatten(stacked: dict[str, np.ndarray], row: int) -> np.ndarray:
    """(parameters,): CNN `row` of arrays (n, ...), one after another."""
    return np.concatenate([value[row].ravel() for value in stacked.values()])


def unflatten(flat: np.ndarray, stacked: dict[str, np.ndarray], row: int) -> None:
    """The inverse: into CNN `row` of arrays (n, ...), or with flat (k, parameters) of arrays (n, k, ...)."""
    start = 0
    for value in stacked.values():
        size = value[row].size if flat.ndim == 1 else value[row, 0].size
        value[row] = flat[..., start : start + size].reshape(value[row].shape)
        start += size


@functools.cache
def _library(kind: str | None = None) -> ctypes.CDLL:
    """The compiled trainer for an instruction set, this machine's by default."""
    library = bindings.library(_SOURCE, kind or build.instruction_set(), _Job)
    library.zoofuse_train.argtypes, library.zoofuse_train.restype = [ctypes.POINTER(_Job)], None
    pointers = [ctypes.c_void_p] * 6
    logits = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p]
    library.zoofuse_logits.argtypes, library.zoofuse_logits.restype = logits, None
    library.zoofuse_gradient.argtypes = [*pointers, ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p]
    library.zoofuse_gradient.restype = ctypes.c_double
    library.zoofuse_peak.argtypes, library.zoofuse_peak.restype = [ctypes.c_double], ctypes.c_double
    return library
