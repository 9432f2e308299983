"""Train a concept's CNNs, each from its own weights on its own order of images, in one of four ways.

`serial` is the obvious PyTorch loop and the reference, `batched` trains all CNNs at once (made for GPUs), `cpp` is C++
on CPUs, written for the published architecture and generated for the others, and `cuda` is CUDA C++ for the published
one. Given the same CNN index they compute the same numbers within float32 rounding. Published settings: Adam, learning
rate 0.01, batches of 128, 20 epochs (code of the report).
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from functools import cached_property
from typing import get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from zoofuse.core import rng
from zoofuse.models import cnn, network
from zoofuse.native import cuda_trainer, network_trainer, trainer
from zoofuse.settings.fields import Balance, Schedule
from zoofuse.settings.images import Concept
from zoofuse.settings.training import Zoo
from zoofuse.zoo import batched

BACKENDS = ("serial", "batched", "cpp", "cuda")
_CHOICES = {
    "architecture": cnn.ARCHITECTURES,
    "schedule": get_args(Schedule),
    "balance": get_args(Balance),
}
_ZOO, _IMAGES = Zoo(), Concept()

Progress = Callable[[int, int], None]  # (CNNs finished, image passes done) since the last call


@dataclass(frozen=True)
class Settings:
    """What a concept's CNNs depend on, beside seed, concept, index and images."""

    # What these mean stands in `zoofuse.settings`.
    architecture: str = _ZOO.architecture
    epochs: int = _ZOO.epochs
    images_per_epoch: int = _ZOO.images_per_epoch
    batch_size: int = _ZOO.batch_size
    learning_rate: float = _ZOO.learning_rate
    schedule: str = _ZOO.schedule
    balance: str = _ZOO.balance  # published: all images, redrawn each epoch
    flip: bool = _IMAGES.flip
    # As floats, because a trained CNN is found again by the digest of these as JSON.
    brightness: float = float(_IMAGES.brightness)
    colour: float = float(_IMAGES.colour)
    checkpoint_every: int = _ZOO.checkpoint_every

    def __post_init__(self):
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name}: {getattr(self, name)!r} is unknown; write one of {', '.join(choices)}.")
        for name, low in {"epochs": 1, "images_per_epoch": 1, "batch_size": 1, "checkpoint_every": 0}.items():
            if getattr(self, name) < low:
                raise ValueError(f"{name}: {getattr(self, name)} is too small; write a whole number from {low} up.")
        for name in ("brightness", "colour"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}: {getattr(self, name)} is not a share; write a number from 0 to 1.")

    @property
    def checkpoint_epochs(self) -> list[int]:
        """Epochs, counted from 1, after which weights are kept."""
        every = self.checkpoint_every
        return list(range(every, self.epochs + 1, every)) if every else []

    @property
    def batches(self) -> list[slice]:
        """Where each batch lies in an epoch."""
        starts = range(0, self.images_per_epoch, self.batch_size)
        return [slice(start, min(start + self.batch_size, self.images_per_epoch)) for start in starts]

    @property
    def learning_rates(self) -> np.ndarray:
        """(epochs * batches,) float64."""
        steps = self.epochs * len(self.batches)
        done = np.arange(steps) / steps
        shape = {"constant": 1 + 0 * done, "cosine": (1 + np.cos(np.pi * done)) / 2, "linear": 1 - done}
        return self.learning_rate * shape[self.schedule]


@dataclass
class Data:
    """Images (N, 32, 32, 3) uint8 and labels (N,), 1 the concept and 0 anything else; as in an images file.

    With targets, float32 (N, k) in [0, 1], the CNNs have k outputs, 2 or more, which are predictions of their own, each
    learnt by logistic regression, and NaN marks a target that is not known; the labels only serve to draw images.
    """

    images: np.ndarray
    labels: np.ndarray
    validation_images: np.ndarray
    validation_labels: np.ndarray
    targets: np.ndarray | None = None

    def __post_init__(self):
        if self.targets is not None:
            self.targets = np.ascontiguousarray(self.targets, np.float32)
            if self.targets.shape[:1] != (len(self.images),) or self.targets.ndim != 2 or self.targets.shape[1] < 2:
                raise ValueError(f"targets must be {(len(self.images), 2)} or wider, not {self.targets.shape}.")
        for images, labels in ((self.images, self.labels), (self.validation_images, self.validation_labels)):
            if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3:
                raise ValueError(f"images must be uint8 (N, height, width, 3), not {images.dtype} {images.shape}.")
            if labels.shape != images.shape[:1] or not np.isin(labels, (0, 1)).all():
                raise ValueError(f"labels must be {images.shape[:1]} of 1 (concept) and 0 (other), not {labels.shape}.")

    @property
    def outputs(self) -> int:
        return 2 if self.targets is None else self.targets.shape[1]


