"""The report's interactive figures, built with Plotly: rows of numbers from the tables, and a figure of each.

The page only draws what is built here, under the template of the light or the dark page. Held-out, zero-shot and
published results are never in one figure.
"""

import html
import json
import textwrap
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from zoofuse.evaluation import tables
from zoofuse.evaluation.tables import CLUSTERERS
from zoofuse.methods import registry
from zoofuse.report.canvas import ACCENT, BLUE, GREEN, GREY, PURPLE, SKY, plain
from zoofuse.report.figures import method_label

PROTOCOLS = {"held_out": "Held out", "zero_shot": "Zero-shot", "published": "As published"}
HEADS = {"own": "own classification heads", "probe": "linear probes"}
# Told apart by colour (Okabe and Ito's) and sign; in the legend in this order.
ROLES = {
    "generated": (ACCENT, "diamond"),
    "baseline": (GREY, "circle"),
    "non-CNN baseline": (BLUE, "square"),
    "oracle": (GREEN, "star"),
    "foreign classifier": (SKY, "cross"),
    "published": (PURPLE, "triangle-up"),
}
VERDICTS = {
    "better": (ACCENT, "triangle-right"),
    "inconclusive": (GREY, "circle-open"),
    "worse": (BLUE, "triangle-left"),
}
# Of groups of negatives; the largest have a sign of their own, and positives a filled circle.
SIGNS = ["square", "diamond", "triangle-up", "cross-thin", "triangle-down", "pentagon", "star", "hexagon"]
_DOTS = 150  # up to so many CNNs, each one is drawn


def role(method: str) -> str:
    """The part that a method plays: a key of ROLES. An oracle is trained on the target."""
    entry = registry.get(method)
    if entry.is_generated:
        return "generated"
    if entry.role == "foreign":
        return "foreign classifier"
    if entry.supervision == "target labels":
        return "oracle"
    return "non-CNN baseline" if entry.images_only else "baseline"


def first_protocol(methods: Iterable[str]) -> str:
    """The protocol that the report opens with, from a fusion's methods.

    Translated kernels lie under heads that were trained on others, so that generated CNNs are compared by their
    features, held out. Where all of them are students, the question is what they predict themselves: zero-shot.
    """
    generated = [registry.get(name) for name in set(methods) if role(name) == "generated"]
    return "zero_shot" if generated and all(entry.is_student for entry in generated) else "held_out"


def views(
    leaderboard: pd.DataFrame | None = None,
    zero_shot: pd.DataFrame | None = None,
    cnns: Mapping[str, pd.DataFrame] | None = None,
    published: Mapping[str, pd.DataFrame] | None = None,
) -> list[dict]:
    """What the figure of all methods can show: one view for each protocol and clusterer (zero-shot: kind of heads).

    Args:
        leaderboard, zero_shot: the fusion's tables.
        cnns: clusterer -> `tables.clusterer_table`.
        published: clusterer -> `tables.beside_published`.

    Returns:
        Mappings with protocol, name, label, measure, constant (the score of a constant prediction, and its name) and
        rows by falling score: {label, role, supervision, n, score, low, high, q25, q75, selected, test, test_low,
        test_high, note, values}. The score is the median over the method's CNNs, low to high its 95 % interval, test
        the score of the selected CNN; values (n,) are those of all CNNs, None where only the table is known.
    """
    cnns, published = cnns or {}, published or {}
    found = []
    if leaderboard is not None:
        held = tables.of_protocol(leaderboard, "held_out")
        for clusterer in [name for name in held["clusterer"].unique() if name in CLUSTERERS]:
            values = _values(cnns.get(clusterer), "held_out", "balanced_accuracy")
            part = held[held["clusterer"].isin([clusterer, "threshold"])]
            rows = [_row(row, values.get(row["method"])) for _, row in part.iterrows()]
            found.append(_view("held_out", clusterer, "balanced accuracy", (0.5, "constant prediction"), rows))
    if zero_shot is not None:
        foreign = zero_shot["method"].map(role) == "foreign classifier"  # beside every head, as they have none
        for head in zero_shot.loc[~foreign, "head"].unique():
            rows = [_row(row, None) for _, row in zero_shot[foreign | (zero_shot["head"] == head)].iterrows()]
            found.append(_view("zero_shot", head, "AUROC", (0.5, "chance"), rows))
    for clusterer, frame in cnns.items():
        values = _values(frame, "published", "accuracy")
        if not values:
            continue
        first = tables.of_protocol(frame, "published").iloc[0]
        always = (first["fp"] + first["tn"]) / first[["tp", "fp", "fn", "tn"]].sum()
        rows = [
            _maximum(method_label(method), role(method), tables.supervision(method), values[method])
            for method in values
        ]
        if clusterer in published:
            theirs = published[clusterer]["published_accuracy"].to_numpy()
            row = _maximum("published, selected by hand", "published", "none", theirs)
            rows.append(row | {"note": "On the published images, always predicting “no” scores 0.618."})
        found.append(_view("published", clusterer, "accuracy", (round(always, 4), "always “no”"), rows))
    return found


