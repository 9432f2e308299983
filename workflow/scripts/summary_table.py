"""What each method reaches, by clusterer."""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from zoofuse import logs, tables

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0]):
    read = {Path(path).stem: pd.read_csv(path) for path in snakemake.input.tables}
    tables.summary(read).to_csv(snakemake.output[0], index=False)
