"""How far every method's CNNs are from the nearest parent: a copy is not a fusion."""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from zoofuse.core import csv_files, files, logs
from zoofuse.zoo import align, zoo

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0]):
    inputs = dict(snakemake.input.items())
    zoos = {Path(path).stem: files.read(path, "zoo") for path in inputs.pop("zoos")}
    parents = {name.replace("zoo", "parent"): zoo.read(paths) for name, paths in inputs.items()}
    rows = []
    with logs.bar(None, "domains", f"nearest parents on {snakemake.wildcards.fusion}") as bar:
        for row in align.nearest_rows(zoos, parents, snakemake.params.models):
            rows.append(row)
            bar.update()
    csv_files.write(snakemake.output[0], pd.DataFrame(rows, columns=align.NEAREST).round(4))
