"""What a few labelled images of the conjunction are worth: a probe on k of each class, beside none at all.

The images come from the validation half of a fusion's test, the AUROC from the other half. Every method sees the
same ones, so that curves compare. Tier few_shot: never beside a zero-shot score without saying so.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from zoofuse.core import intervals, rng
from zoofuse.evaluation import protocols, zero_shot
from zoofuse.evaluation.tables import supervision

# each: labelled images of either class; 0 for CNNs that come with heads of their own
COLUMNS = ["method", "each", "n", "median", "q25", "q75", "draws", "supervision"]


def choices(labels: np.ndarray, validation: np.ndarray, k: int, draws: int, seed: int, fusion: str) -> list[np.ndarray]:
    """`draws` sets of rows (2 k,), k of each class of the validation half (m,) bool; none where a class has fewer.

    A larger k adds images to those of a smaller one.
    """
    members = [np.flatnonzero(validation & (labels == label)) for label in rng.CLASSES]
    if min(map(len, members)) < k:
        return []
    found = []
    for draw in range(draws):
        orders = [rng.permutation(len(rows), seed, "few_shot", fusion, draw, i) for i, rows in enumerate(members)]
        found.append(np.concatenate([rows[order[:k]] for rows, order in zip(members, orders, strict=True)]))
    return found


def curve(
    features: np.ndarray,
    labels: np.ndarray,
    validation: np.ndarray,
    ks: Sequence[int],
    *,
    draws: int,
    seed: int,
    fusion: str,
) -> dict[int, np.ndarray]:
    """k -> (n,) AUROC on the images outside `validation`, the mean over draws, of probes on k of each class.

    features (n, m, f) of n CNNs for all m test images; labels (m,), 1 for the conjunction.
    """
    found = {}
    for k in ks:
        scores = []
        for rows in choices(labels, validation, k, draws, seed, fusion):
            head = zero_shot.fit_probe(features[:, rows], labels[rows])
            predictions = zero_shot.logit(head, features[:, ~validation])
            scores.append(intervals.auroc(predictions, labels[~validation] == 1))
        if scores:
            found[k] = np.mean(scores, axis=0)
    return found


def of_cnns(
    zoo: Mapping[str, np.ndarray],
    images: np.ndarray,
    labels: np.ndarray,
    validation: np.ndarray,
    ks,
    *,
    say=None,
    join=np.prod,
    **how,
) -> dict[int, np.ndarray]:
    """`curve` of a zoo's n CNNs, and at 0 images what their own heads predict (`zero_shot`), if they have some.

    say: called with a line for each CNN whose features overflow, which counts as degenerate. join: of the heads'
    probabilities.
    """
    features = protocols.finite_features(zoo, images, say)
    found = {}
    if heads := zero_shot.own_heads(zoo):
        predictions = join([zero_shot.probability(head, features[:, ~validation]) for head in heads], axis=0)
        found[0] = intervals.auroc(predictions, labels[~validation] == 1)
    return found | curve(features, labels, validation, ks, **how)


def without_cnn(
    images: np.ndarray, labels: np.ndarray, validation: np.ndarray, ks, **how
) -> Iterator[tuple[str, dict[int, np.ndarray]]]:
    """(name, `curve`) of what needs no CNN: mean colour and raw pixels."""
    for name in ("colour", "pixels"):
        numbers = zero_shot.WITHOUT_CNN[name](images).astype(np.float32)
        yield name, curve(numbers[None], labels, validation, ks, **how)


def rows(method: str, scores: Mapping[int, np.ndarray], draws: int) -> list[dict]:
    """A row of COLUMNS for each number of images."""
    found = []
    for k, values in scores.items():
        q25, median, q75 = np.quantile(values, [0.25, 0.5, 0.75]).round(6)
        row = (method, k, len(values), median, q25, q75, draws if k else 0, "few-shot" if k else supervision(method))
        found.append(dict(zip(COLUMNS, row, strict=True)))
    return found
