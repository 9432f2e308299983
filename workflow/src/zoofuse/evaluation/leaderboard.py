"""The five tables of a fusion: what every method reaches, what beats what, zero-shot, selection, groups of photographs.

Nothing is chosen on the images it is measured on, but in the rows of the published protocol, which say so.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score

from zoofuse.core import csv_files, files, intervals
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


class Photographs(NamedTuple):
    """A fusion's test images (m,), and the weights of bootstrap samples of the k in the test split."""

    labels: np.ndarray
    groups: np.ndarray
    validation: np.ndarray
    truth: np.ndarray  # bool, True = positive
    test: np.ndarray  # bool
    weights: np.ndarray  # of `statistics.resamples`, for medians
    added: np.ndarray  # the same with images added, for single CNNs


class Entry(NamedTuple):
    """What comparing a method needs of it, under one clusterer or with one head."""

    method: str
    clusterer: str
    median: float
    test: float | None  # of the selected CNN; None where there was nothing to select by
    shares: np.ndarray | None  # (k + 1,) of the selected CNN
    draws: np.ndarray  # of `statistics.median_draws`
    added: np.ndarray  # weights of `Photographs`


def tables(
    shards: Iterable[tuple[Path, Path]],
    zero_shot: Mapping[str, Iterable[Path]],
    references: Path | None,
    seed: int,
    draws: int = intervals.DRAWS,
) -> dict[str, pd.DataFrame]:
    """The tables by name, with the columns of COLUMNS.

    shards: CSV and HDF5 of each evaluation shard; zero_shot: method -> its zero-shot shards; references: the zero-shot
    answers of no zoo. One method's answers are held at a time. Raises ValueError when files do not fit each other.
    """
    rows: dict[str, list[dict]] = {name: [] for name in COLUMNS}
    photographs, held_out, heads = None, [], []
    for method, table, arrays in evaluated(shards):
        photographs = photographs or _photographs(arrays, seed, draws)
        for (protocol, clusterer), part in table.groupby(["protocol", "clusterer"], sort=False):
            part = part.reset_index(drop=True)
            if protocol == "published":
                rows["leaderboard"].append(_published(method, clusterer, part, len(photographs.labels)))
            else:
                answers = arrays[f"held_out/{clusterer}"]
                held_out.append(_held_out(rows, method, clusterer, part, answers, photographs, seed))
    for method, head, answers in zero_shot_answers(zero_shot, references):
        if answers["scores"].shape[1] != len(photographs.labels):
            raise ValueError(f"{method}: zero-shot answers to other images than the evaluation's. {_SAME}")
        heads.append(_zero_shot(rows, method, head, answers, photographs, seed))
    rows["comparisons"] = _comparisons("held_out", held_out) + _comparisons("zero_shot", heads)
    return {name: pd.DataFrame(rows[name], columns=columns).round(_DIGITS) for name, columns in COLUMNS.items()}


def best(scores: np.ndarray, models: np.ndarray, domains: np.ndarray) -> int:
    """Place of the highest score (n,); of equal ones the lowest model's, then the first domain's. NaN is never best."""
    return int(np.lexsort((domains, models, -np.nan_to_num(scores, nan=-np.inf)))[0])


def evaluated(shards: Iterable[tuple[Path, Path]]) -> Iterator[tuple[str, pd.DataFrame, dict[str, np.ndarray]]]:
    """(method, rows, arrays) of all evaluated CNNs, method after method; `shards` as in `tables`.

    The arrays are those about the images (m,), `held_out/model` and `held_out/domain`, and the answers (n, m) bool
    of every clusterer, in the order of the rows of that protocol. Raises ValueError as `tables` does.
    """
    first = None
    for method, parts in _by_method(shards):
        arrays = _together([arrays for _, arrays in _read(parts)])
        first = first or arrays
        for name in ("validation", "labels", "groups"):
            if not np.array_equal(arrays[name], first[name]):
                raise ValueError(f"{parts[0][1]}: {name} differ from the other methods'. {_SAME}")
        yield method, pd.concat([table for table, _ in parts], ignore_index=True), arrays


def zero_shot_answers(zero_shot: Mapping[str, Iterable[Path]], references: Path | None):
    """(method, head, arrays) with scores, validation, threshold, model and domain of all its CNNs; as in `tables`."""
    for method, paths in zero_shot.items():
        shards = [files.read(path, "zero_shot") for path in paths]
        arrays = {name: np.concatenate([shard[name] for shard in shards]) for name in shards[0]}
        for head in _heads(arrays):
            yield method, head, _below(arrays, head) | {name: arrays[name] for name in ("model", "domain")}
    arrays = files.read(references, "zero_shot") if references else {}
    for place in _heads(arrays):
        method, head = place.split("/")
        found = _below(arrays, place)
        n = len(found["scores"])
        yield method, head, found | {"model": np.arange(n), "domain": np.full(n, "-")}


