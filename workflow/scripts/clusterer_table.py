"""All CNNs' rows of one clusterer in one table."""

from typing import TYPE_CHECKING

from zoofuse.core import csv_files, logs
from zoofuse.evaluation import tables

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0], snakemake.params.code):
    protocol = "held_out" if snakemake.wildcards.held_out else "published"
    csv_files.write(
        snakemake.output[0], tables.clusterer_table(snakemake.input, protocol, snakemake.wildcards.clusterer)
    )
