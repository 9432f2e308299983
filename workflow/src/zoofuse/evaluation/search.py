"""Better parameters for embedding and clusterers, looked for on validation images only (report, future work).

Every combination of a way to compare features, UMAP's and a clusterer's parameters is scored within the validation
half: fitted on one half of it, scored on the other, and the other way round. Per clusterer the combination with the
best median over CNNs is chosen; it and the configured one are then measured on the test split, and nothing else is.
"""

import itertools
from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd

from zoofuse.core import metrics, rng
from zoofuse.evaluation import protocols

COLUMNS = ["method", "clusterer", "features", "n_neighbors", "min_dist", "parameters", "n", "validation", "configured",
           "chosen", "test", "test_q25", "test_q75"]  # fmt: skip
N_NEIGHBORS, MIN_DIST = (5, 15, 50), (0.0, 0.1, 0.5)
PARAMETERS = {
    "kmeans": [{"k": k} for k in (2, 3, 5, 8)],
    "dbscan": [{"eps": eps, "min_samples": n} for eps in (0.3, 1, 3) for n in (3, 5)],
    "one_class_svm": [{"nu": nu} for nu in (0.1, 0.3, 0.5)],
}
FEATURES = ("plain", "cosine", "mahalanobis", "probe_weighted")

Combination = tuple[str, int, float, str, int]  # features, n_neighbors, min_dist, clusterer, index in PARAMETERS


def combinations(settings: dict, probes: bool) -> dict[Combination, dict]:
    """Each combination, and the `evaluation` settings it stands for; the configured one among them."""
    ways = [way for way in FEATURES if probes or way != "probe_weighted"]
    umap = settings["umap"]
    neighbours, distances = ({*grid, umap[key]} for grid, key in ((N_NEIGHBORS, "n_neighbors"), (MIN_DIST, "min_dist")))
    found = {}
    for way, n, distance in itertools.product(ways, sorted(neighbours), sorted(distances)):
        metric = "cosine" if way == "cosine" else "euclidean" if way == "mahalanobis" else umap["metric"]
        own_umap = umap | {"n_neighbors": n, "min_dist": distance, "metric": metric}
        for clusterer in protocols.CLUSTERERS:
            for i, parameters in enumerate([{}, *PARAMETERS[clusterer]]):
                own = settings[clusterer] | parameters
                if i == 0 or own != settings[clusterer]:  # the configured one once
                    found[way, n, distance, clusterer, i] = {"umap": own_umap, clusterer: own}
    return found


def search(
    method: str,
    features: Iterable[np.ndarray],
    weights: Iterable[np.ndarray | None],
    truth: np.ndarray,
    validation: np.ndarray,
    settings: dict,
    seed: int,
    progress: Callable[[], None] = lambda: None,
) -> pd.DataFrame:
    """The table of one method: a row per combination, best first within a clusterer.

    features: of each CNN, (m, f); weights: of each CNN, (f,), how much its concept probes look at a feature, or None
    without probes. truth, validation: (m,) bool. settings: the config's `evaluation` block. validation is the
    median over CNNs of the balanced accuracy within the validation half, test that on the test split.
    """
    cnns = list(zip(features, weights, strict=True))
    grid = combinations(settings, all(weight is not None for _, weight in cnns))
    known, inner = truth[validation], np.zeros(validation.sum(), bool)
    for label in (True, False):
        rows = np.flatnonzero(known == label)
        inner[rows[rng.permutation(len(rows), seed, "search", label)][::2]] = True
    scores = []
    for of_cnn, weight in cnns:
        own = of_cnn[validation]
        folds = [_scores(own, known, fold, weight, grid) for fold in (inner, ~inner)]
        scores.append({key: np.mean([fold[key] for fold in folds]) for key in grid})
        progress()
    median = {key: float(np.median([score[key] for score in scores])) for key in grid}

    umap = settings["umap"]
    configured_way = "cosine" if umap["metric"] == "cosine" else "plain"
    configured = {name: (configured_way, umap["n_neighbors"], umap["min_dist"], name, 0) for name in PARAMETERS}
    chosen = {name: max((key for key in grid if key[3] == name), key=median.get) for name in PARAMETERS}
    touched = {key: grid[key] for key in (*configured.values(), *chosen.values())}
    tests = [_scores(of_cnn, truth, validation, weight, touched) for of_cnn, weight in cnns]
    rows = []
    for key, own in grid.items():
        way, n, distance, clusterer, _ = key
        test = np.quantile([score[key] for score in tests], [0.5, 0.25, 0.75]) if key in touched else [np.nan] * 3
        parameters = ", ".join(f"{name}={own[clusterer][name]}" for name in PARAMETERS[clusterer][0])
        about = [method, clusterer, way, n, distance, parameters, len(cnns), median[key]]
        rows.append([*about, key == configured[clusterer], key == chosen[clusterer], *test])
    table = pd.DataFrame(rows, columns=COLUMNS)
    return table.sort_values(["clusterer", "validation"], ascending=[True, False], kind="stable", ignore_index=True)


def _scores(features: np.ndarray, truth: np.ndarray, fitted: np.ndarray, weight, grid: dict) -> dict:
    """Balanced accuracy, on the images outside `fitted` (m,) bool, of each combination fitted on those inside."""
    features = np.nan_to_num(features, posinf=0, neginf=0)
    known, new, scores = truth[fitted], truth[~fitted], {}
    for embedding, keys in itertools.groupby(grid, key=lambda key: key[:3]):
        keys = list(keys)
        inside, outside = _compared(embedding[0], features[fitted], features[~fitted], weight)
        points, placed = protocols.place(inside, outside, grid[keys[0]]["umap"])
        for key in keys:
            clusters, new_clusters = protocols.assign(key[3], points, known, placed, grid[key][key[3]])
            _, predicted = protocols.name_clusters(clusters, known, new_clusters)
            scores[key] = metrics.scores(**metrics.confusion(new, predicted))["balanced_accuracy"]
    return scores


def _compared(way: str, fitted: np.ndarray, new: np.ndarray, weight) -> tuple[np.ndarray, np.ndarray]:
    """Features as a way of comparing wants them; what it needs is learned from `fitted`."""
    if way == "probe_weighted":
        return fitted * weight, new * weight
    if way == "mahalanobis":  # Euclidean distance after whitening by a shrunk covariance
        from sklearn.covariance import LedoitWolf

        values, vectors = np.linalg.eigh(LedoitWolf().fit(fitted).covariance_)
        whiten = vectors / np.sqrt(np.maximum(values, 1e-6 * max(values.max(), 1e-12)))
        return tuple(np.ascontiguousarray(x @ whiten, np.float32) for x in (fitted, new))
    return fitted, new
