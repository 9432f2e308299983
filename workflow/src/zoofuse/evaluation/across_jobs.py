"""What rules call to fuse zoos of different architectures and to compare their features."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit

from zoofuse.core import csv_files, devices, files, intervals, logs, rng
from zoofuse.data import images as image_files
from zoofuse.evaluation import protocols, similarity, zero_shot
from zoofuse.methods import distil, merging, registry
from zoofuse.models import cnn
from zoofuse.models.architectures import trunk
from zoofuse.settings.training import Distil
from zoofuse.zoo import align, training
from zoofuse.zoo import zoo as zoo_files

KIND = "across"
# What weights are merged by -> the method that says where this applies.
MERGED = {"average": "average", "average_aligned": "repair", "repair": "repair"}

Say = Callable[[str], None]
Zoo = dict[str, np.ndarray]


def zoo(
    images: Path,
    fusion: str,
    side: str,
    architecture: str,
    recipe: Mapping,
    counts: Mapping[str, int],
    seed: int,
    output: Path,
    device: str,
    threads: int,
    say: Say = print,
) -> None:
    """Train the zoos of one concept and architecture, one after another in one zoo file.

    Args:
        images: the concept's.
        fusion, side, architecture, seed: what random numbers depend on.
        recipe: settings of training.
        counts: seeds, the zoos; models, the CNNs of each.
        output: the zoo file to write.
        device, threads: to train on.
        say: takes a line on the way in which they are trained.
    """
    data, settings = training.Data(**image_files.read_concept(images)), training.Settings(**recipe)
    backend, why = training.choose_backend(settings, device := devices.choose_device(device))
    say(f"Training by {why}")
    models = np.arange(counts["seeds"] * counts["models"])
    with logs.bar(len(models), "CNNs", f"{fusion} {side} {architecture}") as bar:
        trained = training.train(
            *(data, settings, seed, f"across/{fusion}/{side}/{architecture}", models),
            backend=backend, device=device, threads=threads, progress=lambda cnns, _: bar.update(cnns),
        )  # fmt: skip
    arrays = trained.weights | {f"history/{name}": values for name, values in trained.history.items()}
    sources = [files.fingerprint(images)]
    about = {"settings": dict(recipe), "counts": dict(counts), "seed": seed, "backend": backend, "sources": sources}
    files.write(output, "zoo", arrays | {"model": models.astype(np.int32)}, **about)


def cell(
    zoos: Sequence[Path],
    images: Sequence[Path],
    test: Path,
    fusion: str,
    one: str,
    other: str,
    counts: Mapping[str, int],
    students: Sequence[str],
    settings: Mapping,
    seed: int,
    output: Path,
    device: str,
    threads: int,
    say: Say = print,
) -> None:
    """Fuse zoos of two architectures in every way that applies, seed by seed, and score the test images.

    Args:
        zoos: of concept a and of concept b.
        images: of both concepts.
        test: the fusion's test images.
        fusion, seed: what random numbers depend on.
        one, other: architectures of concept a's zoos and of concept b's.
        counts: as `zoo` takes them.
        students: architectures of distilled CNNs.
        settings: of distil.
        output: the file to write, kind "across": labels (m,), scores/METHOD (seeds, m), the students' weights as
            STUDENT/..., and as the attribute `reasons` method -> why it does not apply.
        device, threads: to train on.
        say: takes a line for what does not apply.
    """
    parents = {side: zoo_files.read([path]) for side, path in zip("AB", zoos, strict=True)}
    data = {side: training.Data(**image_files.read_concept(path)) for side, path in zip("AB", images, strict=True)}
    shown, recipe = image_files.read_test(test), Distil(**settings)
    how = {"device": devices.choose_device(device), "threads": threads}
    reasons = {merged: registry.not_applicable(method, (one, other), one) for merged, method in MERGED.items()}
    for method, reason in reasons.items():
        if reason:
            say(f"{fusion}, {one} and {other}: {method}: not applicable: {reason}.")
    scores: dict[str, list[np.ndarray]] = {}
    trained: dict[str, list[Zoo]] = {}
    with logs.bar(counts["seeds"], "seeds", f"fusing {one} and {other}") as bar:
        for at in range(counts["seeds"]):
            rows = slice(at * counts["models"], (at + 1) * counts["models"])
            both = {side: {name: values[rows] for name, values in of.items()} for side, of in parents.items()}
            predicted = together(both, shown["images"])
            names = (f"across/{fusion}", one, other, at)
            teachers = {side: {name: of[name] for name in _parameters(of)} for side, of in both.items()}
            inputs, targets = distil.training_images(teachers, data, recipe, seed, *names)
            for student in students:
                stream = "/".join(map(str, (*names, "student", student)))
                made = distil.students(
                    *(inputs, targets, "AB", np.zeros(1, np.int32), recipe, seed, stream), architecture=student, **how
                )
                trained.setdefault(student, []).append(made)
                predicted[f"student {student}"] = by_heads(made, shown["images"])[0]
            predicted |= merged(both, shown["images"], reasons, seed, fusion)
            for method, values in predicted.items():
                scores.setdefault(method, []).append(values)
            bar.update()
    arrays = {f"scores/{method}": np.stack(values).astype(np.float32) for method, values in scores.items()}
    for student, made in trained.items():
        arrays |= {f"{student}/{name}": np.concatenate([of[name] for of in made]) for name in made[0]}
    sources = [files.fingerprint(path) for path in (*zoos, *images, test)]
    about = {"fusion": fusion, "architectures": [one, other], "students": list(students), "reasons": reasons}
    files.write(output, KIND, arrays | {"labels": shown["labels"]}, **about, seed=seed, sources=sources)


def together(parents: Mapping[str, Zoo], images: np.ndarray) -> dict[str, np.ndarray]:
    """What the parents predict together.

    Args:
        parents: domain -> a zoo's CNNs, with their histories.
        images: uint8 (m, 32, 32, 3).

    Returns:
        product (m,): of each zoo the CNN that is best on its validation images, the probabilities multiplied;
        ensemble (m,): the mean probability of each zoo, multiplied.
    """
    probabilities = [expit(zero_shot.zoo_logits(of, images)) for of in parents.values()]
    best = [int(np.argmax(zoo_files.validation(of))) for of in parents.values()]
    return {
        "product": np.prod([of[row] for of, row in zip(probabilities, best, strict=True)], axis=0),
        "ensemble": np.prod([of.mean(0) for of in probabilities], axis=0),
    }


def by_heads(cnns: Zoo, images: np.ndarray) -> np.ndarray:
    """(n, m): the product of the probabilities of CNNs' own heads, for uint8 images (m, 32, 32, 3)."""
    features = protocols.features(cnns | {"model": np.arange(len(cnns["fc_a.bias"]))}, images)
    return np.prod([zero_shot.probability(head, features) for head in zero_shot.own_heads(cnns)], axis=0)


