"""One concept of a grid: its training images from the grid's pool, and the zoo trained on them."""

from pathlib import Path
from typing import TYPE_CHECKING

from zoofuse.core import files, logs
from zoofuse.data import grid, images
from zoofuse.zoo import shards, training

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0], snakemake.params.code) as say:
    params, wanted = snakemake.params, grid.Grid(**snakemake.params.grid)
    pool = files.read(snakemake.input.pool, "pool")
    positive, negative = grid.concept_rows(pool, wanted, params.concept, params.settings["concept_images"], params.seed)
    arrays, attributes = grid.concept_arrays(pool, positive, negative)
    images.write_concept(
        snakemake.output.images, arrays, attributes, params.settings, name=params.concept, seed=params.seed
    )
    shards.train_shard(
        Path(snakemake.output.images),
        Path(snakemake.output.zoo),
        settings=training.Settings(**params.training),
        seed=params.seed,
        concept=params.concept,
        models=range(params.settings["models"]),
        store=Path(params.store),
        backend=snakemake.config["zoo"]["backend"],
        device=snakemake.config["zoo"]["device"],
        threads=snakemake.threads,
        say=say,
    )
