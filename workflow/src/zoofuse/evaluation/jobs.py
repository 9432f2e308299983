"""What rules call to write the tables of a fusion."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from zoofuse.core import csv_files, files, logs
from zoofuse.evaluation import leaderboard as ranking
from zoofuse.evaluation import tables as of_clusterers
from zoofuse.zoo import align, zoo


def clusterer_table(predictions: Sequence[Path], held_out: str, clusterer: str, output: Path) -> None:
    """Write all CNNs' rows of one clusterer; held_out: "held_out_", or "" for the published protocol."""
    protocol = "held_out" if held_out else "published"
    csv_files.write(output, of_clusterers.clusterer_table(predictions, protocol, clusterer))


def leaderboard(predictions: Sequence[Path], seed: int, outputs: Mapping[str, Path]) -> None:
    """Write leaderboard, comparisons, zero_shot, selection and groups."""
    for name, table in ranking.tables(predictions, seed).items():
        csv_files.write(outputs[name], table)


def summary_table(tables: Sequence[Path], output: Path) -> None:
    """Write what each method reaches, by clusterer."""
    csv_files.write(output, of_clusterers.summary({path.stem: csv_files.read(path) for path in tables}))


def published_table(table: Path, published: Path, output: Path) -> None:
    """Write the published rows beside this run's."""
    csv_files.write(output, of_clusterers.beside_published(csv_files.read(table), published))


def search_table(tables: Sequence[Path], output: Path) -> None:
    """Write the search's tables of all methods as one."""
    csv_files.write(output, pd.concat([csv_files.read(path) for path in tables]))


def nearest_parent(inputs: dict, zoos: Sequence[Path], models: int, fusion: str, output: Path) -> None:
    """Write how far every method's CNNs are from the nearest parent: a copy is not a fusion."""
    generated = {path.stem: files.read(path, "zoo") for path in zoos}
    parents = {name.replace("zoo", "parent"): zoo.read(paths) for name, paths in inputs.items() if name != "zoos"}
    rows = []
    with logs.bar(None, "domains", f"nearest parents on {fusion}") as bar:
        for row in align.nearest_rows(generated, parents, models):
            rows.append(row)
            bar.update()
    csv_files.write(output, pd.DataFrame(rows, columns=align.NEAREST).round(4))