def methods(view: Mapping) -> go.Figure:
    """A line for each method of one of `views`: all its CNNs, their median with its interval, the selected CNN."""
    rows, figure = view["rows"], _figure()
    lines = -np.arange(len(rows))
    for y, row in zip(lines, rows, strict=True):
        if row["values"] is not None and len(row["values"]) > 1:
            look = {"line": {"color": ROLES[row["role"]][0], "width": 1}, "hoverinfo": "skip", "showlegend": False}
            figure.add_violin(
                x=row["values"], y0=float(y), orientation="h", side="positive", width=1.3, spanmode="hard",
                points="all" if len(row["values"]) <= _DOTS else False, pointpos=-0.2, jitter=0.2,
                marker={"size": 3, "opacity": 0.5}, **look,
            )  # fmt: skip
    for name, (colour, symbol) in ROLES.items():
        if mine := [i for i, row in enumerate(rows) if row["role"] == name]:
            scores, low, high = ([rows[i][key] for i in mine] for key in ("score", "low", "high"))
            figure.add_scatter(
                x=scores, y=lines[mine], name=name, mode="markers", hoverinfo="text",
                hovertext=[_hover(rows[i]) for i in mine], error_x=_bars(scores, low, high, colour),
                marker={"symbol": symbol, "size": 11, "color": colour, "line": {"width": 1}},
            )  # fmt: skip
    several = [i for i, row in enumerate(rows) if row["n"] > 1 and row["test"] is not None]
    maximum = view["protocol"] == "published"
    figure.add_scatter(
        x=[rows[i]["test"] for i in several], y=lines[several], mode="markers", hoverinfo="skip",
        name="maximum, selected on the test images" if maximum else "CNN selected on validation",
        marker={"symbol": "x-thin-open", "size": 7, "color": GREY, "line": {"width": 1.6}},
    )  # fmt: skip
    value, words = view["constant"]
    figure.add_scatter(
        x=[value, value], y=[0.7, 0.4 - len(rows)], mode="lines", name=f"{words} ({value:.3f})", hoverinfo="skip",
        line={"color": GREY, "width": 1.2, "dash": "dash"},
    )  # fmt: skip
    title = f"{view['measure']} on the {'test images' if maximum else 'test half'}"
    return _with_rows(figure, [row["label"] for row in rows], title, 32)


def differences(rows: pd.DataFrame) -> go.Figure:
    """A method minus each baseline with the corrected interval: rows of comparisons.csv, of one method and `what`."""
    rows = rows.sort_values("difference", ascending=False, kind="stable")
    figure, lines = _figure(), -np.arange(len(rows))
    figure.add_vline(0, line={"color": GREY, "width": 1})
    for verdict, (colour, symbol) in VERDICTS.items():
        mine = (rows["verdict"] == verdict).to_numpy()
        part = rows[mine]
        words = [
            f"{in_figure(method_label(row['baseline']))}: {row['difference']:+.3f} "
            f"({row['low']:.3f} to {row['high']:.3f})<br>{verdict}"
            for _, row in part.iterrows()
        ]
        figure.add_scatter(
            x=part["difference"], y=lines[mine], name=verdict, mode="markers", hoverinfo="text", hovertext=words,
            marker={"symbol": symbol, "size": 11, "color": colour, "line": {"color": colour, "width": 2}},
            error_x=_bars(part["difference"], part["low"], part["high"], colour), showlegend=True,
        )  # fmt: skip
    measure = "AUROC" if rows["protocol"].iloc[0] == "zero_shot" else "balanced accuracy"
    labels = [method_label(baseline) for baseline in rows["baseline"]]
    return _with_rows(figure, labels, f"difference of {measure}", 26)


