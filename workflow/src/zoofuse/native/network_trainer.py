"""Train any network of `models.network` in C++ (network.cpp), compiled for its shapes, one CNN per thread."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zoofuse.models.network import ACTIVATIONS, Layer, Network
from zoofuse.native import bindings, build, dropout
from zoofuse.native.bindings import pointer

OPTIMISERS = ("adam", "adamw", "sgd")  # the order is network.cpp's
_SOURCE = Path(__file__).with_name("network.cpp")
_MOST_MEGABYTES = 256  # of memory for each thread
_SIDE = 3  # zeros that network.cpp's convolution_gradient reads beside a row: QUAD - 1

_GROUPS, _RELU, _POOL = 7, -2, -1  # places in a row of LAYERS_TABLE

Set = tuple[np.ndarray, np.ndarray]


class _Job(ctypes.Structure):  # JOB of network.cpp
    _fields_ = (
        [("images", pointer("uint8")), ("labels", pointer("int32")), ("targets", pointer("float32"))]
        + [("order", pointer("int32")), ("flip", pointer("uint8"))]
        + [("gain", pointer("float32")), ("rates", pointer("float64"))]
        + [("validation_images", pointer("uint8")), ("validation_labels", pointer("int32"))]
        + [("test_images", pointer("uint8")), ("test_labels", pointer("int32")), ("keep", pointer("uint8"))]
        + [(name, ctypes.c_int64) for name in ("validation", "test", "epochs", "per_epoch", "batch_size")]
        + [(name, ctypes.c_int64) for name in ("optimiser", "first_two")]
        + [(name, ctypes.c_double) for name in ("momentum", "weight_decay")]
        + [("dropout_key", ctypes.c_uint64), ("dropout_threshold", ctypes.c_int64), ("dropout_scale", ctypes.c_double)]
        + [(name, pointer("float32")) for name in ("weights", "checkpoints")]
        + [("loss", pointer("float64"))]
        + [(name, pointer("int64")) for name in ("validation_counts", "test_counts", "passes", "stop")]
    )


@dataclass
class Trained:
    """One CNN: flat weights (parameters,) and checkpoints (k, parameters), float32 in the order of `Network.shapes`;
    loss float64 (epochs,); validation and test: images counted by label and prediction, int64 (epochs, classes,
    classes)."""

    weights: np.ndarray
    checkpoints: np.ndarray
    loss: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def available(network: Network) -> tuple[bool, str]:
    """Whether this network trains in C++ here (building the trainer if need be), and how or why not, in one line."""
    try:
        defines = _defines(network)
    except ValueError as error:
        return False, str(error)
    return bindings.available(_SOURCE, _Job, defines)


def train(
    network: Network,
    images: np.ndarray,
    labels: np.ndarray,
    order: np.ndarray,
    rates: np.ndarray,
    weights: np.ndarray,
    *,
    batch_size: int = 128,
    optimiser: str = "adam",
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    dropout: float = 0.0,
    dropout_key: int = 0,
    validation: Set | None = None,
    test: Set | None = None,
    checkpoint_epochs: Sequence[int] = (),
    flip: np.ndarray | None = None,
    gain: np.ndarray | None = None,
    targets: np.ndarray | None = None,
    first_two: bool = False,
    passes: np.ndarray | None = None,
    stop: np.ndarray | None = None,
    kind: str | None = None,
) -> Trained:
    """Train one CNN on the calling thread; the interpreter is free meanwhile.

    Args:
        network: its shapes; `available` says whether they can be trained here.
        images: uint8 (N, size, size, channels).
        labels: (N,) from 0 to below network.classes.
        order: int32 (epochs, per_epoch), rows of images.
        rates: float64 (steps,), the learning rate of every step.
        weights: float32 (parameters,) to start from, flat in the order of `network.shapes`.
        batch_size: images in a step; the last batch of an epoch may have fewer.
        optimiser: one of OPTIMISERS, with PyTorch's defaults for all that is not an argument here.
        momentum: of sgd.
        weight_decay: as PyTorch's optimiser takes it.
        dropout: share of the values that each dropout layer drops in training.
        dropout_key: 64 bits of this CNN's own, see `native.dropout.mask`.
        validation: images and labels whose predictions are counted after each epoch.
        test: the same, of other images.
        checkpoint_epochs: epochs, counted from 1, after which weights are kept.
        flip: uint8 (epochs, per_epoch), whether an image is mirrored.
        gain: float32 (epochs, per_epoch, channels), factors of an image's channels.
        targets: float32 (N, classes) in [0, 1], NaN where unknown: each output is then a logistic regression of its
            own, and the labels do not matter.
        first_two: predict by the first two logits alone, and class 1 where they tie, as zoos of concepts do, instead of
            the first of the highest logits.
        passes: int64 (1,), which counts the images trained on.
        stop: int64 (1,); once it is not 0, training ends after the current step, and what is returned is unfinished.
        kind: an instruction set's name, this machine's by default.

    Returns:
        The trained CNN.

    Raises:
        ValueError: a value is not possible, or arrays do not fit the network.
        RuntimeError: the trainer cannot be built.
    """
    order = np.ascontiguousarray(order, np.int32)
    job, made = _job(
        network,
        {"images": images, "labels": labels, "validation": validation, "test": test},
        {"order": order, "flip": flip, "gain": gain, "targets": targets, "rates": rates},
        weights,
        batch_size=batch_size,
        optimiser=_optimiser(optimiser),
        momentum=momentum,
        weight_decay=weight_decay,
        first_two=first_two,
        checkpoint_epochs=checkpoint_epochs,
        share=dropout,
        dropout_key=dropout_key,
        shared={"passes": passes, "stop": stop},
    )
    _library(network, kind).zoofuse_train(ctypes.byref(job))
    return Trained(*(made[name] for name in ("weights", "checkpoints", "loss", "validation_counts", "test_counts")))


def gradient(
    network: Network,
    images: np.ndarray,
    labels: np.ndarray,
    order: np.ndarray,
    weights: np.ndarray,
    *,
    flip: np.ndarray | None = None,
    gain: np.ndarray | None = None,
    targets: np.ndarray | None = None,
    dropout: float = 0.0,
    dropout_key: int = 0,
    kind: str | None = None,
) -> tuple[float, np.ndarray]:
    """Mean loss of one CNN on one batch, and its gradient (parameters,).

    order: int32 (b,) rows of images; flip: uint8 (b,); gain: float32 (b, channels); the others as `train` takes them.
    """
    order = np.ascontiguousarray(order, np.int32)[None]
    job, made = _job(
        network,
        {"images": images, "labels": labels, "validation": None, "test": None},
        {"order": order, "flip": flip, "gain": gain, "targets": targets, "rates": np.zeros(1)},
        weights,
        batch_size=order.size,
        share=dropout,
        dropout_key=dropout_key,
    )
    result = np.empty_like(made["weights"])
    loss = _library(network, kind).zoofuse_gradient(ctypes.byref(job), result.ctypes.data)
    return loss, result


def logits(network: Network, images: np.ndarray, weights: np.ndarray, kind: str | None = None) -> np.ndarray:
    """(m, classes) float32: one CNN's outputs for images (m, size, size, channels) uint8."""
    images = np.ascontiguousarray(images, np.uint8)
    given = {"images": images, "labels": np.zeros(len(images)), "validation": None, "test": None}
    given["validation"] = images, np.zeros(len(images))
    job, _ = _job(network, given, {"order": np.zeros((0, 1), np.int32), "rates": np.zeros(0)}, weights, batch_size=1)
    result = np.empty((len(images), network.classes), np.float32)
    _library(network, kind).zoofuse_logits(ctypes.byref(job), result.ctypes.data)
    return result


