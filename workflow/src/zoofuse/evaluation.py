"""How well a CNN's features tell the conjunction, by the published protocol (report, II.E and II.F).

The protocol is transductive: it clusters the test photographs themselves, names the positive cluster by the true
positives, and fits the one-class SVM on them. Its scores say what the published tables say, no more.
"""

import functools
import warnings
from collections.abc import Iterator

import numpy as np
import torch

from zoofuse import cnn, metrics

COLUMNS = [
    "method", "domain", "model", "accuracy", "precision", "recall", "entropy", "purity", "balanced_accuracy",
    "clusterer", "clusters", "tp", "fp", "fn", "tn", "noise", "dead", "cosine_within", "cosine_between",
]  # fmt: skip


def features(zoo: dict[str, np.ndarray], images: np.ndarray) -> np.ndarray:
    """(n, m, f) float32 feature vectors (f = 400 as published) of n CNNs for m uint8 images (m, 32, 32, 3)."""
    weights = {name: torch.from_numpy(values) for name, values in zoo.items() if name.startswith("conv")}
    x = cnn.normalise(torch.from_numpy(images))
    with torch.inference_mode():  # one by one is as fast on a CPU and needs little memory
        found = [cnn.features({name: w[i : i + 1] for name, w in weights.items()}, x) for i in range(len(zoo["model"]))]
    return torch.cat(found).numpy() if found else np.empty((0, len(images), 0), np.float32)


def umap_embedding(features: np.ndarray, settings: dict) -> np.ndarray:
    """(m, 2) UMAP of (m, f) features; all zeros when the features do not differ between photographs."""
    if not _varied(features):
        return np.zeros((len(features), 2), np.float32)
    umap = _umap()
    neighbours = min(settings["n_neighbors"], len(features) - 1)
    # Spectral initialisation needs more photographs than this.
    init = "spectral" if len(features) > 5 else "random"
    reducer = umap.UMAP(n_components=2, init=init, n_jobs=1, **settings | {"n_neighbors": neighbours})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        embedding = reducer.fit_transform(features)
    return np.nan_to_num(embedding).astype(np.float32)


def tsne_embedding(features: np.ndarray, settings: dict) -> np.ndarray:
    """(m, 2) t-SNE of (m, f) features; all zeros when the features do not differ between photographs."""
    from sklearn.manifold import TSNE

    if not _varied(features):
        return np.zeros((len(features), 2), np.float32)
    perplexity = min(settings["perplexity"], (len(features) - 1) / 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = TSNE(perplexity=perplexity, random_state=settings["random_state"])
        return model.fit_transform(features).astype(np.float32)


def kmeans(points: np.ndarray, truth: np.ndarray, settings: dict) -> tuple[np.ndarray, np.ndarray]:
    """Clusters (m,) of the points, and the answer (m,): the cluster that holds most true positives."""
    from sklearn.cluster import KMeans

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = KMeans(n_clusters=min(settings["k"], len(points)), random_state=settings["random_state"])
        clusters = model.fit_predict(points)
    return clusters, clusters == metrics.positive_cluster(truth, clusters)


def dbscan(points: np.ndarray, truth: np.ndarray, settings: dict) -> tuple[np.ndarray, np.ndarray]:
    """As `kmeans`; noise is cluster -1 and never answered positive."""
    from sklearn.cluster import DBSCAN

    clusters = DBSCAN(**settings).fit_predict(points)
    positive = metrics.positive_cluster(truth, clusters)
    return clusters, np.zeros(len(points), bool) if positive is None else clusters == positive


def one_class_svm(points: np.ndarray, truth: np.ndarray, settings: dict) -> tuple[np.ndarray, np.ndarray]:
    """As `kmeans`; fitted on the true positives' own points, as published; its two answers are the clusters."""
    from sklearn.svm import OneClassSVM

    answer = OneClassSVM(kernel="rbf", **settings).fit(points[truth]).predict(points) == 1
    return answer.astype(int), answer


CLUSTERERS = {"kmeans": kmeans, "dbscan": dbscan, "one_class_svm": one_class_svm}


def evaluate(features: np.ndarray, truth: np.ndarray, settings: dict) -> tuple[list[dict], dict[str, np.ndarray]]:
    """One row per clusterer for one CNN, and the arrays behind them.

    features: (m, f); truth: (m,) bool, True = positive; settings: the config's `evaluation` block.
    Returns rows with the keys of COLUMNS less method, domain and model, and the arrays umap (m, 2) float32, where asked
    for tsne (m, 2), and the clusters of each clusterer (m,) int16.
    """
    features = np.nan_to_num(features, posinf=0, neginf=0)
    points = umap_embedding(features, settings["umap"])
    arrays = {"umap": points}
    if "tsne" in settings["embeddings"]:
        arrays["tsne"] = tsne_embedding(features, settings["tsne"])
    similarity = metrics.cosine_similarity(features)
    pairs = np.triu(np.outer(truth, truth), 1)
    shared = {
        "dead": float(np.mean(np.ptp(features, axis=0) == 0)),
        "cosine_within": float(similarity[pairs].mean()) if pairs.any() else float("nan"),
        "cosine_between": float(similarity[np.outer(truth, ~truth)].mean()),
    }
    rows = []
    for name, clusterer in CLUSTERERS.items():
        clusters, answer = clusterer(points, truth, settings[name])
        arrays[name] = clusters.astype(np.int16)
        counts = metrics.confusion(truth, answer)
        rows.append(
            metrics.scores(**counts)
            | {"entropy": metrics.entropy(truth, clusters), "purity": metrics.purity(truth, clusters)}
            | {"clusterer": name, "clusters": len(np.unique(clusters[clusters >= 0]))}
            | counts
            | {"noise": float(np.mean(clusters < 0))}
            | shared
        )
    return rows, arrays


def part(zoo: dict[str, np.ndarray], limit: int | None, start: int, stop: int) -> dict[str, np.ndarray]:
    """The CNNs [start, stop) of those that are evaluated: the first `limit` of each domain, domain after domain."""
    domains = dict.fromkeys(zoo["domain"].tolist())
    chosen = np.concatenate([np.flatnonzero(zoo["domain"] == domain)[:limit] for domain in domains])
    return {name: values[chosen[start:stop]] for name, values in zoo.items()}


def evaluate_zoo(
    zoo: dict[str, np.ndarray], images: np.ndarray, truth: np.ndarray, settings: dict
) -> Iterator[tuple[list[dict], dict[str, np.ndarray]]]:
    """`evaluate` for each CNN of a zoo, with its model and domain in the rows."""
    for i, of_cnn in enumerate(features(zoo, images)):
        rows, arrays = evaluate(of_cnn, truth, settings)
        yield [{"domain": str(zoo["domain"][i]), "model": int(zoo["model"][i])} | row for row in rows], arrays


@functools.cache
def _umap():
    """umap-learn, its compiled functions kept on disk: else every process compiles them again, for 15 seconds."""
    import numba
    import umap

    for module in (umap.umap_, umap.layouts, umap.utils, umap.distances, umap.spectral):
        for function in vars(module).values():
            if isinstance(function, numba.core.registry.CPUDispatcher):
                function.enable_caching()
    return umap


def _varied(features: np.ndarray) -> bool:
    return bool(np.ptp(features, axis=0).max() > 0)
