"""One of NetSpace's settings on the space of both zoos: its table and the arrays behind it."""

from typing import TYPE_CHECKING

import torch

from zoofuse.core import csv_files, devices, files, logs
from zoofuse.netspace import cnns, experiments

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    params, device = snakemake.params, devices.choose_device(snakemake.config["zoo"]["device"])
    space, by_side = cnns.opened(snakemake.input.space, snakemake.input.predictions, device, **params.cnns)
    names = dict(zip("ab", params.names, strict=True))
    setting = snakemake.wildcards.setting
    match setting:
        case "one_architecture":
            rows, arrays = experiments.one_architecture(space, by_side, names, params.seed)
        case "interpolation":
            rows, arrays = experiments.interpolation(space, by_side, names, **params.chosen)
        case "latent_optimisation":
            rows, arrays = experiments.latent_optimisation(space, by_side, names, params.seed, **params.chosen)
    csv_files.write(snakemake.output.table, experiments.table(rows))
    files.write(snakemake.output.arrays, "netspace results", arrays, setting=setting)
