"""Intervals one can believe: the bootstrap over images, and over CNNs and images together.

Both measures are a mean over positive plus a mean over negative images of a `share` each image adds, so one
engine serves them: right answers for balanced accuracy; for the AUROC the placement values, which give its bootstrap
to first order (DeLong, DeLong and Clarke-Pearson 1988, Biometrics 44). Images are drawn class by class.
"""

import numpy as np
from scipy import special, stats

from zoofuse.core import rng

LEVEL = 0.95
DRAWS = 4000
_CHUNK = 2**23  # scores held at once while medians are drawn


def balanced_accuracy(answers: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(n,) mean of recall and specificity of n CNNs' answers (n, m) bool; truth (m,) bool, True = positive."""
    return measure(right_shares(answers, truth), truth)


def auroc(scores: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(n,) area under the ROC curve of n CNNs' scores (n, m), ties counted half; truth (m,) bool."""
    return measure(rank_shares(scores, truth), truth)


def right_shares(answers: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(n, m + 1) shares of balanced accuracy, half of every right answer; last what tossing a coin adds on average.

    Raises ValueError where a class has no photograph.
    """
    _check(truth)
    right = np.asarray(answers, bool) == truth
    return np.column_stack([right / 2, np.full(len(right), 0.25)])


def rank_shares(scores: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """As `right_shares` for the AUROC: how much of the other class an image is on the right side of, less half the
    AUROC."""
    _check(truth)
    scores = np.asarray(scores)
    shares = np.full((len(scores), len(truth) + 1), 0.5)
    ranks = stats.rankdata(scores, axis=1)
    for side in (True, False):
        own = np.flatnonzero(truth == side)
        below = (ranks[:, own] - stats.rankdata(scores[:, own], axis=1)) / (len(truth) - len(own))
        shares[:, own] = below if side else 1 - below
    return shares - shares[:, np.flatnonzero(truth)].mean(1, keepdims=True) / 2


def measure(shares: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(n,) the balanced accuracy or AUROC that shares (n, m + 1) make."""
    shares = shares[..., : len(truth)]
    return shares[..., truth].mean(-1) + shares[..., ~truth].mean(-1)


def resamples(truth: np.ndarray, seed: int, draws: int = DRAWS, added: bool = False) -> np.ndarray:
    """(m + 2, draws) float32 weights of the images in bootstrap samples, each class summing to 1.

    Every class of k images is drawn k - 1 times, which makes the variance of a mean unbiased (Rao and Wu 1988,
    JASA 83). With `added` it is drawn k times from its images and two more of half their chance, one better and
    one worse by 1/4 than tossing a coin: a class without an error is not free of errors. For a rate these are the half
    counts of Jeffreys (Brown, Cai and DasGupta 2001, Stat. Sci. 16). The last two rows are the weight of those two,
    and what the better and the worse add.
    """
    _check(truth)
    m = len(truth)
    weights = np.zeros((m + 2, draws), np.float32)
    for side in (True, False):
        members = np.flatnonzero(truth == side)
        times = len(members) if added else max(len(members) - 1, 1)
        drawn = rng.uniform((times, draws), seed, "bootstrap", "positive" if side else "negative", added)
        places = np.append(np.repeat(members, 2), [m, m + 1] if added else [])  # halves
        drawn = np.minimum((drawn * np.float32(len(places))).astype(np.int64), len(places) - 1)
        counts = np.bincount((places.astype(int)[drawn] * draws + np.arange(draws)).ravel(), minlength=weights.size)
        weights += counts.reshape(weights.shape) / np.float32(times)
    better, worse = weights[m], weights[m + 1]
    weights[m:] = better + worse, (better - worse) / 4
    return weights


def interval(draws: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """Low and high of draws (b,): the 95 % percentile interval; at higher levels it is widened about the median.

    Widening goes by the ratio of normal quantiles, for no number of draws shows the tails of a corrected level; the
    percentiles of that level count where they lie further out, as with a median between two heaps of CNNs.
    """
    tails = [(1 - LEVEL) / 2, 0.5, (1 + LEVEL) / 2, (1 - level) / 2, (1 + level) / 2]
    low, middle, high, lowest, highest = np.quantile(draws, tails)
    wider = stats.norm.ppf((1 + level) / 2) / stats.norm.ppf((1 + LEVEL) / 2)
    low, high = middle - (middle - low) * wider, middle + (high - middle) * wider
    return float(min(low, lowest)), float(max(high, highest))


def photograph_interval(shares: np.ndarray, weights: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """The interval over images of one CNN's measure or, from a difference of shares, of a paired difference.

    shares: (m + 1,); weights: `resamples` with `added`. Chosen by its coverage: at 17 + 27 images 94 to 99.7 %
    (1,500 repetitions a case); with 97 % right answers, plain percentiles cover 74 % and SciPy's BCa 75 % (150).
    """
    return interval(np.append(shares, 1) @ weights, level)


def median_draws(shares: np.ndarray, truth: np.ndarray, weights: np.ndarray, seed: int, *names) -> np.ndarray:
    """(4, draws) medians over n CNNs: with the CNNs drawn again, and with the images drawn again, over all CNNs
    and over every other one, from the first and from the second.

    shares: (n, m + 1); weights: `resamples` without `added`: methods given the same ones share photographs. The seed
    and `names` name the draw of CNNs. A single CNN is given, not drawn, and is both of its halves.
    """
    n, draws = len(shares), weights.shape[1]
    found = np.empty((4, draws))
    # Places in the sorted order of n draws out of n are order statistics of uniform numbers: no need to draw them all.
    middle = (n + 1) // 2
    first, second = rng.uniform((2, draws), seed, "bootstrap", "cnns", *names).astype(float)
    first = special.betaincinv(middle, n - middle + 1, first)
    second = first if n % 2 else first + (1 - first) * -np.expm1(np.log1p(-second) / (n - middle))
    places = np.minimum((np.stack([first, second]) * n).astype(int), n - 1)
    found[0] = np.sort(measure(shares, truth))[places].mean(0)
    single = np.ascontiguousarray(shares, np.float32)
    step = max(1, _CHUNK // n)
    for start in range(0, draws, step):
        part = slice(start, start + step)
        scores = single @ weights[:-1, part]
        found[1:, part] = [np.median(of, axis=0) for of in (scores, scores[::2], scores[min(1, n - 1) :: 2])]
    return found


def median_interval(ours: np.ndarray, theirs: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """The interval, over CNNs and images, of the difference of two methods' medians; both of `median_draws`.

    Drawing CNNs and images at once counts what a CNN makes of an image up to three times (Owen 2007, Ann.
    Appl. Stat. 1). Here the CNNs' draws, which hold it once, are moved by the images' draws shrunk to the part
    that CNNs share: the covariance between one half of the CNNs and the other.
    """
    cnns, photographs, one, other = ours - theirs
    variance = photographs.var()
    common = max(np.mean((one - one.mean()) * (other - other.mean())), 0)
    shift = (photographs - photographs.mean()) * np.sqrt(common / variance) if variance else 0
    return interval(cnns + shift, level)


def corrected(comparisons: int) -> float:
    """The level of each of so many intervals that together hold at 95 % (Bonferroni)."""
    return 1 - (1 - LEVEL) / max(comparisons, 1)


def verdict(low: float, high: float) -> str:
    """`better`, `worse` or `inconclusive`, by the interval of a difference."""
    if low > 1e-6:  # medians are drawn in single precision
        return "better"
    return "worse" if high < -1e-6 else "inconclusive"


def _check(truth: np.ndarray) -> None:
    for side, name in ((True, "positive"), (False, "negative")):
        if not np.any(truth == side):
            raise ValueError(f"There is no {name} image to measure on; add some to the test photographs.")