def merged(
    parents: Mapping[str, Zoo], images: np.ndarray, reasons: Mapping[str, str], seed: int, fusion: str
) -> dict[str, np.ndarray]:
    """What CNNs predict whose weights are the mean of both zoos' first CNNs, as far as that applies.

    Args:
        parents: domain -> a zoo's CNNs.
        images: uint8 (m, 32, 32, 3).
        reasons: of MERGED -> why it does not apply, or "".
        seed, fusion: what the images that REPAIR measures on depend on.

    Returns:
        Method -> scores (m,).
    """
    firsts = {side: {name: of[name][:1] for name in _parameters(of)} for side, of in parents.items()}
    found = {}
    if not reasons["average"]:
        found["average"] = by_heads(_average(*firsts.values()), images)[0]
    if not reasons["repair"]:
        a, b = firsts.values()
        pair = a, align.align(b, {name: values[0] for name, values in a.items()})
        mean = _average(*pair)
        found["average_aligned"] = by_heads(mean, images)[0]
        leaves = distil.leaves(merging.IMAGES, seed, fusion, "repair")
        found["repair"] = by_heads(mean | merging.repaired(mean, list(pair), leaves), images)[0]
    return found


def _average(a: Zoo, b: Zoo) -> Zoo:
    heads = {f"fc_{side}.{part}": of[f"fc1.{part}"] for side, of in (("a", a), ("b", b)) for part in ("weight", "bias")}
    return {name: (a[name] + b[name]) / 2 for name in trunk(a)} | heads


