"""Make a fusion's CNNs by distilling all its zoos."""

from pathlib import Path
from typing import TYPE_CHECKING

from zoofuse import config
from zoofuse.core import devices, logs
from zoofuse.methods import distil

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0]) as say:
    inputs, params, output = snakemake.input, snakemake.params, Path(snakemake.output[0])
    zoos = {name[-1].upper(): list(map(Path, paths)) for name, paths in inputs.items() if name.startswith("zoo_")}
    device = devices.choose_device(snakemake.config["zoo"]["device"])
    how = {"device": device, "threads": snakemake.threads}
    how |= {"n": params.models, "seed": params.seed, "fusion": snakemake.wildcards.fusion}
    how |= {"architecture": params.architecture}
    say(f"Distilling on {device}, {snakemake.threads} threads.")
    match snakemake.wildcards.method:
        case method if method in config.REMEDIES:
            photographs = {domain: Path(inputs[f"images_{domain.lower()}"]) for domain in zoos}
            how |= {"settings": distil.PARENTS, "remedies": config.REMEDIES[method]}
            how |= {"student": "deep"} if method == "distil_deep" else {}
            distil.from_parents(zoos, photographs, output, **how)
        case "distil_weights":
            distil.from_weights(zoos, output, settings=distil.WEIGHTS, **how)
        case "cyclegan_distil":
            distil.from_weights(zoos, output, settings=distil.WEIGHTS, start=Path(inputs.translated), **how)
