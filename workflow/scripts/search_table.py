"""The search's tables of all methods in one."""

from typing import TYPE_CHECKING

import pandas as pd

from zoofuse.core import csv_files, logs

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0]):
    table = pd.concat([csv_files.read(path) for path in snakemake.input])
    csv_files.write(snakemake.output[0], table)
