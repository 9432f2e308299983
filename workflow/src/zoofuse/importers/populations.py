"""Other people's populations of CNNs of any number of classes, imported as factory zoos with factors and scores.

A population is one of
* a folder of Ray Tune trials in the AIML lab's layout (ModelZoos, SANE, WeightCLIP): params.json has what a CNN was
  trained by, result.json its scores, and the checkpoint of the highest number its weights;
* the Small CNN Zoo (Unterthiner et al. 2020): a folder with weights.npy, metrics.csv.gz and layout.csv, one row for
  each checkpoint; the last one of each CNN is read (see small_cnn_zoo.py);
* a folder of .safetensors files, whose metadata may hold factors and scores, or of PyTorch state_dicts.

Tensors are matched by our names or, whatever their names, by their order, where every shape is the expected one.
"""

import contextlib
import json
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from zoofuse.core import files, regular
from zoofuse.core.text import printable
from zoofuse.importers import foreign, foreign_layouts, imports, layer_names, small_cnn_zoo
from zoofuse.importers.foreign_layouts import MAX_FILE, ZooError
from zoofuse.importers.layer_names import Mismatch, shown
from zoofuse.models.network import ACTIVATIONS, Network

# Factor -> the names that others have for it, ours first.
FACTORS = {
    "learning_rate": ("learning_rate", "optim::lr", "lr"),
    "optimiser": ("optimiser", "optim::optimizer", "optimizer"),
    "momentum": ("momentum", "optim::momentum"),
    "weight_decay": ("weight_decay", "optim::wd"),
    "dropout": ("dropout", "model::dropout"),
    "initialisation": ("initialisation", "model::init_type"),
    "activation": ("activation", "model::nlin"),
    "data_share": ("data_share",),
    "label_noise": ("label_noise",),
    "batch_size": ("batch_size", "training::batchsize"),
    "schedule": ("schedule",),
    "seed": ("seed",),
}
# Score -> the names that others have for it.
SCORES = {
    "loss": ("loss", "train_loss"),
    "validation_accuracy": ("validation_accuracy", "val_acc"),
    "test_accuracy": ("test_accuracy", "test_acc"),
    "train_accuracy": ("train_accuracy", "train_acc"),
    "largest_class_share": ("largest_class_share",),
}
WORDS = {"optimiser", "initialisation", "activation", "schedule"}  # factors that are text; the others are numbers
_SPELLINGS = {"leakyrelu": "leaky", "leaky_relu": "leaky"}  # of activations
_MAX_TEXT = 64 * 2**20  # bytes of one result.json


@dataclass
class Member:
    """One CNN of a population: its weights, by our names; its factors; its epochs; score -> epoch (from 1) -> value."""

    label: str
    weights: dict[str, np.ndarray]
    factors: dict[str, float | str] = field(default_factory=dict)
    epochs: int = 1
    scores: dict[str, dict[int, float]] = field(default_factory=dict)


def count(path: str | os.PathLike) -> int:
    """CNNs of a population.

    Raises:
        ZooError: the path is missing or not a population.
    """
    return small_cnn_zoo.count(Path(path)) if small_cnn_zoo.is_one(Path(path)) else len(_layout(path).members)


def import_population(
    path: str | os.PathLike,
    output: str | os.PathLike,
    *,
    name: str,
    network: Network,
    models: range,
    classes: Sequence[str] | None = None,
    say: Callable[[str], None] = print,
) -> None:
    """Import some CNNs of a population into a zoo file, like those that zoofuse trains.

    Accuracies in percent become shares. A factor or score that some of the CNNs lack is left out.

    Args:
        path: the population's folder.
        output: the zoo file.
        name: of the factory zoo.
        network: the CNNs' architecture; each CNN's activation is its own where the population says so.
        models: places of the CNNs, which become their indices.
        classes: names of the classes; numbers by default.
        say: takes a line about what was read.

    Raises:
        ZooError: there are fewer CNNs, or some can't be used; the first of them are named, each with its cause.
    """
    path = Path(path)
    if models.stop > (available := count(path)):
        raise ZooError(
            f"{printable(path)}: holds {available:,} CNNs; write factory.{name}.models: {available}, or fewer."
        )
    members, rejected = [], {}
    read = small_cnn_zoo.members if small_cnn_zoo.is_one(path) else _members
    for label, take in read(path, models, network.shapes):
        try:
            members.append(_checked(Member(label, *take())))
        except Mismatch as error:
            rejected[label] = str(error)[:2000]
    if rejected:
        named = "\n".join(f"  {label}: {cause}" for label, cause in list(rejected.items())[: layer_names.MAX_NAMED])
        raise ZooError(f"{printable(path)}: {len(rejected)} of {len(models)} CNNs can't be used:\n{named}")
    arrays = {part: np.stack([member.weights[part] for member in members]) for part in network.shapes}
    arrays["model"] = np.arange(models.start, models.stop, dtype=np.int32)
    arrays["source/name"] = np.array([member.label for member in members])
    factors = _factors(members)
    arrays |= factors | _history(members)
    facts = {key: value for key, value in asdict(network).items() if key != "slower"}
    layout = small_cnn_zoo.LAYOUT if small_cnn_zoo.is_one(path) else _layout(path).kind
    files.write(
        output, "zoo", arrays, concept=name, classes=list(classes or map(str, range(network.classes))), network=facts,
        source={"path": printable(path), "layout": layout, "sha256": digest(path, models)},
    )  # fmt: skip
    listed = shown(factor.removeprefix("factors/") for factor in factors)
    say(f"{name}: {len(members)} CNNs imported from {printable(path)} ({layout}), with {listed}.")


