"""All of NetSpace's tables as one."""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from zoofuse.core import csv_files, logs

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0]):
    fusions = ["-" if Path(table).stem == "shapes" else Path(table).parent.name for table in snakemake.input.tables]
    tables = [
        csv_files.read(table).assign(fusion=fusion)
        for table, fusion in zip(snakemake.input.tables, fusions, strict=True)
    ]
    csv_files.write(snakemake.output[0], pd.concat(tables))
