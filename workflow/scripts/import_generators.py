"""Read one layer's trained generators."""

from typing import TYPE_CHECKING

from zoofuse.core import logs
from zoofuse.importers import imports

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0]):
    layer, architecture = snakemake.wildcards.translator, snakemake.params.architecture
    imports.import_generators(snakemake.input[0], layer, snakemake.output[0], architecture)
