"""How well a CNN's features tell the conjunction, by two protocols that are never mixed.

published (report, II.E and II.F) is transductive: it clusters the test images themselves, names the positive
cluster by the true positives, and fits the one-class SVM on them. Its scores say what the published tables say.

held_out splits the test images once. The embedding, the clusterer and the meaning of each cluster are fitted on
the validation half; for the other half it only predicts. Its scores say what a CNN would do on new images.
"""

import contextlib
import functools
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from zoofuse.core import logs, metrics, rng
from zoofuse.core.private import cache_folder
from zoofuse.evaluation import predictions
from zoofuse.models import cnn
from zoofuse.models.architectures import trunk
from zoofuse.native import layout
from zoofuse.zoo import zoo as zoo_files

_AT_ONCE = 64  # CNNs that are embedded together
_LARGEST = 1e17  # features above this are scaled: their squared distances would overflow
_SMALLEST = 1e-15  # a spread below this is scaled for t-SNE, which divides by its square
_DISTANCES = 2**26  # between their images, held at once at most: some 0.5 GB


class EvaluationError(ValueError):
    """A setting of this machine that evaluation cannot work with; the message says what to change."""


def split(labels: np.ndarray, groups: np.ndarray, seed: int, fusion: str) -> np.ndarray:
    """(m,) bool, True for the validation half of a fusion's test images; each class and group is halved.

    labels: (m,), 1 for the conjunction; groups: (m,) str. Raises ValueError when a class has fewer than 4 images.
    """
    validation = np.zeros(len(labels), bool)
    for stream, label in enumerate(rng.CLASSES):
        rows = np.flatnonzero(labels == label)
        if len(rows) < 4:
            what = ("positive", "negative")[stream]
            raise ValueError(f"fusions.{fusion}.test.{what}: {len(rows)} images; at least 4 are needed, 2 of them "
                             "for validation.")  # fmt: skip
        order = rows[rng.permutation(len(rows), seed, "split", fusion, stream)]
        order = order[np.argsort(groups[order], kind="stable")]  # group after group, in random order within each
        validation[order[::2]] = True
    return validation


def test_images(test: dict[str, np.ndarray], seed: int, fusion: str) -> predictions.Images:
    """A fusion's test images (`images.read_test`) as predictions are about them, with their `split`."""
    validation = split(test["labels"], test["groups"], seed, fusion)
    return predictions.Images(test["names"], test["labels"], test["groups"], validation)


def features(zoo: dict[str, np.ndarray], images: np.ndarray) -> np.ndarray:
    """(n, m, f) float32 feature vectors (f = 400 as published) of n CNNs for m uint8 images (m, 32, 32, 3)."""
    weights = {name: torch.from_numpy(zoo[name]) for name in trunk(zoo)}
    x = cnn.normalise(torch.from_numpy(images))
    with torch.inference_mode():  # one by one is as fast on a CPU and needs little memory
        found = [cnn.features({name: w[i : i + 1] for name, w in weights.items()}, x) for i in range(len(zoo["model"]))]
    return torch.cat(found).numpy() if found else np.empty((0, len(images), 0), np.float32)


def finite_features(
    zoo: dict[str, np.ndarray], images: np.ndarray, say: Callable[[str], None] | None = None
) -> np.ndarray:
    """`features`, all 0 for a CNN that gives infinity or NaN for any image: it counts as degenerate.

    Args:
        zoo: the CNNs, with `model` and, where the message is to name it, `domain`.
        images: uint8 (m, 32, 32, 3).
        say: called with a line for each such CNN.

    Returns:
        (n, m, f) float32, finite.
    """
    found = features(zoo, images)
    for row in np.flatnonzero(~np.isfinite(found).all((1, 2))):
        if say:
            domain = "" if "domain" not in zoo else f" (domain {zoo['domain'][row]})"
            count = int((~np.isfinite(found[row]).all(1)).sum())
            say(
                f"CNN {zoo['model'][row]}{domain}: its features overflow to infinity or NaN on {count} of "
                f"{len(images)} images, as its weights are too large. It is scored as degenerate; the others are not "
                "affected."
            )
        found[row] = 0
    return found


