"""The whole procedure from several seeds: what is left of a difference when zoos, students and halves are drawn again.

A run's own intervals know one zoo and one half of the images. Here every run counts once, by its median over CNNs;
runs are paired by their seed. Its variance has two parts: images drawn again for all runs at once, and the
spread between runs. Student's t has the degrees of freedom that Satterthwaite (1946) gives to such a sum. Where each
run drew test images of its own, their spread is part of that between runs.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from zoofuse.core import intervals, rng
from zoofuse.core.errors import AccessError, FileError
from zoofuse.core.text import printable
from zoofuse.evaluation import predictions
from zoofuse.evaluation.predictions import Images, Key, Path
from zoofuse.evaluation.tables import supervision
from zoofuse.methods import registry

COLUMNS = {
    "replicates": [
        "method", "protocol", "clusterer", "against", "runs", "n", "median", "low", "high", "least", "greatest",
        "supervision",
    ],
    "replicate_comparisons": [
        "method", "protocol", "clusterer", "baseline", "runs", "difference", "low", "high", "least", "greatest",
        "comparisons", "verdict",
    ],
}  # fmt: skip
ALL = "all"
LEAST_NEGATIVES = 10  # images of a group that an AUROC against it alone needs
DRAWS = 1000
_DIGITS = 6


class Run(NamedTuple):
    """A run's scores (n, m) by method, protocol and head; bool if held out."""

    images: Images
    scores: dict[Key, np.ndarray]


class Medians(NamedTuple):
    """Medians over n CNNs: of each run (r,), and of each run with the images drawn again (r, draws)."""

    n: int
    found: np.ndarray
    drawn: np.ndarray


def read(paths: Iterable[Path], folder: str | None = None) -> Run:
    """The predictions of one run.

    Args:
        paths: its predictions files.
        folder: where the run lies, if it is another than this one.

    Raises:
        FileError: a file of the run is missing, corrupt, or of an older version of zoofuse; the message says how to
            make it again in its folder.
    """
    try:
        return _read(list(paths))
    except AccessError:
        raise
    except FileError as error:
        if folder is None:
            raise
        raise FileError(
            f"replicates: the run in {printable(folder)} can't be used. {error} The command for that folder is "
            f"snakemake tables --directory {printable(folder)}, with the settings and the seed of that run. If an "
            "older version of zoofuse made the run, delete its whole folder results and make it again, or name "
            "another run."
        ) from error


def _read(paths: list[Path]) -> Run:
    images, scores = None, {}
    for protocol in ("held_out", "zero_shot"):
        for of in predictions.iterate(paths, protocol):
            images, scores[of.key] = of.images, np.nan_to_num(of.scores)
    return Run(images, scores)


def tables(
    runs: Mapping[str, Run], seed: int, draws: int = DRAWS, own_images: bool = False
) -> tuple[dict[str, pd.DataFrame], dict]:
    """The tables by name, with the columns of COLUMNS, and the `Medians` behind them by method, protocol and clusterer.

    Args:
        runs: where each lies -> its predictions.
        seed: of the bootstrap.
        draws: of the bootstrap.
        own_images: whether each has test images of its own, as synthetic ones are.

    Raises:
        ValueError: the runs are fewer than two, or not comparable.
    """
    _check(runs, own_images)
    runs = list(runs.values())
    counts = None if own_images else _drawn_again(runs[0].images.truth, seed, draws)
    kinds = [kind for kind in runs[0].scores if all(kind in run.scores for run in runs)]
    medians = {kind: _medians(runs, kind, counts) for kind in kinds}
    rows = [_row(kind, ALL, of) for kind, of in medians.items()]
    for group in [group for group in _groups(runs[0]) if all(group in _groups(run) for run in runs)]:
        zero_shot = [kind for kind in kinds if kind[1] == "zero_shot"]
        rows += [_row(kind, group, _medians(runs, kind, counts, group)) for kind in zero_shot]
    found = {"replicates": rows, "replicate_comparisons": _comparisons(medians)}
    tables = {name: pd.DataFrame(found[name], columns=columns).round(_DIGITS) for name, columns in COLUMNS.items()}
    return tables, medians


def interval(found: np.ndarray, drawn: np.ndarray, level: float = intervals.LEVEL) -> tuple[float, float]:
    """Low and high of the mean of `found` (r,), which are `drawn` (r, draws) when images are drawn again."""
    between, from_images = found.var(ddof=1) / len(found), drawn.mean(0).var()
    variance = between + from_images
    freedom = (len(found) - 1) * (variance / between) ** 2 if between else np.inf
    wide = stats.t.ppf((1 + level) / 2, freedom) * np.sqrt(variance)
    return float(found.mean() - wide), float(found.mean() + wide)


