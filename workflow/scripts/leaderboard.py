"""Leaderboard, comparisons, zero-shot, selection and groups of one fusion."""

from pathlib import Path
from typing import TYPE_CHECKING

from zoofuse.core import csv_files, logs
from zoofuse.evaluation import leaderboard
from zoofuse.methods import registry

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0]):
    registry.use(snakemake.params.variants)
    inputs, zero_shot = snakemake.input, {}
    for path in inputs.zero_shot:
        zero_shot.setdefault(Path(path).parent.name, []).append(path)
    shards = zip(inputs.rows, inputs.arrays, strict=True)
    references = next(iter(inputs.references), None)
    for name, table in leaderboard.tables(shards, zero_shot, references, snakemake.params.seed).items():
        csv_files.write(snakemake.output[name], table)
