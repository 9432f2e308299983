"""Shards of a zoo, trained into a store. What was trained once is never trained again."""

import math
import re
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from zoofuse.core import devices, files, logs
from zoofuse.core.errors import AccessError, FileError
from zoofuse.core.temporary import link_or_copy
from zoofuse.data import images
from zoofuse.models.architectures import ARCHITECTURES
from zoofuse.native import build, cuda_trainer
from zoofuse.zoo import training
from zoofuse.zoo.zoo import count_degenerate, read, tell_mixed

RECIPE = 1  # raised when the numbers a CNN trains to change for equal settings


def train_shard(
    images_path: Path,
    output: Path,
    *,
    settings: training.Settings,
    seed: int,
    concept: str,
    models: range,
    store: Path,
    backend: str = "auto",
    device: str = "auto",
    threads: int = 1,
    say: Callable[[str], None] = print,
) -> None:
    """Write the zoo file of the CNNs with global indices `models`, training only those that `store` does not hold.

    `store` is a folder of zoo files of this concept: parts of unfinished shards, and a second name (hard link) of each
    finished one. A CNN depends on settings, seed, concept, images and its index, so one trained for another shard,
    another zoo size or an interrupted run is taken as it is.
    """
    data = training.Data(**images.read_concept(images_path))
    if settings.balance == "published" and settings.images_per_epoch > len(data.labels):
        say(f"{concept}: {len(data.labels)} training images, so each epoch draws all of them.")
        settings = replace(settings, images_per_epoch=len(data.labels))
    source = files.fingerprint(images_path, ["images", "labels", "split"])
    recipe = files.digest([RECIPE, asdict(settings), seed, concept, source])
    device = devices.choose_device(device)
    if backend == "auto":
        backend, reason = training.choose_backend(settings, device)
        say(f"Training by {reason}")
    elif backend == "cuda":  # whose kind of GPU the file records
        training.check(backend, settings, device)
    attributes = {"settings": asdict(settings), "seed": seed, "concept": concept, "images": source, "recipe": recipe}
    attributes |= {"classes": ["other", concept], "backend": backend, "device": device}
    kind = cuda_trainer.architecture(device) if backend == "cuda" else build.instruction_set()
    attributes["instruction_set"] = kind

    passes = settings.epochs * settings.images_per_epoch
    # CNNs between two writes to the store: some 20 seconds' worth, so that few are lost with a killed job and threads
    # seldom wait for each other; a GPU is given all at once, or enough for all of its multiprocessors (not measured).
    rounds = math.ceil(1_000_000 / passes / ARCHITECTURES[settings.architecture].slower)
    step = {"cpp": rounds * threads, "serial": threads, "cuda": 512 * rounds}
    step = (step | {"batched": 16 if device == "cpu" else len(models)})[backend]

    def train(part: np.ndarray, progress: training.Progress) -> dict[str, np.ndarray]:
        trained = training.train(
            data, settings, seed, concept, part, backend=backend, device=device, threads=threads, progress=progress
        )
        arrays = trained.weights | {"model": part.astype(np.int32)}
        arrays |= {f"history/{name}": values for name, values in trained.history.items()}
        return arrays | {f"checkpoints/{name}": values for name, values in trained.checkpoints.items()}

    if new := fill(output, models, store, title=concept, step=step, train=train, attributes=attributes, say=say):
        degenerate = count_degenerate(files.read(output, "zoo", ["history/validation_positive_share"]))
        say(f"{concept}: {new} CNNs trained, {new * passes:,} image passes; {degenerate} of "
            f"{len(models)} in this shard are degenerate (constant prediction).")  # fmt: skip


def fill(
    output: Path,
    models: range,
    store: Path,
    *,
    title: str,
    step: int,
    train: Callable[[np.ndarray, training.Progress], dict[str, np.ndarray]],
    attributes: dict,
    say: Callable[[str], None],
) -> int:
    """Write the zoo file of the CNNs `models` from those that a store holds and those that are trained now.

    Args:
        output: the zoo file.
        models: global indices.
        store: a folder of zoo files of this zoo; it is made, and holds the shard at the end.
        title: the zoo's name, for messages.
        step: CNNs between two writes to the store.
        train: makes the arrays of a zoo file from the indices of CNNs, reporting how far it is.
        attributes: of the file; `recipe` tells the CNNs of other settings apart.
        say: takes lines about what is done.

    Returns:
        How many CNNs were trained.
    """
    recipe = attributes["recipe"]
    store.mkdir(parents=True, exist_ok=True)
    stored = _stored(store, recipe, models, say)
    missing = [model for model in models if model not in stored]
    if stored:
        say(f"{title}: {len(models) - len(missing)} of {len(models)} CNNs are already trained.")
    with logs.bar(len(missing), "CNNs", f"{title} {models.start}-{models.stop - 1}") as bar:
        rate = _Rate(bar)
        for start in range(0, len(missing), step):
            part = np.array(missing[start : start + step])
            path = store / f"part-{recipe[:8]}-{part[0]:06d}-{part[-1]:06d}.h5"
            files.write(path, "zoo", train(part, rate), **attributes)
            stored |= dict.fromkeys(part.tolist(), path)
    _join(stored, models, output, attributes)
    tell_mixed([output], title, say)
    _keep(store, output, recipe)
    return len(missing)


