"""The five tables of a fusion: what every method reaches, what beats what, zero-shot, selection, groups of images.

One pass over predictions files, whatever wrote them. Nothing is selected on the images it is measured
on, but in the rows of the published protocol, which say so.
"""

import itertools
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd

from zoofuse.core import intervals
from zoofuse.evaluation import predictions
from zoofuse.evaluation.predictions import Images, Path, Predictions
from zoofuse.evaluation.tables import supervision
from zoofuse.methods import registry

COLUMNS = {
    "leaderboard": [
        "method", "protocol", "clusterer", "n", "median", "q25", "q75", "selected", "test", "test_low", "test_high",
        "measure", "validation", "bias", "dead_share", "test_images", "selected_on", "supervision", "median_low",
        "median_high",
    ],
    "comparisons": [
        "method", "protocol", "clusterer", "baseline", "what", "difference", "low", "high", "comparisons", "verdict",
    ],
    "zero_shot": [
        "method", "head", "n", "median", "selected", "test", "test_low", "test_high", "q25", "q75", "validation",
        "average_precision", "balanced_accuracy", "test_images", "supervision", "median_low", "median_high",
    ],
    "selection": [
        "method", "clusterer", "rule", "selected", "validation", "test", "test_low", "test_high", "chance",
    ],
    "groups": ["method", "protocol", "clusterer", "group", "positive", "n", "selected_right", "median_right"],
}  # fmt: skip
RULES = ["validation", "silhouette", "density_validity", "agreement"]
_DIGITS = 6


class TestSplit(NamedTuple):
    """The k test images that are measured on, and the weights of their bootstrap samples."""

    images: Images
    truth: np.ndarray  # (k,) bool, True = shows the concept
    weights: np.ndarray  # of `intervals.resamples`, for medians
    added: np.ndarray  # the same with images added, for single CNNs


class Entry(NamedTuple):
    """What comparing a method needs of it, under one clusterer or with one head."""

    method: str
    clusterer: str
    median: float
    test: float | None  # of the selected CNN; None where there was nothing to select by
    shares: np.ndarray | None  # (k + 1,) of the selected CNN
    draws: np.ndarray  # of `intervals.median_draws`
    added: np.ndarray  # weights of `TestSplit`


def tables(paths: Iterable[Path], seed: int, draws: int = intervals.DRAWS) -> dict[str, pd.DataFrame]:
    """The tables by name, with the columns of COLUMNS.

    Args:
        paths: predictions files of all methods and baselines, in the order of the tables' rows.
        seed: of the bootstrap.
        draws: of the bootstrap.

    Raises:
        ValueError: the files are of different test images.
    """
    paths = list(paths)
    rows: dict[str, list[dict]] = {name: [] for name in COLUMNS}
    split, entries = None, {"held_out": [], "zero_shot": []}
    protocols = ("published", "held_out"), ("zero_shot",)
    for of in itertools.chain.from_iterable(predictions.iterate(paths, *some) for some in protocols):
        split = split or _test_split(of.images, seed, draws)
        if of.protocol == "published":
            rows["leaderboard"].append(_published(of))
        else:
            measured = _held_out if of.protocol == "held_out" else _zero_shot
            entries[of.protocol].append(measured(rows, of, split, seed))
    rows["comparisons"] = [row for protocol, of in entries.items() for row in _comparisons(protocol, of)]
    return {name: pd.DataFrame(rows[name], columns=columns).round(_DIGITS) for name, columns in COLUMNS.items()}


def best(scores: np.ndarray, models: np.ndarray, domains: np.ndarray) -> int:
    """Place of the highest score (n,); of equal ones the lowest model's, then the first domain's. NaN is never best."""
    return int(np.lexsort((domains, models, -np.nan_to_num(scores, nan=-np.inf)))[0])


def _test_split(images: Images, seed: int, draws: int) -> TestSplit:
    truth = images.truth[images.test]
    return TestSplit(images, truth, *(intervals.resamples(truth, seed, draws, added) for added in (False, True)))


