"""What rules call to plot the figures of a run."""

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

from zoofuse.core import csv_files, files
from zoofuse.data import images
from zoofuse.evaluation import tables as of_clusterers
from zoofuse.methods import kernels
from zoofuse.report import figures, kernel_figures
from zoofuse.zoo import zoo

SHOWN = 4  # kernels of each domain


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
    sets = {path.stem: images.read_concept(path) for path in concepts}
    sets |= {f"{path.stem} (test)": images.read_test(path) for path in tests}
    figures.examples({name: (one["images"], one["labels"]) for name, one in sets.items()}, output)


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