_SAME = "Evaluate all methods on the same photographs: delete the older files and run the same command again."


def _by_method(shards):
    """Method -> the rows and the HDF5 of its shards, in the order of first appearance; empty shards are left out."""
    read = ((csv_files.read(rows), arrays) for rows, arrays in shards)
    methods: dict[str, list] = {}
    for rows, arrays in read:
        if len(rows):
            methods.setdefault(rows["method"].iloc[0], []).append((rows, arrays))
    return methods.items()


def _read(parts):
    for rows, path in parts:
        clusterers = rows.loc[rows["protocol"] == "held_out", "clusterer"].unique()
        names = ["validation", "labels", "groups"]
        if len(clusterers):
            names += [f"held_out/{name}" for name in ("model", "domain", *clusterers)]
        arrays = files.read(path, "evaluation", names)
        for _, part in rows[rows["protocol"] == "held_out"].groupby("clusterer"):  # the answers' order is the rows'
            if any(part[name].tolist() != arrays[f"held_out/{name}"].tolist() for name in ("model", "domain")):
                raise ValueError(f"{path}: does not hold the CNNs of its CSV. {_SAME}")
        yield rows, arrays


def _together(shards: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Arrays of all CNNs; those about the images are the first shard's, and the same in all."""
    shared = {name: shards[0][name] for name in ("validation", "labels", "groups")}
    for name, values in shared.items():
        if not all(np.array_equal(shard[name], values) for shard in shards):
            raise ValueError(f"Shards of one method differ in {name}. {_SAME}")
    names = {name for shard in shards for name in shard if name not in shared}
    return shared | {name: np.concatenate([shard[name] for shard in shards if name in shard]) for name in names}


def _photographs(arrays: dict[str, np.ndarray], seed: int, draws: int) -> Photographs:
    test = ~arrays["validation"]
    truth = arrays["labels"] == 1
    weights = [intervals.resamples(truth[test], seed, draws, added) for added in (False, True)]
    return Photographs(arrays["labels"], arrays["groups"], arrays["validation"], truth, test, *weights)


def _published(method: str, clusterer: str, part: pd.DataFrame, photographs: int) -> dict:
    scores = part["balanced_accuracy"].to_numpy()
    i = best(scores, part["model"], part["domain"])
    return (
        {"method": method, "protocol": "published", "clusterer": clusterer, **_distribution(scores)}
        | {"selected": _name(part["model"][i], part["domain"][i]), "test": scores[i], "measure": "balanced_accuracy"}
        | {
            "dead_share": _dead(part),
            "test_images": photographs,
            "selected_on": "test",
            "supervision": supervision(method),
        }
    )


def _held_out(rows, method, clusterer, part, answers, photographs: Photographs, seed: int) -> Entry:
    test, truth = photographs.test, photographs.truth[photographs.test]
    models, domains = part["model"].to_numpy(), part["domain"].to_numpy()
    shares = intervals.accuracy_shares(answers[:, test], truth)
    scores = intervals.measure(shares, truth)
    first = {"method": method, "clusterer": clusterer}
    spread = _distribution(scores)
    chosen = {rule: best(part[rule], models, domains) for rule in RULES if part[rule].notna().any()}
    found = {}
    for rule, i in chosen.items():
        low, high = _inside(scores[i], intervals.image_interval(shares[i], photographs.added), 0, 1)
        found[rule] = {"selected": _name(models[i], domains[i]), "validation": part["validation"][i]}
        found[rule] |= {"test": scores[i], "test_low": low, "test_high": high}
        if len(part) > 1:  # else there is nothing to select
            rows["selection"].append(first | {"rule": rule} | found[rule] | {"chance": spread["median"]})
    i, protocol = chosen["validation"], {"protocol": "held_out"}
    rows["leaderboard"].append(
        first
        | protocol
        | spread
        | found["validation"]
        | {"measure": "balanced_accuracy", "bias": part["validation"][i] - scores[i], "dead_share": _dead(part)}
        | {"test_images": int(test.sum()), "selected_on": "validation", "supervision": supervision(method)}
    )
    rows["groups"] += _groups(first | protocol, answers, i, photographs)
    draws = intervals.median_draws(shares, truth, photographs.weights, seed, method, clusterer)
    rows["leaderboard"][-1] |= _median_interval(spread["median"], draws)
    return Entry(method, clusterer, spread["median"], scores[i], shares[i], draws, photographs.added)


def _zero_shot(rows, method, head, answers, photographs: Photographs, seed: int) -> Entry:
    """Of CNNs without validation images, as existing zoos bring none, there is a distribution and no selected."""
    test, truth = photographs.test, photographs.truth[photographs.test]
    given, validation = np.nan_to_num(answers["scores"]), answers["validation"]
    shares = intervals.rank_shares(given[:, test], truth)
    scores = intervals.measure(shares, truth)
    row = {"method": method, "head": head, **_distribution(scores), "test_images": int(test.sum())}
    row["supervision"] = supervision(method, head)
    draws = intervals.median_draws(shares, truth, photographs.weights, seed, method, head)
    row |= _median_interval(row["median"], draws)
    rows["zero_shot"].append(row)
    if np.isnan(validation).all() and len(validation) > 1:
        return Entry(method, head, row["median"], None, None, draws, photographs.added)
    i = best(validation, answers["model"], answers["domain"])
    low, high = _inside(scores[i], intervals.image_interval(shares[i], photographs.added), 0, 1)
    row |= {"selected": _name(answers["model"][i], answers["domain"][i]), "validation": validation[i]}
    row |= {"test": scores[i], "test_low": low, "test_high": high}
    row |= {"average_precision": average_precision_score(truth, given[i, test])}
    if not np.isnan(answers["threshold"]).any():
        right = given >= answers["threshold"][:, None]
        row["balanced_accuracy"] = intervals.balanced_accuracy(right[i : i + 1, test], truth)[0]
        rows["groups"] += _groups({"method": method, "protocol": "zero_shot", "clusterer": head}, right, i, photographs)
    return Entry(method, head, row["median"], scores[i], shares[i], draws, photographs.added)


def _heads(arrays) -> list[str]:
    return [name.removesuffix("/scores") for name in arrays if name.endswith("/scores")]


def _below(arrays, place: str) -> dict[str, np.ndarray]:
    return {name: arrays[f"{place}/{name}"] for name in ("scores", "validation", "threshold")}


def _comparisons(protocol: str, entries: list[Entry]) -> list[dict]:
    """Each generated method with every baseline under the same clusterer or head.

    A reference that has not that clusterer or head is taken with its own: always answering no is the same everywhere.
    """
    others: dict[str, dict[str, Entry]] = {}
    for entry in entries:
        if not registry.get(entry.method).is_generated:
            others.setdefault(entry.method, {})[entry.clusterer] = entry
    pairs = []
    generated = [entry for entry in entries if registry.get(entry.method).is_generated]
    for ours, (baseline, theirs) in itertools.product(generated, others.items()):
        if ours.clusterer in theirs:
            pairs.append((ours, theirs[ours.clusterer]))
        elif not registry.get(baseline).makes_cnns:
            pairs.append((ours, next(iter(theirs.values()))))
    level = intervals.corrected(len(pairs))
    return [
        {"method": ours.method, "protocol": protocol, "clusterer": ours.clusterer, "baseline": theirs.method}
        | {"what": what, "difference": difference, "low": low, "high": high}
        | {"comparisons": len(pairs), "verdict": intervals.verdict(low, high)}
        for ours, theirs in pairs
        for what, difference, low, high in _compared(ours, theirs, level)
    ]


def _compared(ours: Entry, theirs: Entry, level: float):
    """(what, difference, low, high) of two methods' medians, and of their selected CNNs, image by photograph."""
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


def _groups(first: dict, answers: np.ndarray, selected: int, photographs: Photographs) -> list[dict]:
    """Share of right answers by group and class of the test split, of the selected CNN and the median over CNNs."""
    right = answers == photographs.truth
    kinds = sorted(set(zip(photographs.groups[photographs.test], ~photographs.truth[photographs.test], strict=True)))
    found = []
    for group, negative in kinds:
        where = photographs.test & (photographs.groups == group) & (photographs.truth != negative)
        shares = right[:, where].mean(1)
        about = {"group": str(group), "positive": not negative, "n": int(where.sum())}
        found.append(first | about | {"selected_right": shares[selected], "median_right": np.median(shares)})
    return found


def _distribution(scores: np.ndarray) -> dict[str, float]:
    q25, median, q75 = np.quantile(scores, [0.25, 0.5, 0.75])
    return {"n": len(scores), "median": median, "q25": q25, "q75": q75}


def _median_interval(median: float, draws: np.ndarray) -> dict[str, float]:
    """The median's own interval over CNNs and images: that of its difference from zero."""
    low, high = _inside(median, intervals.median_interval(draws, np.zeros_like(draws)), 0, 1)
    return {"median_low": low, "median_high": high}


def _dead(part: pd.DataFrame) -> float:
    """Share of CNNs whose features are the same for every image; NaN where there are no features."""
    return float((part["dead"] == 1).mean()) if part["dead"].notna().any() else float("nan")


def _name(model: int, domain: str) -> str:
    return str(model) if domain == "-" else f"{domain}/{model}"
