"""What the report says and draws, from the tables: headline, sentences, and the rows of its interactive figures.

Held-out, zero-shot and published protocol are answered one after another and drawn in views of their own, never in one.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter1d

from zoofuse.evaluation import tables
from zoofuse.evaluation.tables import CLUSTERERS
from zoofuse.methods import registry
from zoofuse.report.figures import method_label

HEADS = {"own": "heads of their own", "probe": "fitted probes"}
PROTOCOLS = {"held_out": "Held out", "zero_shot": "Zero-shot", "published": "As published"}
# After the generating methods, before the other baselines.
_FIRST = ["random", *(f"parent_{letter}" for letter in registry.LETTERS), "average"]
_DOTS = 150  # up to so many CNNs every one is drawn
_BINS = 48


def answer(
    leaderboard: pd.DataFrame | None, comparisons: pd.DataFrame | None, zero_shot: pd.DataFrame | None = None
) -> dict:
    """Whether generated CNNs beat their baselines, in words: {"headline": str, "sentences": [str]}.

    The headline goes by the held-out protocol and the corrected intervals of `comparisons` between medians: a
    generating method wins under a clusterer when it is better than every baseline. "Yes" when all win; "No"
    when all comparisons are worse, or none is better and every method under every clusterer is worse than
    one; "Mixed" when some win, or some comparisons are better and some worse; else "Inconclusive", with the
    difference that could have been detected.
    Sentences: held out, then zero-shot, then the published protocol, which is transductive.
    """
    sentences = []
    headline = "There is nothing to compare: no generated CNNs, or no baselines."
    if comparisons is not None:
        comparisons = comparisons[comparisons["method"].map(role) == "generated"]
        held = comparisons[(comparisons["protocol"] == "held_out") & (comparisons["what"] == "median")]
        if len(held):
            headline = _headline(held)
            sentences += [_compared(held), *_detectable(held)]
        sentences += _zero_shot_best(comparisons)
    if leaderboard is not None:
        held = tables.of_protocol(leaderboard, "held_out")
        sentences += _medians(held) + _selected(held)
    if zero_shot is not None and len(zero_shot):
        sentences += _zero_shot(zero_shot, comparisons)
    if leaderboard is not None:
        sentences += _published(tables.of_protocol(leaderboard, "published"))
    return {"headline": headline, "sentences": sentences}


def views(
    leaderboard: pd.DataFrame | None = None,
    zero_shot: pd.DataFrame | None = None,
    cnns: Mapping[str, pd.DataFrame] | None = None,
    published: Mapping[str, pd.DataFrame] | None = None,
) -> list[dict]:
    """What the figure of all methods can show: one view for each protocol and clusterer (zero-shot: kind of heads).

    cnns: clusterer -> `tables.clusterer_table`; published: clusterer -> `tables.beside_published`.
    A view is {protocol, name, label, axis, line, line_label, rows}; a row {label, role, n, median, q25, q75, low, high,
    shape, dots, selected, note}: role one of `role` or published; shape: relative frequency in equal
    bins from low to high; dots: every value, where there are few; selected: {name, value, low, high}.
    """
    cnns, published = cnns or {}, published or {}
    found = []
    if leaderboard is not None:
        held = tables.of_protocol(leaderboard, "held_out")
        for clusterer in [name for name in held["clusterer"].unique() if name in CLUSTERERS]:
            values = _values(cnns.get(clusterer), "held_out", "balanced_accuracy")
            part = held[held["clusterer"].isin([clusterer, "threshold"])]
            rows = [
                _row(row, values.get(row["method"]), "selected on validation") for _, row in ordered(part).iterrows()
            ]
            look = {"axis": "balanced accuracy on the test split", "line": 0.5, "line_label": "constant prediction"}
            found.append(
                {"protocol": "held_out", "name": clusterer, "label": CLUSTERERS[clusterer], **look, "rows": rows}
            )
    if zero_shot is not None:
        foreign = zero_shot["method"].map(role) == "foreign"  # with scores for every head, as they have none
        for head in zero_shot.loc[~foreign, "head"].unique():
            part = zero_shot[(zero_shot["head"] == head) | foreign]
            rows = [
                _row(row, None, "selected on the concepts' validation images") for _, row in ordered(part).iterrows()
            ]
            look = {"axis": "AUROC on the test split", "line": 0.5, "line_label": "chance"}
            found.append({"protocol": "zero_shot", "name": head, "label": HEADS.get(head, head), **look, "rows": rows})
    for clusterer, frame in cnns.items():
        values = _values(frame, "published", "accuracy")
        if not values:
            continue
        first = tables.of_protocol(frame, "published").iloc[0]
        always = (first["fp"] + first["tn"]) / first[["tp", "fp", "fn", "tn"]].sum()
        methods = ordered(pd.DataFrame({"method": list(values)}))["method"]
        rows = [_raw_row(method_label(method), role(method), values[method]) for method in methods]
        if clusterer in published:
            theirs = published[clusterer]["published_accuracy"].to_numpy()
            row = _raw_row("published, selected by hand", "published", theirs)
            rows.append(row | {"note": "always “no” scores 0.618 on the published images"})
        look = {"axis": "accuracy on the test images", "line": round(always, 4), "line_label": "always “no”"}
        label = CLUSTERERS.get(clusterer, clusterer)
        found.append({"protocol": "published", "name": clusterer, "label": label, **look, "rows": rows})
    return found


def differences(comparisons: pd.DataFrame) -> list[dict]:
    """Each generated method minus each baseline, with its corrected interval, by protocol: the second figure."""
    return [
        {
            "protocol": row["protocol"],
            "name": row["clusterer"],
            "what": row["what"],
            "method": method_label(row["method"]),
            "baseline": method_label(row["baseline"]),
            "difference": _number(row["difference"]),
            "low": _number(row["low"]),
            "high": _number(row["high"]),
            "verdict": row["verdict"],
        }
        for _, row in comparisons.dropna(subset=["difference"]).iterrows()
    ]


def role(method: str) -> str:
    """generated, foreign, baseline or non-CNN (a baseline that makes no CNN): which part a method plays."""
    entry = registry.get(method)
    return "non-CNN" if entry.role == "baseline" and not entry.makes_cnns else entry.role


def ordered(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows by method: generating ones, baselines, those that make no CNN; the order within is the table's."""
    rank = frame["method"].map(role).map(["generated", "foreign", "baseline", "non-CNN"].index)
    place = frame["method"].map({name: i for i, name in enumerate(_FIRST)}).fillna(len(_FIRST))
    return frame.assign(_rank=rank, _place=place).sort_values(["_rank", "_place"], kind="stable").drop(
        columns=["_rank", "_place"]
    )  # fmt: skip


