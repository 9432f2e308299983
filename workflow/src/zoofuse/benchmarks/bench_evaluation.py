"""Evaluated CNNs per second, compared with a plain loop on the same images in one run.

The plain loop is one process that computes a PyTorch module's features, UMAP, K-means, DBSCAN and one-class SVM for one
CNN after another. zoofuse evaluates shards in as many processes as there are cores, as the workflow does.
"""

import multiprocessing
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from zoofuse.benchmarks import bench_zoo
from zoofuse.evaluation import protocols
from zoofuse.models import cnn
from zoofuse.report.canvas import ACCENT, INK, PALE, canvas

COLUMNS = ["implementation", "processes", "images", "cnns_per_second", "spread", "ratio_to_loop", "minutes_for_3498"]
PUBLISHED_CNNS = 3498  # 1,749 of each domain
LOOP, PUBLISHED, BOTH = "plain loop", "zoofuse, published protocol", "zoofuse, both protocols"


def run(
    images: np.ndarray, labels: np.ndarray, groups: np.ndarray, settings: dict, *, processes: int, repetitions: int = 5,
    each: int = 48, by_loop: int = 6,
) -> pd.DataFrame:  # fmt: skip
    """Time every implementation in interleaved repetitions.

    Args:
        images: uint8 (m, 32, 32, 3) of a test set.
        labels: (m,).
        groups: (m,).
        settings: the configuration's `evaluation` block.
        processes: that zoofuse uses.
        repetitions: after a first one that is not counted.
        each: CNNs per process and repetition.
        by_loop: CNNs of the plain loop per repetition.

    Returns:
        COLUMNS with medians and interquartile ranges; `ratio_to_loop` is the median of the ratios within a repetition.
    """
    truth, validation = labels == 1, protocols.split(labels, groups, 0, "bench")
    seconds: dict[str, list[float]] = {name: [] for name in (LOOP, PUBLISHED, BOTH)}
    context = multiprocessing.get_context("spawn")  # a forked child would hang in the parent's OpenMP threads
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        for repetition in range(repetitions + 1):  # the first warms up: imports, compilation
            first = repetition * each * processes
            parts = [np.arange(first + i * each, first + (i + 1) * each) for i in range(processes)]
            took = {LOOP: _time(lambda parts=parts: _loop(parts[0][:by_loop], images, truth, settings)) / by_loop}
            for name, held in ((PUBLISHED, set()), (BOTH, None)):
                jobs = [(part, images, truth, validation, settings, held) for part in parts]
                took[name] = _time(lambda jobs=jobs: list(pool.map(_shard, jobs))) / (each * processes)
            for name, value in took.items() if repetition else ():
                seconds[name].append(value)
    rates = {name: 1 / np.array(values) for name, values in seconds.items()}
    rows = []
    for name, found in rates.items():
        low, median, high = np.quantile(found, [0.25, 0.5, 0.75])
        ratio, count = np.median(found / rates[LOOP]), 1 if name == LOOP else processes
        rows.append([name, count, len(images), median, high - low, ratio, PUBLISHED_CNNS / median / 60])
    return pd.DataFrame(rows, columns=COLUMNS)


def figure(frame: pd.DataFrame, path: Path) -> None:
    """Draw bars of CNNs per second with their spread, as PNG or SVG."""
    rows = frame.iloc[::-1]
    with canvas(path, 0.9 + 0.4 * len(frame)) as figure:
        axis = figure.subplots()
        colours = [PALE if name == LOOP else ACCENT for name in rows["implementation"]]
        axis.barh(range(len(rows)), rows["cnns_per_second"], 0.62, color=colours)
        spread = rows["spread"] / 2
        axis.errorbar(rows["cnns_per_second"], range(len(rows)), xerr=spread, fmt="none", ecolor=INK, lw=1)
        for y, row in enumerate(rows.itertuples()):
            text = (
                f"  {row.cnns_per_second:.2f} ({row.ratio_to_loop:.1f}x; 3,498 CNNs in {row.minutes_for_3498:.0f} min)"
            )
            axis.text(row.cnns_per_second + row.spread / 2, y, text, va="center", size=8)
        axis.set_yticks(
            range(len(rows)), [f"{row.implementation}, {row.processes} process(es)" for row in rows.itertuples()]
        )
        axis.set_xlim(0, 1.9 * rows["cnns_per_second"].max())
        axis.set_xlabel(f"CNNs per second, {rows['images'].iloc[0]} images, median and IQR")


def _zoo(models: np.ndarray) -> dict[str, np.ndarray]:
    weights = cnn.initial_weights(cnn.ARCHITECTURES["published"], 0, "bench", models)
    return weights | {"model": models, "domain": np.repeat("-", len(models))}


def _shard(job: tuple) -> None:
    models, *rest = job
    torch.set_num_threads(1)
    list(protocols.evaluate_zoo(_zoo(models), *rest))


def _loop(models: np.ndarray, images: np.ndarray, truth: np.ndarray, settings: dict) -> None:
    """The plain loop, as the report describes it."""
    import umap
    from sklearn.cluster import DBSCAN, KMeans
    from sklearn.svm import OneClassSVM

    x = cnn.normalise(torch.from_numpy(images)).contiguous()
    weights = _zoo(models)
    for i in range(len(models)):
        model = bench_zoo.Plain()
        model.load_state_dict({name: torch.from_numpy(weights[name][i]) for name in model.state_dict()})
        with torch.no_grad():
            features = model.features(x).numpy()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # UMAP warns each time that a seed limits it to one thread
            published = {name: value for name, value in settings["umap"].items() if name != "held_out_epochs"}
            points = umap.UMAP(n_components=2, **published).fit_transform(features)
        KMeans(n_clusters=settings["kmeans"]["k"], random_state=settings["kmeans"]["random_state"]).fit_predict(points)
        DBSCAN(**settings["dbscan"]).fit_predict(points)
        OneClassSVM(kernel="rbf", **settings["one_class_svm"]).fit(points[truth]).predict(points)


def _time(call: Callable) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
