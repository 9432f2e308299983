"""Is it a good zoo? A page on zoos: factors, scores, agreement, and accuracy predicted from weights."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from zoofuse.core import csv_files, files
from zoofuse.evaluation import accuracy_from_weights, zoo_quality
from zoofuse.evaluation.accuracy_from_weights import PREDICTORS, Predicted
from zoofuse.evaluation.zoo_quality import Zoo
from zoofuse.report import charts, zoo_pages
from zoofuse.report.canvas import ACCENT, BLUE
from zoofuse.report.embedded import as_json, pack
from zoofuse.report.zoo_pages import listed

BINS = 24
_ACROSS = 3  # figures of distributions beside each other
_DOTS = 2000  # CNNs that a scatter plot shows


def write(
    inputs: Mapping[str, Path | Sequence[Path]],
    zoos: Sequence[str],
    seed: int,
    table: Path,
    report: Path,
    say: Callable[[str], None] = print,
) -> None:
    """Write the report on zoos, and the table of how well accuracy is predicted from weights.

    Args:
        inputs: for each zoo, under zoo_{name} its files, under models_{name} its models.csv and, where there are some,
            under images_{name} its images.
        zoos: their names.
        seed: the run's seed.
        table: the CSV; columns as `accuracy_from_weights.COLUMNS`.
        report: the HTML.
        say: takes a line for each zoo.
    """
    parts, rows = [], []
    for name in zoos:
        zoo = zoo_quality.read(name, listed(inputs[f"zoo_{name}"]), csv_files.read(listed(inputs[f"models_{name}"])[0]))
        accuracy = np.full(len(zoo.table), np.nan) if zoo.accuracy is None else zoo.table[zoo.accuracy].to_numpy()
        predicted = accuracy_from_weights.predict(zoo.features, accuracy, name, seed)
        equal = None
        if f"images_{name}" in inputs:
            equal = zoo_quality.agreement(zoo, _held_out(listed(inputs[f"images_{name}"])[0]))
        rows.append(predicted.rows)
        parts.append(_part(zoo, predicted, equal))
        say(f"{name}: {parts[-1]['headline']}")
    csv_files.write(table, pd.concat([part for part in rows if len(part)] or rows[:1], ignore_index=True))
    zoo_pages.write(
        "zoo_report",
        report,
        parts,
        predictors=PREDICTORS,
        compared=zoo_quality.COMPARED,
        tested=zoo_quality.IMAGES,
        fewest=accuracy_from_weights.FEWEST,
    )


def _held_out(path: Path) -> np.ndarray:
    """The test images, or the validation images where there are no others."""
    arrays = files.read(path, "images", ["images", "split"])
    return arrays["images"][arrays["split"] == arrays["split"].max()]


def _part(zoo: Zoo, predicted: Predicted, equal: np.ndarray | None) -> dict:
    """What the page shows of one zoo."""
    degenerate, n = zoo.degenerate, len(zoo.table)
    figures = {"distributions": _distributions(zoo)} if zoo.factors or zoo.scores else {}
    if equal is not None:
        figures["agreement"] = _agreement(equal)
    if len(predicted.rows):
        figures["predicted"] = _scatter(predicted, zoo.accuracy or "")
    rows = predicted.rows.set_index("predictor").to_dict("index")
    return {
        "name": zoo.name,
        "n": n,
        "headline": _headline(rows, n),
        "accuracy": (zoo.accuracy or "").replace("_", " "),
        "rows": rows,
        "factors": [name.replace("_", " ") for name in zoo.factors],
        "scores": {
            name.replace("_", " "): np.nanquantile(zoo.table[name], [0, 0.25, 0.5, 0.75, 1]).tolist()
            for name in zoo.scores
            if zoo.table[name].notna().any()
        },
        "degenerate": None if degenerate is None else int(degenerate.sum()),
        "agreement": None if equal is None else (float(np.median(equal)), float(equal.min()), float(equal.max())),
        "figures": list(figures),
        "data": pack(as_json({name: charts.specification(figure) for name, figure in figures.items()})),
    }


def _headline(rows: Mapping[str, Mapping], n: int) -> str:
    if not rows:
        return f"{n:,} CNNs: too few differ in a known accuracy to predict it from weights."
    best = max((name for name in rows if name != "mean"), key=lambda name: rows[name]["tau"])
    row = rows[best]
    return (
        f"{n:,} CNNs: {PREDICTORS[best]} orders {row['n_test']:,} held-out ones with Kendall\u2019s tau "
        f"{row['tau']:.3f} ({row['low']:.3f} to {row['high']:.3f})."
    )


def _distributions(zoo: Zoo) -> go.Figure:
    """A histogram of every factor in which the CNNs differ, and of every score after the last epoch."""
    names = [*zoo.factors, *(name for name in zoo.scores if zoo.table[name].notna().any())]
    down = -(-len(names) // _ACROSS)
    titles = [name.replace("_", " ") for name in names]
    figure = make_subplots(down, _ACROSS, subplot_titles=titles, vertical_spacing=0.55 / (down + 1) ** 1.2)
    for at, name in enumerate(names):
        row, column = at // _ACROSS + 1, at % _ACROSS + 1
        colour = BLUE if name in zoo.factors else ACCENT
        bars, kind = _bars(zoo.table[name])
        figure.add_trace(
            go.Bar(**bars, marker_color=colour, hovertemplate="%{x}: %{y} CNNs<extra></extra>"), row, column
        )
        figure.update_xaxes(type=kind, row=row, col=column, fixedrange=True)
        figure.update_yaxes(row=row, col=column, fixedrange=True)
    figure.update_layout(
        template=go.layout.Template(), showlegend=False, height=70 + 190 * down, bargap=0.05, dragmode=False,
        margin={"l": 40, "r": 12, "t": 30, "b": 40},
    )  # fmt: skip
    figure.update_annotations(font_size=12)
    return figure


def _bars(values: pd.Series) -> tuple[dict, str]:
    """x, y and widths of a histogram, and the type of its axis; a few different values have a bar each."""
    if not pd.api.types.is_numeric_dtype(values) or values.nunique() <= 8:
        counts = values.value_counts().sort_index()
        return {"x": [_short(value) for value in counts.index], "y": counts.tolist()}, "category"
    finite = values[np.isfinite(values)].to_numpy(float)
    low, high = finite.min(), finite.max()
    logarithmic = low > 0 and high / low > 50
    edges = np.geomspace(low, high, BINS + 1) if logarithmic else np.linspace(low, high, BINS + 1)
    edges[[0, -1]] = low, high
    counts, _ = np.histogram(finite, edges)
    middle = np.sqrt(edges[1:] * edges[:-1]) if logarithmic else (edges[1:] + edges[:-1]) / 2
    bars = {"x": middle.tolist(), "y": counts.tolist()}
    return bars | {"width": np.diff(edges).tolist()}, "log" if logarithmic else "linear"


def _short(value) -> str:
    return f"{value:g}" if isinstance(value, float) else charts.in_figure(str(value))


def _agreement(equal: np.ndarray) -> go.Figure:
    counts, edges = np.histogram(equal, np.linspace(0, 1, 51))
    hover = "%{x:.2f}: %{y} pairs<extra></extra>"
    figure = go.Figure(
        go.Bar(x=((edges[1:] + edges[:-1]) / 2).tolist(), y=counts.tolist(), marker_color=BLUE, hovertemplate=hover)
    )
    figure.update_xaxes(title="share of images that both predict alike", range=[0, 1], fixedrange=True)
    figure.update_yaxes(title="pairs of CNNs", fixedrange=True)
    figure.update_layout(
        template=go.layout.Template(), height=300, bargap=0, dragmode=False, margin={"l": 60, "r": 12, "t": 8, "b": 48}
    )
    return figure


def _scatter(predicted: Predicted, accuracy: str) -> go.Figure:
    rows = np.unique(np.linspace(0, len(predicted.truth) - 1, min(_DOTS, len(predicted.truth))).astype(int))
    truth = predicted.truth[rows]
    figure = go.Figure()
    for name, colour, sign in (("boosting", ACCENT, "circle"), ("ridge", BLUE, "diamond-open")):
        figure.add_trace(go.Scatter(
            x=truth.round(4).tolist(), y=predicted.predictions[name][rows].round(4).tolist(), mode="markers",
            name=PREDICTORS[name], marker={"color": colour, "symbol": sign, "size": 6, "opacity": 0.7},
            hovertemplate="true %{x:.3f}, predicted %{y:.3f}<extra></extra>",
        ))  # fmt: skip
    ends = [float(truth.min()), float(truth.max())]
    figure.add_trace(go.Scatter(
        x=ends, y=ends, mode="lines", name="as true", hoverinfo="skip",
        line={"color": "#888888", "dash": "dot", "width": 1},
    ))  # fmt: skip
    margin = 0.1 * (ends[1] - ends[0])
    words = accuracy.replace("_", " ")
    figure.update_xaxes(title=f"{words}, true", fixedrange=True)
    figure.update_yaxes(title=f"{words}, predicted", fixedrange=True, range=[ends[0] - margin, ends[1] + margin])
    figure.update_layout(
        template=go.layout.Template(), height=440, dragmode=False, margin={"l": 60, "r": 12, "t": 8, "b": 48},
        legend={"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom"},
    )  # fmt: skip
    return figure
