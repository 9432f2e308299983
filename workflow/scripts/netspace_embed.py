"""Train the space of both zoos' CNNs."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from zoofuse.core import devices, files, logs
from zoofuse.netspace import cnns, spaces

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0]) as say:
    torch.set_num_threads(snakemake.threads)
    device, state = devices.choose_device(snakemake.config["zoo"]["device"]), Path(snakemake.params.state)
    settings, seed = spaces.Settings(**snakemake.params.settings), snakemake.params.seed
    by_side = cnns.concepts(**snakemake.params.cnns, predictions=snakemake.input.predictions, device=device)
    with logs.bar(settings.steps, "steps", "NetSpace") as bar:
        space = cnns.embed(
            by_side, settings, seed, state, device=device, progress=lambda step, loss: bar.update(step - bar.n)
        )
    say(f"Loss over the last tenth of the steps: {space.loss[-len(space.loss) // 10 :].mean():.3f}.")
    spaces.write(snakemake.output[0], space, seed=seed, sources=[files.fingerprint(snakemake.input.predictions)])
    state.unlink(missing_ok=True)
