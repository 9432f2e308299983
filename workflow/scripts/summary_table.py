"""What each method reaches, by clusterer."""

from pathlib import Path
from typing import TYPE_CHECKING

from zoofuse.core import csv_files, logs
from zoofuse.evaluation import tables

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0]):
    read = {Path(path).stem: csv_files.read(path) for path in snakemake.input.tables}
    csv_files.write(snakemake.output[0], tables.summary(read))
