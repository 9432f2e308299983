"""Reference answers without a CNN to a fusion's test photographs."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from zoofuse import evaluation, files, images, logs, references

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0]):
    test, settings = images.read_test(snakemake.input.images), snakemake.params.evaluation
    labels, groups = test["labels"], test["groups"]
    validation = evaluation.split(labels, groups, snakemake.params.seed, snakemake.wildcards.fusion)
    shared = {"model": np.zeros(1, np.int32), "domain": ["-"]}
    shared |= {"labels": labels, "groups": groups, "validation": validation}
    sources = {"images": files.fingerprint(snakemake.input.images)}
    tables, behind = (
        {Path(path).stem: path for path in paths} for paths in (snakemake.output.rows, snakemake.output.arrays)
    )
    for method, rows, arrays in references.references(test["images"], labels == 0, validation, settings):
        about = {"method": method, "domain": "-", "model": 0}
        with files.atomic_path(tables[method]) as path:
            pd.DataFrame([about | row for row in rows], columns=evaluation.COLUMNS).to_csv(path, index=False)
        stacked = {name: values[None] for name, values in arrays.items()} | shared
        files.write(behind[method], "evaluation", stacked, settings=settings, sources=sources)
