"""How well each concept's CNNs learned, and how many collapsed."""

import itertools
from pathlib import Path
from typing import TYPE_CHECKING

from zoofuse import csv_files, figures, logs, tables

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0]):
    output = snakemake.output
    shards = itertools.groupby(map(Path, snakemake.input), lambda path: path.parent.name)
    histories = {concept: tables.zoo_history(paths) for concept, paths in shards}
    csv_files.write(output.table, tables.zoo_table(histories))
    figures.zoo_histogram(histories, output.histogram)
    figures.zoo_curves(histories, output.curves)