def embedding(points: np.ndarray, positive: np.ndarray, groups: np.ndarray, right: np.ndarray | None) -> go.Figure:
    """Test images as a CNN's features place them, marked by group, or by the CNN's predictions.

    Args:
        points: (m, 2).
        positive: (m,) bool.
        groups: (m,) names.
        right: (m,) bool, which predictions are correct; None marks by group.
    """
    figure = _figure()
    for name, members, colour, symbol in _parts(positive, groups) if right is None else _outcomes(positive, right):
        if len(members):
            opened = symbol.endswith("open")
            figure.add_scatter(
                x=points[members, 0], y=points[members, 1], customdata=members.astype(np.int32), mode="markers",
                name=f"{in_figure(name)} ({len(members)})", hoverinfo="none",
                marker={"symbol": symbol, "size": 9, "color": colour, "line": {"width": 1.6 if opened else 0.6}},
            )  # fmt: skip
    # The page moves this ring to the chosen image.
    ring = {"symbol": "circle-open", "size": 20, "color": GREY, "line": {"width": 2.5}}
    figure.add_scatter(x=[None], y=[None], mode="markers", hoverinfo="skip", showlegend=False, marker=ring)
    bare = {"showgrid": False, "zeroline": False, "showticklabels": False, "showline": True, "mirror": True}
    figure.update_layout(
        xaxis=bare, yaxis=bare, hoverdistance=25, margin={"l": 2, "r": 2, "t": 2, "b": 2},
        legend={"y": -0.02, "yanchor": "top"},
    )  # fmt: skip
    return figure


def templates() -> dict[str, dict]:
    """light and dark: Plotly's templates for the page's two looks, as JSON can hold them."""
    looks = {
        "light": ("#1f2328", "#59626d", "#e3e6ea", "#ffffff"),
        "dark": ("#e6e8eb", "#a3acb7", "#2e3339", "#15171a"),
    }
    made = {}
    for name, (ink, quiet, rule, paper) in looks.items():
        axis = {"gridcolor": rule, "linecolor": rule, "zerolinecolor": rule}
        layout = {
            "font": {"color": ink, "size": 13, "family": "system-ui, -apple-system, Segoe UI, Roboto, sans-serif"},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "xaxis": axis | {"tickfont": {"color": quiet}},
            "yaxis": axis,
            "hoverlabel": {"bgcolor": paper, "bordercolor": quiet, "font": {"color": ink, "size": 12}, "align": "left"},
        }
        template = go.layout.Template(layout=layout, data={"scatter": [{"marker": {"line": {"color": paper}}}]})
        made[name] = template.to_plotly_json()
    return made


def specification(figure: go.Figure) -> dict:
    """A figure's data and layout as JSON can hold them."""
    return json.loads(figure.to_json(engine="json"))


def in_figure(name: str, width: int = 24) -> str:
    """A name from outside as Plotly shows it, which takes some tags and entities for what they are in HTML."""
    return "<br>".join(html.escape(line) for line in textwrap.wrap(plain(name, 2 * width), width)) or " "


def _view(protocol: str, name: str, measure: str, constant: tuple[float, str], rows: list[dict]) -> dict:
    rows = sorted(rows, key=lambda row: row["score"], reverse=True)
    label = HEADS.get(name, name) if protocol == "zero_shot" else CLUSTERERS.get(name, name)
    return {"protocol": protocol, "name": name, "label": label, "measure": measure, "constant": constant, "rows": rows}


def _row(row: pd.Series, values: np.ndarray | None) -> dict:
    """A row of the leaderboard or of zero_shot."""
    names = {"score": "median", "low": "median_low", "high": "median_high"}
    if row["n"] == 1:  # no median: the interval of a single CNN
        names |= {"low": "test_low", "high": "test_high"}
    names |= {name: name for name in ("q25", "q75", "test", "test_low", "test_high")}
    numbers = {name: None if pd.isna(row[column]) else round(float(row[column]), 4) for name, column in names.items()}
    degenerate = row.get("dead_share", 0)
    note = f"{degenerate:.0%} of the CNNs give every image the same features." if degenerate > 0 else ""
    made = {"label": method_label(row["method"]), "role": role(row["method"]), "n": int(row["n"]), "note": note}
    return made | numbers | {"supervision": row["supervision"], "selected": str(row["selected"]), "values": values}


def _maximum(label: str, part: str, supervision: str, values: np.ndarray) -> dict:
    """A row of the published protocol, of which no interval is known."""
    q25, median, q75, most = np.quantile(values, [0.25, 0.5, 0.75, 1]).round(4).tolist()
    made = {"label": label, "role": part, "supervision": supervision, "n": len(values), "values": values, "note": ""}
    numbers = {"score": median, "q25": q25, "q75": q75, "test": most, "selected": "maximum"}
    return made | dict.fromkeys(["low", "high", "test_low", "test_high"]) | numbers


