"""Leaderboard, comparisons, zero-shot, selection and groups of one fusion."""

from typing import TYPE_CHECKING

from zoofuse.core import csv_files, logs
from zoofuse.evaluation import leaderboard
from zoofuse.methods import registry

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0], snakemake.params.code):
    registry.use(snakemake.params.variants)
    for name, table in leaderboard.tables(snakemake.input, snakemake.params.seed).items():
        csv_files.write(snakemake.output[name], table)
