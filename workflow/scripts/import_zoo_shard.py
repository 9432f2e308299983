"""Read some CNNs of an existing zoo into a zoo file."""

from typing import TYPE_CHECKING

from zoofuse.core import logs
from zoofuse.importers import imports

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0], snakemake.params.code) as say:
    imports.import_zoo(
        snakemake.input[0],
        snakemake.output[0],
        concept=snakemake.wildcards.concept,
        architecture=snakemake.params.architecture,
        models=range(*snakemake.params.models),
        names=snakemake.params.layers,
        concept_output=snakemake.params.concept_output,
        on_unreadable=snakemake.params.unreadable,
        say=say,
    )