@dataclass
class Plan:
    """Which images each CNN sees, and how; row i belongs to the i-th of the asked models. m = images_per_epoch."""

    order: np.ndarray  # int32 (n, epochs, m), rows of Data.images
    flip: np.ndarray | None  # uint8 (n, epochs, m)
    gain: np.ndarray | None  # float32 (n, epochs, m, 3)


@dataclass
class Trained:
    """n trained CNNs.

    weights: name -> float32 (n, ...). checkpoints: name -> float32 (n, k, ...), or {} without checkpoints.
    history: `loss`, the mean cross-entropy over an epoch's images as they were trained on;
    `validation_balanced_accuracy`, mean over the classes of the share predicted right (NaN without such images);
    `validation_positive_share`, the share of validation images predicted as class 1: at 0 or 1 a CNN is
    degenerate, a constant prediction. Each float64 (n, epochs).
    """

    weights: dict[str, np.ndarray]
    history: dict[str, np.ndarray]
    checkpoints: dict[str, np.ndarray]


def plan(settings: Settings, seed: int, concept: str, models: np.ndarray, labels: np.ndarray) -> Plan:
    """Orders and augmentations of the CNNs with these global indices.

    A CNN's rows depend on seed, concept, its index, the settings and the labels only. `balanced` draws each class
    without replacement across epochs and begins a new permutation when the class is used up, so that within a class
    no image is seen more than once oftener than another. `published` draws every epoch anew from all images.
    Raises ValueError when the images do not suffice.
    """
    epochs, m = settings.epochs, settings.images_per_epoch
    order = np.empty((len(models), epochs, m), np.int32)
    draw = {"balanced": _balanced, "published": _published}[settings.balance]
    for row, model in enumerate(models):
        order[row] = draw(settings, labels, (seed, "order", concept, int(model)))
    flip = gain = None
    if settings.flip:
        flip = np.empty((len(models), epochs, m), np.uint8)
        for row, model in enumerate(models):
            flip[row] = rng.uniform((epochs, m), seed, "flip", concept, int(model)) < 0.5
    if settings.brightness or settings.colour:
        gain = np.empty((len(models), epochs, m, 3), np.float32)
        for row, model in enumerate(models):
            common = 2 * rng.uniform((epochs, m, 1), seed, "brightness", concept, int(model)) - 1
            channel = 2 * rng.uniform((epochs, m, 3), seed, "colour", concept, int(model)) - 1
            gain[row] = (1 + settings.brightness * common) * (1 + settings.colour * channel)
    return Plan(order, flip, gain)


def _published(settings: Settings, labels: np.ndarray, names: tuple) -> np.ndarray:
    m = settings.images_per_epoch
    if m > len(labels):
        raise ValueError(
            f"images_per_epoch: {m} cannot be drawn without replacement from {len(labels)} images; "
            f"write at most {len(labels)}, or balance: balanced."
        )
    order = np.empty((settings.epochs, m), np.int32)
    for epoch in range(settings.epochs):
        keys = rng.bits(len(labels), *names, epoch)
        lowest = np.argpartition(keys, m - 1)[:m]
        order[epoch] = lowest[np.argsort(keys[lowest])]
    return order


