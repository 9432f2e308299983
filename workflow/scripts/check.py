"""Tell what the check of the images found."""

from typing import TYPE_CHECKING

from zoofuse.core import csv_files, logs
from zoofuse.preflight import audit

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0]) as say:
    for line in audit.lines(csv_files.read(snakemake.input.findings).fillna({"advice": "", "message": ""})):
        say(line)
