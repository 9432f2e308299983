"""Train networks of one architecture on one concept."""

from typing import TYPE_CHECKING

import torch

from zoofuse import devices, files, images, logs, netspace_architectures, netspace_cnn, training

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0]) as say:
    torch.set_num_threads(snakemake.threads)
    params, device = snakemake.params, devices.choose_device(snakemake.config["zoo"]["device"])
    data = training.Data(**images.read_concept(snakemake.input.images))
    architecture = netspace_architectures.named(snakemake.wildcards.architecture)
    weights = netspace_architectures.train(
        architecture, data, params.models, params.seed, steps=params.steps, batch=params.batch, device=device
    )
    answers = netspace_cnn.answered(architecture.answers, weights, data.validation_images)
    accuracy = netspace_cnn.balanced_accuracy(answers, data.validation_labels)
    files.write(
        snakemake.output[0], "networks", {name: values.cpu().numpy() for name, values in weights.items()},
        architecture=architecture.name, seed=params.seed, steps=params.steps,
    )  # fmt: skip
    say(f"{architecture.name}: validation balanced accuracy {accuracy.min():.3f} to {accuracy.max():.3f}.")
