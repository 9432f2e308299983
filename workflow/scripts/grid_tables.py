"""The tables and the figure of all grids: every pair's AUROC, and each method's gain over held-out pairs."""

from typing import TYPE_CHECKING

import pandas as pd

from zoofuse.core import csv_files, logs
from zoofuse.evaluation import grid_tables
from zoofuse.methods import registry
from zoofuse.report import grid_figure

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0], snakemake.params.code) as say:
    registry.use(snakemake.params.variants)
    pairs = pd.concat([csv_files.read(path) for path in snakemake.input])
    pairs = pairs[[*grid_tables.PAIR_COLUMNS]]
    summary = grid_tables.summary(pairs)
    csv_files.write(snakemake.output.pairs, pairs)
    csv_files.write(snakemake.output.summary, summary)
    grid_figure.gains(pairs, summary, snakemake.output.figure)
    for grid, part in summary.groupby("grid", sort=False):
        for method in part["method"]:
            if method != "direct" and "direct" in set(part["method"]):
                say(grid_tables.sentence(summary, grid, method))