def shape(values: np.ndarray) -> tuple[float, float, list[float]]:
    """Relative frequencies of (n,) values in equal bins, lightly smoothed, the highest 1; and where the bins end."""
    low, high = float(np.min(values)), float(np.max(values))
    pad = max(0.06 * (high - low), 0.004)
    counts, edges = np.histogram(values, _BINS, (low - pad, high + pad))
    smooth = gaussian_filter1d(counts.astype(float), 1.2, mode="constant")
    return round(edges[0], 4), round(edges[-1], 4), (smooth / smooth.max()).round(3).tolist()


def _headline(held: pd.DataFrame) -> str:
    n = len(held)
    better, worse = (int((held["verdict"] == verdict).sum()) for verdict in ("better", "worse"))
    verdicts = held.groupby(["clusterer", "method"], sort=False)["verdict"]
    wins = verdicts.agg(lambda some: (some == "better").all())
    losses = verdicts.agg(lambda some: (some == "worse").any())
    if wins.all():
        return "Yes: the generated CNNs beat all their baselines."
    if worse == n:
        return "No: the generated CNNs do worse than all their baselines."
    if better == worse == 0:
        return f"Inconclusive: {_undetected(held) or 'no difference is significant'}."
    if wins.any():
        cases = wins.groupby("method", sort=False).agg(["sum", "size"])
        listed = [f"{method_label(method)} in {row['sum']} of {row['size']}" for method, row in cases.iterrows()]
        return f"Mixed: all baselines are beaten by {_and(listed)} cases."
    if better and worse:
        which = f"better in {better} and worse in {worse}"
        return f"Mixed: the generated CNNs are significantly {which} of {n} comparisons."
    if losses.all():
        return "No: the generated CNNs are significantly better than none of their baselines, and worse than some."
    which = f"better in {better}" if better else f"worse in {worse}"
    return f"Inconclusive in {n - better - worse} of {n} comparisons: the generated CNNs are significantly {which}."


