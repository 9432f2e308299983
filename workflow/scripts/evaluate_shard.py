"""Evaluate some CNNs of one method on a fusion's test photographs."""

from typing import TYPE_CHECKING

import pandas as pd

from zoofuse.core import csv_files, files, logs
from zoofuse.data import images
from zoofuse.evaluation import protocols
from zoofuse.native import build

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0]) as say:
    zoo = files.read(snakemake.input.zoo, "zoo")
    held = protocols.first(zoo, snakemake.params.held_out)
    zoo = protocols.part(zoo, **snakemake.params.part)
    test = images.read_test(snakemake.input.images)
    settings, method = snakemake.params.evaluation, snakemake.wildcards.method
    labels, groups = test["labels"], test["groups"]
    validation = protocols.split(labels, groups, snakemake.params.seed, snakemake.wildcards.fusion)
    rows, arrays = [], []
    with logs.bar(len(zoo["model"]), "CNNs", f"evaluating {method} {snakemake.wildcards.shard}") as bar:
        evaluated = protocols.evaluate_zoo(zoo, test["images"], labels == 1, validation, settings, held, say)
        for scores, behind in evaluated:
            rows += [{"method": method} | row for row in scores]
            arrays.append(behind)
            bar.update()
    csv_files.write(snakemake.output.rows, pd.DataFrame(rows, columns=protocols.COLUMNS))
    stacked = protocols.stack(arrays) | {"labels": labels, "groups": groups, "validation": validation}
    sources = {"zoo": files.fingerprint(snakemake.input.zoo), "images": files.fingerprint(snakemake.input.images)}
    files.write(
        snakemake.output.arrays, "evaluation", stacked, settings=settings, sources=sources,
        instruction_set=build.instruction_set(),
    )  # fmt: skip
