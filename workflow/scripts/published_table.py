"""The published rows beside this run's."""

from typing import TYPE_CHECKING

from zoofuse.core import csv_files, logs
from zoofuse.evaluation import tables

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0]):
    table = tables.beside_published(csv_files.read(snakemake.input.table), snakemake.input.published)
    csv_files.write(snakemake.output[0], table)