def _balanced(settings: Settings, labels: np.ndarray, names: tuple) -> np.ndarray:
    epochs, m = settings.epochs, settings.images_per_epoch
    half = (m + (np.arange(epochs) % 2 == 0)) // 2  # an odd image goes to the concept and the others by turns
    order = np.empty((epochs, m), np.int32)
    for stream, (label, counts) in enumerate(zip(rng.CLASSES, (half, m - half), strict=True)):
        members = np.flatnonzero(labels == label)
        if not len(members):
            raise ValueError(f"balance: balanced needs images of both classes; there is none of class {label}.")
        rounds = -(-counts.sum() // len(members))
        drawn = np.concatenate([members[np.argsort(rng.bits(len(members), *names, stream, r))] for r in range(rounds)])
        ends = np.cumsum(counts)
        for epoch in range(epochs):
            own = slice(0, counts[epoch]) if stream == 0 else slice(m - counts[epoch], m)
            order[epoch, own] = drawn[ends[epoch] - counts[epoch] : ends[epoch]]
    mix = np.argsort(rng.bits(epochs * m, *names, "mix").reshape(epochs, m), axis=1)
    return np.take_along_axis(order, mix, axis=1)


def choose_backend(settings: Settings, device: str = "cpu", outputs: int = 2) -> tuple[str, str]:
    """The backend that `auto` stands for on this machine, for CNNs with so many outputs, and why in one line."""
    if torch.device(device).type != "cpu":
        available, reason = _cuda(settings, device, outputs)
        if available:
            return "cuda", f"cuda: {reason}"
        return "batched", f"batched: all CNNs at once on {device}, as the CUDA trainer can't be used: {reason}"
    available, reason = _cpp(settings, outputs)
    if available:
        return "cpp", f"cpp: {reason}"
    # Measured, CPU ms per training sample of resnet8 and of vit, one thread of an AMD Zen 5 that others shared, better
    # of two rounds: serial 0.16 and 0.36, batched 0.19 and 0.38 (8 CNNs), torch.func.vmap 0.20 and 0.48.
    return "serial", f"serial: one PyTorch CNN per thread (slower), as there is no C++ trainer: {reason}"


def train(
    data: Data,
    settings: Settings,
    seed: int,
    concept: str,
    models: np.ndarray,
    *,
    backend: str = "auto",
    device: str = "cpu",
    threads: int = 1,
    progress: Progress | None = None,
    initial: dict[str, np.ndarray] | None = None,
) -> Trained:
    """Train the CNNs with these global indices.

    serial, cpp and cuda give the same bits for any `threads` and however models are split over calls; batched the same
    numbers within rounding, because the libraries below may pick another kernel for another number of CNNs.
    `initial`: name -> (n, ...), what some or all parameters start from, instead of PyTorch's initialisation.
    `progress` is called from the calling thread. Raises ValueError for settings that do not fit data or machine.
    """
    if backend == "auto":
        backend, _ = choose_backend(settings, device, data.outputs)
    if backend not in BACKENDS:
        raise ValueError(f"backend: {backend!r} is unknown; write auto or one of {', '.join(BACKENDS)}.")
    if backend in ("cpp", "cuda"):
        check(backend, settings, device, data.outputs)
    size = cnn.ARCHITECTURES[settings.architecture].image_size
    if data.images.shape[1:3] != (size, size):
        raise ValueError(f"images are {data.images.shape[1:3]}, {settings.architecture!r} takes {size} x {size}.")
    models = np.asarray(models)
    job = _Job(data, settings, seed, concept, models, device)
    job.weights |= {name: np.array(values, np.float32) for name, values in (initial or {}).items()}
    if backend == "batched":
        batched.train(job, threads, progress)
    elif backend == "cuda":
        batched.in_parts(job, cuda_trainer.at_once(job), cuda_trainer.train_part, threads, progress)
    else:
        in_cpp = trainer.train_one if _is_published(settings, data.outputs) else _train_in_cpp
        one_by_one(in_cpp if backend == "cpp" else _train_one, job, threads, progress)
    return job.trained()


def _cpp(settings: Settings, outputs: int) -> tuple[bool, str]:
    """Whether C++ trains these CNNs here (building it if need be), and how or why not, in one line."""
    if _is_published(settings, outputs):
        return trainer.available()
    if not cnn.ARCHITECTURES[settings.architecture].conv_layers:
        return False, f"it trains chains of convolutions, not {settings.architecture}"
    try:
        chain = network.chain(_architecture(settings, outputs))
    except ValueError as error:  # larger than a network may be
        return False, str(error)
    return network_trainer.available(chain)


def _cuda(settings: Settings, device: str, outputs: int) -> tuple[bool, str]:
    """Whether CUDA C++ trains these CNNs on this device, and how or why not, in one line."""
    if not _is_published(settings, outputs):
        return False, "it trains the published architecture with two outputs"
    return cuda_trainer.available(device)


def _is_published(settings: Settings, outputs: int) -> bool:
    return (settings.architecture, outputs) == (trainer.ARCHITECTURE, 2)


def _architecture(settings: Settings, outputs: int) -> cnn.Layers:
    return replace(cnn.ARCHITECTURES[settings.architecture], classes=outputs)


def check(backend: str, settings: Settings, device: str, outputs: int = 2) -> None:
    """Raise ValueError unless `cpp` or `cuda` trains CNNs with so many outputs on this device."""
    if backend == "cuda":
        available, reason = _cuda(settings, device, outputs)
    elif torch.device(device).type != "cpu":
        available, reason = False, "it trains on the CPU only"
    else:
        available, reason = _cpp(settings, outputs)
    if not available:
        raise ValueError(f"backend: {backend} cannot be used here: {reason}. Write auto.")


class _Job:
    """What one call of `train` asks for, and the arrays its backend fills, one row per CNN."""

    def __init__(self, data: Data, settings: Settings, seed: int, concept: str, models: np.ndarray, device: str):
        self.data, self.settings, self.models, self.device = data, settings, models, torch.device(device)
        self.seed, self.concept = seed, concept
        self.architecture = _architecture(settings, data.outputs)
        self.weights = cnn.initial_weights(self.architecture, seed, concept, models)
        kept = (len(models), len(settings.checkpoint_epochs))
        shapes = self.architecture.shapes.items() if settings.checkpoint_every else ()
        self.checkpoints = {name: np.empty((*kept, *shape), np.float32) for name, shape in shapes}
        self.loss = np.full((len(models), settings.epochs), np.nan)
        self.predicted = np.zeros((len(models), settings.epochs, 2), np.int64)  # class 1, for images of class 0 and 1

    def plan(self, rows: slice) -> Plan:
        return plan(self.settings, self.seed, self.concept, self.models[rows], self.data.labels)

    @cached_property
    def tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None]:
        """Images, labels, validation images, validation labels, targets, on the device; images uint8, labels int64."""
        images, labels, *validation = (torch.from_numpy(array).to(self.device) for array in self.bytes.values())
        targets = None if self.data.targets is None else torch.from_numpy(self.data.targets).to(self.device)
        return images, labels.long(), validation[0], validation[1].long(), targets

    @cached_property
    def bytes(self) -> dict[str, np.ndarray]:
        """Data's arrays by name, contiguous uint8."""
        names = ("images", "labels", "validation_images", "validation_labels")
        return {name: np.ascontiguousarray(getattr(self.data, name), np.uint8) for name in names}

    def trained(self) -> Trained:
        counts = np.bincount(self.data.validation_labels, minlength=2)
        with np.errstate(invalid="ignore", divide="ignore"):
            positive = self.predicted / counts
            balanced = (positive[..., 1] + 1 - positive[..., 0]) / 2
            share = self.predicted.sum(-1) / counts.sum()
        history = {
            "loss": self.loss,
            "validation_balanced_accuracy": balanced,
            "validation_positive_share": share,
        }
        return Trained(self.weights, history, self.checkpoints)


