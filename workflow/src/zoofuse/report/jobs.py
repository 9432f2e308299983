"""What rules call to plot the figures of a run."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from zoofuse.core import csv_files, files
from zoofuse.data import images as image_files
from zoofuse.evaluation import orders as image_orders
from zoofuse.evaluation import suspects
from zoofuse.evaluation import tables as of_clusterers
from zoofuse.methods import kernels
from zoofuse.report import figures, kernel_figures
from zoofuse.zoo import zoo

SHOWN = 4  # kernels of each domain
SHEET = 48  # images of each two concepts


def zoo_figures(
    shards: Sequence[Path], table: Path, histogram: Path, curves: Path, say: Callable[[str], None] = print
) -> None:
    """Write how well each concept's CNNs learned, and how many are degenerate."""
    histories = {}
    for concept, paths in itertools.groupby(shards, lambda path: path.parent.name):
        own = list(paths)
        zoo.tell_mixed(own, concept, say)
        histories[concept] = of_clusterers.zoo_history(own)
    csv_files.write(table, of_clusterers.zoo_table(histories))
    figures.zoo_histogram(histories, histogram)
    figures.zoo_curves(histories, curves)


def example_figure(concepts: Sequence[Path], tests: Sequence[Path], output: Path) -> None:
    """Plot some of the training and test images."""
    sets = {path.stem: image_files.read_concept(path) for path in concepts}
    sets |= {f"{path.stem} (test)": image_files.read_test(path) for path in tests}
    figures.examples({name: (one["images"], one["labels"]) for name, one in sets.items()}, output)


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
    judges = [zoo.read([path]) for name, path in sorted(inputs.items()) if name.startswith("zoo_")]
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
    made = files.read(zoo, "zoo")
    of_domain = [np.flatnonzero(made["domain"] == domain)[:models] for domain in np.unique(made["domain"])]
    few = {name: values[np.concatenate(of_domain)] for name, values in made.items()}
    test = image_files.read_test(images)
    truth = test["labels"] == 1
    measured = image_orders.ranges(image_orders.accuracies(few, test["images"], truth, evaluation, orders, seed))
    csv_files.write(table, measured, float_format="%.4f")
    figures.orders(measured, figure)


def method_figure(tables: Sequence[Path], published: Sequence[Path], output: Path) -> None:
    """Plot every CNN's accuracy by method and clusterer."""
    ours = {path.stem: csv_files.read(path) for path in tables}
    figures.methods(ours, output, {path.stem: of_clusterers.published(path) for path in published})


def cyclegan_figure(histories: Sequence[Path], output: Path) -> None:
    """Plot how the CycleGANs' losses and measures went."""
    read = {path.parent.name: csv_files.read(path).set_index("epoch") for path in histories}
    arrays = {name: {column: table[column].to_numpy() for column in table} for name, table in read.items()}
    kernel_figures.cyclegan_curves(arrays, output)


def kernel_figure(bank: Path, generated: Path, layer: str, names: Sequence[str], output: Path) -> None:
    """Plot some kernels before and after translation."""
    of_domain = kernels.read(bank)
    first, last = min(of_domain), max(of_domain)
    translated = files.read(generated, "zoo", [f"{layer}.weight", "domain"])
    to_a, to_b = (translated[f"{layer}.weight"][translated["domain"] == domain][:SHOWN] for domain in (first, last))
    ends = names[0], names[-1]
    kernel_figures.kernels(of_domain[first][:SHOWN], to_b, of_domain[last][:SHOWN], to_a, output, ends)
