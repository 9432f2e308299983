"""Train the published CNN on a GPU, one CNN in each thread block (blocks.cu), one launch for each epoch.

Not measured on a GPU yet. Tests run all of it on CPU tensors too, with the same source compiled for the CPU.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from zoofuse.native import bindings, build, cuda
from zoofuse.native.bindings import pointer
from zoofuse.native.trainer import flatten, unflatten

_SOURCE = Path(__file__).with_name("blocks.cu")
# Images that a block works on at a time -> bytes of shared memory, of which H100 and H200 give a block 232,448, A100
# 166,912, and smaller cards 101,376. blocks.cu is not compiled with other sizes than these.
GROUPS = {8: 230_560, 4: 137_200, 2: 90_528}
_THREADS = 64  # of a block, for each of these images
_ROUNDS = 4  # CNNs trained at once for each multiprocessor: the next ones are planned meanwhile
_MEMORY = 0.5  # of what the GPU has free, for the plans of an epoch


class _Job(ctypes.Structure):  # JOB of blocks.cu
    _fields_ = (
        [(name, pointer("uint8")) for name in ("images", "labels", "validation_images", "validation_labels")]
        + [("targets", pointer("float32")), ("order", pointer("int32")), ("flip", pointer("uint8"))]
        + [("gain", pointer("float32")), ("steps", pointer("float32"))]
        + [(name, ctypes.c_int64) for name in ("cnns", "validation", "per_epoch", "batch_size")]
        + [(name, pointer("float32")) for name in ("weights", "mean", "square")]
        + [("loss", pointer("float64")), ("predicted", pointer("int64")), ("gradient", pointer("float32"))]
    )


def available(device: torch.device | str) -> tuple[bool, str]:
    """Whether this trainer runs on a device (compiling it if need be), and how or why not, in one line."""
    if torch.device(device).type != "cuda" or not torch.cuda.is_available():
        return False, "there is no CUDA device here"
    try:
        card, group, _ = _loaded(_index(device))
    except (OSError, RuntimeError) as error:
        return False, str(error)
    return True, f"one CNN per thread block, CUDA C++ for {card.architecture}, {group} images at a time"


def architecture(device: torch.device | str) -> str:
    """The kind of a GPU, such as "sm_90"."""
    return _loaded(_index(device))[0].architecture


def at_once(job) -> int:
    """CNNs of a training job that are planned and trained together."""
    if job.device.type == "cpu":
        return len(job.models)
    each = 17 * job.settings.images_per_epoch + 16 * job.architecture.parameters  # bytes
    fit = int(_MEMORY * torch.cuda.mem_get_info(job.device)[0] / each)
    return max(1, min(_ROUNDS * _loaded(_index(job.device))[0].multiprocessors, fit))


def train_part(job, part: slice, plan: tuple, progress: Callable[[int, int], None] | None) -> None:
    """Train some CNNs of a training job from their plan: orders, flips and gains, each (n, epochs, ...) or None."""
    settings, device, n = job.settings, job.device, part.stop - part.start
    images, labels, validation, validation_labels, targets = job.tensors
    fixed = {"images": images, "labels": labels.byte(), "validation_images": validation, "targets": targets}
    fixed |= {"validation_labels": validation_labels.byte()}
    flat = np.stack([flatten(job.weights, row) for row in range(part.start, part.stop)])
    weights = torch.from_numpy(flat).to(device)
    state = {"weights": weights, "mean": torch.zeros_like(weights), "square": torch.zeros_like(weights)}
    state |= {"loss": torch.empty(n, dtype=torch.float64, device=device)}
    state |= {"predicted": torch.empty(n, 2, dtype=torch.int64, device=device)}
    steps = _steps(settings.learning_rates).reshape(settings.epochs, -1, 2)
    for epoch in range(settings.epochs):
        arrays = [*(None if of is None else of[:, epoch].copy() for of in plan), steps[epoch]]
        drawn = [None if of is None else torch.from_numpy(of).to(device) for of in arrays]
        named = dict(zip(("order", "flip", "gain", "steps"), drawn, strict=True))
        _launch(device, fixed | state | named, settings.batch_size)
        job.loss[part, epoch] = state["loss"].cpu().numpy()  # which waits for the epoch's end
        job.predicted[part, epoch] = state["predicted"].cpu().numpy()
        if epoch + 1 in settings.checkpoint_epochs:
            at = settings.checkpoint_epochs.index(epoch + 1)
            _unstack(weights, {name: value[part, at] for name, value in job.checkpoints.items()})
        if progress:
            progress(0, n * settings.images_per_epoch)
    _unstack(weights, {name: value[part] for name, value in job.weights.items()})
    if progress:
        progress(n, 0)


def gradient(
    images: np.ndarray,
    labels: np.ndarray,
    weights: dict[str, np.ndarray],
    order: np.ndarray,
    flip: np.ndarray | None = None,
    gain: np.ndarray | None = None,
    targets: np.ndarray | None = None,
    *,
    device: str = "cpu",
    group: int | None = None,
    order_of_threads: int = 0,
) -> tuple[float, dict[str, np.ndarray]]:
    """Mean loss of one CNN on one batch, and its gradient, as `trainer.gradient` takes and returns them.

    device: where; on the CPU `group` images at a time, and each phase's threads forwards (0), backwards (1) or mixed.
    """
    flat = np.concatenate([value.ravel() for value in weights.values()])
    arrays = {"images": images, "labels": labels, "targets": targets, "steps": np.ones((1, 2), np.float32)}
    arrays |= {"order": order[None], "flip": flip, "gain": gain, "weights": flat[None]}
    arrays |= {"loss": np.zeros(1), "gradient": np.zeros_like(flat[None])}
    tensors = {name: of if of is None else torch.from_numpy(of).to(device) for name, of in arrays.items()}
    _launch(torch.device(device), tensors, len(order), group, order_of_threads)
    result = {name: value[None] * 0 for name, value in weights.items()}
    _unstack(tensors["gradient"], result)
    return tensors["loss"].item(), {name: value[0] for name, value in result.items()}


def _steps(rates: np.ndarray) -> np.ndarray:
    """(steps, 2) float32: what Adam's bias corrections make of the learning rates, and of the second moment's root."""
    step = np.arange(1, len(rates) + 1)
    return np.stack([rates / (1 - 0.9**step), np.sqrt(1 - 0.999**step)], -1).astype(np.float32)


def _unstack(flat: Tensor, stacked: dict[str, np.ndarray]) -> None:
    """Parameters (n, parameters) into arrays (n, ...)."""
    for row, values in enumerate(flat.cpu().numpy()):
        unflatten(values, stacked, row)


def _launch(
    device: torch.device, tensors: dict[str, Tensor | None], batch_size: int, group: int | None = None, order: int = 0
) -> None:
    """Start an epoch of these CNNs, or one gradient.

    Raises:
        TypeError: a tensor is not what the structure's field points to.
    """
    kinds = {name: getattr(kind, "kind", None) for name, kind in _Job._fields_}
    for name, tensor in tensors.items():
        if tensor is not None and (str(tensor.dtype), tensor.is_contiguous()) != (f"torch.{kinds[name]}", True):
            raise TypeError(
                f"{name} must be contiguous {kinds[name]}, not {tensor.dtype} with strides {tensor.stride()}"
            )
    cnns, per_epoch = tensors["order"].shape
    validation = tensors.get("validation_images")
    sizes = {"cnns": cnns, "validation": 0 if validation is None else len(validation)}
    sizes |= {"per_epoch": per_epoch, "batch_size": batch_size}
    pointers = {name: None if tensor is None else tensor.data_ptr() for name, tensor in tensors.items()}
    argument = _Job(**pointers, **sizes)
    if device.type == "cpu":
        _library(group or max(GROUPS)).zoofuse_epoch(ctypes.byref(argument), order)
    else:
        _, group, kernel = _loaded(_index(device))
        kernel.launch(argument, cnns, _THREADS * group, torch.cuda.current_stream(device).cuda_stream)


def _index(device: torch.device | str) -> int:
    index = torch.device(device).index
    return torch.cuda.current_device() if index is None else index


def _defines(group: int) -> tuple[str, ...]:
    return f"GROUP={group}", f"BLOCK_BYTES={GROUPS[group]}", f"JOB_BYTES={ctypes.sizeof(_Job)}"


@functools.cache
def _loaded(index: int) -> tuple[cuda.Card, int, cuda.Kernel]:
    """A GPU, the largest group of images that its shared memory holds, and the kernel for them.

    Raises:
        RuntimeError: it can't be compiled or loaded, or the card has too little shared memory.
    """
    card = cuda.Card(index)
    fitting = [group for group, size in GROUPS.items() if size <= card.shared]
    if not fitting:
        raise RuntimeError(
            f"a thread block needs {min(GROUPS.values()):,} bytes of shared memory, and this GPU "
            f"({card.architecture}) gives it {card.shared:,}"
        )
    group = max(fitting)
    cubin = cuda.compiled(_SOURCE, card.architecture, _defines(group))
    return card, group, cuda.Kernel(card, cubin, "zoofuse_epoch", GROUPS[group])


@functools.cache
def _library(group: int) -> ctypes.CDLL:
    """The same source for the CPU."""
    library = bindings.library(_SOURCE, build.instruction_set(), _Job, _defines(group))
    library.zoofuse_epoch.argtypes, library.zoofuse_epoch.restype = [ctypes.POINTER(_Job), ctypes.c_int], None
    return library
