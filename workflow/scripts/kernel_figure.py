"""Some kernels before and after translation."""

from typing import TYPE_CHECKING

from zoofuse import figures, files, kernels, logs

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

SHOWN = 4

with logs.job(snakemake.log[0]):
    a, b = kernels.read(snakemake.input.bank)
    layer = snakemake.wildcards.layer
    made = files.read(snakemake.input.generated, "zoo", [f"{layer}.weight", "domain"])
    to_a, to_b = (made[f"{layer}.weight"][made["domain"] == domain][:SHOWN] for domain in "AB")
    figures.kernels(a[:SHOWN], to_b, b[:SHOWN], to_a, snakemake.output[0], snakemake.params.names)
