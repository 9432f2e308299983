"""The tables and the figure of many tasks: what each way reaches on tasks that nothing was trained on."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from zoofuse.core import csv_files
from zoofuse.evaluation import task_tables
from zoofuse.report.canvas import ACCENT, BLUE, GREY, INK, Path, canvas, plain


def tables(tables: Sequence[Path], outputs: Mapping[str, Path], say: Callable[[str], None] = print) -> None:
    """Write the table of all tasks, the summary over unseen ones, and the figure.

    Args:
        tables: those of the jobs, with the columns of `task_tables.COLUMNS`.
        outputs: "tasks", "summary" and "figure".
        say: takes a sentence for each set of tasks.
    """
    every = pd.concat([csv_files.read(path) for path in tables], ignore_index=True)
    over = task_tables.summary(every)
    csv_files.write(outputs["tasks"], every)
    csv_files.write(outputs["summary"], over)
    ways(every, over, outputs["figure"])
    for name in over["tasks"].drop_duplicates():
        say(task_tables.sentence(over, name))


def ways(every: pd.DataFrame, over: pd.DataFrame, path: Path) -> None:
    """Every unseen task's AUROC, a line for each way, with the mean's interval.

    Args:
        every: rows with `task_tables.COLUMNS`.
        over: of `task_tables.summary`.
        path: PNG or SVG.
    """
    sets = over["tasks"].drop_duplicates().tolist()
    heights = [0.9 + 0.27 * (over["tasks"] == name).sum() for name in sets]
    with canvas(path, sum(heights)) as figure:
        axes = figure.subplots(len(sets), 1, squeeze=False, height_ratios=heights)[:, 0]
        for axis, name in zip(axes, sets, strict=True):
            unseen = every[(every["tasks"] == name) & every["held_out"]]
            _panel(axis, unseen, over[over["tasks"] == name])
            axis.set_title(f"{plain(name)}: {unseen['task'].nunique()} unseen tasks")
        axes[-1].set_xlabel("AUROC (dots: tasks; bars: mean, 95 % over tasks)")


def _panel(axis, unseen: pd.DataFrame, over: pd.DataFrame) -> None:
    rows = over[over["n_tasks"] > 0].sort_values("auroc")
    for y, (_, row) in enumerate(rows.iterrows()):
        values = unseen.loc[unseen["way"] == row["way"], "auroc"].to_numpy()
        spread = np.linspace(-0.18, 0.18, len(values)) if len(values) > 1 else [0]
        colour = GREY if row["way"] in ("retrained", "larger_class") else ACCENT
        axis.plot(values, y + np.array(spread), ".", color=colour, alpha=0.4, markersize=4)
        error = np.abs([[row["auroc"] - row["low"]], [row["high"] - row["auroc"]]])
        look = {"color": BLUE, "capsize": 3, "markersize": 5, "linewidth": 1.6}
        axis.errorbar(row["auroc"], y, xerr=error if np.isfinite(error).all() else None, fmt="D", **look)
    axis.axvline(0.5, color=INK, linewidth=0.8)
    axis.set_yticks(range(len(rows)), [f"{row['way']} ({row['given']})" for _, row in rows.iterrows()])
    axis.set_ylim(-0.6, len(rows) - 0.4)
    axis.grid(axis="x")
