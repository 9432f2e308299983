"""Measure how fast CNNs are evaluated, on the first fusion's test photographs."""

from typing import TYPE_CHECKING

from zoofuse.benchmarks import bench_evaluation
from zoofuse.core import csv_files, logs
from zoofuse.data import images

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":  # its processes read this file again
    with logs.job(snakemake.log[0]) as say:
        test = images.read_test(snakemake.input.images[0])
        frame = bench_evaluation.run(
            test["images"], test["labels"], test["groups"], snakemake.params.evaluation, processes=snakemake.threads
        )
        say(frame.to_string(index=False))
        csv_files.write(snakemake.output.table, frame)
        bench_evaluation.figure(frame, snakemake.output.figure)
