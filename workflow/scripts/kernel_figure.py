"""Some kernels before and after translation."""

from typing import TYPE_CHECKING

from zoofuse.core import files, logs
from zoofuse.methods import kernels
from zoofuse.report import kernel_figures

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

SHOWN = 4

with logs.job(snakemake.log[0]):
    bank, layer = kernels.read(snakemake.input.bank), snakemake.wildcards.layer
    first, last = min(bank), max(bank)
    made = files.read(snakemake.input.generated, "zoo", [f"{layer}.weight", "domain"])
    to_a, to_b = (made[f"{layer}.weight"][made["domain"] == domain][:SHOWN] for domain in (first, last))
    names = snakemake.params.names[0], snakemake.params.names[-1]
    kernel_figures.kernels(bank[first][:SHOWN], to_b, bank[last][:SHOWN], to_a, snakemake.output[0], names)
