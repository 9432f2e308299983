"""A zoo of a fusion in the channel order of its first zoo's first CNN."""

from pathlib import Path
from typing import TYPE_CHECKING

from zoofuse.core import logs
from zoofuse.zoo import align

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0]):
    inputs = snakemake.input
    align.write(list(map(Path, inputs.zoo)), list(map(Path, inputs.reference)), Path(snakemake.output[0]))
