"""All of NetSpace's tables as one."""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from zoofuse import files, logs

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0]), files.atomic_path(snakemake.output[0]) as path:
    fusions = ["-" if Path(table).stem == "shapes" else Path(table).parent.name for table in snakemake.input.tables]
    tables = [
        pd.read_csv(table).assign(fusion=fusion) for table, fusion in zip(snakemake.input.tables, fusions, strict=True)
    ]
    pd.concat(tables).to_csv(path, index=False)