def import_shard(
    path: Path,
    output: Path,
    concept: str,
    training: Mapping,
    models: Sequence[int],
    classes: Sequence[str],
    say: Callable[[str], None] = print,
) -> None:
    """What a rule calls to import some CNNs of a factory zoo; see `import_population`.

    Args:
        path: the population's folder.
        output: the zoo file.
        concept: the zoo's name.
        training: the zoo's settings; `network` is its architecture.
        models: the first index and the one after the last.
        classes: names of the classes, or none.
        say: takes a line about what was read.

    Raises:
        ZooError: as `import_population`.
    """
    network = Network(**dict(training["network"]) | {"layers": tuple(training["network"]["layers"])})
    import_population(path, output, name=concept, network=network, models=range(*models), classes=classes, say=say)


def digest(path: str | os.PathLike, models: range) -> str:
    """SHA-256 over what these CNNs are read from, as `imports.digest`.

    Raises:
        ZooError: as `count`.
    """
    if small_cnn_zoo.is_one(Path(path)):
        return small_cnn_zoo.digest(Path(path))
    layout = _layout(path)
    parameters = {
        member.name: _text(member / "params.json", 2**20)
        for member in layout.members[models.start : models.stop]
        if layout.kind == "trials"
    }
    return files.digest([imports.digest(path, models), parameters])


def _layout(path: str | os.PathLike) -> foreign_layouts.Layout:
    layout = foreign_layouts.find_zoo(path)
    if layout.kind == "HDF5":
        raise ZooError(
            f"{printable(Path(path))}: an HDF5, which holds no factors; name a folder with a file for each CNN."
        )
    return layout


_Taken = tuple[dict[str, np.ndarray], dict, int, dict]  # the fields of a Member but its label


def _members(path: Path, models: range, shapes: Mapping[str, tuple]) -> Iterator[tuple[str, Callable[[], _Taken]]]:
    layout = _layout(path)
    with foreign.reader():
        for place in models:
            member = layout.members[place]
            yield printable(member.name), lambda member=member: _read(layout, member, shapes)


def _read(layout: foreign_layouts.Layout, member: Path, shapes: Mapping[str, tuple]) -> _Taken:
    file = foreign_layouts.checkpoint(member) if layout.kind == "trials" else member
    request = {"path": os.fspath(file), "safetensors": layout.kind == "safetensors", "largest": MAX_FILE}
    values, _ = imports.ask("state", library="PyTorch", **request)
    tensors = {name: tuple(shape) for name, shape in values["tensors"]}
    names = ordered(tensors, shapes, natural_first=layout.kind == "safetensors")
    weights = imports.ask("take", names=names, library="PyTorch")[1]
    if layout.kind == "trials":
        number = int(re.sub(r"\D", "", file.parent.name))
        return weights, *_trial(member, number)
    facts = values.get("metadata", {})
    epochs = int(_number(facts.get("epochs", 1)) or 1)
    scores = {score: {epochs: value} for score, value in _named(facts, SCORES, _number).items()}
    return weights, _factors_of(facts), epochs, scores


