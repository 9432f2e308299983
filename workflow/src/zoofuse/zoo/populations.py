"""Train the CNNs of a factory zoo, each by its own recipe, one per thread: in C++, or in PyTorch as the reference.

A CNN is a function of the run's seed, the zoo's name and settings, the images and its index. Both backends start from
the same weights, see the same images in the same order and drop the same units.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from zoofuse.core import rng
from zoofuse.models import forward
from zoofuse.models.network import Network
from zoofuse.native import dropout, network_trainer
from zoofuse.native.network_trainer import Trained
from zoofuse.zoo import recipes, training
from zoofuse.zoo.recipes import Recipe

SCORES = ("loss", "validation_accuracy", "test_accuracy", "largest_class_share")
_SCORED = 256  # images in a batch of scoring


@dataclass(frozen=True)
class Settings:
    """What the CNNs of a factory zoo depend on, beside the run's seed, the zoo's name, an index and the images."""

    network: Network
    factors: Mapping[str, Any]  # as `recipes.recipe` takes them
    images_per_epoch: int | None = None  # None: each image that a CNN may see once
    checkpoint_every: int = 0

    @property
    def epochs(self) -> int:
        """Of the CNN that is trained longest."""
        return int(max(recipes.values(self.factors.get("epochs", Recipe().epochs))))

    def checkpoints(self, epochs: int) -> list[int]:
        """Of so many epochs, counted from 1, those after which weights are kept."""
        every = self.checkpoint_every
        return list(range(every, epochs + 1, every)) if every else []

    @property
    def described(self) -> dict:
        """As JSON can hold it."""
        described = {name: value for name, value in asdict(self.network).items() if name != "slower"}
        return {"network": described} | {
            name: getattr(self, name) for name in ("factors", "images_per_epoch", "checkpoint_every")
        }


@dataclass(frozen=True)
class Task:
    """All that the training of one CNN is a function of; arrays as native code takes them."""

    network: Network  # with the CNN's own activation
    recipe: Recipe
    data: Mapping[str, np.ndarray]  # as `data.classes.read` gives it
    labels: np.ndarray  # uint8 (N,), of the training images, as this CNN sees them
    order: np.ndarray  # int32 (epochs, per_epoch), rows of the training images
    weights: np.ndarray  # float32 (parameters,), where it begins, in the order of `network.shapes`
    dropout_key: int  # 64 bits, see `native.dropout.mask`
    checkpoint_epochs: list[int]  # counted from 1, after which weights are kept
    kept: np.ndarray | None = None  # bool (parameters,); the others stay 0, which only PyTorch can do

    @cached_property
    def rates(self) -> np.ndarray:
        """float64 (steps,): the learning rates."""
        return self.recipe.learning_rates(self.order.shape[1])


def task(settings: Settings, data: Mapping[str, np.ndarray], seed: int, zoo: str, recipe: Recipe) -> Task:
    """What the CNN of this recipe is trained on, and how. Streams are named by the recipe's seed, so that CNNs of one
    seed begin alike; arguments as of `train`."""
    network = replace(settings.network, activation=recipe.activation)
    labels, own = data["labels"].copy(), recipe.seed
    rows = rng.permutation(len(labels), seed, "data", zoo, own)[: max(1, round(recipe.data_share * len(labels)))]
    if noisy := round(recipe.label_noise * len(rows)):
        chosen = rows[rng.permutation(len(rows), seed, "noise", zoo, own)[:noisy]]
        other = 1 + (rng.uniform((noisy,), seed, "noise", zoo, own, "classes") * (network.classes - 1)).astype(int)
        labels[chosen] = (labels[chosen] + other) % network.classes
    per_epoch = settings.images_per_epoch or len(rows)
    total = recipe.epochs * per_epoch
    rounds = range(-(-total // len(rows)))
    order = np.concatenate([rows[rng.permutation(len(rows), seed, "order", zoo, own, of)] for of in rounds])[:total]
    weights = initial_weights(network, recipe.initialisation, (seed, "initial_weights", zoo, own))
    return Task(
        network,
        recipe,
        data,
        labels,
        order.astype(np.int32).reshape(recipe.epochs, per_epoch),
        np.concatenate([value.ravel() for value in weights.values()]),
        int(rng.bits(1, seed, "dropout", zoo, own)[0]),
        settings.checkpoints(recipe.epochs),
    )


def initial_weights(network: Network, how: str, stream: tuple) -> dict[str, np.ndarray]:
    """Weights by an initialisation of settings.factory.WORDS, each as torch.nn.init has it, kaiming's with ReLU's gain.

    Args:
        network: the CNN.
        how: default is PyTorch's own, U(-1/sqrt(fan_in), 1/sqrt(fan_in)) of biases too; else biases are 0.
        stream: seed and names of the random stream.

    Returns:
        Name -> float32 of `network.shapes`.
    """
    weights = {}
    for name, shape in network.shapes.items():
        of = network.shapes[name.replace(".bias", ".weight")]
        fan_in, fan_out = (int(np.prod(of[1:])), int(of[0] * np.prod(of[2:])))
        scale = {"kaiming": 2 / fan_in, "xavier": 2 / (fan_in + fan_out)}.get(how.partition("_")[0])
        if how == "default":
            value = (2 * rng.uniform(shape, *stream, name) - 1) / np.float32(np.sqrt(fan_in))
        elif name.endswith(".bias"):
            value = np.zeros(shape)
        elif how == "orthogonal":
            drawn = rng.normal((of[0], fan_in), *stream, name).astype(np.float64)
            q, r = np.linalg.qr(drawn.T if of[0] < fan_in else drawn)
            q = q * np.sign(np.diag(r))
            value = (q.T if of[0] < fan_in else q).reshape(shape)
        elif how.endswith("uniform"):
            value = (2 * rng.uniform(shape, *stream, name) - 1) * np.sqrt(3 * scale)
        else:
            value = rng.normal(shape, *stream, name) * np.sqrt(scale)
        weights[name] = np.asarray(value, np.float32)
    return weights


def choose_backend(settings: Settings, backend: str = "auto") -> tuple[str, str]:
    """The backend for this zoo on this machine, and why in one line.

    Args:
        settings: of the zoo.
        backend: the setting zoo.backend; `batched` is for concepts, whose CNNs have one recipe.

    Raises:
        ValueError: cpp is asked for and can't train this.
    """
    if backend == "serial":
        return backend, "serial: one PyTorch CNN per thread"
    activations = recipes.values(settings.factors.get("activation", settings.network.activation))
    for activation in activations:
        available, reason = network_trainer.available(replace(settings.network, activation=activation))
        if not available and backend == "cpp":
            raise ValueError(f"zoo.backend: cpp cannot be used here: {reason}. Write auto.")
        if not available:
            return "serial", f"serial: one PyTorch CNN per thread (slower), as C++ can't be used: {reason}"
    return "cpp", f"cpp: {reason}, compiled for this network"


def train(
    settings: Settings,
    data: Mapping[str, np.ndarray],
    seed: int,
    zoo: str,
    models: np.ndarray,
    *,
    backend: str = "serial",
    threads: int = 1,
    progress: training.Progress | None = None,
) -> dict[str, np.ndarray]:
    """Train the CNNs with these global indices on the CPU.

    Args:
        settings: of the zoo.
        data: images and labels, as `data.classes.read` gives them.
        seed: the run's seed.
        zoo: the zoo's name.
        models: (n,) indices. A CNN's bits depend neither on the others nor on `threads`.
        backend: "cpp" or "serial".
        threads: CNNs that are trained at a time.
        progress: called from this thread, see `training.Progress`.

    Returns:
        The arrays of a zoo file: parameters (n, ...), `model`, `factors/<name>` (n,), `history/<score>` (n, epochs)
        with NaN after a CNN's last epoch, and `checkpoints/<parameter>` (n, checkpoints, ...), likewise.
    """
    made = [recipes.recipe(settings.factors, seed, zoo, model) for model in models]

    def task_of(row: int) -> Task:
        return task(settings, data, seed, zoo, made[row])

    train_one = {"cpp": _train_in_cpp, "serial": train_one_serially}[backend]
    arrays = blank(settings, np.asarray(models), made)
    return train_all(arrays, settings.network, task_of, train_one, threads, progress)


def train_all(
    arrays: dict[str, np.ndarray],
    network: Network,
    task_of: Callable[[int], Task],
    train_one: Callable[[Task, np.ndarray, np.ndarray], Trained],
    threads: int,
    progress: training.Progress | None,
) -> dict[str, np.ndarray]:
    """Fill the arrays of a zoo file, row after row.

    Args:
        arrays: as `blank` makes them.
        network: of all CNNs.
        task_of: gives the task of a row.
        train_one: trains it, as `train_one_serially`.
        threads, progress: as of `train`.
    """

    def one(of: SimpleNamespace, row: int, passes: np.ndarray, stop: np.ndarray) -> None:
        asked = task_of(row)
        trained = train_one(asked, passes, stop)
        if passes[0] == asked.order.size:  # else it was stopped
            _keep(arrays, network, row, trained)

    training.one_by_one(one, SimpleNamespace(models=arrays["model"]), threads, progress)
    return arrays


def blank(settings: Settings, models: np.ndarray, made: Sequence[Recipe]) -> dict[str, np.ndarray]:
    """The arrays of a zoo file for the CNNs of these indices and recipes, still without weights and scores."""
    n, kept, epochs = len(models), len(settings.checkpoints(settings.epochs)), settings.epochs
    shapes = settings.network.shapes
    arrays = {name: np.empty((n, *shape), np.float32) for name, shape in shapes.items()}
    arrays["model"] = models.astype(np.int32)
    for name in recipes.NAMES:
        values = np.array([getattr(recipe, name) for recipe in made])
        arrays[f"factors/{name}"] = values if values.dtype.kind == "U" else values.astype(np.float64)
    arrays |= {f"history/{score}": np.full((n, epochs), np.nan) for score in SCORES}
    if kept:
        arrays |= {f"checkpoints/{name}": np.full((n, kept, *of), np.nan, np.float32) for name, of in shapes.items()}
    return arrays


def _keep(arrays: dict[str, np.ndarray], network: Network, row: int, trained: Trained) -> None:
    """Write one CNN into its row."""
    epochs, start = len(trained.loss), 0
    with np.errstate(invalid="ignore", divide="ignore"):  # a concept's images have no test
        scores = {
            "loss": trained.loss,
            "validation_accuracy": _accuracy(trained.validation),
            "test_accuracy": _accuracy(trained.test),
            "largest_class_share": trained.validation.sum(1).max(1) / trained.validation.sum((1, 2)),
        }
    for name, values in scores.items():
        arrays[f"history/{name}"][row, :epochs] = values
    for name, shape in network.shapes.items():
        part = slice(start, start + int(np.prod(shape)))
        arrays[name][row] = trained.weights[part].reshape(shape)
        if kept := len(trained.checkpoints):
            arrays[f"checkpoints/{name}"][row, :kept] = trained.checkpoints[:, part].reshape(kept, *shape)
        start = part.stop


def _accuracy(counts: np.ndarray) -> np.ndarray:
    """(epochs,) from images by label and prediction, (epochs, classes, classes)."""
    return np.trace(counts, axis1=1, axis2=2) / counts.sum((1, 2))


def _train_in_cpp(of: Task, passes: np.ndarray, stop: np.ndarray) -> Trained:
    data, recipe = of.data, of.recipe
    return network_trainer.train(
        of.network,
        data["images"],
        of.labels,
        of.order,
        of.rates,
        of.weights,
        batch_size=recipe.batch_size,
        optimiser=recipe.optimiser,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        dropout=recipe.dropout,
        dropout_key=of.dropout_key,
        validation=(data["validation_images"], data["validation_labels"]),
        test=(data["test_images"], data["test_labels"]),
        checkpoint_epochs=of.checkpoint_epochs,
        passes=passes,
        stop=stop,
    )


def train_one_serially(of: Task, passes: np.ndarray, stop: np.ndarray) -> Trained:
    """The reference: one CNN in plain PyTorch, on the calling thread.

    Args:
        of: what to train.
        passes: (1,) int64, to which images that were trained on are added.
        stop: (1,) int64; once it is not 0, training ends after the current step, and the result is unfinished.
    """
    torch.set_num_threads(1)  # a setting of each thread; one CNN's bits must not depend on it
    network, recipe = of.network, of.recipe
    sizes = [int(np.prod(shape)) for shape in network.shapes.values()]
    epochs, kept = len(of.order), of.checkpoint_epochs
    counts = [np.zeros((epochs, network.classes, network.classes), np.int64) for _ in range(2)]
    checkpoints = np.empty((len(kept), len(of.weights)), np.float32)
    result = Trained(of.weights.copy(), checkpoints, np.full(epochs, np.nan), *counts)
    flat = torch.from_numpy(result.weights)  # whose memory the parameters share
    parts = zip(network.shapes.items(), flat.split(sizes), strict=True)
    kept_weights = None if of.kept is None else torch.from_numpy(of.kept.astype(np.float32))
    weights = {name: part.view(shape).requires_grad_() for (name, shape), part in parts}
    optimiser = _optimiser(recipe, list(weights.values()))
    places = [at for at, step in enumerate(network.steps) if step.kind == "dropout"]
    images, labels = torch.from_numpy(of.data["images"]), torch.from_numpy(of.labels).long()
    step = 0

    def dropped(x: Tensor, number: int) -> Tensor:
        images_in_batch = np.arange(len(x))
        kept = dropout.mask(of.dropout_key, step, images_in_batch, places[number], x[0].numel(), recipe.dropout)
        return x * torch.from_numpy(kept).view(x.shape) * float(dropout.scale(recipe.dropout))

    for epoch, order in enumerate(torch.from_numpy(of.order).long()):
        total = 0.0
        for part in recipe.batches(len(order)):
            if stop[0]:
                return result
            rows = order[part]
            z = forward.logits(network, weights, _normalised(images[rows]), dropped if recipe.dropout else None)
            loss = F.cross_entropy(z, labels[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.param_groups[0]["lr"] = float(of.rates[step])
            optimiser.step()
            if kept_weights is not None:
                flat.mul_(kept_weights)
            total += loss.item() * len(rows)
            passes += len(rows)
            step += 1
        result.loss[epoch] = total / len(order)
        for name in ("validation", "test"):
            getattr(result, name)[epoch] = _confusion(network, weights, of.data, name)
        if epoch + 1 in kept:
            checkpoints[kept.index(epoch + 1)] = result.weights
    return result


def _optimiser(recipe: Recipe, parameters: list[Tensor]) -> torch.optim.Optimizer:
    more = {"lr": recipe.learning_rate, "weight_decay": recipe.weight_decay}
    match recipe.optimiser:
        case "adam":
            return torch.optim.Adam(parameters, **more)
        case "adamw":
            return torch.optim.AdamW(parameters, **more)
        case _:
            return torch.optim.SGD(parameters, momentum=recipe.momentum, **more)


def _normalised(images: Tensor) -> Tensor:
    """uint8 (b, size, size, channels) -> float32 (b, channels, size, size) in [-1, 1]."""
    return images.movedim(-1, 1).float().div(255).sub(0.5).div(0.5)


def _confusion(
    network: Network, weights: Mapping[str, Tensor], data: Mapping[str, np.ndarray], part: str
) -> np.ndarray:
    """int64 (classes, classes): images of a part by label and prediction."""
    images, labels = torch.from_numpy(data[f"{part}_images"]), data[f"{part}_labels"].astype(np.int64)
    with torch.no_grad():
        batches = [forward.logits(network, weights, _normalised(some)).argmax(1) for some in images.split(_SCORED)]
    predicted = torch.cat(batches).numpy() if batches else np.empty(0, np.int64)
    counts = np.bincount(labels * network.classes + predicted, minlength=network.classes**2)
    return counts.reshape(network.classes, network.classes)