def _check(runs: Mapping[str, Run], own_images: bool) -> None:
    if len(runs) < 2:
        raise ValueError("replicates: there is one run; name at least one folder with a run from another seed.")
    (first, one), *others = runs.items()
    halves = {one.images.validation.tobytes(): first}
    for name, run in others:
        if not own_images and run.images.difference(one.images) not in (None, "validation"):
            raise ValueError(f"replicates: {name} has other test images than {first}; name runs on the same ones.")
        if (twin := halves.setdefault(run.images.validation.tobytes(), name)) != name:
            raise ValueError(f"replicates: {name} and {twin} split the test images alike, so they have one seed; "
                             "name runs from different seeds.")  # fmt: skip


def _drawn_again(truth: np.ndarray, seed: int, draws: int) -> np.ndarray:
    """(m, draws) how often each image is drawn; each class of k images is drawn k - 1 times."""
    counts = np.zeros(len(truth) * draws, np.float32)
    for side in (True, False):
        members = np.flatnonzero(truth == side)
        u = rng.uniform((max(len(members) - 1, 1), draws), seed, "replicates", "positive" if side else "negative")
        drawn = members[np.minimum((u * np.float32(len(members))).astype(int), len(members) - 1)]
        counts += np.bincount((drawn * draws + np.arange(draws)).ravel(), minlength=len(counts))
    return counts.reshape(len(truth), draws)


def _medians(runs: list[Run], kind: tuple[str, str, str], counts: np.ndarray | None, group: str = ALL) -> Medians:
    """counts: as `_drawn_again` gives them; None where images are not drawn again, `drawn` is `found` then."""
    found, drawn = [], []
    for run in runs:
        images = run.images
        shown = images.test & (images.truth | (group == ALL) | (images.groups == group))
        truth, scores = images.truth[shown], run.scores[kind][:, shown]
        shares = (intervals.accuracy_shares if kind[1] == "held_out" else intervals.rank_shares)(scores, truth)
        found.append(np.median(intervals.measure(shares, truth)))
        if counts is None:
            drawn.append(found[-1:])
            continue
        weights = counts[shown]
        for side in (truth, ~truth):
            total = weights[side].sum(0)
            weights[side] = np.where(total > 0, weights[side], 1) / np.where(total > 0, total, side.sum())
        drawn.append(np.median(shares[:, :-1].astype(np.float32) @ weights, axis=0))
    return Medians(len(scores), np.array(found), np.array(drawn))


def _groups(run: Run) -> list[str]:
    """Groups of negatives that are large enough for an AUROC of their own."""
    names, sizes = np.unique(run.images.groups[~run.images.truth], return_counts=True)
    return [str(name) for name, size in zip(names, sizes, strict=True) if size >= 2 * LEAST_NEGATIVES]


def _row(kind: tuple[str, str, str], against: str, medians: Medians) -> dict:
    method, protocol, clusterer = kind
    low, high = interval(medians.found, medians.drawn)
    return (
        {"method": method, "protocol": protocol, "clusterer": clusterer, "against": against}
        | {"runs": len(medians.found), "n": medians.n, "median": medians.found.mean(), "low": max(low, 0)}
        | {"high": min(high, 1), "least": medians.found.min(), "greatest": medians.found.max()}
        | {"supervision": supervision(method, clusterer)}
    )


def _comparisons(medians: dict) -> list[dict]:
    """Each generated method with the baselines, paired as in `leaderboard`, corrected by protocol."""
    rows = []
    for protocol in dict.fromkeys(kind[1] for kind in medians):
        of = {(method, clusterer): m for (method, p, clusterer), m in medians.items() if p == protocol}
        others: dict[str, dict[str, Medians]] = {}
        for (method, clusterer), found in of.items():
            if not registry.get(method).is_generated:
                others.setdefault(method, {})[clusterer] = found
        pairs = []
        for (method, clusterer), ours in of.items():
            for baseline, theirs in others.items() if registry.get(method).is_generated else ():
                if clusterer in theirs or not registry.get(baseline).makes_cnns:
                    pairs.append(
                        (method, clusterer, baseline, ours, theirs.get(clusterer, next(iter(theirs.values()))))
                    )
        level = intervals.corrected(len(pairs))
        for method, clusterer, baseline, ours, theirs in pairs:
            difference = ours.found - theirs.found
            low, high = interval(difference, ours.drawn - theirs.drawn, level)
            rows.append(
                {"method": method, "protocol": protocol, "clusterer": clusterer, "baseline": baseline}
                | {"runs": len(difference), "difference": difference.mean(), "low": max(low, -1), "high": min(high, 1)}
                | {"least": difference.min(), "greatest": difference.max(), "comparisons": len(pairs)}
                | {"verdict": intervals.verdict(low, high)}
            )
    return rows
