"""The logits of every CNN of both zoos on the images that a NetSpace compares on."""

from typing import TYPE_CHECKING

import torch

from zoofuse.core import devices, logs
from zoofuse.netspace import cnns

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0]) as say:
    torch.set_num_threads(snakemake.threads)
    device = devices.choose_device(snakemake.config["zoo"]["device"])
    by_side = cnns.concepts(**snakemake.params.cnns, device=device)
    cnns.write_predictions(snakemake.output[0], by_side)
    for name, concept in zip(snakemake.params.names, by_side.values(), strict=True):
        say(f"{name}: {len(concept.trained)} CNNs to train the space on, {len(concept.held_out)} held out.")
