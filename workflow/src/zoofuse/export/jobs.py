"""What rules call to export a method's CNN, and to score images by an exported one."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from zoofuse.core import cards, csv_files, files
from zoofuse.data import images as image_files
from zoofuse.data import joins
from zoofuse.evaluation import protocols, zero_shot
from zoofuse.export import models
from zoofuse.export import predict as predicting
from zoofuse.zoo import zoo as zoo_files

Say = Callable[[str], None]


def export_model(
    zoo: Path,
    images: Path,
    concepts: Sequence[Path],
    zero_shot_table: Path,
    leaderboard: Path,
    comparisons: Path,
    names: Sequence[str],
    fusion: str,
    method: str,
    probe_images: int,
    seed: int,
    outputs: Mapping[str, Path],
    threads: int = 1,
    say: Say = print,
) -> None:
    """Export one method's selected CNN: weights, configuration, ONNX and a model card."""
    torch.set_num_threads(threads)
    table = csv_files.read(zero_shot_table)
    choice = models.choose_cnn(table, csv_files.read(leaderboard), method)
    held = zoo_files.names(zoo)
    rows = np.flatnonzero((held["model"] == choice.model) & (held["domain"] == choice.domain))
    selected = models.select_cnn(files.read(zoo, "zoo", rows=rows), choice)
    shown = [zero_shot.read_concept(path, probe_images, seed) for path in concepts]
    test = image_files.read_test(images)
    validation = protocols.split(test["labels"], test["groups"], seed, fusion)
    join = joins.of_test(images)
    weights, threshold = models.with_heads(selected, choice, shown, test, validation, join)
    sources = {path.stem: files.fingerprint(path) for path in concepts}
    sources |= {"zoo": files.fingerprint(zoo), "test": files.fingerprint(images)}
    about = {"fusion": fusion, "method": method} | choice._asdict()
    about |= {"threshold": threshold, "seed": seed, "sources": sources}
    exported = models.configuration(weights, names, join, **about)
    model = models.Model({name: torch.from_numpy(values) for name, values in weights.items()}, exported)
    exported["test"] = models.measured(model, test["images"][~validation], test["labels"][~validation], seed)
    others = models.baselines(table, csv_files.read(comparisons), method, choice.head)
    used = [files.attributes(path, "images") for path in concepts] + [files.attributes(images, "test_images")]
    folder = outputs["config"].parent
    models.write(folder, weights, exported, models.card(exported, others, used))
    value, low, high = (cards.score(number) for number in exported["test"]["auroc"])
    say(f"{folder}: CNN {choice.domain}/{choice.model}, AUROC {value} ({low} to {high}) on the test split.")


def predict(
    inputs: Mapping[str, Path], folder: str, scores: Path, unreadable: Path, page: Path, threads: int, say: Say = print
) -> None:
    """Score every image of a folder by an exported model."""
    torch.set_num_threads(1)  # batches run in parallel threads
    model = models.load(inputs["config"].parent)
    predictions = predicting.predict(model, folder, threads=threads, say=say)
    paths = {"scores": scores, "unreadable": unreadable, "gallery": page}
    predicting.write(predictions, model, folder, **paths, threads=threads, say=say)
    yes = (predictions.scores["prediction"] == "yes").sum()
    say(f"{yes:,} of {len(predictions.scores):,} images are predicted yes: {page}")
