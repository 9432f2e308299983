"""What rules call to write what CNNs, baselines and other classifiers predict for a fusion's test images.

`images` is the fusion's file of test images, `concepts` the images files of its concepts.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from zoofuse.core import devices, files, logs
from zoofuse.data import images as image_files
from zoofuse.data import joins
from zoofuse.evaluation import baselines, combinations, foreign_predictions, predictions, protocols, zero_shot
from zoofuse.native import build
from zoofuse.settings.evaluation import ZeroShot
from zoofuse.settings.training import Recipe
from zoofuse.zoo import zoo as zoo_files

Say = Callable[[str], None]


def evaluate_shard(
    zoo: Path,
    images: Path,
    method: str,
    fusion: str,
    shard: str,
    part: Mapping,
    held_out: int | None,
    evaluation: Mapping,
    seed: int,
    output: Path,
    say: Say = print,
) -> None:
    """Evaluate some CNNs of one method by the published and the held-out protocol."""
    cnns, held = zoo_files.part(zoo, **part), None if held_out is None else protocols.first(zoo, held_out)
    test = image_files.read_test(images)
    about = protocols.test_images(test, seed, fusion)
    rows, arrays = [], []
    with logs.bar(len(cnns["model"]), "CNNs", f"evaluating {method} {shard}") as bar:
        evaluated = protocols.evaluate_zoo(cnns, test["images"], about.truth, about.validation, evaluation, held, say)
        for scores, behind in evaluated:
            rows += [{"method": method} | row for row in scores]
            arrays.append({"method": method} | behind)
            bar.update()
    sources = {"zoo": files.fingerprint(zoo), "images": files.fingerprint(images)}
    made = {"settings": evaluation, "sources": sources, "instruction_set": build.instruction_set()}
    predictions.write_evaluated(output, rows, arrays, about, **made)


def evaluate_references(images: Path, fusion: str, evaluation: Mapping, seed: int, output: Path) -> None:
    """Evaluate baselines without a CNN by the same protocols."""
    test = image_files.read_test(images)
    about = protocols.test_images(test, seed, fusion)
    rows, arrays = [], []
    for method, scores, behind in baselines.references(test["images"], about.truth, about.validation, evaluation):
        named = {"method": method, "domain": predictions.NO_DOMAIN, "model": 0}
        rows += [named | row for row in scores]
        arrays.append(named | behind)
    sources = {"images": files.fingerprint(images)}
    predictions.write_evaluated(output, rows, arrays, about, settings=evaluation, sources=sources)


def zero_shot_shard(
    zoo: Path,
    images: Path,
    concepts: Sequence[Path],
    method: str,
    fusion: str,
    part: Mapping,
    probe_images: int,
    seed: int,
    output: Path,
    threads: int = 1,
    say: Say = print,
) -> None:
    """Write what the heads of some CNNs of one method predict."""
    torch.set_num_threads(threads)
    cnns = zoo_files.part(zoo, **part)
    shown = [zero_shot.read_concept(path, probe_images, seed) for path in concepts]
    test = image_files.read_test(images)
    predicted = zero_shot.predict(cnns, shown, test["images"], say, joins.of_test(images))
    about = protocols.test_images(test, seed, fusion)
    sets = []
    for head in dict.fromkeys(name.split("/")[0] for name in predicted):
        measures = {name: predicted[f"{head}/{name}"] for name in ("scores", "validation", "threshold")}
        sets.append(predictions.zero_shot(method, head, about, cnns["model"], cnns["domain"], **measures))
    sources = {"zoo": files.fingerprint(zoo), "images": files.fingerprint(images)}
    sources["concepts"] = [files.fingerprint(path) for path in concepts]
    predictions.write(output, about, sets, probe_images=probe_images, seed=seed, sources=sources)


def zero_shot_references(
    inputs: Mapping[str, Path | Sequence[Path]],
    images: Path,
    concepts: Sequence[Path],
    fusion: str,
    settings: Mapping,
    recipe: Mapping,
    architecture: str,
    seed: int,
    output: Path,
    device: str,
    threads: int = 1,
    say: Say = print,
) -> None:
    """Write what zero-shot predictions are measured against.

    The parents together, no CNN, and the oracle: CNNs trained on the conjunction itself. `inputs` has the files of
    each zoo by the letter of its concept.
    """
    torch.set_num_threads(threads)
    chosen, test = ZeroShot(**settings), image_files.read_test(images)
    shown = [zero_shot.read_concept(path, chosen.probe_images, seed) for path in concepts]
    zoos = {side: paths for side, paths in inputs.items() if side not in ("images", "concepts")}
    cnns = {side: zoo_files.Stored(paths) for side, paths in zoos.items()}
    join = joins.of_test(images)
    parents = combinations.parents(cnns, shown, test["images"], seed, fusion, chosen, join)
    about = protocols.test_images(test, seed, fusion)
    predicted = {(method, "own"): scored for method, scored in parents.items()}
    if shown:
        without = zero_shot.without_cnn(shown, test["images"], join)
        predicted |= {(method, "probe"): scored for method, scored in without.items()}
    if chosen.supervised:
        say(f"{fusion}: training {chosen.supervised} CNNs on {about.validation.sum()} of its test images: the oracle.")
        predicted["supervised", "own"] = zero_shot.supervised(
            test["images"],
            test["labels"],
            about.validation,
            models=chosen.supervised,
            folds=chosen.supervised_folds,
            recipe=Recipe(**recipe),
            architecture=architecture,
            seed=seed,
            fusion=fusion,
            device=devices.choose_device(device),
            threads=threads,
        )
    sets = [predictions.zero_shot(*key, about, **scored) for key, scored in sorted(predicted.items())]
    sources = {
        side: [files.fingerprint(path) for path in paths] for side, paths in (zoos | {"concepts": concepts}).items()
    }
    sources["images"] = files.fingerprint(images)
    made = {"settings": settings, "recipe": recipe, "architecture": architecture, "seed": seed, "sources": sources}
    predictions.write(output, about, sets, **made)


def list_test_images(images: Path, fusion: str, seed: int, table: Path, folder: Path) -> None:
    """Write the test images for other classifiers: their names, labels and halves, and the images themselves."""
    import pandas as pd  # here, as the jobs of all shards import this module

    from zoofuse.core import csv_files

    test = image_files.read_test(images)
    about = protocols.test_images(test, seed, fusion)
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{i:06d}.png" for i in range(len(about))]  # theirs may hold what no file's name can
    for image, name in zip(test["images"], names, strict=True):
        Image.fromarray(image).save(folder / name)
    halves = ["validation" if held else "test" for held in about.validation]
    columns = {"image": about.names, "label": about.labels, "group": about.groups, "half": halves}
    columns["file"] = [f"{folder.name}/{name}" for name in names]
    csv_files.write(table, pd.DataFrame(columns))


def import_predictions(
    scores: Path, images: Path, fusion: str, name: str, seed: int, output: Path, say: Say = print
) -> None:
    """Write somebody else's predictions, checked and put in the images' order."""
    about = protocols.test_images(image_files.read_test(images), seed, fusion)
    wanted = f"results/test_images/{fusion}.csv (snakemake {'results/test_images/' + fusion}.csv)"
    matched = foreign_predictions.matched(foreign_predictions.read(scores), about.names.tolist(), scores, wanted)
    digest = hashlib.sha256(scores.read_bytes()).hexdigest()
    sources = {"predictions": digest, "images": files.fingerprint(images)}
    predictions.write(output, about, foreign_predictions.sets(name, matched, about), sources=sources)
    say(f"{name}: scores of {len(matched):,} classifiers for {len(about):,} test images of {fusion}.")


def search(
    zoo: Path,
    images: Path,
    concepts: Sequence[Path],
    method: str,
    fusion: str,
    models: int,
    probe_images: int,
    evaluation: Mapping,
    seed: int,
    output: Path,
) -> None:
    """Look for better embedding and clusterer parameters for one method, on validation images."""
    from zoofuse.core import csv_files
    from zoofuse.evaluation import search as searching

    cnns = zoo_files.part(zoo, models)
    test = image_files.read_test(images)
    validation = protocols.split(test["labels"], test["groups"], seed, fusion)
    weights = [None] * len(cnns["model"])
    if shown := [zero_shot.read_concept(path, probe_images, seed) for path in concepts]:
        probes = [zero_shot.fit_probe(protocols.features(cnns, c.images), c.labels).weight for c in shown]
        # Each probe in units of its own, or the one that is surer would decide.
        weights = list(sum(np.abs(w) / np.maximum(np.abs(w).mean(1, keepdims=True), 1e-12) for w in probes))
    features, truth = protocols.features(cnns, test["images"]), test["labels"] == 1
    with logs.bar(len(weights), "CNNs", f"searching for {method}") as bar:
        table = searching.search(method, features, weights, truth, validation, evaluation, seed, bar.update)
    csv_files.write(output, table)
