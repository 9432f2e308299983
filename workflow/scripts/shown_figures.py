"""Embeddings and cosine similarity for two CNNs: the one selected on validation, and the median one."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from zoofuse.core import csv_files, files, logs
from zoofuse.data import images
from zoofuse.evaluation import predictions, protocols
from zoofuse.evaluation.tables import CLUSTERERS
from zoofuse.methods import registry
from zoofuse.report import figures, report

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def chosen(leaderboard, sets):
    """kind -> (row of the CNN, how it was chosen), under the clusterer whose selected CNN is best on validation."""
    method = next(iter(sets.values())).method
    held = leaderboard[(leaderboard["method"] == method) & (leaderboard["protocol"] == "held_out")]
    best = held.loc[held["validation"].idxmax()]
    of = sets[best["clusterer"]]
    names = [of.name(row) for row in range(len(of))]
    median = np.argsort(of.measures["balanced_accuracy"], kind="stable")[len(of) // 2]
    how = f"of {len(of):,}, {CLUSTERERS[of.head]}"
    return {
        "selected": (names.index(best["selected"]), f"selected on validation {how}"),
        "median": (int(median), f"the median {how}"),
    }


with logs.job(snakemake.log[0], snakemake.params.code):
    registry.use(snakemake.params.variants)
    zoo = files.read(snakemake.input.zoo, "zoo")
    method = Path(snakemake.input.zoo).stem
    leaderboard = csv_files.read(snakemake.input.leaderboard)
    sets = {of.head: of for of in predictions.iterate(snakemake.input.predictions, "held_out")}
    held_out_umap = predictions.embedding(snakemake.input.predictions, "held_out/umap")
    first = next(iter(sets.values()))
    test = images.read_test(snakemake.input.images)
    labels, groups = test["labels"], test["groups"]
    names, umap, tsne, predicted = [], [], [], {clusterer: [] for clusterer in CLUSTERERS}
    for which, (row, how) in chosen(leaderboard, sets).items():
        domain, model = str(first.domain[row]), int(first.model[row])
        name = f"{figures.method_label(method, domain)}, CNN {model} ({how})"
        one = {key: values[(zoo["model"] == model) & (zoo["domain"] == domain)] for key, values in zoo.items()}
        features = protocols.features(one, test["images"])[0]
        points = {"umap": held_out_umap[row], "tsne": protocols.tsne_embedding(features, snakemake.params.tsne)}
        put = np.where(first.scores[row], "predicted positive", "predicted negative")
        for kind, title in (("umap", "UMAP"), ("tsne", "t-SNE")):
            path = snakemake.output[f"{kind}_{which}"]
            figures.embedding_scatter(points[kind], labels, groups, put, path, f"{title}: {name}")
        figures.cosine_heatmap(features, labels, groups, snakemake.output[f"cosine_{which}"], name)
        names.append(name)
        umap.append(points["umap"])
        tsne.append(points["tsne"])
        for clusterer in CLUSTERERS:
            predicted[clusterer].append(sets[clusterer].scores[row])
    report.write_shown(
        snakemake.output.shown,
        images=test["images"],
        labels=labels,
        groups=groups,
        validation=first.images.validation,
        names=names,
        embeddings={"UMAP": np.stack(umap), "t-SNE": np.stack(tsne)},
        predictions={clusterer: np.stack(classes) for clusterer, classes in predicted.items()},
    )