def _optimiser(name: str) -> int:
    if name not in OPTIMISERS:
        raise ValueError(f"optimiser: {name!r} is unknown; write one of {', '.join(OPTIMISERS)}.")
    return OPTIMISERS.index(name)


def _job(
    network: Network,
    data: dict,
    plan: dict,
    weights: np.ndarray,
    *,
    batch_size: int,
    share: float = 0.0,
    dropout_key: int = 0,
    checkpoint_epochs: Sequence[int] = (),
    shared: dict | None = None,
    **numbers,
) -> tuple[_Job, dict[str, np.ndarray]]:
    """A filled structure, and the arrays that it points to."""
    epochs, per_epoch = plan["order"].shape
    cells = (epochs, network.classes, network.classes)
    arrays = {
        "images": _images(network, data["images"]),
        "labels": _labels(network, data["labels"], len(data["images"])),
        "targets": _array(plan.get("targets"), np.float32, "targets", (len(data["images"]), network.classes)),
        "order": plan["order"],
        "flip": _array(plan.get("flip"), np.uint8, "flip", (epochs, per_epoch)),
        "gain": _array(plan.get("gain"), np.float32, "gain", (epochs, per_epoch, network.channels)),
        "rates": _array(plan["rates"], np.float64, "rates", (epochs * -(-per_epoch // batch_size),)),
        "keep": np.isin(np.arange(1, epochs + 1), list(checkpoint_epochs)).astype(np.uint8),
        "weights": np.array(_array(weights, np.float32, "weights", (network.parameters,))),
        "loss": np.full(epochs, np.nan),
        "validation_counts": np.zeros(cells, np.int64),
        "test_counts": np.zeros(cells, np.int64),
    }
    if plan["order"].size and not 0 <= plan["order"].min() <= plan["order"].max() < len(data["images"]):
        raise ValueError(f"order: rows must lie between 0 and {len(data['images']) - 1}.")
    arrays["checkpoints"] = np.full((arrays["keep"].sum(), network.parameters), np.nan, np.float32)
    for name in ("validation", "test"):
        images, labels = data[name] or (data["images"][:0], np.zeros(0))
        arrays[f"{name}_images"] = _images(network, images)
        arrays[f"{name}_labels"] = _labels(network, labels, len(images))
        numbers[name] = len(images)
    for name in ("passes", "stop"):
        given = (shared or {}).get(name)
        arrays[name] = np.zeros(1, np.int64) if given is None else given
    numbers |= {"epochs": epochs, "per_epoch": per_epoch, "batch_size": batch_size, "dropout_key": dropout_key}
    numbers |= {"dropout_threshold": dropout.threshold(share), "dropout_scale": dropout.scale(share)}
    pointers = {name: None if array is None else array.ctypes.data for name, array in arrays.items()}
    job = _Job(**pointers, **numbers)
    job.arrays = arrays  # alive as long as the pointers are
    return job, arrays


def _images(network: Network, images: np.ndarray) -> np.ndarray:
    wanted = (network.size, network.size, network.channels)
    if images.dtype != np.uint8 or images.shape[1:] != wanted:
        raise ValueError(f"images must be uint8 (N, {', '.join(map(str, wanted))}), not {images.dtype} {images.shape}.")
    return np.ascontiguousarray(images)


def _labels(network: Network, labels: np.ndarray, n: int) -> np.ndarray:
    labels = np.ascontiguousarray(labels, np.int32)
    if labels.shape != (n,) or (n and not 0 <= labels.min() <= labels.max() < network.classes):
        raise ValueError(f"labels must be {n} whole numbers from 0 to {network.classes - 1}.")
    return labels


def _array(values: np.ndarray | None, kind: type, name: str, shape: tuple[int, ...]) -> np.ndarray | None:
    if values is None:
        return None
    values = np.ascontiguousarray(values, kind)
    if values.shape != shape:
        raise ValueError(f"{name} must have the shape {shape}, not {values.shape}.")
    return values


# ---- the generator ----


def _defines(network: Network) -> tuple[str, ...]:
    """The network as macros of layers.h.

    Raises:
        ValueError: it is too large for this trainer.
    """
    buffers, layers = _tables(network)
    values = sum((size + 2 * ring) ** 2 * channels for channels, size, ring, _ in buffers)
    megabytes = (3 * 4 * 16 * values + 60 * network.parameters) / 1e6  # of 16 images, and of sums and moments
    if megabytes > _MOST_MEGABYTES:
        raise ValueError(
            f"the C++ trainer takes networks that need at most {_MOST_MEGABYTES} MB for each thread; this one needs "
            f"{megabytes:,.0f}"
        )
    tables = {"LAYERS_TABLE": layers, "BUFFERS_TABLE": buffers}
    return tuple(f"{name}={','.join('{' + ','.join(map(str, row)) + '}' for row in t)}" for name, t in tables.items())


def _tables(network: Network) -> tuple[list[list[int]], list[list]]:
    """Rows of layers.h's `Buffer` and `Layer`."""
    buffers, layers = [[network.channels, network.size, 0, 0]], []
    start = 0
    starts = {}
    for name, shape in network.shapes.items():
        starts[name] = start
        start += int(np.prod(shape))
    for place, step in enumerate(network.steps):
        previous = layers[-1] if layers else None
        # A convolution does these itself. ReLU and max-pooling give the same in either order.
        if step.kind == "relu" and previous and previous[0] == "CONV":
            previous[_RELU] = 1
            continue
        if _is_pooled(step, previous):
            previous[_POOL] = 1
            buffers[-1][1:] = [step.gives[1], 0, 0]
            continue
        source = len(buffers) - 1
        if step.kind == "conv":
            buffers[source][2] = step.padding
        if not _in_place(step, previous):
            channels, size = step.gives[0], step.gives[1] if len(step.gives) > 1 else 1
            buffers.append([channels, size, 0, _SIDE if step.kind == "conv" else 0])
        at = [starts.get(f"{step.name}.{part}", -1) for part in ("weight", "bias")]
        shape = [step.kernel, step.stride, step.padding, step.groups]
        layers.append([step.kind.upper(), place, source, len(buffers) - 1, *shape, *at, 0, 0])
    return buffers, layers


def _is_pooled(step: Layer, previous: list | None) -> bool:
    if step.kind != "max" or (step.kernel, step.stride) != (2, 2) or previous is None:
        return False
    return previous[0] == "CONV" and previous[_GROUPS] == 1 and not previous[_POOL]


def _in_place(step: Layer, previous: list | None) -> bool:
    """Whether a layer may overwrite what it takes: neither its own gradient nor the previous layer's needs that."""
    if step.kind not in (*ACTIVATIONS, "dropout") or step.kind in ("gelu", "silu"):
        return False
    return previous is not None and previous[0] != "TANH"


@functools.cache
def _library(network: Network, kind: str | None = None) -> ctypes.CDLL:
    """The compiled trainer for an instruction set, this machine's by default."""
    library = bindings.library(_SOURCE, kind or build.instruction_set(), _Job, _defines(network))
    library.zoofuse_train.argtypes, library.zoofuse_train.restype = [ctypes.POINTER(_Job)], None
    for function in (library.zoofuse_gradient, library.zoofuse_logits):
        function.argtypes, function.restype = [ctypes.POINTER(_Job), ctypes.c_void_p], None
    library.zoofuse_gradient.restype = ctypes.c_double
    return library
