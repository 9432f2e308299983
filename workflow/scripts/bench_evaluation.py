"""Measure how fast CNNs are evaluated, on the first fusion's test photographs."""

from typing import TYPE_CHECKING

from zoofuse import bench_evaluation, files, images, logs

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":  # its processes read this file again
    with logs.job(snakemake.log[0]) as say:
        test = images.read_test(snakemake.input.images[0])
        frame = bench_evaluation.run(
            test["images"], test["labels"], test["groups"], snakemake.params.evaluation, processes=snakemake.threads
        )
        say(frame.to_string(index=False))
        with files.atomic_path(snakemake.output.table) as path:
            frame.to_csv(path, index=False)
        bench_evaluation.figure(frame, snakemake.output.figure)
