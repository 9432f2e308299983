"""What each method reaches, by clusterer."""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from zoofuse import files, logs, tables

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0]):
    read = {Path(path).stem: pd.read_csv(path) for path in snakemake.input.tables}
    with files.atomic_path(snakemake.output[0]) as path:
        tables.summary(read).to_csv(path, index=False)
