"""Collect one conv layer's kernels of both zoos in one bank."""

from typing import TYPE_CHECKING

from zoofuse import kernels, logs

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0]):
    kernels.extract(snakemake.input.a, snakemake.input.b, snakemake.wildcards.layer, snakemake.output[0])
