"""The leaderboard of weight-space methods: how good, how new and how costly sampled networks are.

Quality is the balanced accuracy on images that nothing was fitted to or selected by. Novelty in weights is the distance
to the nearest training network, up to the order of channels, over that of the zoo's own held-out networks; novelty in
predictions is 1 minus the largest intersection over union of a network's errors and a training network's (Zeng et al.
2025). Every method is compared with training networks plus noise at equal novelty, in both senses.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from zoofuse.core import intervals, rng

COLUMNS = (
    *("track", "zoo", "method", "given", "seeds", "n", "quality", "quality_low", "quality_high"),
    *("novelty_weights", "novelty_predictions", "seconds_per_network", "verdict"),
    *("minus_noise_weights", "minus_noise_weights_low", "minus_noise_weights_high"),
    *("minus_noise_predictions", "minus_noise_predictions_low", "minus_noise_predictions_high"),
    *("degenerate", "counted"),
)
_COPIED = 0.05  # of the held-out networks' novelty: below it in both senses, networks are copies
_MEASURES = ["quality", "novelty_weights", "novelty_predictions"]


def balanced_accuracy(predicted: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(n,) mean recall over classes of n networks' classes (n, m); labels (m,)."""
    return np.mean([(predicted[:, labels == label] == label).mean(1) for label in np.unique(labels)], axis=0)


def novelty_in_predictions(errors: np.ndarray, training: np.ndarray) -> np.ndarray:
    """1 minus the intersection over union of a network's errors with those of the training network most alike.

    Args:
        errors: (n, m) bool, of n networks on m images.
        training: (t, m) bool, of the training networks.

    Returns:
        (n,) from 0, a copy, to 1; two networks without errors are alike.
    """
    one, other = errors.astype(np.float32), training.astype(np.float32)
    both = one @ other.T
    either = one.sum(1)[:, None] + other.sum(1) - both
    return 1 - np.where(either > 0, both / np.maximum(either, 1), 1).max(1)


def table(
    networks: pd.DataFrame, given: Mapping[str, str], controls: Sequence[str], curve: Sequence[str], seed: int
) -> pd.DataFrame:
    """A row for each zoo and method, with intervals over repetitions and networks that hold together at 95 %.

    Args:
        networks: a row for each network: zoo, method, repetition, quality, novelty_weights, novelty_predictions,
            degenerate, seconds.
        given: method -> what it was given.
        controls: methods that do not count.
        curve: methods that the noise curve goes through: copies, then noise.
        seed: the run's.

    Returns:
        A DataFrame with COLUMNS.
    """
    pairs = networks[["zoo", "method"]].drop_duplicates()
    compared = int((~pairs["method"].isin(controls)).sum())
    level = intervals.corrected(2 * compared)  # with noise, in both senses of novelty
    rows = []
    for zoo, of_zoo in networks.groupby("zoo", sort=False):
        repetitions = int(of_zoo["repetition"].max()) + 1
        drawn = _repetitions(repetitions, seed, zoo)
        means = {name: _means(of, drawn, seed, zoo, name) for name, of in of_zoo.groupby("method", sort=False)}
        points = [name for name in curve if name in means]
        own = means["held_out"]["novelty_predictions"][0] if "held_out" in means else 1.0
        for name, of in of_zoo.groupby("method", sort=False):
            row = {
                "track": "generate",
                "zoo": zoo,
                "method": name,
                "given": given[name],
                "seeds": of["repetition"].nunique(),
                "n": len(of),
                "seconds_per_network": of["seconds"].mean(),
                "degenerate": of["degenerate"].mean(),
                "counted": name not in controls,
            }
            row |= {measure: means[name][measure][0] for measure in _MEASURES}
            row["quality_low"], row["quality_high"] = intervals.interval(means[name]["quality"][1:], level)
            copied = row["novelty_weights"] < _COPIED and row["novelty_predictions"] < _COPIED * own
            row |= _against_noise(means, name, points, level)
            row["verdict"] = "copies" if copied else "control" if name in curve else _verdict(row)
            rows.append(row)
    return pd.DataFrame(rows)[[*COLUMNS]]


