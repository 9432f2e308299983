"""The tables and the figure of fusions from zoos of every two architectures."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from zoofuse.core import csv_files, files, intervals
from zoofuse.evaluation.across_jobs import KIND
from zoofuse.report.canvas import Path, canvas, plain

KEYS = ["fusion", "architecture_a", "architecture_b", "student", "method"]
SHOWN = 9  # feature spaces beside each other in the figure


def tables(
    cells: Sequence[Path],
    similarities: Sequence[Path],
    outputs: Mapping[str, Path],
    say: Callable[[str], None] = print,
) -> None:
    """Write the table of all cells, that of all similarities, and the figure.

    Args:
        cells: of `across_jobs.cell`.
        similarities: of `across_jobs.similarities`.
        outputs: "across", "similarity" and "figure".
        say: takes a sentence for each fusion and architecture of students.
    """
    every = across(cells)
    alike = pd.concat([csv_files.read(path) for path in similarities], ignore_index=True)
    csv_files.write(outputs["across"], every.round(4))
    csv_files.write(outputs["similarity"], alike)
    figure(every, alike, outputs["figure"])
    for (fusion, student), own in every[every["method"] == "student"].groupby(["fusion", "student"], sort=False):
        mixed = own[own["architecture_a"] != own["architecture_b"]]
        worst = mixed.loc[mixed["minus_same"].idxmin()] if mixed["minus_same"].notna().any() else None
        if worst is not None:
            say(
                f"{fusion}, {student} students: from zoos of two architectures AUROC {mixed['auroc'].mean():.3f} (mean "
                f"of {len(mixed)} cells); the worst, {worst['architecture_a']} and {worst['architecture_b']}, minus "
                f"the same-architecture fusion: {worst['minus_same']:+.3f} ({worst['minus_low']:+.3f} to "
                f"{worst['minus_high']:+.3f})."
            )


def across(cells: Sequence[Path]) -> pd.DataFrame:
    """A row for each two architectures, student and method.

    Args:
        cells: of `across_jobs.cell`.

    Returns:
        KEYS, n (seeds), auroc, low, high, minus_same, minus_low, minus_high, note. The mean AUROC over seeds and its
        95 % interval (Student's t); its difference, seed by seed, from the student of two zoos of the student's own
        architecture, which is also the row same_architecture. Methods that do not apply have n = 0 and say why.
    """
    aurocs, reasons = {}, {}
    for path in cells:
        about, arrays = files.attributes(path, KIND), files.read(path, KIND)
        key = (about["fusion"], *about["architectures"])
        truth = arrays["labels"] == 1
        aurocs[key] = {
            name.removeprefix("scores/"): intervals.auroc(values, truth)
            for name, values in arrays.items()
            if name.startswith("scores/")
        }
        reasons[key] = {method: why for method, why in about["reasons"].items() if why}
    rows = []
    for key, of in aurocs.items():
        for student in (name.removeprefix("student ") for name in of if name.startswith("student ")):
            same = aurocs.get((key[0], student, student), {}).get(f"student {student}")
            methods = {"student": of[f"student {student}"]}
            methods |= {} if same is None else {"same_architecture": same}
            methods |= {name: values for name, values in of.items() if not name.startswith("student ")}
            for method, values in methods.items():
                row = dict(zip(KEYS, (*key, student, method), strict=True)) | {"n": len(values)}
                row |= dict(zip(("auroc", "low", "high"), intervals.over_repetitions(values, 0, 1), strict=True))
                minus = [np.nan] * 3 if same is None else intervals.over_repetitions(values - same)
                rows.append(row | dict(zip(("minus_same", "minus_low", "minus_high"), minus, strict=True)))
            rows += [
                dict(zip(KEYS, (*key, student, method), strict=True)) | {"n": 0, "note": f"not applicable: {why}"}
                for method, why in reasons[key].items()
            ]
    columns = [*KEYS, "n", "auroc", "low", "high", "minus_same", "minus_low", "minus_high", "note"]
    return pd.DataFrame(rows).reindex(columns=columns)


def figure(every: pd.DataFrame, alike: pd.DataFrame, path: Path) -> None:
    """AUROC of every two architectures' students, and the similarity of feature spaces (CKA).

    Args:
        every: of `across`.
        alike: rows of `across_jobs.similarities`.
        path: PNG or SVG.
    """
    own = every[every["method"] == "student"]
    groups = list(own.groupby(["fusion", "student"], sort=False))
    with canvas(path, 3.2 * len(groups)) as drawn:
        axes = drawn.subplots(len(groups), 2, squeeze=False)
        for (left, right), ((fusion, student), part) in zip(axes, groups, strict=True):
            table = part.pivot(index="architecture_a", columns="architecture_b", values="auroc")
            kinds = list(dict.fromkeys(part["architecture_a"]))
            _matrix(left, table.loc[kinds, kinds].to_numpy(), kinds, kinds)
            left.set_title(f"{plain(fusion)}: AUROC of {student} students")
            left.set_ylabel("zoo of the first concept")
            left.set_xlabel("zoo of the second concept")
            names, values = _spaces(alike[(alike["fusion"] == fusion) & (alike["measure"] == "cka")])
            _matrix(right, values, names, names)
            right.set_title("similarity of features (CKA)")


def _spaces(rows: pd.DataFrame) -> tuple[list[str], np.ndarray]:
    """The parents' and untrained networks' similarities as a matrix."""
    names = [name for name in dict.fromkeys([*rows["one"], *rows["other"]]) if not name.startswith("student ")][:SHOWN]
    values = np.eye(len(names))
    for _, row in rows.iterrows():
        if row["one"] in names and row["other"] in names:
            i, j = names.index(row["one"]), names.index(row["other"])
            values[i, j] = values[j, i] = row["value"]
    return names, values


def _matrix(axis, values: np.ndarray, rows: Sequence[str], columns: Sequence[str]) -> None:
    axis.imshow(values, cmap="cividis", vmin=0, vmax=1)
    axis.set_yticks(range(len(rows)), map(plain, rows))
    axis.set_xticks(range(len(columns)), map(plain, columns), rotation=30, ha="right")
    for (i, j), value in np.ndenumerate(values):
        axis.text(j, i, f"{value:.2f}", ha="center", va="center", color="black" if value > 0.6 else "white", fontsize=7)
    axis.grid(False)
