"""Make a fusion's CNNs by distilling both zoos."""

from pathlib import Path
from typing import TYPE_CHECKING

from zoofuse import devices, distil, logs

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0]) as say:
    inputs, params, output = snakemake.input, snakemake.params, Path(snakemake.output[0])
    zoos = {"A": list(map(Path, inputs.zoo_a)), "B": list(map(Path, inputs.zoo_b))}
    device = devices.choose_device(snakemake.config["zoo"]["device"])
    how = {"device": device, "threads": snakemake.threads}
    how |= {"n": params.models, "seed": params.seed, "fusion": snakemake.wildcards.fusion}
    say(f"Distilling on {device}, {snakemake.threads} threads.")
    match snakemake.wildcards.method:
        case "distil":
            photographs = {"A": Path(inputs.images_a), "B": Path(inputs.images_b)}
            distil.from_parents(zoos, photographs, output, settings=distil.PARENTS, **how)
        case "distil_weights":
            distil.from_weights(zoos, output, settings=distil.WEIGHTS, **how)
        case "cyclegan_distil":
            distil.from_weights(zoos, output, settings=distil.WEIGHTS, start=Path(inputs.translated), **how)
