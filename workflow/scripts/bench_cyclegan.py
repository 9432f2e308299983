"""Measure a CycleGAN training step at the published size, on kernels as PyTorch initialises them."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from zoofuse.benchmarks import bench_cyclegan
from zoofuse.core import csv_files, devices, logs
from zoofuse.models import cnn

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

SETS = 256  # of each domain; a step's time does not depend on their number

with logs.job(snakemake.log[0]) as say:
    architecture = cnn.ARCHITECTURES["published"]
    domains = [cnn.initial_weights(architecture, 1, domain, np.arange(SETS)) for domain in "AB"]
    a, b = ({layer: weights[f"{layer}.weight"] for layer in architecture.conv_layers} for weights in domains)
    frames = []
    for device in dict.fromkeys(["cpu", devices.choose_device(snakemake.config["zoo"]["device"])]):
        say(f"Measuring on {device}, {snakemake.threads} threads.")
        frames.append(bench_cyclegan.run(a, b, threads=snakemake.threads, device=device))
        say(frames[-1].to_string(index=False))
    table = pd.concat(frames)
    csv_files.write(snakemake.output.table, table)
    bench_cyclegan.figure(table, snakemake.output.figure)
