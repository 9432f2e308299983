"""How the CycleGANs' losses and measures went."""

from pathlib import Path
from typing import TYPE_CHECKING

from zoofuse.core import csv_files, logs
from zoofuse.report import kernel_figures

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0]):
    read = {Path(path).parent.name: csv_files.read(path).set_index("epoch") for path in snakemake.input.histories}
    histories = {layer: {name: table[name].to_numpy() for name in table} for layer, table in read.items()}
    kernel_figures.cyclegan_curves(histories, snakemake.output[0])
