"""Train the CycleGAN of one conv layer."""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from zoofuse import cyclegan, devices, files, kernels, logs

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0]) as say:
    chosen = dict(snakemake.params.cyclegan)
    preset, layer, seed = chosen.pop("preset"), snakemake.wildcards.layer, snakemake.params.seed
    settings = cyclegan.settings(preset, layer, **{name: value for name, value in chosen.items() if value is not None})
    bank, state = snakemake.input.bank, Path(snakemake.params.state)
    a, b = kernels.read(bank)
    device = devices.choose_device(snakemake.config["zoo"]["device"])
    say(f"Training on {device}, {snakemake.threads} threads: {len(a)} kernel sets of domain A, {len(b)} of domain B.")
    say(f"Steps are computed by {cyclegan.choose_backend(a.shape, device)[1]}.")
    with logs.bar(settings.epochs, "epochs", f"CycleGAN {layer}") as bar:
        trained = cyclegan.train(
            a, b, settings, seed, state_path=state, device=device, threads=snakemake.threads,
            progress=lambda epoch, losses: bar.update(epoch - bar.n),
        )  # fmt: skip
    pd.DataFrame(trained.history).rename_axis("epoch").to_csv(snakemake.output.history)
    cyclegan.write_generators(
        snakemake.output.generators, trained, preset=preset, settings=vars(settings), layer=layer, seed=seed,
        way=trained.way, sources={"bank": files.fingerprint(bank)},
    )  # fmt: skip
    state.unlink(missing_ok=True)