def one_by_one(train_one: Callable, job, threads: int, progress: Progress | None) -> None:
    """Train each of the CNNs `job.models` on a thread of its own.

    Args:
        train_one: called as train_one(job, row, passes, stop); adds images to `passes`, (1,) int64, and ends where
            `stop`, (1,) int64, is not 0.
        job: what is trained, for `train_one`.
        threads: so many at a time.
        progress: see `Progress`.
    """
    rows, passes, stop = deque(range(len(job.models))), np.zeros(len(job.models), np.int64), np.zeros(1, np.int64)
    finished = deque()

    def work():
        with contextlib.suppress(IndexError):  # no row left
            while not stop[0]:
                row = rows.popleft()
                train_one(job, row, passes[row : row + 1], stop)
                finished.append(row)

    with _torch_threads(1), ThreadPoolExecutor(threads) as pool:
        workers = [pool.submit(work) for _ in range(threads)]
        reported, pending = (0, 0), True
        try:
            while pending:
                done, pending = wait(workers, timeout=0.1, return_when=FIRST_EXCEPTION)
                for worker in done:
                    worker.result()
                reported = _report(progress, reported, (len(finished), int(passes.sum())))
        finally:
            stop[0] = 1  # after an error or Ctrl-C the others end after their current step


def _report(progress: Progress | None, before: tuple[int, int], now: tuple[int, int]) -> tuple[int, int]:
    if progress and now != before:
        progress(now[0] - before[0], now[1] - before[1])
    return now


