"""How well each concept's CNNs learned, and how many degenerate."""

import itertools
from pathlib import Path
from typing import TYPE_CHECKING

from zoofuse.core import csv_files, logs
from zoofuse.evaluation import tables
from zoofuse.report import figures
from zoofuse.zoo import zoo

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0]) as say:
    output = snakemake.output
    histories = {}
    for concept, shards in itertools.groupby(map(Path, snakemake.input), lambda path: path.parent.name):
        paths = list(shards)
        zoo.tell_mixed(paths, concept, say)
        histories[concept] = tables.zoo_history(paths)
    csv_files.write(output.table, tables.zoo_table(histories))
    figures.zoo_histogram(histories, output.histogram)
    figures.zoo_curves(histories, output.curves)
