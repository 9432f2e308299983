"""What rules call to train the shards of a factory zoo, and to write a zoo's CNNs as a table."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from zoofuse.core import csv_files, files
from zoofuse.data import classes
from zoofuse.models.network import Network
from zoofuse.native import build
from zoofuse.zoo import populations, recipes, shards, zoo

_WHOLE = {"batch_size", "epochs", "seed"}  # factors that are whole numbers

RECIPE = 1  # raised when the numbers a CNN trains to change for equal settings


def train(
    images: Path,
    output: Path,
    concept: str,
    training: Mapping,
    models: Sequence[int],
    seed: int,
    store: str,
    config: Mapping,
    threads: int,
    say: Callable[[str], None] = print,
) -> None:
    """Write the zoo file of some of a factory zoo's CNNs, training only those that the store does not hold.

    Args:
        images: the images file.
        output: the zoo file.
        concept: the zoo's name.
        training: the settings network, factors, images_per_epoch and checkpoint_every.
        models: the first global index and the one after the last.
        seed: the run's seed.
        store: a folder of CNNs that are trained, see `shards.fill`.
        config: the configuration, for how CNNs are trained (zoo.backend).
        threads: CNNs that are trained at a time.
        say: takes lines about what is done.

    Raises:
        ValueError: zoo.backend can't train these CNNs here.
    """
    data, names = classes.read(images)
    settings = populations.Settings(**dict(training) | {"network": Network(**training["network"])})
    wanted = range(*models)
    backend, reason = populations.choose_backend(settings, config["zoo"]["backend"])
    say(f"Training by {reason}")
    source = files.fingerprint(images, ["images", "labels", "split"])
    attributes = {"network": settings.described["network"], "settings": settings.described, "seed": seed}
    attributes |= {"concept": concept, "classes": names, "images": source}
    attributes["recipe"] = files.digest([RECIPE, settings.described, seed, concept, source])
    attributes |= {"backend": backend, "device": "cpu", "instruction_set": build.instruction_set()}
    per_cnn = settings.epochs * (settings.images_per_epoch or len(data["labels"]))
    # Some 20 seconds' worth between two writes to the store, as of concepts.
    step = threads * (-(-1_000_000 // per_cnn) if backend == "cpp" else 1)

    def some(part: np.ndarray, progress) -> dict[str, np.ndarray]:
        return populations.train(
            settings, data, seed, concept, part, backend=backend, threads=threads, progress=progress
        )

    fill = {"title": concept, "step": step, "train": some, "attributes": attributes, "say": say}
    if new := shards.fill(output, wanted, Path(store), **fill):
        names = ["history/largest_class_share", "factors/epochs"]
        share = _final(*files.read(output, "zoo", names).values())
        say(f"{concept}: {new} CNNs trained; {int(np.sum(~(share < 1)))} of {len(wanted)} in this shard are degenerate "
            "(constant prediction).")  # fmt: skip


def write_table(paths: Sequence[Path], output: Path) -> None:
    """A row for each CNN of a zoo: `model`, every factor, its final scores, and its scores after each epoch.

    A concept's CNNs share their factors; imported ones have neither factors nor scores.

    Args:
        paths: the zoo files.
        output: the CSV.
    """
    csv_files.write(output, table([Path(path) for path in paths]))


def table(paths: Sequence[Path]) -> pd.DataFrame:
    """As `write_table` writes it: columns such as learning_rate, test_accuracy and test_accuracy_3, the score after
    the third epoch, empty where a CNN was trained for less.

    Args:
        paths: the zoo files.

    Raises:
        FileError: a file can't be used.
    """
    facts = files.facts(paths[0])
    names = [name for name in facts.datasets if name.startswith(("factors/", "history/"))]
    arrays = zoo.read(list(paths), ["model", *names])
    columns = {"model": arrays["model"]}
    factors = [name.removeprefix("factors/") for name in names if name.startswith("factors/")]
    ordered = [name for name in recipes.NAMES if name in factors]
    columns |= {name: arrays[f"factors/{name}"] for name in dict.fromkeys([*ordered, *factors])}
    for name in set(columns) & _WHOLE:
        columns[name] = columns[name].astype(np.int64)
    if len(columns) == 1:
        columns |= {name: value for name, value in facts.attributes.get("settings", {}).items() if np.isscalar(value)}
    scores = {name.removeprefix("history/"): arrays[name] for name in names if name.startswith("history/")}
    columns |= {name: _final(values, arrays.get("factors/epochs")) for name, values in scores.items()}
    for name, values in scores.items():
        columns |= {f"{name}_{epoch + 1}": values[:, epoch] for epoch in range(values.shape[1])}
    return pd.DataFrame(columns)


def _final(scores: np.ndarray, epochs: np.ndarray | None = None) -> np.ndarray:
    """(n,) of scores (n, epochs) those after each CNN's last epoch; it is `epochs` (n,), else the same of all."""
    last = scores.shape[1] if epochs is None else epochs.astype(int)
    return scores[np.arange(len(scores)), last - 1]
