"""Tell what the check of the pictures found."""

from typing import TYPE_CHECKING

import pandas as pd

from zoofuse import check_images, logs

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0]) as say:
    for line in check_images.lines(pd.read_csv(snakemake.input.findings, keep_default_na=False)):
        say(line)