def _compared(held: pd.DataFrame) -> str:
    n = len(held)
    better, worse = (int((held["verdict"] == verdict).sum()) for verdict in ("better", "worse"))
    return (
        f"On test images that nothing was fitted to or selected on, {n} comparisons were made (each generating "
        "method with each baseline, under each clusterer): the median of the generated CNNs is "
        f"significantly better in {better}, significantly worse in {worse}, and the result is inconclusive in "
        f"{n - better - worse}. The intervals are over CNNs and images and corrected for making {n} comparisons."
    )


def _detectable(held: pd.DataFrame) -> list[str]:
    widths = _half_widths(held)
    if not len(widths):
        return []
    return [
        "Half the width of its interval is the smallest difference that an inconclusive comparison could have "
        f"detected: {np.median(widths):.2g} at the median, {widths.min():.2g} to {widths.max():.2g}."
    ]


def _undetected(held: pd.DataFrame) -> str:
    widths = _half_widths(held)
    if not len(widths):
        return ""
    return f"differences smaller than {np.median(widths):.2g} could not have been detected with these CNNs and images"


def _half_widths(rows: pd.DataFrame) -> np.ndarray:
    """Of the corrected intervals of comparisons that are significant in neither direction."""
    rows = rows[~rows["verdict"].isin(["better", "worse"])]
    return ((rows["high"] - rows["low"]) / 2).dropna().to_numpy(float)


def _zero_shot_best(comparisons: pd.DataFrame) -> list[str]:
    """The method and heads better than most baselines; `supervised`, which saw the conjunction, is left out."""
    rows = comparisons[(comparisons["protocol"] == "zero_shot") & (comparisons["what"] == "median")]
    rows = rows[rows["baseline"] != "supervised"]
    if rows.empty:
        return []
    better = (rows["verdict"] == "better").groupby([rows["method"], rows["clusterer"]], sort=False).agg(["sum", "size"])
    method, head = (better["sum"] / better["size"]).idxmax()
    count, of = better.loc[(method, head)]
    who = f"{method_label(method)} with {HEADS.get(head, head)}"
    if count == of:
        return [f"Zero-shot, yes: {who} is significantly better than all {of} baselines."]
    return [f"Zero-shot, {who} comes furthest: significantly better than {count} of {of} baselines."]


def _medians(held: pd.DataFrame) -> list[str]:
    clusterers = [name for name in held["clusterer"].unique() if name in CLUSTERERS]
    if not clusterers:
        return []
    part = ordered(held[held["clusterer"] == clusterers[0]])
    listed = [f"{row['median']:.3f} for {method_label(row['method'])} (n\u00a0=\u00a0{row['n']:,})"
              for _, row in part.iterrows() if role(row["method"]) != "non-CNN"]  # fmt: skip
    return [
        f"With {CLUSTERERS[clusterers[0]]} the median balanced accuracy is {_and(listed)}; a constant prediction has "
        "0.5."
    ]


def _selected(held: pd.DataFrame) -> list[str]:
    """The generated CNN and the baseline with the best validation scores, and what they are worth on the test."""
    kinds = held["method"].map(role)
    selected = {}
    for kind in ("generated", "baseline"):
        rows = held[(kinds == kind) & held["validation"].notna()]
        if len(rows):
            selected[kind] = rows.loc[rows["validation"].idxmax()]
    if "generated" not in selected:
        return []
    ours = selected["generated"]
    text = (
        f"Selected on validation, CNN {_who(ours)} has {_interval(ours)} on the test, after "
        f"{ours['validation']:.3f} on validation: a selection bias of {ours['validation'] - ours['test']:.3f}."
    )
    if "baseline" in selected:
        theirs = selected["baseline"]
        text += f" The baseline selected in the same way, {_who(theirs)}, has {_interval(theirs)}."
    return [text]


