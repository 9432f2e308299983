"""Every CNN's accuracy by method and clusterer."""

from pathlib import Path
from typing import TYPE_CHECKING

from zoofuse.core import csv_files, logs
from zoofuse.evaluation import tables
from zoofuse.methods import registry
from zoofuse.report import figures

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0]):
    registry.use(snakemake.params.variants)
    ours = {Path(path).stem: csv_files.read(path) for path in snakemake.input.tables}
    published = {Path(path).stem: tables.published(path) for path in snakemake.input.published}
    figures.methods(ours, snakemake.output[0], published)
