"""What rules call to plot what CNNs predict. Unlike `jobs`, this imports torch, which takes seconds."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from zoofuse.core import csv_files, files, logs
from zoofuse.data import images as image_files
from zoofuse.data import joins
from zoofuse.evaluation import few_shot as probes
from zoofuse.evaluation import orders as image_orders
from zoofuse.evaluation import protocols, suspects
from zoofuse.report import figures
from zoofuse.zoo import zoo as zoo_files

SHEET = 48  # images of each two concepts


def suspects_figure(
    images: Sequence[Path], names: Sequence[str], inputs: Mapping[str, Path], table: Path, figure: Path
) -> None:
    """List and plot the positives of each concept that another concept's zoo is surest of.

    Args:
        images: the images files of those of a fusion's concepts that have images.
        names: all concepts, in their order.
        inputs: zoo_a, zoo_b, ...: a file of each concept's zoo.
        table, figure: what is written.
    """
    shown = {path.stem: files.read(path, "images", ["images", "labels", "names"]) for path in images}
    judges = [zoo_files.read([path]) for name, path in sorted(inputs.items()) if name.startswith("zoo_")]
    ranked = suspects.ranked(shown, dict(zip(names, judges, strict=True)))
    csv_files.write(table, ranked, float_format="%.4f")
    strips = []
    for (concept, other), rows in ranked.groupby(["concept", "other"], sort=False):
        rows = rows[:SHEET]
        title = f"Positives of {concept} that the zoo of {other} is surest of: {rows['probability'].iloc[0]:.2f} to "
        title += f"{rows['probability'].iloc[-1]:.2f}"
        strips.append((title, shown[concept]["images"][rows["row"]], SHEET // 3))
    figures.contact_sheet(strips, figure)


def orders_figure(
    zoo: Path, images: Path, models: int, orders: int, evaluation: dict, seed: int, table: Path, figure: Path
) -> None:
    """Evaluate CNNs as published, with the test images in other orders too.

    Args:
        zoo: CNNs of one method, of which the first `models` of each domain are evaluated.
        images: the test images.
        orders: how many besides the given one.
        evaluation: the configuration's block.
        seed: the run's.
        table, figure: what is written.
    """
    made = zoo_files.names(zoo)
    of_domain = [np.flatnonzero(made["domain"] == domain)[:models] for domain in np.unique(made["domain"])]
    few = files.read(zoo, "zoo", rows=np.concatenate(of_domain))
    test = image_files.read_test(images)
    truth = test["labels"] == 1
    measured = image_orders.ranges(image_orders.accuracies(few, test["images"], truth, evaluation, orders, seed))
    csv_files.write(table, measured, float_format="%.4f")
    figures.orders(measured, figure)


def few_shot(
    zoos: Sequence[Path],
    test_images: Path,
    fusion: str,
    images: Sequence[int],
    models: int,
    draws: int,
    seed: int,
    table: Path,
    figure: Path,
    threads: int = 1,
    say: Callable[[str], None] = print,
) -> None:
    """Write what so many labelled images of the conjunction are worth to every method's CNNs."""
    torch.set_num_threads(threads)
    test = image_files.read_test(test_images)
    validation = protocols.split(test["labels"], test["groups"], seed, fusion)
    shown = test["images"], test["labels"], validation, images
    how, rows = {"draws": draws, "seed": seed, "fusion": fusion}, []
    join = joins.of_test(test_images)
    with logs.bar(len(zoos), "methods", f"few-shot probes on {fusion}") as bar:
        for path in zoos:
            cnns = zoo_files.part(path, models)
            rows += probes.rows(path.stem, probes.of_cnns(cnns, *shown, say=say, join=join, **how), draws)
            bar.update()
    for method, scores in probes.without_cnn(*shown, **how):
        rows += probes.rows(method, scores, draws)
    frame = pd.DataFrame(rows, columns=probes.COLUMNS)
    figures.few_shot(frame, figure)
    csv_files.write(table, frame)
