"""Make a fusion's CNNs by one method."""

from pathlib import Path
from typing import TYPE_CHECKING

from zoofuse.core import logs
from zoofuse.methods import registry

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def named(prefix):
    """What follows the prefix in an input's name -> its files."""
    inputs = {name: paths for name, paths in snakemake.input.items() if name.startswith(prefix)}
    return {
        name.removeprefix(prefix): [Path(path) for path in ([paths] if isinstance(paths, str) else paths)]
        for name, paths in inputs.items()
    }


with logs.job(snakemake.log[0], snakemake.params.code) as say:
    params, method = snakemake.params, registry.get(snakemake.params.base)
    device = "cpu"
    if method.effort == "training":
        from zoofuse.core import devices  # imports torch, which other methods may not need

        device = devices.choose_device(snakemake.config["zoo"]["device"])
        say(f"Training on {device}, threads: {snakemake.threads}.")
    method.make(
        registry.Job(
            method=snakemake.wildcards.method,
            output=Path(snakemake.output[0]),
            fusion=snakemake.wildcards.fusion,
            seed=params.seed,
            count=params.models,
            architecture=params.architecture,
            options=params.options,
            kinds={side.upper(): kind for side, kind in params.kinds.items()},
            zoos={side.upper(): paths for side, paths in named("zoo_").items()},
            banks={volume: paths[0] for volume, paths in named("bank_").items()},
            generators=named("generators_"),
            images={side.upper(): paths[0] for side, paths in named("images_").items()},
            made={name: paths[0] for name, paths in named("made_").items()},
            device=device,
            threads=snakemake.threads,
        )
    )
