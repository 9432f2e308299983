"""One pair of a grid: CNNs by every method, and what they score on images of the pair and of others."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import torch

from zoofuse.core import csv_files, devices, files, logs
from zoofuse.data import grid
from zoofuse.evaluation import grid_pairs
from zoofuse.methods import registry

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0], snakemake.params.code) as say:
    params, inputs = snakemake.params, snakemake.input
    torch.set_num_threads(snakemake.threads)
    registry.use(params.settings["variants"])
    wanted = grid.Grid(**params.grid)
    pair = tuple(params.pair)
    pool = files.read(inputs.pool, "pool")
    others = [Path(path) for path in inputs.get("others", [])]
    folder = Path(snakemake.output.networks)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    rows = grid_pairs.measure(
        pair,
        f"{wanted.name}/{grid.slug(pair)}",
        params.methods,
        images={"A": Path(inputs.images[0]), "B": Path(inputs.images[1])},
        zoos={"A": Path(inputs.zoos[0]), "B": Path(inputs.zoos[1])},
        other_concepts={zoo.stem: (zoo, images) for zoo, images in zip(others[::2], others[1::2], strict=True)},
        pool=pool,
        rows=grid.test_rows(pool, wanted, pair, params.settings["pair_images"], params.settings["seed"]),
        folder=folder,
        config=params.settings,
        device=devices.choose_device(snakemake.config["zoo"]["device"]),
        threads=snakemake.threads,
        say=say,
    )
    table = pd.DataFrame(rows)
    table.insert(0, "held_out", pair in wanted.held_out)
    table.insert(0, "grid", wanted.name)
    csv_files.write(snakemake.output.table, table.assign(seed=params.settings["seed"]))
