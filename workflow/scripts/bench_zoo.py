"""Measure the ways to train a zoo, on the CPU and, where there is one, on the GPU."""

from typing import TYPE_CHECKING

import pandas as pd

from zoofuse.benchmarks import bench_zoo
from zoofuse.core import csv_files, devices, logs
from zoofuse.data import images

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with logs.job(snakemake.log[0]) as say:
    data = images.read_concept(snakemake.input.images[0])
    frames = []
    for device in dict.fromkeys(["cpu", devices.choose_device(snakemake.config["zoo"]["device"])]):
        say(f"Measuring on {device}, {snakemake.threads} threads.")
        frame = bench_zoo.run(data["images"], data["labels"], threads=snakemake.threads, device=device)
        say(frame.to_string(index=False))
        for name, value in frame.attrs.items():
            say(f"{name}: {value:,.0f}")
        frames.append(frame)
    say(f"Resident memory for the published cat zoo: {bench_zoo.resident_bytes() / 2**30:.2f} GiB")
    table = pd.concat(frames)
    csv_files.write(snakemake.output.table, table)
    bench_zoo.figure(table, snakemake.output.figure)