def _published(of: Predictions) -> dict:
    scores = of.measures["balanced_accuracy"]
    i = best(scores, of.model, of.domain)
    return (
        {"method": of.method, "protocol": of.protocol, "clusterer": of.head, **_distribution(scores)}
        | {"selected": of.name(i), "test": scores[i], "measure": "balanced_accuracy", "dead_share": _dead(of)}
        | {"test_images": len(of.images), "selected_on": "test", "supervision": supervision(of.method)}
    )


def _held_out(rows: dict, of: Predictions, split: TestSplit, seed: int) -> Entry:
    shares = intervals.accuracy_shares(of.scores[:, split.images.test], split.truth)
    scores = intervals.measure(shares, split.truth)
    first = {"method": of.method, "clusterer": of.head}
    spread = _distribution(scores)
    chosen = {
        rule: best(of.measures[rule], of.model, of.domain)
        for rule in RULES
        if rule in of.measures and not np.isnan(of.measures[rule]).all()
    }
    selected = {rule: _selected(of, i, scores[i], shares[i], split) for rule, i in chosen.items()}
    if len(of) > 1:  # else there is nothing to select
        chance = {"chance": spread["median"]}
        rows["selection"] += [first | {"rule": rule} | row | chance for rule, row in selected.items()]
    i = chosen["validation"]
    rows["leaderboard"].append(
        first
        | {"protocol": of.protocol}
        | spread
        | selected["validation"]
        | {"measure": "balanced_accuracy", "bias": of.measures["validation"][i] - scores[i], "dead_share": _dead(of)}
        | {"test_images": len(split.truth), "selected_on": "validation", "supervision": supervision(of.method)}
    )
    rows["groups"] += _groups(of, of.scores, i)
    draws = intervals.median_draws(shares, split.truth, split.weights, seed, of.method, of.head)
    rows["leaderboard"][-1] |= _median_interval(spread["median"], draws)
    return Entry(of.method, of.head, spread["median"], scores[i], shares[i], draws, split.added)


def _zero_shot(rows: dict, of: Predictions, split: TestSplit, seed: int) -> Entry:
    """Of CNNs without validation images, as existing zoos bring none, there is a distribution and no selected."""
    from sklearn.metrics import average_precision_score  # here, as it takes longer than most tables

    test, given = split.images.test, np.nan_to_num(of.scores)
    validation, threshold = of.measures["validation"], of.measures["threshold"]
    shares = intervals.rank_shares(given[:, test], split.truth)
    scores = intervals.measure(shares, split.truth)
    row = {"method": of.method, "head": of.head, **_distribution(scores), "test_images": len(split.truth)}
    row["supervision"] = supervision(of.method, of.head)
    draws = intervals.median_draws(shares, split.truth, split.weights, seed, of.method, of.head)
    row |= _median_interval(row["median"], draws)
    rows["zero_shot"].append(row)
    if np.isnan(validation).all() and len(of) > 1:
        return Entry(of.method, of.head, row["median"], None, None, draws, split.added)
    i = best(validation, of.model, of.domain)
    row |= _selected(of, i, scores[i], shares[i], split)
    row |= {"average_precision": average_precision_score(split.truth, given[i, test])}
    if not np.isnan(threshold).any():
        predicted = given >= threshold[:, None]
        row["balanced_accuracy"] = intervals.balanced_accuracy(predicted[i : i + 1, test], split.truth)[0]
        rows["groups"] += _groups(of, predicted, i)
    return Entry(of.method, of.head, row["median"], scores[i], shares[i], draws, split.added)


def _selected(of: Predictions, i: int, score: float, shares: np.ndarray, split: TestSplit) -> dict:
    """What the tables say of CNN i: its name, its score on validation, and on the test with its interval."""
    low, high = _inside(score, intervals.image_interval(shares, split.added), 0, 1)
    row = {"selected": of.name(i), "validation": of.measures["validation"][i]}
    return row | {"test": score, "test_low": low, "test_high": high}


