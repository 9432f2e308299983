"""The NetSpace of shapes: its table and the arrays behind it."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from zoofuse.core import csv_files, devices, files, logs
from zoofuse.netspace import experiments, shape_experiments, shapes, spaces

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    params, device = snakemake.params, devices.choose_device(snakemake.config["zoo"]["device"])
    arrays = files.read(snakemake.input[0], "networks")
    trained = files.attributes(snakemake.input[0], "networks")["settings"]
    weights = {name: torch.from_numpy(values).to(device) for name, values in arrays.items()}
    family = [shapes.shape(params.seed, i) for i in range(len(weights["layer0.bias"]))]
    network = shapes.siren(trained["hidden"], trained["layers"])
    sirens = shape_experiments.family(family, network, weights, params.held_out, params.seed)
    settings, state = spaces.Settings(**params.settings), Path(params.state)
    with logs.bar(settings.steps, "steps", "shapes") as bar:
        space = shape_experiments.embed(
            sirens, settings, params.seed, state, device=device, progress=lambda step, loss: bar.update(step - bar.n)
        )
    rows, results = experiments.shapes(space, sirens, params.seed, **params.walks)
    csv_files.write(snakemake.output.table, experiments.table(rows))
    files.write(snakemake.output.arrays, "netspace results", results, setting="shapes")
    state.unlink(missing_ok=True)
