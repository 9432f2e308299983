"""What several runs of one fusion, from different seeds, say together."""

from pathlib import Path
from typing import TYPE_CHECKING

from zoofuse import figures, files, logs, replicates

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0]):
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
        runs[name] = replicates.read(shards, zero_shot, next(iter(of_run("references", run)), None))
    tables, medians = replicates.tables(runs, snakemake.params.seed, own_images=snakemake.params.own_images)
    for name, table in tables.items():
        with files.atomic_path(snakemake.output[name]) as path:
            table.to_csv(path, index=False)
    figures.replicates(medians, tables["replicates"], snakemake.output.figure)