@contextlib.contextmanager
def _torch_threads(n: int):
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _train_in_cpp(job: _Job, row: int, passes: np.ndarray, stop: np.ndarray) -> None:
    """One CNN of any architecture but the published one."""
    plan, images = job.plan(slice(row, row + 1)), job.bytes
    trained = network_trainer.train(
        *(network.chain(job.architecture), images["images"], images["labels"], plan.order[0]),
        *(job.settings.learning_rates, trainer.flatten(job.weights, row)),
        batch_size=job.settings.batch_size,
        validation=(images["validation_images"], images["validation_labels"]),
        checkpoint_epochs=job.settings.checkpoint_epochs,
        flip=None if plan.flip is None else plan.flip[0],
        gain=None if plan.gain is None else plan.gain[0],
        targets=job.data.targets,
        first_two=True,
        passes=passes,
        stop=stop,
    )
    trainer.unflatten(trained.weights, job.weights, row)
    trainer.unflatten(trained.checkpoints, job.checkpoints, row)
    job.loss[row] = trained.loss
    job.predicted[row] = trained.validation[:, :2, 1]


def _train_one(job: _Job, row: int, passes: np.ndarray, stop: np.ndarray) -> None:
    """The reference: one CNN, plain PyTorch."""
    torch.set_num_threads(1)  # a setting of each thread; one CNN's bits must not depend on it
    settings, device = job.settings, job.device
    images, labels, validation, validation_labels, targets = job.tensors
    plan = job.plan(slice(row, row + 1))
    order = torch.from_numpy(plan.order[0]).to(device).long()
    flip = None if plan.flip is None else torch.from_numpy(plan.flip[0]).to(device)
    gain = None if plan.gain is None else torch.from_numpy(plan.gain[0]).to(device)
    weights = {name: torch.from_numpy(value[row]).to(device).requires_grad_() for name, value in job.weights.items()}
    adam = torch.optim.Adam(weights.values(), lr=settings.learning_rate)
    rates = iter(settings.learning_rates)

    def logits(x: Tensor) -> Tensor:
        x = x.movedim(-1, 1).contiguous()
        if not job.architecture.conv_layers:
            return cnn.logits({name: value[None] for name, value in weights.items()}, x)[0]
        for layer in job.architecture.conv_layers:
            x = F.max_pool2d(F.relu(F.conv2d(x, weights[f"{layer}.weight"], weights[f"{layer}.bias"])), 2)
        return F.linear(x.flatten(1), weights["fc1.weight"], weights["fc1.bias"])

    for epoch in range(settings.epochs):
        total = 0.0
        for part in settings.batches:
            if stop[0]:
                return
            rows = order[epoch, part]
            x = batched.batch(images, rows, _part(flip, epoch, part), _part(gain, epoch, part))
            z = logits(x)
            known = None if targets is None else targets[rows]
            loss = F.cross_entropy(z, labels[rows]) if known is None else batched.logistic_loss(z, known).mean()
            adam.zero_grad()
            loss.backward()
            adam.param_groups[0]["lr"] = next(rates)
            adam.step()
            total += loss.item() * len(rows)
            passes += len(rows)
        job.loss[row, epoch] = total / settings.images_per_epoch
        with torch.no_grad():
            for start in range(0, len(validation), settings.batch_size):
                part = slice(start, start + settings.batch_size)
                z = logits(batched.batch(validation, torch.arange(len(validation), device=device)[part], None, None))
                concept = ~(z[:, 0] > z[:, 1])
                job.predicted[row, epoch] += np.bincount(validation_labels[part][concept].cpu(), minlength=2)
        if epoch + 1 in settings.checkpoint_epochs:
            for name, value in weights.items():
                at = settings.checkpoint_epochs.index(epoch + 1)
                job.checkpoints[name][row, at] = value.detach().cpu().numpy()
    for name, value in weights.items():
        job.weights[name][row] = value.detach().cpu().numpy()


def _part(values: Tensor | None, epoch: int, part: slice) -> Tensor | None:
    return None if values is None else values[epoch, part]
