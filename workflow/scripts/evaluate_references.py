"""Reference answers without a CNN to a fusion's test photographs."""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from zoofuse.core import csv_files, files, logs
from zoofuse.data import images
from zoofuse.evaluation import baselines, protocols

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0]):
    test, settings = images.read_test(snakemake.input.images), snakemake.params.evaluation
    labels, groups = test["labels"], test["groups"]
    validation = protocols.split(labels, groups, snakemake.params.seed, snakemake.wildcards.fusion)
    shared = {"labels": labels, "groups": groups, "validation": validation}
    sources = {"images": files.fingerprint(snakemake.input.images)}
    tables, behind = (
        {Path(path).stem: path for path in paths} for paths in (snakemake.output.rows, snakemake.output.arrays)
    )
    for method, rows, arrays in baselines.references(test["images"], labels == 1, validation, settings):
        about = {"domain": "-", "model": 0}
        rows = [{"method": method} | about | row for row in rows]
        csv_files.write(tables[method], pd.DataFrame(rows, columns=protocols.COLUMNS))
        stacked = protocols.stack([about | {f"held_out/{name}": value for name, value in about.items()} | arrays])
        files.write(behind[method], "evaluation", stacked | shared, settings=settings, sources=sources)
