"""Fetch the archive of a torchvision data set."""

from typing import TYPE_CHECKING

from zoofuse.core import logs
from zoofuse.data import torchvision

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0]) as say:
    source = snakemake.params.source or {}
    say(f"Fetching {snakemake.wildcards.dataset}.")
    torchvision.download(snakemake.wildcards.dataset, snakemake.output[0], **source)
