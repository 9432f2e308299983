"""What rules call for the leaderboard: a zoo as methods get it, their networks, and these measured."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from zoofuse.core import csv_files, files, rng
from zoofuse.data import classes
from zoofuse.evaluation import board, board_submissions
from zoofuse.methods.generators import alignment, controls, outputs, registry
from zoofuse.models.network import Network
from zoofuse.zoo import aiml
from zoofuse.zoo import zoo as zoo_files

Say = Callable[[str], None]
KIND = "leaderboard_zoo"
IMAGES = 512  # training images that methods may use
_LARGEST = 1e6  # of a weight
_AT_ONCE = 64  # networks whose outputs are in memory


def zoo(paths: Sequence[Path], images: Path, zoo: str, seed: int, output: Path, threads: int, say: Say = print) -> None:
    """Write all that methods and measures need of a zoo: its networks, what they predict, and images.

    Datasets: weights (n, parameters); accuracy (n,) on images to select by; predicted (n, m) classes of the test
    images; test_images and test_labels (m, ...); images and labels, some of the training images.

    Args:
        paths: the zoo's files.
        images: its images. Of a concept's, which have no test, one half of those to validate on is measured on.
        zoo: its name.
        seed: the run's.
        output: the file.
        threads: of PyTorch.
        say: takes a line.

    Raises:
        ValueError: the networks differ in their activation.
    """
    torch.set_num_threads(threads)
    data, titles = classes.read(images)
    if not len(data["test_labels"]):
        order = rng.permutation(len(data["validation_labels"]), seed, "leaderboard", zoo, "test")
        half = np.arange(len(order)) < len(order) // 2
        for kind in ("images", "labels"):
            every = data[f"validation_{kind}"][order]
            data[f"validation_{kind}"], data[f"test_{kind}"] = every[half], every[~half]
    network, weights = _networks(paths, zoo)
    sound = np.isfinite(weights).all(1)
    weights = weights[sound]
    chosen = rng.permutation(len(data["labels"]), seed, "leaderboard", zoo, "images")[:IMAGES]
    arrays = {
        "weights": weights,
        "accuracy": board.balanced_accuracy(
            predict(network, weights, data["validation_images"]), data["validation_labels"]
        ),
        "predicted": predict(network, weights, data["test_images"]),
        "test_images": data["test_images"],
        "test_labels": data["test_labels"],
        "images": data["images"][chosen],
        "labels": data["labels"][chosen],
    }
    quality = board.balanced_accuracy(arrays["predicted"], data["test_labels"])
    say(
        f"{zoo}: {len(weights)} networks of {network.parameters:,} parameters, balanced accuracy "
        f"{quality.mean():.3f} on {len(data['test_labels'])} images"
        + (f"; {int((~sound).sum())} with NaN or Inf are left out." if not sound.all() else ".")
    )
    facts = {"layers": network.layers, "channels": network.channels, "size": network.size}
    facts |= {"classes": network.classes, "activation": network.activation}
    files.write(output, KIND, arrays, network=facts, classes=titles, zoo=zoo, seed=seed)


def networks(
    zoo_file: Path,
    zoo: str,
    methods: Sequence[str],
    sampling: Mapping,
    sizes: Sequence[float],
    steps: int | None,
    seed: int,
    output: Path,
    threads: int,
    say: Say = print,
) -> None:
    """Sample networks by some methods.

    Args:
        zoo_file: of `zoo`.
        zoo: its name.
        methods: names of registered methods.
        sampling: seeds, held_out and networks of the settings.
        sizes: of noise, where that is among the methods.
        steps: of training, or None.
        seed: the run's.
        output: a zoo file with method, repetition and seconds of each network.
        threads: of PyTorch.
        say: takes a line for each method.
    """
    torch.set_num_threads(threads)
    given, known, parts = _Material(zoo_file), registry.known(), []
    for name in methods:
        makers = {name: known[name].make}
        if name == registry.NOISE:
            makers = {noise_name(size): _noise(size) for size in sizes}
        for named, make in makers.items():
            spent = 0.0
            for repetition in range(sampling["seeds"]):
                own = given.split(repetition, sampling, seed, named, steps or 0)
                start = time.perf_counter()
                made = make(own)
                seconds = time.perf_counter() - start
                spent += seconds
                parts.append((named, repetition, made, seconds / len(made)))
            say(f"{zoo}: {named}, {spent:.1f} s")
    write(output, given.network, parts, zoo)


def submitted(
    zoo_file: Path, zoo: str, group: str, command: str, sampling: Mapping, seed: int, output: Path, say: Say = print
) -> None:
    """Sample networks by somebody else's command; arguments as of `networks`."""
    given, parts = _Material(zoo_file), []
    for repetition in range(sampling["seeds"]):
        own = given.split(repetition, sampling, seed, group, 0)
        start = time.perf_counter()
        made = board_submissions.call(command, own, output.parent, group)
        parts.append((group, repetition, made, (time.perf_counter() - start) / len(made)))
    say(f"{zoo}: {group} took {sum(len(part[2]) * part[3] for part in parts):.1f} s")
    write(output, given.network, parts, zoo)


