"""One of NetSpace's settings on the space of both zoos: its table and the arrays behind it."""

from typing import TYPE_CHECKING

import torch

from zoofuse import csv_files, devices, files, logs, netspace_cnn, netspace_settings

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    params, device = snakemake.params, devices.choose_device(snakemake.config["zoo"]["device"])
    space, found = netspace_cnn.opened(snakemake.input.space, snakemake.input.answers, device, **params.cnns)
    names = dict(zip("ab", params.names, strict=True))
    setting = snakemake.wildcards.setting
    match setting:
        case "one_architecture":
            rows, arrays = netspace_settings.one_architecture(space, found, names, params.seed)
        case "interpolation":
            rows, arrays = netspace_settings.interpolation(space, found, names, **params.chosen)
        case "latent_optimisation":
            rows, arrays = netspace_settings.latent_optimisation(space, found, names, params.seed, **params.chosen)
    csv_files.write(snakemake.output.table, netspace_settings.table(rows))
    files.write(snakemake.output.arrays, "netspace results", arrays, setting=setting)