def umap_embedding(features: np.ndarray, settings: dict) -> np.ndarray:
    """(m, 2) UMAP of (m, f) features; all zeros when the features do not differ between images."""
    return umap_embeddings([features], settings)[0]


def umap_embeddings(features: Sequence[np.ndarray], settings: dict) -> list[np.ndarray]:
    """`umap_embedding` of the features (m, f) of each of several CNNs, several times faster than one by one."""
    return [points for points, _ in _placed([(of_cnn, None) for of_cnn in features], settings)]


def _placed(pairs: Sequence[tuple], settings: dict) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each pair the UMAP of its first features (m, f), and where its second ones, (k, f) or None, lie in it."""
    umap = _umap()
    metric, distances = umap.distances.named_distances[settings["metric"]], _distances()
    found = [tuple(np.zeros((0 if x is None else len(x), 2), np.float32) for x in pair) for pair in pairs]
    varied = [i for i, (fitted, _) in enumerate(pairs) if _varied(fitted)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reducers = []
        pairs = [_scaled(pair) for pair in pairs]
        for i in varied:
            m = len(pairs[i][0])
            own = settings | {"n_neighbors": min(settings["n_neighbors"], m - 1), "metric": "precomputed"}
            own.pop("held_out_epochs", None)
            # Spectral initialisation needs more images than this.
            init = "spectral" if m > 5 else "random"
            reducers.append(umap.UMAP(n_components=2, init=init, n_jobs=1, **own))
        # The same bits as from features, several times faster: else each distance is a call from Python.
        points = layout.fit(reducers, [distances(pairs[i][0], None, metric) for i in varied])
        new = [found[i][1] for i in varied]
        if varied and pairs[varied[0]][1] is not None:
            new = layout.transform(reducers, [distances(pairs[i][1], pairs[i][0], metric) for i in varied])
    for i, *pair in zip(varied, points, new, strict=True):
        found[i] = tuple(np.nan_to_num(x).astype(np.float32) for x in pair)
    return found


def tsne_embedding(features: np.ndarray, settings: dict) -> np.ndarray:
    """(m, 2) t-SNE of (m, f) features; all zeros when the features do not differ between images."""
    from sklearn.manifold import TSNE

    if not _varied(features):
        return np.zeros((len(features), 2), np.float32)
    perplexity = min(settings["perplexity"], (len(features) - 1) / 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = TSNE(perplexity=perplexity, random_state=settings["random_state"])
        (features,) = _scaled([features])
        spread = np.ptp(features, axis=0).max()
        if spread < _SMALLEST:  # scikit-learn's starting positions would be infinite, which ends the process
            features = (features - features[0]) * np.float32(2.0 ** min(126, -np.floor(np.log2(spread))))
        return model.fit_transform(features).astype(np.float32)


def kmeans(points: np.ndarray, truth: np.ndarray, settings: dict) -> tuple[np.ndarray, np.ndarray]:
    """Clusters (m,) of the points, and the prediction (m,): the cluster that holds most true positives."""
    from sklearn.cluster import KMeans

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = KMeans(n_clusters=min(settings["k"], len(points)), random_state=settings["random_state"])
        clusters = model.fit_predict(points)
    return clusters, clusters == metrics.positive_cluster(truth, clusters)


def dbscan(points: np.ndarray, truth: np.ndarray, settings: dict) -> tuple[np.ndarray, np.ndarray]:
    """As `kmeans`; noise is cluster -1 and never predicted positive."""
    from sklearn.cluster import DBSCAN

    clusters = DBSCAN(**settings).fit_predict(points)
    positive = metrics.positive_cluster(truth, clusters)
    return clusters, np.zeros(len(points), bool) if positive is None else clusters == positive


def one_class_svm(points: np.ndarray, truth: np.ndarray, settings: dict) -> tuple[np.ndarray, np.ndarray]:
    """As `kmeans`; fitted on the true positives' own points, as published; its two predictions are the clusters."""
    from sklearn.svm import OneClassSVM

    predicted = OneClassSVM(kernel="rbf", **settings).fit(points[truth]).predict(points) == 1
    return predicted.astype(int), predicted


