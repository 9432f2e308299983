"""Train networks of one architecture on one concept."""

from typing import TYPE_CHECKING

import torch

from zoofuse.core import devices, files, logs
from zoofuse.data import images
from zoofuse.netspace import architectures, cnns
from zoofuse.zoo import training

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0]) as say:
    torch.set_num_threads(snakemake.threads)
    params, device = snakemake.params, devices.choose_device(snakemake.config["zoo"]["device"])
    data = training.Data(**images.read_concept(snakemake.input.images))
    architecture = architectures.named(snakemake.wildcards.architecture)
    weights = architectures.train(
        architecture, data, params.models, params.seed, steps=params.steps, batch=params.batch, device=device
    )
    logits = cnns.predictions(architecture.network, weights, data.validation_images)
    accuracy = cnns.balanced_accuracy(logits, data.validation_labels)
    files.write(
        snakemake.output[0], "networks", {name: values.cpu().numpy() for name, values in weights.items()},
        architecture=architecture.name, seed=params.seed, steps=params.steps,
    )  # fmt: skip
    say(f"{architecture.name}: validation balanced accuracy {accuracy.min():.3f} to {accuracy.max():.3f}.")
