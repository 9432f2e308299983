"""The figure of one of NetSpace's settings."""

from typing import TYPE_CHECKING

from zoofuse.core import files, logs
from zoofuse.netspace import figures

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0]):
    arrays = files.read(snakemake.input[0], "netspace results")
    figures.FIGURES[snakemake.params.setting](arrays, snakemake.output[0])