CLUSTERERS = {"kmeans": kmeans, "dbscan": dbscan, "one_class_svm": one_class_svm}


def evaluate(
    features: np.ndarray, truth: np.ndarray, settings: dict, points: np.ndarray | None = None
) -> tuple[list[dict], dict[str, np.ndarray]]:
    """The published protocol: one row per clusterer for one CNN, and the arrays behind them.

    features: (m, f); truth: (m,) bool, True = positive; settings: the config's `evaluation` block; points: the
    `umap_embedding` of the features, made here where it is not given.
    Returns rows with keys of `predictions.COLUMNS`, and the arrays umap (m, 2) float32, where asked for tsne (m, 2),
    and of each clusterer the clusters, CLUSTERER (m,) int16, and the predictions, published/CLUSTERER (m,) bool.
    """
    features = np.nan_to_num(features, posinf=0, neginf=0)
    points = umap_embedding(features, settings["umap"]) if points is None else points
    arrays = {"umap": points}
    if "tsne" in settings["embeddings"]:
        arrays["tsne"] = tsne_embedding(features, settings["tsne"])
    about = _about(features, truth)
    rows = []
    for name, clusterer in CLUSTERERS.items():
        clusters, predicted = clusterer(points, truth, settings[name])
        arrays |= {name: clusters.astype(np.int16), f"published/{name}": predicted}
        rows.append({"protocol": "published", "clusterer": name} | _row(truth, clusters, predicted) | about)
    return rows, arrays


