"""The leaderboard's table and page: quality against novelty of every method, with the curve that noise draws."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go

from zoofuse.core import csv_files
from zoofuse.evaluation import board, board_fusions
from zoofuse.methods.generators import registry
from zoofuse.report import charts, zoo_pages
from zoofuse.report.canvas import ACCENT, BLUE, GREEN, GREY
from zoofuse.report.embedded import as_json, pack
from zoofuse.report.zoo_pages import listed

SIGNS = {
    "better": (ACCENT, "diamond"),
    "inconclusive": (GREY, "circle-open"),
    "worse": (BLUE, "triangle-down"),
    "copies": (BLUE, "x"),
    "control": (GREEN, "circle"),
    (_PERFECT := "perfect sampler"): (GREEN, "star"),
}
_SENSES = {"weights": "novelty in weights (1: a held-out network's)", "predictions": "novelty in predictions"}


def write(
    inputs: Mapping[str, Path | Sequence[Path]],
    submissions: Mapping[str, str],
    seed: int,
    table: Path,
    report: Path,
    say: Callable[[str], None] = print,
) -> None:
    """Write the leaderboard and its page.

    Args:
        inputs: `tables`, of `evaluation.board_jobs.measured`, one of each zoo; `fusion_NAME`, the tables zero_shot,
            comparisons and nearest_parent of each fusion.
        submissions: somebody else's method -> what it was given.
        seed: the run's.
        table: the CSV, columns as `evaluation.board.COLUMNS`.
        report: the HTML.
        say: takes the sentence that sums it up.
    """
    known, parts = registry.known(), []
    if tables := listed(inputs.get("tables", [])):
        networks = pd.concat([csv_files.read(path) for path in tables], ignore_index=True)
        parts.append(_generate(networks, submissions, seed))
    for name in [name for name in inputs if name.startswith("fusion_")]:
        of_fusion = (csv_files.read(path) for path in listed(inputs[name]))
        parts.append(board_fusions.rows(name.removeprefix("fusion_"), *of_fusion))
    rows = pd.concat(parts, ignore_index=True)
    csv_files.write(table, rows)
    headline = board.sentence(rows)
    first, _, details = headline.partition(": " if ": " in headline else ". ")
    labels = {name: entry.label for name, entry in known.items()}
    generated, fused = (rows[rows["track"] == track] for track in ("generate", "fuse"))
    zoo_pages.write(
        "leaderboard",
        report,
        [_part(zoo, of, labels) for zoo, of in generated.groupby("zoo", sort=False)],
        headline=first.rstrip("."),
        details=details,
        fusions={name: of.to_dict("records") for name, of in fused.groupby("zoo", sort=False)},
        against=board_fusions.AGAINST,
    )
    say(headline)


def _generate(networks: pd.DataFrame, submissions: Mapping[str, str], seed: int) -> pd.DataFrame:
    known = registry.known()
    noise = sorted(
        (name for name in networks["method"].unique() if name.startswith(f"{registry.NOISE}_")),
        key=lambda name: float(name.partition("_")[2]),
    )
    given = {name: entry.given for name, entry in known.items()} | dict(submissions)
    given |= dict.fromkeys(noise, "weights")
    controls = [*(name for name, entry in known.items() if entry.control), *noise]
    return board.table(networks, given, controls, ["copy", *noise], seed)


def _part(zoo: str, rows: pd.DataFrame, labels: Mapping[str, str]) -> dict:
    """What the page shows of one zoo."""
    figures = {sense: charts.specification(_plane(rows, sense, labels)) for sense in _SENSES}
    shown = rows.sort_values(["counted", "quality"], ascending=[False, False])
    return {
        "name": zoo,
        "rows": [row | {"label": labels.get(row["method"], row["method"])} for row in shown.to_dict("records")],
        "data": pack(as_json(figures)),
    }


def _plane(rows: pd.DataFrame, sense: str, labels: Mapping[str, str]) -> go.Figure:
    figure, novelty = go.Figure(), f"novelty_{sense}"
    curve = rows[(rows["method"] == "copy") | rows["method"].str.startswith(f"{registry.NOISE}_")].sort_values(novelty)
    figure.add_trace(go.Scatter(
        x=curve[novelty].round(4).tolist(), y=curve["quality"].round(4).tolist(), mode="lines+markers",
        name="copies and noise", line={"color": GREEN}, hovertext=curve["method"].tolist(),
        hovertemplate="%{hovertext}: %{y:.3f}<extra></extra>",
    ))  # fmt: skip
    others = rows[~rows["method"].isin(curve["method"])]
    groups = others["verdict"].mask(others["method"] == "held_out", _PERFECT)  # whatever its verdict, it is no method
    middle = (others[novelty].min() + others[novelty].max()) / 2
    heights = dict(zip(others.sort_values(novelty).index, itertools.cycle(("top", "bottom")), strict=False))
    for group, of in others.groupby(groups):
        colour, sign = SIGNS[group]
        names = [charts.in_figure(labels.get(name, name)) for name in of["method"]]
        figure.add_trace(go.Scatter(
            x=of[novelty].round(4).tolist(), y=of["quality"].round(4).tolist(), mode="markers+text", name=group,
            marker={"color": colour, "symbol": sign, "size": 10}, hovertext=names,
            text=[charts.in_figure(name) for name in of["method"]], textfont={"size": 11},
            textposition=[f"{heights[row]} {'left' if x > middle else 'right'}" for row, x in of[novelty].items()],
            error_y={"type": "data", "symmetric": False, "thickness": 1, "width": 3,
                     "array": (of["quality_high"] - of["quality"]).round(4).tolist(),
                     "arrayminus": (of["quality"] - of["quality_low"]).round(4).tolist()},
            hovertemplate="%{hovertext}: %{y:.3f} at %{x:.3f}<extra></extra>",
        ))  # fmt: skip
    figure.update_xaxes(title=_SENSES[sense], fixedrange=True)
    figure.update_yaxes(title="quality (balanced accuracy)", fixedrange=True)
    figure.update_layout(
        template=go.layout.Template(), height=420, dragmode=False, margin={"l": 60, "r": 12, "t": 8, "b": 48},
        legend={"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom"},
    )  # fmt: skip
    return figure