def _comparisons(protocol: str, entries: list[Entry]) -> list[dict]:
    """Each generated method with every baseline, and each foreign classifier with both.

    The intervals of either family are corrected for the number of its own pairs, so that somebody else's file
    changes nobody else's verdict. A foreign classifier stands under the clusterer or head of what it is compared with.
    """
    by_role = {role: [of for of in entries if registry.get(of.method).role == role] for role in registry.ROLES}
    ours = [(of, theirs, of.clusterer) for of, theirs in _pairs(by_role["generated"], by_role["baseline"])]
    others = by_role["generated"] + by_role["baseline"]
    foreign = [(of, theirs, theirs.clusterer) for of, theirs in itertools.product(by_role["foreign"], others)]
    return [
        {"method": of.method, "protocol": protocol, "clusterer": clusterer, "baseline": theirs.method}
        | {"what": what, "difference": difference, "low": low, "high": high}
        | {"comparisons": len(family), "verdict": intervals.verdict(low, high)}
        for family in (ours, foreign)
        for of, theirs, clusterer in family
        for what, difference, low, high in _compared(of, theirs, intervals.corrected(len(family)))
    ]


def _pairs(generated: list[Entry], baselines: list[Entry]) -> list[tuple[Entry, Entry]]:
    """Each generated method with every baseline under the same clusterer or head.

    A non-CNN baseline that has not that clusterer or head is taken with its own: always predicting no is the same
    everywhere.
    """
    others: dict[str, dict[str, Entry]] = {}
    for entry in baselines:
        others.setdefault(entry.method, {})[entry.clusterer] = entry
    pairs = []
    for ours, (baseline, theirs) in itertools.product(generated, others.items()):
        if ours.clusterer in theirs:
            pairs.append((ours, theirs[ours.clusterer]))
        elif not registry.get(baseline).makes_cnns:
            pairs.append((ours, next(iter(theirs.values()))))
    return pairs


def _compared(ours: Entry, theirs: Entry, level: float):
    """(what, difference, low, high) of two methods' medians, and of their selected CNNs, image by image."""
    difference = ours.median - theirs.median
    interval = intervals.median_interval(ours.draws, theirs.draws, level)
    yield "median", difference, *_inside(difference, interval, -1, 1)
    if ours.shares is not None and theirs.shares is not None:
        difference = ours.test - theirs.test
        interval = intervals.image_interval(ours.shares - theirs.shares, ours.added, level)
        yield "selected", difference, *_inside(difference, interval, -1, 1)


def _inside(value: float, interval: tuple[float, float], least: float, most: float) -> tuple[float, float]:
    """The interval without what cannot be, and with the value it is about."""
    low, high = interval
    return min(max(low, least), value), max(min(high, most), value)


def _groups(of: Predictions, predicted: np.ndarray, selected: int) -> list[dict]:
    """Per-subgroup accuracy on the test split, of the selected CNN and the median over CNNs; predicted: (n, m) bool."""
    images = of.images
    right = predicted == images.truth
    kinds = sorted(set(zip(images.groups[images.test], ~images.truth[images.test], strict=True)))
    rows = []
    for group, negative in kinds:
        where = images.test & (images.groups == group) & (images.truth != negative)
        shares = right[:, where].mean(1)
        rows.append(
            {"method": of.method, "protocol": of.protocol, "clusterer": of.head, "group": str(group)}
            | {"positive": not negative, "n": int(where.sum())}
            | {"selected_right": shares[selected], "median_right": np.median(shares)}
        )
    return rows


def _distribution(scores: np.ndarray) -> dict[str, float]:
    q25, median, q75 = np.quantile(scores, [0.25, 0.5, 0.75])
    return {"n": len(scores), "median": median, "q25": q25, "q75": q75}


def _median_interval(median: float, draws: np.ndarray) -> dict[str, float]:
    """The median's own interval over CNNs and images: that of its difference from zero."""
    low, high = _inside(median, intervals.median_interval(draws, np.zeros_like(draws)), 0, 1)
    return {"median_low": low, "median_high": high}


def _dead(of: Predictions) -> float:
    """Share of degenerate CNNs, whose features are the same for every image; NaN where there are no features."""
    dead = of.measure("dead")
    return float("nan") if np.isnan(dead).all() else float((dead == 1).mean())
