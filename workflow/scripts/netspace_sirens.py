"""Train a SIREN for each shape of the family."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from zoofuse.core import devices, files, logs
from zoofuse.netspace import shapes

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0]) as say:
    torch.set_num_threads(snakemake.threads)
    params, device = snakemake.params, devices.choose_device(snakemake.config["zoo"]["device"])
    family, state = [shapes.shape(params.seed, i) for i in range(params.models)], Path(params.state)
    with logs.bar(params.settings["steps"], "steps", "SIRENs") as bar:
        weights = shapes.train(
            family, params.seed, state, **params.settings, device=device,
            progress=lambda step, loss: bar.update(step - bar.n),
        )  # fmt: skip
    network = shapes.siren(params.settings["hidden"], params.settings["layers"])
    points = shapes.uniform_points(4096, params.seed, "shapes", "said")
    truth = np.stack([one.distance(points) for one in family])
    accuracy = shapes.accuracy(shapes.predictions(network, weights, points), truth)
    files.write(
        snakemake.output[0], "networks", {name: values.cpu().numpy() for name, values in weights.items()},
        architecture="SIREN", seed=params.seed, settings=params.settings,
    )  # fmt: skip
    say(f"Share of points within {shapes.TOLERANCE}: {accuracy.min():.3f} to {accuracy.max():.3f}.")
    state.unlink(missing_ok=True)
