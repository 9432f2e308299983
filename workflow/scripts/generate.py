"""Make a fusion's CNNs by one method."""

from pathlib import Path
from typing import TYPE_CHECKING

from zoofuse import generate, logs

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0]):
    method, fusion, output = snakemake.wildcards.method, snakemake.wildcards.fusion, Path(snakemake.output[0])
    params = snakemake.params
    if method == "cyclegan":
        banks = {Path(path).stem: Path(path) for path in snakemake.input.banks}
        generators = {Path(path).parent.name: Path(path) for path in snakemake.input.generators}
        generate.translate(banks, generators, output)
    elif method == "random":
        generate.random(params.models, params.architecture, params.seed, fusion, output)
    else:
        generate.parent([Path(path) for path in snakemake.input.zoo], method[-1].upper(), output)