def _parameters(of: Zoo) -> list[str]:
    return [*trunk(of), "fc1.weight", "fc1.bias"]


def similarities(
    a: Sequence[Path],
    b: Sequence[Path],
    cells: Sequence[Path],
    test: Path,
    fusion: str,
    counts: Mapping[str, int],
    how: Mapping[str, int],
    concepts: Sequence[str],
    seed: int,
    output: Path,
) -> None:
    """Write how alike the features of parents, students and untrained networks are.

    Args:
        a, b: the zoos of each concept.
        cells: of `cell`.
        test: the fusion's test images.
        fusion, seed: what the images and untrained networks depend on.
        counts: as `zoo` takes them.
        how: compared, test images that are taken; neighbours, of mutual nearest neighbours.
        concepts: names of both.
        output: a table of fusion, measure, one, other, value, control, low, high and n: the mean over seeds and its
            95 % interval (Student's t). The control is the mean where `other` saw the images in another order.
    """
    shown = image_files.read_test(test)
    halves = [np.flatnonzero(shown["labels"] == label)[: max(1, how["compared"] // 2)] for label in (1, 0)]
    images = shown["images"][np.concatenate(halves)]
    order = rng.permutation(len(images), seed, "across", fusion, "control")
    spaces: dict[str, Sequence[np.ndarray]] = {}  # name -> for each seed (m, f)
    kinds = []
    for concept, paths in zip(concepts, (a, b), strict=True):
        for path in paths:
            kind, arrays = files.attributes(path, "zoo")["settings"]["architecture"], zoo_files.read([path])
            first = {name: values[:: counts["models"]] for name, values in arrays.items()}
            spaces[f"{concept} {kind}"] = protocols.features(first, images)
            kinds.append(kind)
    for path in cells:
        about, arrays = files.attributes(path, KIND), files.read(path, KIND)
        for student in about["students"]:
            own = {n.removeprefix(f"{student}/"): v for n, v in arrays.items() if n.startswith(f"{student}/")}
            name = f"student {student} of {' and '.join(about['architectures'])}"
            spaces[name] = protocols.features(own | {"model": np.arange(counts["seeds"])}, images)
    for kind in dict.fromkeys(kinds):
        models = np.arange(counts["seeds"])
        weights = cnn.initial_weights(cnn.ARCHITECTURES[kind], seed, f"across/{fusion}/random", models)
        spaces[f"random {kind}"] = protocols.features(weights | {"model": models}, images)
    spaces = {name: [similarity.turned(of_seed) for of_seed in of] for name, of in spaces.items()}
    rows = []
    for one, other in itertools.combinations(spaces, 2):
        for measure, of in similarity.MEASURES.items():
            more = {"neighbours": min(how["neighbours"], len(images) - 1)} if measure == "mutual_neighbours" else {}
            pairs = list(zip(spaces[one], spaces[other], strict=True))
            values = np.array([of(x, y, **more) for x, y in pairs])
            control = np.mean([of(x, y[order], **more) for x, y in pairs])
            value, low, high = intervals.over_repetitions(values, -1, 1)
            row = {"fusion": fusion, "measure": measure, "one": one, "other": other, "value": value}
            rows.append(row | {"control": control, "low": low, "high": high, "n": len(values)})
    csv_files.write(output, pd.DataFrame(rows).round(4))
