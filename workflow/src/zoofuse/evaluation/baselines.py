"""Predictions without a CNN, beside every CNN's in the leaderboard: what needs no zoo cannot be its merit."""

from collections.abc import Iterator

import numpy as np

from zoofuse.core import metrics
from zoofuse.evaluation import protocols, zero_shot

COMPONENTS = 50  # of the pixels' principal components; UMAP's users often reduce to about as many first

Shard = tuple[str, list[dict], dict[str, np.ndarray]]


def references(images: np.ndarray, truth: np.ndarray, validation: np.ndarray, settings: dict) -> Iterator[Shard]:
    """Method, rows and arrays of each baseline, as `protocols` has them of one CNN.

    images: uint8 (m, height, width, 3); truth: (m,) bool, True = positive; validation: (m,) bool, the half that
    the held-out protocol fits on; settings: the config's `evaluation` block. The clusterer of what is not clustered is
    "threshold".
    """
    yield "always_no", *thresholded(np.zeros((len(truth), 1)), truth, validation)
    yield "brightness", *thresholded(zero_shot.brightness(images), truth, validation)
    yield "colour", *thresholded(zero_shot.colour(images), truth, validation)
    yield "middle", *thresholded(zero_shot.middle(images), truth, validation)
    pixels = zero_shot.pixels(images)
    yield "pixels", *clustered(pixels, pixels, truth, validation, settings)
    reduced = (principal_components(pixels, fitted) for fitted in (np.ones_like(validation), validation))
    yield "pca", *clustered(*reduced, truth, validation, settings)


def thresholded(
    features: np.ndarray, truth: np.ndarray, validation: np.ndarray
) -> tuple[list[dict], dict[str, np.ndarray]]:
    """Rows and arrays of a linear discriminant on few numbers (m, f), cut where balanced accuracy is best.

    published: fitted on all images and measured on them, as the published protocol does; held_out: fitted on the
    validation half, measured on the rest. Numbers that do not differ are predicted negative.
    """
    everything = np.ones_like(validation)
    predictions = {"published": _cut(features, truth, everything), "held_out": _cut(features, truth, validation)}
    rows = []
    for protocol, measured in (("published", everything), ("held_out", ~validation)):
        right, predicted = truth[measured], predictions[protocol][measured]
        counts = metrics.confusion(right, predicted)
        about = {"entropy": metrics.entropy(right, predicted), "purity": metrics.purity(right, predicted)}
        about |= {"protocol": protocol, "clusterer": "threshold", "clusters": len(np.unique(predicted)), "noise": 0.0}
        rows.append(metrics.scores(**counts) | counts | about)
    chosen = metrics.confusion(truth[validation], predictions["held_out"][validation])
    rows[1]["validation"] = metrics.scores(**chosen)["balanced_accuracy"]
    return rows, {f"{protocol}/threshold": predicted for protocol, predicted in predictions.items()}


def clustered(
    features: np.ndarray, held_out: np.ndarray, truth: np.ndarray, validation: np.ndarray, settings: dict
) -> tuple[list[dict], dict[str, np.ndarray]]:
    """Rows and arrays of numbers clustered as a CNN's features are; `held_out` (m, f) for the held-out protocol."""
    rows, arrays = protocols.evaluate(features, truth, settings)
    more_rows, more_arrays = protocols.held_out(held_out, truth, validation, settings)
    return rows + more_rows, arrays | more_arrays


def principal_components(pixels: np.ndarray, fitted: np.ndarray) -> np.ndarray:
    """(m, c) float32 principal components of pixels (m, f), found without labels on the `fitted` (m,) ones."""
    from sklearn.decomposition import PCA

    most = min(COMPONENTS, fitted.sum() - 1, pixels.shape[1])
    return PCA(most, svd_solver="full").fit(pixels[fitted]).transform(pixels).astype(np.float32)


def _cut(features: np.ndarray, truth: np.ndarray, fitted: np.ndarray) -> np.ndarray:
    labels = truth[fitted].astype(int)
    scores = zero_shot.logit(zero_shot.fit_probe(features[fitted][None], labels), features[None])
    threshold, _ = zero_shot.best_threshold(scores[:, fitted], labels)
    return (scores[0] >= threshold) & (np.ptp(scores) > 0)
