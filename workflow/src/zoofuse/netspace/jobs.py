"""What rules call to write NetSpace's tables, figures and report."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from zoofuse.core import csv_files, files
from zoofuse.netspace.figures import FIGURES
from zoofuse.report import report, run_facts


def summary_table(tables: Sequence[Path], output: Path) -> None:
    """Write all experiments' tables as one; shapes belong to no fusion."""
    frames = [csv_files.read(path).assign(fusion="-" if path.stem == "shapes" else path.parent.name) for path in tables]
    csv_files.write(output, pd.concat(frames))


def figure(arrays: Path, setting: str, output: Path) -> None:
    """Plot one experiment."""
    FIGURES[setting](files.read(arrays, "netspace results"), output)


def write_report(table: Path, figures: Sequence[Path], config: Mapping, output: Path) -> None:
    """Write results/netspace/report.html."""
    results = output.parents[1]
    by_setting: dict[str, list[Path]] = {}  # one figure for each fusion
    for path in figures:
        by_setting.setdefault(path.stem, []).append(path)
    report.build(
        output,
        title="zoofuse: NetSpace",
        fusions=[],
        netspace=table,
        figures=by_setting,
        settings=config,
        environment=run_facts.versions(),
        times=run_facts.run_times(results / "benchmarks"),
        sizes=run_facts.folder_sizes(results),
    )