def _zero_shot(zero_shot: pd.DataFrame, comparisons: pd.DataFrame | None) -> list[str]:
    parts = []
    for head, rows in zero_shot.groupby("head", sort=False):
        rows = ordered(rows)
        ours = [f"{row['median']:.3f} for {method_label(row['method'])}" for _, row in rows.iterrows()
                if role(row["method"]) == "generated"]  # fmt: skip
        others = [f"{row['median']:.3f} for {method_label(row['method'])}" for _, row in rows.iterrows()
                  if role(row["method"]) != "generated"]  # fmt: skip
        if ours:
            against = f", against {_and(others)}" if others else ""
            parts.append(f"with {HEADS.get(head, head)} the median AUROC is {_and(ours)}{against}")
    if not parts:
        return []
    text = "Zero-shot, by the product of heads that never saw the conjunction: " + "; ".join(parts) + " (chance 0.5)."
    if comparisons is not None:
        rows = comparisons[(comparisons["protocol"] == "zero_shot") & (comparisons["what"] == "median")]
        if len(rows):
            better, worse = (int((rows["verdict"] == verdict).sum()) for verdict in ("better", "worse"))
            counts = f"{better} are significantly better and {worse} significantly worse"
            text += f" Of {len(rows)} comparisons of medians {counts}."
    return [text]


def _published(rows: pd.DataFrame) -> list[str]:
    kinds = rows["method"].map(role)
    best = {}
    for kind in ("generated", "baseline"):
        part = rows[kinds == kind]
        if len(part):
            best[kind] = part.loc[part["test"].idxmax()]
    if "generated" not in best:
        return []
    ours = best["generated"]
    text = (
        "Measured as published, which is transductive (the test images themselves are clustered, and the best CNN "
        f"is selected on them), the best generated CNN reaches a balanced accuracy of {ours['test']:.3f}"
    )
    if "baseline" in best:
        baseline = best["baseline"]
        text += f" and, selected in the same way, the best baseline {baseline['test']:.3f}"
        text += f" ({method_label(baseline['method'])})"
    return [f"{text}. Such a maximum is no estimate, and nothing above is compared with it."]


def _who(row: pd.Series) -> str:
    clusterer = CLUSTERERS.get(row["clusterer"], row["clusterer"])
    return f"{row['selected']} ({method_label(row['method'])}; {clusterer}, best of {row['n']:,})"


def _interval(row: pd.Series) -> str:
    text = f"a balanced accuracy of {row['test']:.3f}"
    if pd.notna(row["test_low"]):
        text += f" (95\u00a0% interval {row['test_low']:.3f} to {row['test_high']:.3f})"
    return text


def _values(frame: pd.DataFrame | None, protocol: str, measure: str) -> dict[str, np.ndarray]:
    """method -> the CNNs' values."""
    if frame is None:
        return {}
    part = tables.of_protocol(frame, protocol)
    return {method: group[measure].dropna().to_numpy() for method, group in part.groupby("method", sort=False)}


def _row(row: pd.Series, values: np.ndarray | None, how: str) -> dict:
    """A row of leaderboard or zero_shot, with the CNNs' own values where they are known."""
    numbers = {name: _number(row[name]) for name in ("median", "q25", "q75")}
    selected = {"name": str(row["selected"]), "value": _number(row["test"]), "how": how}
    selected |= {"low": _number(row["test_low"]), "high": _number(row["test_high"])}
    made = {"label": method_label(row["method"]), "role": role(row["method"]), "n": int(row["n"])}
    made |= numbers | {"selected": selected if selected["value"] is not None else None, "note": ""}
    if "dead_share" in row and row["dead_share"] > 0:
        made["note"] = f"{row['dead_share']:.0%} give every image the same features"
    return made | _spread(values)


def _raw_row(label: str, kind: str, values: np.ndarray) -> dict:
    q25, median, q75 = np.quantile(values, [0.25, 0.5, 0.75]).round(4).tolist()
    best = {"name": "", "value": round(float(values.max()), 4), "low": None, "high": None}
    best["how"] = "maximum, selected on the test images"
    row = {"label": label, "role": kind, "n": len(values), "median": median, "q25": q25, "q75": q75}
    return row | {"selected": best, "note": ""} | _spread(values)


def _spread(values: np.ndarray | None) -> dict:
    if values is None or len(values) < 2:
        return {"low": None, "high": None, "shape": [], "dots": []}
    low, high, counts = shape(values)
    dots = np.sort(values).round(4).tolist() if len(values) <= _DOTS else []
    return {"low": low, "high": high, "shape": counts, "dots": dots}


def _number(value) -> float | None:
    return None if pd.isna(value) else round(float(value), 4)


def _and(parts: Sequence[str]) -> str:
    return ", ".join(parts[:-1]) + (" and " if len(parts) > 1 else "") + parts[-1]
