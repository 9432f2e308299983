"""Evaluate some CNNs of one method on a fusion's test photographs."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from zoofuse import evaluation, files, images, logs

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0]):
    rows = snakemake.params.rows
    zoo = {name: values[rows] for name, values in files.read(snakemake.input.zoo, "zoo").items()}
    test = images.read_test(snakemake.input.images)
    table, arrays = [], []
    method = snakemake.wildcards.method
    with logs.bar(len(rows), "CNNs", f"evaluating {method} {snakemake.wildcards.shard}") as bar:
        for scores, behind in evaluation.evaluate_zoo(
            zoo, test["images"], test["labels"] == 0, snakemake.params.evaluation
        ):
            table += [{"method": method} | row for row in scores]
            arrays.append(behind)
            bar.update()
    with files.atomic_path(snakemake.output.rows) as path:
        pd.DataFrame(table, columns=evaluation.COLUMNS).to_csv(path, index=False)
    stacked = {name: np.stack([each[name] for each in arrays]) for name in arrays[0]}
    sources = {"zoo": files.fingerprint(snakemake.input.zoo), "images": files.fingerprint(snakemake.input.images)}
    stacked |= {"model": zoo["model"], "domain": zoo["domain"]}
    files.write(snakemake.output.arrays, "evaluation", stacked, settings=snakemake.params.evaluation, sources=sources)