class _Rate:
    """Moves the bar by CNNs and shows image passes per second."""

    def __init__(self, bar):
        self.bar, self.passes = bar, 0

    def __call__(self, cnns: int, passes: int) -> None:
        self.passes += passes
        elapsed = self.bar.format_dict["elapsed"] or 1e-9
        self.bar.set_postfix_str(f"{self.passes / elapsed:,.0f} image passes/s", refresh=False)
        self.bar.update(cnns)


def _stored(store: Path, recipe: str, models: range, say: Callable[[str], None]) -> dict[int, Path]:
    """Index -> file, for the wanted CNNs of this recipe that the store holds; a damaged file is dropped.

    Raises AccessError where a file can't be read now.
    """
    found: dict[int, Path] = {}
    for path in sorted(store.glob("*.h5")):
        if (named := _named(path)) and (named[0] != recipe[:8] or not _overlap(named[1], models)):
            continue  # a large zoo's store has hundreds of files, and each of as many shards looks at them
        try:
            if files.attributes(path, "zoo")["recipe"] == recipe:
                held = files.read(path, "zoo", ["model"])["model"].tolist()
                if wanted := [model for model in held if model in models]:
                    files.read(path, "zoo")  # every digest
                    found |= dict.fromkeys(wanted, path)
        except AccessError:
            raise  # the CNNs may be intact: what took hours is not deleted because a disk or a network is not there
        except (FileError, KeyError) as error:
            if path.exists():  # else another shard of this zoo has just tidied it away
                say(f"{path.name}: can't be used, its CNNs are trained again ({error})")
                path.unlink(missing_ok=True)
    return found


def _named(path: Path) -> tuple[str, range] | None:
    """The recipe's first digits and the CNNs that a file of a store has in its name; None where it has none."""
    if (match := re.fullmatch(r"(?:part|shard)-([0-9a-f]{8})-(\d+)-(\d+)\.h5", path.name)) is None:
        return None
    return match[1], range(int(match[2]), int(match[3]) + 1)


def _overlap(one: range, other: range) -> bool:
    return one.start < other.stop and other.start < one.stop


def _join(found: dict[int, Path], models: range, output: Path, attributes: dict) -> None:
    """Write the CNNs `models` from the files that hold them, in order of their index."""
    paths = sorted(set(found.values()))
    stored = [files.attributes(path, "zoo") for path in paths]
    for name in ("backend", "device", "instruction_set"):  # of the CNNs that are there, not only of this job's
        values = {value for each in stored for value in str(each.get(name, "unknown")).split(", ")}
        attributes |= {name: ", ".join(sorted(values))}
    zoo = read(paths)
    _, first = np.unique(zoo["model"], return_index=True)
    keep = [row for row in first if zoo["model"][row] in models]
    files.write(output, "zoo", {name: values[keep] for name, values in zoo.items()}, **attributes)


def _keep(store: Path, output: Path, recipe: str) -> None:
    """Give the finished shard a second name in the store and remove what it replaces."""
    held = set(files.read(output, "zoo", ["model"])["model"].tolist())
    kept = store / f"shard-{recipe[:8]}-{min(held):06d}-{max(held):06d}.h5"
    link_or_copy(output, kept)
    for path in store.glob("*.h5"):
        if named := _named(path):
            if named[0] != recipe[:8] or (path != kept and set(named[1]) <= held):
                path.unlink(missing_ok=True)
            continue
        try:
            other = files.attributes(path, "zoo")["recipe"] != recipe
            covered = path != kept and set(files.read(path, "zoo", ["model"])["model"].tolist()) <= held
            if other or covered:
                path.unlink()
        except (FileError, KeyError, FileNotFoundError):
            continue
