"""Image statistics that need no CNN, and how well each alone separates positives from negatives."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import special, stats

from zoofuse.core import intervals
from zoofuse.preflight.places import Place

FEWEST = 10  # images of a class below which no statistic is measured


class Statistic(NamedTuple):
    columns: list[str]
    of: Callable[[Place], np.ndarray | None]  # (n, columns)
    advice: str
    doublings: bool = False  # the numbers are log2 of what the columns say


class Measured(NamedTuple):
    """One statistic of one place."""

    value: float  # AUROC of positives against negatives, cross-fitted
    low: float
    high: float
    medians: str
    scores: np.ndarray  # (n,), higher for positives
    fitted: object  # tells a place's images as the discriminant of this one


def _light(images: np.ndarray) -> np.ndarray:
    """(n, h, w) luminance, 0 to 1 (ITU-R BT.601)."""
    return images @ np.float32([0.299, 0.587, 0.114]) / 255


def _edge(images: np.ndarray) -> np.ndarray:
    """(n, 3) mean colour of a frame five pixels wide, where mostly background is."""
    frame = np.ones(images.shape[1:3], bool)
    frame[5:-5, 5:-5] = False
    return images[:, frame].mean(1) / 255


def _detail(images: np.ndarray) -> np.ndarray:
    """(n, 1) mean difference in luminance between neighbours."""
    light = _light(images)
    return sum(np.abs(np.diff(light, axis=axis)).mean((1, 2)) for axis in (1, 2))[:, None] / 2


def _size(place: Place) -> np.ndarray | None:
    if place.headers is None:
        return None
    width, height, *_ = place.headers.T
    return np.column_stack([np.log2(width * height), np.log2(width / height)])


def _file(place: Place) -> np.ndarray | None:
    if place.headers is None:
        return None
    width, height, size, quantiser = place.headers.T
    return np.column_stack([np.log2(8 * size / (width * height)), np.log2(1 + quantiser)])


_SHOWN = (
    "Unless this is what {name} means, add positives that are like the negatives in this respect, or negatives that "
    "are like the positives."
)
_SAVED = "Take both classes from the same sources, or crop and save all images in the same way."
STATISTICS = {
    "brightness": Statistic(["luminance"], lambda p: _light(p.images).mean((1, 2))[:, None], _SHOWN),
    "darkness of the centre": Statistic(
        ["share of dark pixels"], lambda p: (_light(p.images[:, 8:-8, 8:-8]) < 0.25).mean((1, 2))[:, None], _SHOWN
    ),
    "colour": Statistic(["red", "green", "blue"], lambda p: p.images.mean((1, 2)) / 255, _SHOWN),
    "colour of the border": Statistic(["red", "green", "blue"], lambda p: _edge(p.images), _SHOWN),
    "saturation": Statistic(["saturation"], lambda p: np.ptp(p.images, axis=-1).mean((1, 2))[:, None] / 255, _SHOWN),
    "contrast": Statistic(["deviation"], lambda p: _light(p.images).std((1, 2))[:, None], _SHOWN),
    "detail": Statistic(["difference of neighbours"], lambda p: _detail(p.images), _SHOWN),
    "size": Statistic(["pixels", "width to height"], _size, _SAVED, doublings=True),
    "file": Statistic(["bits per pixel", "1 + JPEG quantiser"], _file, _SAVED, doublings=True),
}


def measured(place: Place, seed: int) -> dict[str, Measured]:
    """Measure every statistic of a place; empty if a class has fewer than FEWEST images."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    truth, measured = place.positive, {}
    if min(truth.sum(), (~truth).sum()) < FEWEST:
        return measured
    folds = StratifiedKFold(5, shuffle=True, random_state=seed % 2**32)
    for name, statistic in STATISTICS.items():
        values = statistic.of(place)
        if values is None:
            continue
        discriminant = LinearDiscriminantAnalysis(solver="lsqr")  # allows constant columns
        scores = cross_val_predict(discriminant, values, truth, cv=folds, method="decision_function")
        typical = [np.median(values[truth == side], axis=0) for side in (True, False)]
        typical = np.exp2(typical) if statistic.doublings else typical
        medians = ", ".join(
            f"{c} {_short(p)} against {_short(n)}" for c, p, n in zip(statistic.columns, *typical, strict=True)
        )
        measured[name] = Measured(*auroc(scores, truth), medians, scores, discriminant.fit(values, truth))
    return measured


def auroc(scores: np.ndarray, truth: np.ndarray) -> tuple[float, float, float]:
    """AUROC and its 95 % interval, symmetric in its logit (DeLong 1988; Pepe 2003, section 5.2.3).

    It is fast for any number of images, unlike the bootstrap of `intervals`. If there is no error, one error in twice
    the images of the smaller class is assumed.

    Args:
        scores: (n,).
        truth: (n,) bool, True: positive.

    Returns:
        AUROC, low, high.
    """
    shares = intervals.rank_shares(scores[None], truth)
    value = float(intervals.measure(shares, truth)[0])
    sides = [shares[0, :-1][truth == side] for side in (True, False)]
    fewest = min(map(len, sides))
    inner = np.clip(value, 0.5 / fewest, 1 - 0.5 / fewest)
    variance = sum(side.var(ddof=1) / len(side) for side in sides)
    if inner != value:
        variance = max(variance, inner * (1 - inner) / fewest)
    half = stats.norm.ppf(0.975) * np.sqrt(variance) / (inner * (1 - inner))
    low, high = special.expit(special.logit(inner) + np.array([-half, half]))
    return value, min(value, float(low)), max(value, float(high))


def _short(x: float) -> str:
    return f"{x:,.0f}" if x >= 100 else f"{x:.2g}"
