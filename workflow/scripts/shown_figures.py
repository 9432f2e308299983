"""Embeddings and cosine similarity for two CNNs: the one selected on validation, and the median one."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from zoofuse.core import csv_files, files, logs
from zoofuse.data import images
from zoofuse.evaluation import protocols
from zoofuse.evaluation.tables import CLUSTERERS
from zoofuse.report import figures, report

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def chosen(leaderboard, rows, method):
    """kind -> (domain, model, how it was chosen), under the clusterer whose selected CNN is best on validation."""
    held = leaderboard[(leaderboard["method"] == method) & (leaderboard["protocol"] == "held_out")]
    best = held.loc[held["validation"].idxmax()]
    clusterer = best["clusterer"]
    rows = rows[(rows["protocol"] == "held_out") & (rows["clusterer"] == clusterer)]
    median = rows.sort_values("balanced_accuracy", kind="stable").iloc[len(rows) // 2]
    domain, _, model = best["selected"].rpartition("/")
    how = f"of {len(rows):,}, {CLUSTERERS[clusterer]}"
    return {
        "selected": (domain or "-", int(model), f"selected on validation {how}"),
        "median": (median["domain"], int(median["model"]), f"the median {how}"),
    }


with logs.job(snakemake.log[0]):
    zoo = files.read(snakemake.input.zoo, "zoo")
    method = Path(snakemake.input.zoo).stem
    leaderboard = csv_files.read(snakemake.input.leaderboard)
    rows = pd.concat([csv_files.read(path) for path in snakemake.input.rows])
    held_out = [f"held_out/{clusterer}" for clusterer in CLUSTERERS]
    wanted = ["held_out/model", "held_out/domain", "held_out/umap", *held_out]
    shards = [files.read(path, "evaluation") for path in snakemake.input.arrays]
    evaluated = {name: np.concatenate([shard[name] for shard in shards if name in shard]) for name in wanted}
    validation = files.read(snakemake.input.arrays[0], "evaluation", ["validation"])["validation"]
    test = images.read_test(snakemake.input.images)
    labels, groups = test["labels"], test["groups"]
    names, umap, tsne, predictions = [], [], [], {name: [] for name in held_out}
    for which, (domain, model, how) in chosen(leaderboard, rows, method).items():
        name = f"{figures.method_label(method, domain)}, CNN {model} ({how})"
        one, found = (
            {
                key: values[(arrays[f"{of}model"] == model) & (arrays[f"{of}domain"] == domain)]
                for key, values in arrays.items()
            }
            for of, arrays in (("", zoo), ("held_out/", evaluated))
        )
        features = protocols.features(one, test["images"])[0]
        points = {"umap": found["held_out/umap"][0], "tsne": protocols.tsne_embedding(features, snakemake.params.tsne)}
        put = np.where(found[held_out[0]][0], "predicted positive", "predicted negative")
        for kind, title in (("umap", "UMAP"), ("tsne", "t-SNE")):
            path = snakemake.output[f"{kind}_{which}"]
            figures.embedding_scatter(points[kind], labels, groups, put, path, f"{title}: {name}")
        figures.cosine_heatmap(features, labels, groups, snakemake.output[f"cosine_{which}"], name)
        names.append(name)
        umap.append(points["umap"])
        tsne.append(points["tsne"])
        for key in held_out:
            predictions[key].append(found[key][0])
    report.write_shown(
        snakemake.output.shown,
        images=test["images"],
        labels=labels,
        groups=groups,
        validation=validation,
        names=names,
        embeddings={"UMAP": np.stack(umap), "t-SNE": np.stack(tsne)},
        predictions={key.removeprefix("held_out/"): np.stack(values) for key, values in predictions.items()},
    )
