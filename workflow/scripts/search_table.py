"""The search's tables of all methods in one."""

from typing import TYPE_CHECKING

import pandas as pd

from zoofuse import files, logs

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0]):
    table = pd.concat([pd.read_csv(path) for path in snakemake.input])
    with files.atomic_path(snakemake.output[0]) as path:
        table.to_csv(path, index=False)
