"""All of NetSpace's tables as one."""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from zoofuse import files, logs

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0]), files.atomic_path(snakemake.output[0]) as path:
    tables = [pd.read_csv(table).assign(fusion=Path(table).parent.name) for table in snakemake.input.tables]
    pd.concat(tables).to_csv(path, index=False)
