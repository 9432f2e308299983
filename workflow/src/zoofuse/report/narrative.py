"""What the report says in words: its headline and sentences, from the tables."""

from collections.abc import Sequence

import pandas as pd

from zoofuse.evaluation import tables
from zoofuse.evaluation.tables import CLUSTERERS
from zoofuse.report.charts import HEADS, first_protocol, role
from zoofuse.report.figures import method_label


def summary(leaderboard: pd.DataFrame | None, comparisons: pd.DataFrame | None) -> dict:
    """Whether generated CNNs are better than their baselines, in words.

    The headline goes by the corrected intervals of `comparisons` between medians over CNNs, under the protocol that
    comes first (`charts.first_protocol`); zero-shot, by own heads and without the oracles. It says "Better" when some
    method is better than every baseline, "Worse" when every method under every clusterer is worse than one, and else
    "Inconclusive".

    Returns:
        headline and detectable (the difference that would have been detected), a sentence each; lead, the comparisons
        counted; sentences: held out, then zero-shot, then the published protocol, which is transductive.
    """
    nothing = "There is nothing to compare: no generated CNNs, or no baselines."
    said = {"headline": nothing, "detectable": "", "lead": ""}
    sentences = [] if leaderboard is None else _selected(tables.of_protocol(leaderboard, "held_out"))
    if comparisons is not None:
        generated = comparisons["method"].map(role) == "generated"
        medians = comparisons[generated & (comparisons["what"] == "median")]
        rows = tables.of_protocol(medians, protocol := first_protocol(medians["method"]))
        if protocol == "zero_shot":
            rows = rows[(rows["clusterer"] == "own") & (rows["baseline"].map(role) != "oracle")]
        if len(rows):
            said = {"headline": _headline(rows), "detectable": _detectable(rows), "lead": _lead(rows)}
        sentences += _zero_shot_best(tables.of_protocol(medians, "zero_shot"))
    if leaderboard is not None:
        sentences += _published(tables.of_protocol(leaderboard, "published"))
    return said | {"sentences": sentences}


def _headline(rows: pd.DataFrame) -> str:
    cases = rows.groupby(["method", "clusterer"], sort=False)["verdict"]
    wins = cases.agg(lambda verdicts: (verdicts == "better").all())
    losses = cases.agg(lambda verdicts: (verdicts == "worse").any())
    names = rows["method"].unique()
    every = method_label(names[0]) if len(names) == 1 else "every generated method"
    if wins.all():
        return f"Better: {every} scores higher than every baseline."
    if wins.any():
        return f"Better: {_and(_winners(wins))} scores higher than every baseline."
    if losses.all():
        worse = rows[rows["verdict"] == "worse"]
        if len(worse) == len(rows):
            return f"Worse: {every} scores lower than every baseline."
        few = worse["baseline"].unique() if len(names) == 1 else []
        which = _and([method_label(name) for name in few]) if 0 < len(few) <= 2 else "at least one baseline"
        return f"Worse: {every} scores lower than {which}."
    n, unclear = len(rows), int((rows["verdict"] == "inconclusive").sum())
    if unclear == n:
        return f"Inconclusive: none of the {n} comparisons with baselines shows a significant difference."
    return f"Inconclusive: {unclear} of {n} comparisons with baselines show no significant difference."


def _winners(wins: pd.Series) -> list[str]:
    """Each method that is better than every baseline, with the clusterers under which it is, where not all."""
    listed = []
    for method, under in wins.groupby(level="method", sort=False):
        names = [CLUSTERERS.get(name, name) for name in under[under].index.get_level_values("clusterer")]
        if names:
            listed.append(method_label(method) + ("" if under.all() else f" with {_and(names)}"))
    return listed


def _detectable(rows: pd.DataFrame) -> str:
    """From half the widths of the corrected intervals."""
    halves = ((rows["high"] - rows["low"]) / 2).dropna()
    if halves.empty:
        return ""
    least, usual, most = (f"{value:.2g}" for value in (halves.min(), halves.median(), halves.max()))
    if least == most:
        return f"A difference of {usual} or more would have been detected."
    return f"A difference of {usual} or more would have been detected ({least} to {most}, depending on the comparison)."


def _lead(rows: pd.DataFrame) -> str:
    better, unclear, worse = (int((rows["verdict"] == word).sum()) for word in ("better", "inconclusive", "worse"))
    return (
        f"Of {len(rows)} comparisons of the median generated CNN with a baseline, {better} are better, {unclear} "
        f"inconclusive and {worse} worse, by intervals corrected for making {len(rows)} comparisons."
    )


def _zero_shot_best(rows: pd.DataFrame) -> list[str]:
    """The method and heads that are better than most baselines; oracles, which saw the conjunction, are left out."""
    rows = rows[rows["baseline"].map(role) != "oracle"]
    if rows.empty:
        return []
    better = (rows["verdict"] == "better").groupby([rows["method"], rows["clusterer"]], sort=False).agg(["sum", "size"])
    method, head = (better["sum"] / better["size"]).idxmax()
    count, of = better.loc[(method, head)]
    which = f"all {of}" if count == of else f"{count} of {of}"
    return [f"Zero-shot, {_with(method, head)} does best: significantly better than {which} baselines."]


def _selected(held: pd.DataFrame) -> list[str]:
    """The generated CNN and the baseline with the best validation scores, and their scores on the test half."""
    roles = held["method"].map(role)
    best = {
        name: rows.loc[rows["validation"].idxmax()]
        for name in ("generated", "baseline")
        if len(rows := held[(roles == name) & held["validation"].notna()])
    }
    if "generated" not in best:
        return []
    ours = best["generated"]
    text = (
        f"The generated CNN selected on validation, {_who(ours)}, has {_interval(ours)} on the test half and "
        f"{ours['validation']:.3f} on the validation half: a selection bias of {ours['validation'] - ours['test']:.3f}."
    )
    if "baseline" in best:
        text += f" The baseline selected in the same way, {_who(best['baseline'])}, has {_interval(best['baseline'])}."
    return [text]


def _published(rows: pd.DataFrame) -> list[str]:
    roles = rows["method"].map(role)
    best = {
        name: part.loc[part["test"].idxmax()] for name in ("generated", "baseline") if len(part := rows[roles == name])
    }
    if "generated" not in best:
        return []
    text = (
        "Measured as published, which is transductive (the test images themselves are clustered, and the best CNN is "
        f"selected on them), the best generated CNN has a balanced accuracy of {best['generated']['test']:.3f}"
    )
    if "baseline" in best:
        theirs = best["baseline"]
        text += (
            f" and the best baseline, selected in the same way, {theirs['test']:.3f} ({method_label(theirs['method'])})"
        )
    return [f"{text}. Such a maximum does not estimate the accuracy on new images."]


def _with(method: str, head: str) -> str:
    return f"{method_label(method)} with {HEADS.get(head, head)}"


def _who(row: pd.Series) -> str:
    clusterer = CLUSTERERS.get(row["clusterer"], row["clusterer"])
    return f"{row['selected']} ({method_label(row['method'])}; {clusterer}, best of {row['n']:,})"


def _interval(row: pd.Series) -> str:
    text = f"a balanced accuracy of {row['test']:.3f}"
    if pd.notna(row["test_low"]):
        text += f" (95\u00a0% interval {row['test_low']:.3f} to {row['test_high']:.3f})"
    return text


def _and(parts: Sequence[str]) -> str:
    return ", ".join(parts[:-1]) + (" and " if len(parts) > 1 else "") + parts[-1]
