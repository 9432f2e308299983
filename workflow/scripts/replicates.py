"""What several runs of one fusion, from different seeds, say together."""

from pathlib import Path
from typing import TYPE_CHECKING

from zoofuse.core import csv_files, logs
from zoofuse.evaluation import replicates
from zoofuse.methods import registry
from zoofuse.report import figures

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0]):
    registry.use(snakemake.params.variants)
    inputs, names = snakemake.input, snakemake.params.runs

    def of_run(key: str, run: int) -> list[str]:
        """Every run has as many files of a kind; they lie one run after another."""
        each = len(inputs[key]) // len(names)
        return inputs[key][run * each : (run + 1) * each]

    runs = {}
    for run, name in enumerate(names):
        zero_shot = {}
        for path in of_run("zero_shot", run):
            zero_shot.setdefault(Path(path).parent.name, []).append(path)
        shards = zip(of_run("rows", run), of_run("arrays", run), strict=True)
        references = next(iter(of_run("references", run)), None)
        runs[name] = replicates.read(shards, zero_shot, references, folder=name if run else None)
    tables, medians = replicates.tables(runs, snakemake.params.seed, own_images=snakemake.params.own_images)
    for name, table in tables.items():
        csv_files.write(snakemake.output[name], table)
    figures.replicates(medians, tables["replicates"], snakemake.output.figure)
