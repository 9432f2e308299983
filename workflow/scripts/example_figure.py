"""A look at the training and test images."""

from pathlib import Path
from typing import TYPE_CHECKING

from zoofuse.core import logs
from zoofuse.data import images
from zoofuse.report import figures

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0]):
    sets = {}
    for path in snakemake.input.concepts:
        concept = images.read_concept(path)
        sets[Path(path).stem] = (concept["images"], concept["labels"])
    for path in snakemake.input.tests:
        test = images.read_test(path)
        sets[f"{Path(path).stem} (test)"] = (test["images"], test["labels"])
    figures.examples(sets, snakemake.output[0])
