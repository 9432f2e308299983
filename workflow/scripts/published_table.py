"""The published rows beside this run's."""

from typing import TYPE_CHECKING

import pandas as pd

from zoofuse import files, logs, tables

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0]):
    table = tables.beside_published(pd.read_csv(snakemake.input.table), snakemake.input.published)
    with files.atomic_path(snakemake.output[0]) as path:
        table.to_csv(path, index=False)