def ordered(available: Mapping[str, tuple], shapes: Mapping[str, tuple], natural_first: bool = False) -> dict[str, str]:
    """Our name -> theirs, by name or by order.

    Args:
        available: their names -> shapes, in the file's order.
        shapes: our names -> shapes, in the network's order.
        natural_first: try names in natural order (2 before 10) before the file's, which safetensors sorts by letters.

    Raises:
        Mismatch: no order has the expected shapes; the message lists both.
    """
    if all(available.get(name) == shape for name, shape in shapes.items()) and len(available) == len(shapes):
        return {name: name for name in shapes}
    natural = sorted(available, key=_natural)
    orders = [natural, list(available)] if natural_first else [list(available), natural]
    for names in orders:
        # A layer's bias may come before its weight.
        layers = dict.fromkeys(name.rpartition(".")[0] for name in names)
        theirs = [
            f"{layer}.{part}" for layer in layers for part in ("weight", "bias") if f"{layer}.{part}" in available
        ]
        if len(theirs) == len(available) and [available[name] for name in theirs] == list(shapes.values()):
            return dict(zip(shapes, theirs, strict=True))
    have, want = (", ".join(f"{name} {shape}" for name, shape in of.items()) for of in (available, shapes))
    raise Mismatch(f"has another architecture: it holds {have[:1000] or 'nothing'}; expected {want}")


def _natural(name: str) -> list:
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]


def _trial(member: Path, number: int) -> tuple[dict, int, dict]:
    """Factors, epochs and scores of a trial whose last checkpoint has this number.

    ModelZoos and zoofuse count epochs from 1, after a line of the untrained CNN, and call that training_iteration;
    WeightCLIP's trainer counts from 0 and calls it epoch.
    """
    facts = _json(_text(member / "params.json", 2**20) or "{}")
    scores: dict[str, dict[int, float]] = {}
    epochs = number
    for line in _text(member / "result.json", _MAX_TEXT).splitlines():
        record = _json(line)
        iteration = _number(record.get("training_iteration"))
        epoch = iteration if iteration is not None else _number(record.get("epoch"))
        if epoch is None:
            continue
        if iteration is None:
            epoch, epochs = epoch + 1, number + 1
        for score, value in _named(record, SCORES, _number).items():
            if 1 <= epoch <= epochs:
                scores.setdefault(score, {})[int(epoch)] = value
    for score, values in scores.items():
        if score.endswith("accuracy") and max(values.values()) > 1:
            scores[score] = {epoch: value / 100 for epoch, value in values.items()}
    return _factors_of(facts), max(epochs, 1), scores


def _factors_of(facts: Mapping) -> dict[str, float | str]:
    words = _named(facts, {name: FACTORS[name] for name in FACTORS if name in WORDS}, str)
    numbers = _named(facts, {name: FACTORS[name] for name in FACTORS if name not in WORDS}, _number)
    return numbers | words


def _named(record: Mapping, names: Mapping[str, Sequence[str]], read: Callable) -> dict:
    """Ours -> value, read from the first of the names that a record has."""
    values = {}
    for ours, theirs in names.items():
        for name in theirs:
            if record.get(name) is not None and (value := read(record[name])) is not None:
                values[ours] = value
                break
    return values


def _number(value) -> float | None:
    """A finite number, also of text; None for anything else."""
    with contextlib.suppress(TypeError, ValueError, OverflowError):
        if not isinstance(value, bool) and math.isfinite(number := float(value)):
            return number
    return None


def _text(path: Path, most: int) -> str:
    try:
        return regular.read_regular(path, most).decode("utf-8", "replace")
    except (regular.NotRegular, OSError):
        return ""


def _json(text: str) -> dict:
    with contextlib.suppress(ValueError, RecursionError):
        if isinstance(record := json.loads(text), dict):
            return record
    return {}


def _checked(member: Member) -> Member:
    if bad := [name for name, values in member.weights.items() if not np.isfinite(values).all()]:
        raise Mismatch(f"contains NaN or Inf: {', '.join(bad)}")
    if "activation" in member.factors:
        activation = str(member.factors["activation"]).lower()
        activation = _SPELLINGS.get(activation, activation)
        if activation not in ACTIVATIONS:
            raise Mismatch(
                f"activation {printable(activation)} is unknown; these can be used: {', '.join(ACTIVATIONS)}"
            )
        member.factors["activation"] = activation
    return member


def _factors(members: Sequence[Member]) -> dict[str, np.ndarray]:
    """factors/<name> (n,) of those that every CNN has, epochs among them."""
    names = [name for name in FACTORS if all(name in member.factors for member in members)]
    arrays = {f"factors/{name}": np.array([member.factors[name] for member in members]) for name in names}
    return arrays | {"factors/epochs": np.array([member.epochs for member in members], float)}


def _history(members: Sequence[Member]) -> dict[str, np.ndarray]:
    """history/<score> (n, most epochs), NaN where a score is not known, of those that every CNN has."""
    most = max(member.epochs for member in members)
    arrays = {}
    for score in SCORES:
        if all(score in member.scores for member in members):
            values = np.full((len(members), most), np.nan)
            for row, member in enumerate(members):
                for epoch, value in member.scores[score].items():
                    values[row, epoch - 1] = value
            arrays[f"history/{score}"] = values
    return arrays
