"""A concept's zoo as plain state_dicts or as Ray Tune trials."""

from typing import TYPE_CHECKING

from zoofuse.core import logs
from zoofuse.zoo import exporters

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0]):
    exporters.write(snakemake.input, snakemake.wildcards.layout, snakemake.output[0])