def sentence(board: pd.DataFrame) -> str:
    """How many methods are significantly better than noise, in words."""
    counted = board[board["counted"] & (board["track"] == "generate")]
    names = counted["method"].unique()
    if not len(names):
        return "No method that samples networks was compared with noise."
    zoos, perfect = counted["zoo"].unique(), board[board["method"] == "held_out"]["verdict"]
    better = counted[counted["verdict"] == "better"]["method"].value_counts()
    everywhere = int((better == len(zoos)).sum())
    text = f"{everywhere} of {len(names)} methods are significantly better than noise of matched size at equal novelty"
    passed = int((perfect == "better").sum())
    control = f"Held-out networks, a perfect sampler, are better than noise on {passed} of {len(perfect)} zoos."
    if len(zoos) == 1:
        return f"{text}. {control}"
    each = [
        f"{int((of['verdict'] == 'better').sum())} of {len(of)} on {zoo}"
        for zoo, of in counted.groupby("zoo", sort=False)
    ]
    return f"{text} on all {len(zoos)} zoos: {', '.join(each)}. {control}"


def _repetitions(n: int, seed: int, zoo: str) -> np.ndarray:
    """(draws, max(n - 1, 1)) repetitions, drawn for all methods alike; of n one less, see `intervals.resamples`."""
    draws = rng.uniform((intervals.DRAWS, max(n - 1, 1)), seed, "leaderboard", zoo, "repetitions")
    return np.minimum((draws * n).astype(int), n - 1)


def _means(of: pd.DataFrame, drawn: np.ndarray, seed: int, zoo: str, method: str) -> dict[str, np.ndarray]:
    """Each measure's mean, then its bootstrap draws, (1 + draws,): repetitions are drawn, and networks in each."""
    by_repetition = [part[_MEASURES].to_numpy() for _, part in of.groupby("repetition")]
    most = min(map(len, by_repetition))
    values = np.stack([part[:most] for part in by_repetition])
    shape = (*drawn.shape, max(most - 1, 1))
    places = rng.uniform(shape, seed, "leaderboard", zoo, "networks", method) * most
    places = np.minimum(places.astype(int), most - 1)
    resampled = values[np.minimum(drawn, len(values) - 1)[..., None], places].mean((1, 2))
    every = np.concatenate([values.mean((0, 1))[None], resampled])
    return dict(zip(_MEASURES, every.T, strict=True))


def _against_noise(means: Mapping[str, Mapping], name: str, points: Sequence[str], level: float) -> dict:
    """Quality minus that of the noise curve at the same novelty, in both senses, with intervals."""
    found = {}
    quality = np.stack([means[point]["quality"] for point in points], axis=1)
    for sense in ("weights", "predictions"):
        novelty = np.stack([means[point][f"novelty_{sense}"] for point in points], axis=1)
        order = np.argsort(novelty, axis=1, kind="stable")
        along, height = np.take_along_axis(novelty, order, 1), np.take_along_axis(quality, order, 1)
        at = means[name][f"novelty_{sense}"]
        noise = np.array([np.interp(x, xs, ys) for x, xs, ys in zip(at, along, height, strict=True)])
        minus = means[name]["quality"] - noise
        found[f"minus_noise_{sense}"] = minus[0]
        low, high = intervals.interval(minus[1:], level)
        found |= {f"minus_noise_{sense}_low": low, f"minus_noise_{sense}_high": high}
    return found


def _verdict(row: Mapping) -> str:
    """`better` or `worse` than noise where both senses of novelty say so, else `inconclusive`."""
    verdicts = {
        intervals.verdict(row[f"minus_noise_{sense}_low"], row[f"minus_noise_{sense}_high"])
        for sense in ("weights", "predictions")
    }
    return verdicts.pop() if len(verdicts) == 1 else "inconclusive"