def measured(
    zoo_file: Path, sampled: Sequence[Path], zoo: str, sampling: Mapping, seed: int, output: Path, threads: int
) -> None:
    """Measure the networks of all methods, a row each; arguments as of `networks`, `sampled` their files."""
    torch.set_num_threads(threads)
    given, rows = _Material(zoo_file), []
    parts = [files.read(path, "zoo") for path in sampled]
    flat = np.concatenate([alignment.flatten(given.network, part) for part in parts])
    flat = np.nan_to_num(flat).clip(-_LARGEST, _LARGEST)  # a diverged network is far away, and as good as it predicts
    about = {name: np.concatenate([part[name] for part in parts]) for name in ("method", "repetition", "seconds")}
    labels = given.arrays["test_labels"]
    predicted = predict(given.network, flat, given.arrays["test_images"])
    wrong = given.arrays["predicted"] != labels
    for repetition in range(sampling["seeds"]):
        training, held_out = given.places(repetition, sampling, seed)
        own = np.median(
            alignment.nearest(given.network, given.arrays["weights"][held_out], given.arrays["weights"][training])
        )
        at = np.flatnonzero(about["repetition"] == repetition)
        distance = alignment.nearest(given.network, flat[at], given.arrays["weights"][training])
        rows.append(
            pd.DataFrame(
                {
                    "zoo": zoo,
                    "method": about["method"][at],
                    "repetition": repetition,
                    "quality": board.balanced_accuracy(predicted[at], labels),
                    "novelty_weights": distance / own,
                    "novelty_predictions": board.novelty_in_predictions(predicted[at] != labels, wrong[training]),
                    "degenerate": [len(np.unique(of)) == 1 for of in predicted[at]],
                    "seconds": about["seconds"][at],
                }
            )
        )
    csv_files.write(output, pd.concat(rows, ignore_index=True))


def predict(network: Network, flat: np.ndarray, images: np.ndarray) -> np.ndarray:
    """(n, m) uint8 classes that networks (n, parameters) predict for uint8 images (m, size, size, channels)."""
    predicted = np.empty((len(flat), len(images)), np.uint8)
    for start in range(0, len(flat), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        predicted[part] = outputs.logits(network, images, flat[part]).argmax(-1)
    return predicted


def noise_name(size: float) -> str:
    """The row of noise of this size."""
    return f"{registry.NOISE}_{size:g}"


def write(output: Path, network: Network, parts: Sequence[tuple], zoo: str) -> None:
    """A zoo file of (method, repetition, weights (n, parameters), seconds of each) of several methods."""
    arrays = alignment.unflatten(network, np.concatenate([made for *_, made, _ in parts]).astype(np.float32))
    lengths = [len(made) for *_, made, _ in parts]
    arrays |= {
        "model": np.concatenate([np.arange(n, dtype=np.int32) for n in lengths]),
        "method": np.repeat([part[0] for part in parts], lengths),
        "repetition": np.repeat(np.int32([part[1] for part in parts]), lengths),
        "seconds": np.repeat([float(part[3]) for part in parts], lengths),
    }
    files.write(output, "zoo", arrays, concept=zoo)


def _noise(size: float) -> Callable:
    return lambda given: controls.noisy(given, size)


def _networks(paths: Sequence[Path], zoo: str) -> tuple[Network, np.ndarray]:
    """The architecture of a zoo's networks and their flat weights."""
    names = [name for name in files.facts(paths[0]).datasets if name.startswith(("conv", "fc"))]
    arrays = zoo_files.read(list(paths), names)
    network = aiml.network_of(files.attributes(paths[0], "zoo"), arrays)
    if "factors/activation" in files.facts(paths[0]).datasets:
        activations = set(zoo_files.read(list(paths), ["factors/activation"])["factors/activation"].tolist())
        if len(activations) > 1:
            raise ValueError(
                f"{zoo}: its networks differ in their activation ({', '.join(sorted(activations))}), so that one's "
                "weights are no network of another's; write one activation."
            )
        network = replace(network, activation=activations.pop())
    return network, alignment.flatten(network, arrays)


class _Material:
    """What a file of `zoo` holds."""

    def __init__(self, path: Path):
        self.arrays, facts = files.read(path, KIND), files.attributes(path, KIND)
        network = dict(facts["network"])
        self.network, self.zoo = Network(tuple(network.pop("layers")), **network), facts["zoo"]

    def places(self, repetition: int, sampling: Mapping, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Places of the training networks and of those held out. No two repetitions share a network: as each depends on
        its index alone, theirs are zoos that were trained with other random numbers."""
        order = rng.permutation(len(self.arrays["weights"]), seed, "leaderboard", self.zoo, "split")
        order = order[repetition :: sampling["seeds"]]
        most = min(sampling["held_out"], len(order) // 2)
        return np.sort(order[most:]), np.sort(order[:most])

    def split(self, repetition: int, sampling: Mapping, seed: int, method: str, steps: int) -> registry.Given:
        """What a method is given in one repetition."""
        training, held_out = self.places(repetition, sampling, seed)
        return registry.Given(
            self.network,
            self.arrays["weights"][training],
            self.arrays["accuracy"][training],
            self.arrays["images"],
            self.arrays["labels"],
            self.arrays["weights"][held_out],
            sampling["networks"],
            steps,
            (seed, self.zoo, method, repetition),
        )
