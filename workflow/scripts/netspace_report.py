"""results/netspace/report.html."""

from pathlib import Path
from typing import TYPE_CHECKING

from zoofuse.core import logs
from zoofuse.report import report, run_facts

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0]):
    results = Path(snakemake.output[0]).parents[1]
    figures = {}  # setting -> one figure for each fusion
    for path in snakemake.input.figures:
        figures.setdefault(Path(path).stem, []).append(path)
    report.build(
        snakemake.output[0],
        title="zoofuse: NetSpace",
        fusions=[],
        netspace=snakemake.input.table,
        figures=figures,
        settings=snakemake.config,
        environment=run_facts.versions(),
        times=run_facts.run_times(results / "benchmarks"),
        sizes=run_facts.folder_sizes(results),
    )
