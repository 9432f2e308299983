"""Read one layer's trained generators."""

from typing import TYPE_CHECKING

from zoofuse.core import logs
from zoofuse.importers import imports

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0]):
    layer, pair = snakemake.wildcards.layer, snakemake.wildcards.pair
    imports.import_generators(snakemake.input[0], layer, snakemake.output[0], snakemake.params.architecture, pair)
