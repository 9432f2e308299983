"""One concept's images as one HDF5."""

from typing import TYPE_CHECKING

from zoofuse.core import logs
from zoofuse.data import images

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0]) as say:
    attributes = images.prepare_concept(
        snakemake.output[0],
        snakemake.params.source,
        name=snakemake.wildcards.concept,
        seed=snakemake.params.seed,
        root=snakemake.params.images_root,
        archive=snakemake.input.get("archive"),
        threads=snakemake.threads,
    )
    say(images.summary(attributes))
