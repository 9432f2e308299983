"""Train the CycleGAN of one conv layer, between two concepts."""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from zoofuse.core import csv_files, devices, files, logs
from zoofuse.methods import kernels
from zoofuse.methods.cyclegan import backends, io, train
from zoofuse.methods.cyclegan.settings import settings as cyclegan_settings

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0], snakemake.params.code) as say:
    chosen = dict(snakemake.params.cyclegan)
    preset, layer, seed = chosen.pop("preset"), snakemake.wildcards.layer, snakemake.params.seed
    translator = f"{layer}{snakemake.wildcards.pair}"
    settings = cyclegan_settings(preset, layer, **{name: value for name, value in chosen.items() if value is not None})
    bank, state = snakemake.input.bank, Path(snakemake.params.state)
    kernel_sets = kernels.read(bank)
    a, b = (kernel_sets[domain] for domain in snakemake.params.domains)
    device = devices.choose_device(snakemake.config["zoo"]["device"])
    say(f"Training on {device}, threads: {snakemake.threads}; {len(a)} kernel sets and {len(b)} to translate them to.")
    say(f"Steps are computed by {backends.choose_backend(a.shape, device)[1]}.")
    with logs.bar(settings.epochs, "epochs", f"CycleGAN {translator}") as bar:
        trained = train.train(
            a, b, settings, seed, state_path=state, device=device, threads=snakemake.threads,
            progress=lambda epoch, losses: bar.update(epoch - bar.n),
        )  # fmt: skip
    csv_files.write(snakemake.output.history, pd.DataFrame(trained.history).rename_axis("epoch").reset_index())
    io.write_generators(
        snakemake.output.generators, trained, preset=preset, settings=vars(settings), layer=translator, seed=seed,
        way=trained.way, sources={"bank": files.fingerprint(bank)},
    )  # fmt: skip
    state.unlink(missing_ok=True)
