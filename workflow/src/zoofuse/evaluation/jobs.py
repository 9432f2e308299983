"""What rules call to write the tables of a fusion."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from zoofuse.core import csv_files, logs
from zoofuse.evaluation import leaderboard as ranking
from zoofuse.evaluation import tables as of_clusterers
from zoofuse.zoo import align, zoo


def clusterer_tables(predictions: Sequence[Path], outputs: Mapping[str, Path]) -> None:
    """Write all CNNs' rows of each clusterer, by both protocols, and what each method reaches as published.

    Args:
        predictions: of all methods and baselines.
        outputs: "kmeans", "held_out_kmeans" and so on, and "summary".
    """
    for clusterer in of_clusterers.CLUSTERERS:
        for prefix, protocol in (("", "published"), ("held_out_", "held_out")):
            table = of_clusterers.clusterer_table(predictions, protocol, clusterer)
            csv_files.write(outputs[f"{prefix}{clusterer}"], table)
    published = {clusterer: csv_files.read(outputs[clusterer]) for clusterer in of_clusterers.CLUSTERERS}
    csv_files.write(outputs["summary"], of_clusterers.summary(published))


def leaderboard(predictions: Sequence[Path], seed: int, outputs: Mapping[str, Path]) -> None:
    """Write leaderboard, comparisons, zero_shot, selection and groups."""
    for name, table in ranking.tables(predictions, seed).items():
        csv_files.write(outputs[name], table)


def published_tables(tables: Sequence[Path], published: Sequence[Path], beside: Sequence[Path]) -> None:
    """Write the published rows beside this run's; all three go through the clusterers in the same order."""
    for table, theirs, output in zip(tables, published, beside, strict=True):
        csv_files.write(output, of_clusterers.beside_published(csv_files.read(table), theirs))


def search_table(tables: Sequence[Path], output: Path) -> None:
    """Write the search's tables of all methods as one."""
    csv_files.write(output, pd.concat([csv_files.read(path) for path in tables]))


def nearest_parent(
    inputs: dict, zoos: Sequence[Path], models: int, fusion: str, output: Path, say: Callable[[str], None] = print
) -> None:
    """Write how far every method's CNNs are from the nearest parent: a copy is not a fusion.

    Rows with n = 0 are of CNNs that no parent has the architecture of: the distance is not applicable.
    """
    generated = {path.stem: zoo.part(path, models) for path in zoos}
    parents = {name.replace("zoo", "parent"): zoo.Stored(paths) for name, paths in inputs.items() if name != "zoos"}
    rows = []
    with logs.bar(None, "domains", f"nearest parents on {fusion}") as bar:
        for row in align.nearest_rows(generated, parents, models):
            rows.append(row)
            bar.update()
    odd = [name for name, cnns in generated.items() if not any(align.alike(cnns, of) for of in parents.values())]
    if odd:
        say(f"{fusion}: {', '.join(odd)}: distance not applicable: no parent has the architecture of these CNNs.")
    rows += [dict(zip(align.NEAREST, (name, "-", 0, np.nan, np.nan), strict=True)) for name in odd]
    csv_files.write(output, pd.DataFrame(rows, columns=align.NEAREST).round(4))
