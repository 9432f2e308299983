"""Tell what the check of the pictures found."""

from typing import TYPE_CHECKING

from zoofuse import check_images, csv_files, logs

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0]) as say:
    for line in check_images.lines(csv_files.read(snakemake.input.findings).fillna({"advice": "", "message": ""})):
        say(line)
