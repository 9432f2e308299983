"""Measure how fast a folder of images is scored."""

from typing import TYPE_CHECKING

from zoofuse.benchmarks import bench_predict
from zoofuse.core import csv_files, logs

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0]) as say:
    frame = bench_predict.run(threads=snakemake.threads)
    say(frame.to_string(index=False))
    csv_files.write(snakemake.output[0], frame)
