"""Collect one conv layer's kernels of all zoos in one bank."""

from typing import TYPE_CHECKING

from zoofuse.core import logs
from zoofuse.methods import kernels

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0], snakemake.params.code) as say:
    zoos = {side.upper(): paths for side, paths in snakemake.input.items()}
    kernels.extract(zoos, snakemake.wildcards.layer, snakemake.output[0], say)
