"""Train the CNNs of one shard of a concept's zoo."""

from pathlib import Path
from typing import TYPE_CHECKING

from zoofuse.core import logs
from zoofuse.zoo import shards, training

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0], snakemake.params.code) as say:
    shards.train_shard(
        Path(snakemake.input.images),
        Path(snakemake.output[0]),
        settings=training.Settings(**snakemake.params.training),
        seed=snakemake.params.seed,
        concept=snakemake.wildcards.concept,
        models=range(*snakemake.params.models),
        store=Path(snakemake.params.store),
        backend=snakemake.config["zoo"]["backend"],  # how, not what: may change without training anything again
        device=snakemake.config["zoo"]["device"],
        threads=snakemake.threads,
        say=say,
    )
