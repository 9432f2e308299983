"""All CNNs' rows of one clusterer in one table."""

from typing import TYPE_CHECKING

from zoofuse import logs, tables

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0]):
    table = tables.clusterer_table(snakemake.input.rows, snakemake.wildcards.clusterer)
    table.to_csv(snakemake.output[0], index=False)
