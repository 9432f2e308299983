"""What several runs of one fusion, from different seeds, say together."""

from typing import TYPE_CHECKING

from zoofuse.core import csv_files, logs
from zoofuse.evaluation import replicates
from zoofuse.methods import registry
from zoofuse.report import figures

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0], snakemake.params.code):
    registry.use(snakemake.params.variants)
    inputs, names = snakemake.input, snakemake.params.runs
    each = len(inputs) // len(names)  # every run has as many files; they lie one run after another
    runs = {
        name: replicates.read(inputs[run * each : (run + 1) * each], folder=name if run else None)
        for run, name in enumerate(names)
    }
    tables, medians = replicates.tables(runs, snakemake.params.seed, own_images=snakemake.params.own_images)
    for name, table in tables.items():
        csv_files.write(snakemake.output[name], table)
    figures.replicates(medians, tables["replicates"], snakemake.output.figure)
