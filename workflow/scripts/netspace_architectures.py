"""A NetSpace of several architectures: its table and the arrays behind it."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from zoofuse.core import csv_files, devices, files, logs, rng
from zoofuse.data import images
from zoofuse.models import cnn
from zoofuse.netspace import architectures, experiments, spaces
from zoofuse.zoo import training, zoo

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0]) as say:
    torch.set_num_threads(snakemake.threads)
    params, device = snakemake.params, devices.choose_device(snakemake.config["zoo"]["device"])
    data, seed = training.Data(**images.read_concept(snakemake.input.images)), params.seed
    shown = data.images[rng.permutation(len(data.images), seed, "netspace", "architectures")[: params.compared]]
    kinds = {}
    for name in params.names:
        if name == "zoo":
            published = cnn.ARCHITECTURES[params.architecture]
            network = architectures.zoo_cnn(published)
            arrays = {
                key: v[: params.models] for key, v in zoo.read(snakemake.input.zoo, list(published.shapes)).items()
            }
        else:
            network, path = architectures.named(name).network, Path(params.folder) / f"{name}.h5"
            arrays = files.read(path, "networks")
        weights = architectures.tensors(arrays, device)
        kinds[name] = architectures.members(name, network, weights, shown, params.probes, params.held_out, seed)
    settings, state = spaces.Settings(**params.settings), Path(params.state)
    seen, unseen = [kinds[name] for name in params.seen], [kinds[n] for n in params.names if n not in params.seen]
    with logs.bar(settings.steps, "steps", snakemake.wildcards.setting) as bar:
        space = architectures.embed(
            seen, shown, settings, seed, state, unseen=[(kind.name, kind.network) for kind in unseen],
            device=device, progress=lambda step, loss: bar.update(step - bar.n),
        )  # fmt: skip
    test = data.validation_images, data.validation_labels
    if unseen:
        rows, arrays = experiments.unseen_architectures(space, seen, unseen, *test, seed)
    else:
        rows, arrays = experiments.several_architectures(space, seen, *test)
    csv_files.write(snakemake.output.table, experiments.table(rows))
    files.write(snakemake.output.arrays, "netspace results", arrays, setting=snakemake.wildcards.setting)
    state.unlink(missing_ok=True)
