"""Embeddings and cosine similarity for two CNNs: the median one, and the best one as picked on the test photographs."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from zoofuse import evaluation, figures, files, images, logs

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0]):
    table = pd.read_csv(snakemake.input.table)
    zoo = files.read(snakemake.input.zoo, "zoo")
    method = files.attributes(snakemake.input.zoo, "zoo")["method"]
    table = table[table["method"] == method].sort_values("accuracy", kind="stable").reset_index(drop=True)
    shards = [files.read(path, "evaluation", ["model", "domain", "umap", "kmeans"]) for path in snakemake.input.arrays]
    evaluated = {name: np.concatenate([shard[name] for shard in shards]) for name in shards[0]}
    test = images.read_test(snakemake.input.images)
    labels, groups = test["labels"], test["groups"]
    n = len(table)
    chosen = {
        "median": (table.iloc[n // 2], f"the median of {n:,}"),
        "picked": (table.iloc[-1], f"best of {n:,}, picked on the test photographs"),
    }
    for which, (row, how) in chosen.items():
        name = f"{figures.method_label(method, row['domain'])}, CNN {row['model']} ({how})"
        of_cnn = {key: (values["model"] == row["model"]) & (values["domain"] == row["domain"])
                  for key, values in (("zoo", zoo), ("evaluated", evaluated))}  # fmt: skip
        one = {key: values[of_cnn["zoo"]] for key, values in zoo.items()}
        features = evaluation.features(one, test["images"])[0]
        clusters = evaluated["kmeans"][of_cnn["evaluated"]][0]
        points = {
            "umap": evaluated["umap"][of_cnn["evaluated"]][0],
            "tsne": evaluation.tsne_embedding(features, snakemake.params.tsne),
        }
        for kind, title in (("umap", "UMAP"), ("tsne", "t-SNE")):
            path = snakemake.output[f"{kind}_{which}"]
            figures.embedding_scatter(points[kind], labels, groups, clusters, path, f"{title}: {name}")
        figures.cosine_heatmap(features, labels, groups, snakemake.output[f"cosine_{which}"], name)
