"""Measures of predictions and clusterings (report, II.F)."""

import numpy as np


def confusion(truth: np.ndarray, prediction: np.ndarray) -> dict[str, int]:
    """Counts tp, fp, fn, tn of two boolean arrays (m,), True: positive."""
    truth, prediction = np.asarray(truth, bool), np.asarray(prediction, bool)
    return {
        "tp": int(np.sum(truth & prediction)),
        "fp": int(np.sum(~truth & prediction)),
        "fn": int(np.sum(truth & ~prediction)),
        "tn": int(np.sum(~truth & ~prediction)),
    }


def scores(tp: int, fp: int, fn: int, tn: int) -> dict[str, float]:
    """Accuracy, precision, recall and balanced accuracy; precision is 0 if nothing is predicted positive."""
    recall = tp / (tp + fn) if tp + fn else 0.0
    specificity = tn / (tn + fp) if tn + fp else 0.0
    return {
        "accuracy": (tp + tn) / (tp + fp + fn + tn),
        "precision": tp / (tp + fp) if tp + fp else 0.0,
        "recall": recall,
        "balanced_accuracy": (recall + specificity) / 2,
    }


def contingency(truth: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """(clusters, classes) counts; every distinct value of `clusters` (m,) is a cluster, noise (-1) included."""
    from sklearn.metrics.cluster import contingency_matrix  # a second to import, and most jobs need only `scores`

    return contingency_matrix(clusters, truth)


def entropy(truth: np.ndarray, clusters: np.ndarray) -> float:
    """Mean over images of the entropy, in bits, of the classes within their cluster (report, II.F.1)."""
    counts = contingency(truth, clusters)
    shares = counts / counts.sum(1, keepdims=True)
    bits = -np.sum(shares * np.log2(shares, where=shares > 0, out=np.zeros_like(shares)), 1)
    return float(np.sum(counts.sum(1) * bits) / counts.sum())


def purity(truth: np.ndarray, clusters: np.ndarray) -> float:
    """Share of images that belong to the majority class of their cluster (report, II.F.2)."""
    counts = contingency(truth, clusters)
    return float(counts.max(1).sum() / counts.sum())


def positive_cluster(truth: np.ndarray, clusters: np.ndarray) -> int | None:
    """The cluster with the most true positives, the smaller one on a tie; None if all points are noise (-1)."""
    members = clusters[clusters >= 0]
    if members.size == 0:
        return None
    labels = np.unique(members)
    return int(min(labels, key=lambda c: (-np.sum(truth & (clusters == c)), np.sum(clusters == c), c)))


def density_validity(points: np.ndarray, clusters: np.ndarray) -> float:
    """Density-based clustering validation (Moulavi et al. 2014, SIAM SDM).

    Args:
        points: (m, d).
        clusters: (m,), -1 for noise, which lowers the value by its share. Clusters of one point count 0.

    Returns:
        -1 to 1, higher for dense clusters separated by sparse regions; NaN for fewer than two clusters.
    """
    labels = np.unique(clusters[clusters >= 0])
    if len(labels) < 2:
        return float("nan")
    from scipy.sparse.csgraph import minimum_spanning_tree
    from scipy.spatial.distance import cdist

    distances = cdist(points, points)
    core = np.zeros(len(points))
    for label in labels:
        rows = np.flatnonzero(clusters == label)
        if len(rows) > 1:
            within = distances[np.ix_(rows, rows)][~np.eye(len(rows), dtype=bool)].reshape(len(rows), -1)
            with np.errstate(divide="ignore"):  # points at distance 0 have infinite density
                core[rows] = np.mean(within ** -float(points.shape[1]), axis=1) ** (-1 / points.shape[1])
    reach = np.maximum(distances, np.maximum.outer(core, core))
    sparse, inner = {}, {}
    for label in labels:
        rows = np.flatnonzero(clusters == label)
        # A small offset, because zeros of a sparse matrix are not edges.
        tree = minimum_spanning_tree(reach[np.ix_(rows, rows)] + 1e-12).tocoo()
        degree = np.bincount(np.concatenate([tree.row, tree.col]), minlength=len(rows))
        internal = degree > 1
        inner[label] = rows[internal] if internal.any() else rows
        edges = tree.data[internal[tree.row] & internal[tree.col]] if internal.any() else tree.data
        sparse[label] = max(edges if len(edges) else tree.data, default=0.0)
    validity = 0.0
    for label in labels:
        separation = min(reach[np.ix_(inner[label], inner[other])].min() for other in labels if other != label)
        size, larger = np.sum(clusters == label), max(separation, sparse[label])
        if size > 1 and larger > 0:
            validity += size / len(points) * (separation - sparse[label]) / larger
    return float(validity)


def cosine_similarity(features: np.ndarray) -> np.ndarray:
    """(m, m) cosine similarity of feature vectors (m, f); that of a zero vector is 0."""
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    unit = np.divide(features, norms, where=norms > 0, out=np.zeros_like(features))
    return unit @ unit.T