def _values(frame: pd.DataFrame | None, protocol: str, measure: str) -> dict[str, np.ndarray]:
    """method -> the CNNs' values, in the order of the registry."""
    if frame is None:
        return {}
    part = tables.of_protocol(frame, protocol)
    return {
        method: np.sort(group[measure].dropna().to_numpy(np.float32))
        for method, group in part.groupby("method", sort=False)
    }


def _hover(row: Mapping) -> str:
    def with_interval(prefix: str, value: float, low: float | None, high: float | None) -> str:
        return f"{prefix}{value:.3f}" + ("" if low is None else f" (95 % interval {low:.3f} to {high:.3f})")

    lines = [f"<b>{in_figure(row['label'], 60)}</b> ({row['role']}; supervision: {html.escape(row['supervision'])})"]
    prefix = f"median of {row['n']:,} CNNs: " if row["n"] > 1 else ""
    lines.append(with_interval(prefix, row["score"], row["low"], row["high"]))
    if row["n"] > 1:
        lines.append(f"middle half of the CNNs: {row['q25']:.3f} to {row['q75']:.3f}")
        if row["test"] is not None:
            prefix = f"selected CNN, {in_figure(row['selected'], 60)}: "
            lines.append(with_interval(prefix, row["test"], row["test_low"], row["test_high"]))
    return "<br>".join([*lines, html.escape(row["note"])] if row["note"] else lines)


def _parts(positive: np.ndarray, groups: np.ndarray) -> list[tuple]:
    """(name, rows, colour, symbol) of positives, of the largest groups of negatives, and of the rest."""
    names, counts = np.unique(groups[~positive], return_counts=True)
    largest = names[np.argsort(-counts, kind="stable")][: 7 if len(names) > 8 else 8]
    parts = [("positive", np.flatnonzero(positive), ACCENT, "circle")]
    for i, name in enumerate(largest):
        members = np.flatnonzero(~positive & (groups == name))
        parts.append((str(name), members, [BLUE, GREY, GREEN, PURPLE][i % 4], f"{SIGNS[i]}-open"))
    rest = np.flatnonzero(~positive & ~np.isin(groups, largest))
    return [*parts, ("other groups", rest, SKY, "circle-open")]


def _outcomes(positive: np.ndarray, right: np.ndarray) -> list[tuple]:
    return [
        (f"{'positive' if of else 'negative'}, {'correct' if correct else 'wrong'}",
         np.flatnonzero((positive == of) & (right == correct)), ACCENT if of else BLUE,
         "x" if not correct else "circle" if of else "circle-open")
        for of in (True, False)
        for correct in (True, False)
    ]  # fmt: skip


def _figure() -> go.Figure:
    still = {"fixedrange": True, "zeroline": False}
    legend = {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom", "itemclick": False, "itemdoubleclick": False}
    return go.Figure(layout=go.Layout(
        template=go.layout.Template(), margin={"l": 8, "r": 12, "t": 8, "b": 44}, dragmode=False,
        hovermode="closest", xaxis=still, yaxis=still | {"showgrid": False}, legend=legend | {"font": {"size": 12}},
    ))  # fmt: skip


def _with_rows(figure: go.Figure, labels: Sequence[str], title: str, height: int) -> go.Figure:
    """Names on the axis, the first one at the top, and a height that fits them."""
    figure.update_yaxes(
        tickvals=[-i for i in range(len(labels))], ticktext=[in_figure(label) for label in labels], automargin=True,
        range=[0.3 - len(labels), 0.8], ticklen=6, tickcolor="rgba(0,0,0,0)",
    )  # fmt: skip
    figure.update_xaxes(title={"text": title, "font": {"size": 13}, "standoff": 8})
    figure.update_layout(height=100 + height * len(labels))
    return figure


def _bars(centre: Sequence, low: Sequence, high: Sequence, colour: str) -> dict:
    """Error bars from low to high; none where there is no interval."""
    centre, low, high = (np.asarray(values, float) for values in (centre, low, high))
    look = {"type": "data", "symmetric": False, "color": colour, "thickness": 1.6, "width": 4}
    return look | {"array": np.nan_to_num(high - centre), "arrayminus": np.nan_to_num(centre - low)}