def held_out(
    features: np.ndarray,
    truth: np.ndarray,
    validation: np.ndarray,
    settings: dict,
    points: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[list[dict], dict[str, np.ndarray]]:
    """The held-out protocol for one CNN: as `evaluate`, the counts those of the images outside `validation`.

    validation: (m,) bool, from `split`; points: what `place` returns for its halves, made here where it is not given.
    A cluster is predicted positive when positives are over-represented among its validation images; noise never
    is. A test image gets the cluster of its K-means centre, of a DBSCAN core point within eps, or the one-class
    SVM's prediction.
    Rows also have validation, the balanced accuracy on the validation images, and three scores that need no label
    (higher is better, NaN for a single cluster): silhouette (Rousseeuw 1987) and density_validity
    (`metrics.density_validity`) of the validation images' clusters, and agreement, their mean adjusted Rand index
    with the other clusterers' clusters. Arrays: held_out/umap (m, 2), held_out/CLUSTERER (m,) bool, the predictions.
    """
    features = np.nan_to_num(features, posinf=0, neginf=0)
    known, new = truth[validation], truth[~validation]
    fitted, placed = points or place(features[validation], features[~validation], settings["umap"])
    about = _about(features, truth)
    found = {name: assign(name, fitted, known, placed, settings[name]) for name in CLUSTERERS}
    arrays = {"held_out/umap": _merged(validation, fitted, placed)}
    rows = []
    for name, (clusters, new_clusters) in found.items():
        predicted, new_predicted = name_clusters(clusters, known, new_clusters)
        others = [other for key, (other, _) in found.items() if key != name]
        arrays[f"held_out/{name}"] = _merged(validation, predicted, new_predicted)
        rows.append(
            {"protocol": "held_out", "clusterer": name}
            | _row(new, new_clusters, new_predicted)
            | about
            | {"validation": metrics.scores(**metrics.confusion(known, predicted))["balanced_accuracy"]}
            | _without_labels(fitted, clusters, others)
        )
    return rows, arrays


def place(fitted: np.ndarray, placed: np.ndarray, settings: dict) -> tuple[np.ndarray, np.ndarray]:
    """UMAP of features (m, f), (m, 2), and where further ones (k, f) come to lie in it, (k, 2).

    With `held_out_epochs`, a third of them for the further ones.
    """
    return places([(fitted, placed)], settings)[0]


def places(pairs: Sequence[tuple[np.ndarray, np.ndarray]], settings: dict) -> list[tuple[np.ndarray, np.ndarray]]:
    """`place` for the features of each of several CNNs."""
    return _placed(pairs, settings | {"n_epochs": settings["held_out_epochs"]})


def assign(
    clusterer: str, points: np.ndarray, truth: np.ndarray, new: np.ndarray, settings: dict
) -> tuple[np.ndarray, np.ndarray]:
    """Clusters (m,) of points (m, 2), and those of new points (k, 2) by the clusterer that was fitted on the former.

    The one-class SVM is fitted on the points with truth (m,) True; its two predictions are the clusters.
    """
    return _ASSIGN[clusterer](points, truth, new, settings)


def name_clusters(clusters: np.ndarray, truth: np.ndarray, new_clusters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Answers (m,) and (k,) bool: positive in clusters where positives are over-represented, going by truth (m,)."""
    positive = [c for c in np.unique(clusters) if c >= 0 and truth[clusters == c].mean() > truth.mean()]
    return np.isin(clusters, positive), np.isin(new_clusters, positive)


def _assign_kmeans(points, truth, new, settings):
    from sklearn.cluster import KMeans

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = KMeans(n_clusters=min(settings["k"], len(points)), random_state=settings["random_state"]).fit(points)
    return model.labels_, model.predict(new)


def _assign_dbscan(points, truth, new, settings):
    from sklearn.cluster import DBSCAN

    model = DBSCAN(**settings).fit(points)
    if not len(model.components_):
        return model.labels_, np.full(len(new), -1)
    distances = np.linalg.norm(new[:, None] - model.components_, axis=2)
    labels = model.labels_[model.core_sample_indices_]
    return model.labels_, np.where(distances.min(1) <= settings["eps"], labels[distances.argmin(1)], -1)


def _assign_one_class_svm(points, truth, new, settings):
    from sklearn.svm import OneClassSVM

    model = OneClassSVM(kernel="rbf", **settings).fit(points[truth])
    return tuple((model.predict(x) == 1).astype(int) for x in (points, new))


_ASSIGN = {"kmeans": _assign_kmeans, "dbscan": _assign_dbscan, "one_class_svm": _assign_one_class_svm}


def _without_labels(points: np.ndarray, clusters: np.ndarray, others: list[np.ndarray]) -> dict[str, float]:
    from sklearn.metrics import adjusted_rand_score, silhouette_score

    inside = clusters >= 0
    several = 1 < len(np.unique(clusters[inside])) < inside.sum()
    return {
        "silhouette": float(silhouette_score(points[inside], clusters[inside])) if several else float("nan"),
        "density_validity": metrics.density_validity(points, clusters),
        "agreement": float(np.mean([adjusted_rand_score(clusters, other) for other in others])),
    }


def _merged(validation: np.ndarray, known: np.ndarray, new: np.ndarray) -> np.ndarray:
    merged = np.empty((len(validation), *known.shape[1:]), known.dtype)
    merged[validation], merged[~validation] = known, new
    return merged


def _about(features: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """What does not depend on the clusterer."""
    similarity = metrics.cosine_similarity(*_scaled([features]))
    pairs = np.triu(np.outer(truth, truth), 1)
    return {
        "dead": float(np.mean(np.ptp(features, axis=0) == 0)),
        "cosine_within": float(similarity[pairs].mean()) if pairs.any() else float("nan"),
        "cosine_between": float(similarity[np.outer(truth, ~truth)].mean()),
    }


def _row(truth: np.ndarray, clusters: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    counts = metrics.confusion(truth, predicted)
    return (
        metrics.scores(**counts)
        | {"entropy": metrics.entropy(truth, clusters), "purity": metrics.purity(truth, clusters)}
        | {"clusters": len(np.unique(clusters[clusters >= 0])), "noise": float(np.mean(clusters < 0))}
        | counts
    )


def first(path: Path, limit: int | None) -> set[tuple[str, int]]:
    """(domain, model) of the first `limit` CNNs of each domain of a zoo file, of all where it is None."""
    zoo = zoo_files.names(path)
    chosen = np.concatenate([rows[:limit] for rows in zoo_files.domains(zoo)])
    return {(str(zoo["domain"][row]), int(zoo["model"][row])) for row in chosen}


def evaluate_zoo(
    zoo: dict[str, np.ndarray],
    images: np.ndarray,
    truth: np.ndarray,
    validation: np.ndarray,
    settings: dict,
    held: set[tuple[str, int]] | None = None,
    say: Callable[[str], None] | None = None,
) -> Iterator[tuple[list[dict], dict[str, np.ndarray]]]:
    """`evaluate` and `held_out` for each CNN of a zoo, with its model and domain in the rows and arrays.

    held: (domain, model) of the CNNs that the held-out protocol is for; None for all. say: called with a
    line for each CNN whose features overflow, which is scored as degenerate.
    """
    step = max(1, min(_AT_ONCE, _DISTANCES // len(images) ** 2))
    for start in range(0, len(zoo["model"]), step):
        some = {name: values[start : start + step] for name, values in zoo.items()}
        seen = finite_features(some, images, say)
        about = [
            {"domain": str(domain), "model": int(model)}
            for domain, model in zip(some["domain"], some["model"], strict=True)
        ]
        both = [i for i, of_cnn in enumerate(about) if held is None or tuple(of_cnn.values()) in held]
        embedded = umap_embeddings(seen, settings["umap"])
        halves = places([(seen[i][validation], seen[i][~validation]) for i in both], settings["umap"])
        halves = dict(zip(both, halves, strict=True))
        for i, of_cnn in enumerate(about):
            rows, arrays = evaluate(seen[i], truth, settings, embedded[i])
            arrays |= of_cnn
            if i in halves:
                more_rows, more_arrays = held_out(seen[i], truth, validation, settings, halves[i])
                rows += more_rows
                arrays |= more_arrays
            yield [of_cnn | row for row in rows], arrays


def _prepare_numba() -> None:
    """Let numba keep what it compiles beside the compiled C++, by the same rules, unless NUMBA_CACHE_DIR is set.

    Before umap-learn is imported, which asks for a folder at once. Raises EvaluationError for a setting of numba's that
    does not work here.
    """
    if not os.environ.get("NUMBA_CACHE_DIR"):
        with contextlib.suppress(RuntimeError), cache_folder(logs.once) as folder:
            os.environ["NUMBA_CACHE_DIR"] = str(folder.path / "numba")
    import numba

    numba.config.CACHE_DIR = os.environ.get("NUMBA_CACHE_DIR", "")  # where numba was imported before
    if numba.config.DISABLE_JIT:
        raise EvaluationError(
            "NUMBA_DISABLE_JIT is set: UMAP would not be compiled, take many times longer and give other numbers. "
            "Unset NUMBA_DISABLE_JIT."
        )
    if os.environ.get("NUMBA_THREADING_LAYER"):
        try:
            numba.get_num_threads()  # loads the threading layer
        except ValueError as error:
            raise EvaluationError(
                f"NUMBA_THREADING_LAYER={os.environ.get('NUMBA_THREADING_LAYER')}: numba cannot use this threading "
                f"layer here ({str(error).splitlines()[0]}). Unset it, or write NUMBA_THREADING_LAYER=workqueue."
            ) from None


@functools.cache
def _umap():
    """umap-learn, its compiled functions kept on disk: else every process compiles them again, for 15 seconds."""
    _prepare_numba()
    import numba
    import umap

    for module in (umap.umap_, umap.layouts, umap.utils, umap.distances, umap.spectral):
        for function in vars(module).values():
            if isinstance(function, numba.core.registry.CPUDispatcher):
                function.enable_caching()
    return umap


@functools.cache
def _distances():
    """umap-learn's distances between all rows of two arrays, compiled here, which takes a fifth of the time of its own.

    It is not kept on disk, as numba can't keep what takes functions: another process finds one that has vanished.
    """
    import numba
    import umap

    return numba.njit(umap.distances.parallel_special_metric.py_func)


def _scaled(arrays: Sequence[np.ndarray | None]) -> list[np.ndarray | None]:
    """The arrays, divided by a power of two, exactly, where values of the first are too large to be squared."""
    largest = float(np.abs(arrays[0]).max(initial=0))
    if largest <= _LARGEST:
        return list(arrays)
    by = np.float32(2.0 ** -np.floor(np.log2(largest)))
    return [None if x is None else x * by for x in arrays]


def _varied(features: np.ndarray) -> bool:
    return bool(np.ptp(features, axis=0).max() > 0)
