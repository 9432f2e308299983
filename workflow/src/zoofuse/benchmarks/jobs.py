"""What rules call to measure speeds on this machine."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from zoofuse.benchmarks import bench_cyclegan, bench_evaluation, bench_predict, bench_zoo
from zoofuse.core import csv_files, devices
from zoofuse.data import images as of_concepts
from zoofuse.models import cnn

SETS = 256  # kernel sets of each domain; a step's time does not depend on their number
Say = Callable[[str], None]


def zoo(images: Path, table: Path, figure: Path, threads: int, device: str, say: Say = print) -> None:
    """Measure the backends that train zoos, on the CPU and, if there is one, on the GPU."""
    data = of_concepts.read_concept(images)

    def measured(on: str) -> pd.DataFrame:
        frame = bench_zoo.run(data["images"], data["labels"], threads=threads, device=on)
        say("\n".join(f"{name}: {value:,.0f}" for name, value in frame.attrs.items()))
        return frame

    frame = _on_devices(measured, threads, device, say)
    say(f"Resident memory for the published cat zoo: {bench_zoo.resident_bytes() / 2**30:.2f} GiB")
    csv_files.write(table, frame)
    bench_zoo.figure(frame, figure)


def cyclegan(table: Path, figure: Path, threads: int, device: str, say: Say = print) -> None:
    """Measure a CycleGAN training step at the published size, on kernels as PyTorch initialises them."""
    architecture = cnn.ARCHITECTURES["published"]
    domains = [cnn.initial_weights(architecture, 1, domain, np.arange(SETS)) for domain in "AB"]
    a, b = ({layer: weights[f"{layer}.weight"] for layer in architecture.conv_layers} for weights in domains)
    frame = _on_devices(lambda on: bench_cyclegan.run(a, b, threads=threads, device=on), threads, device, say)
    csv_files.write(table, frame)
    bench_cyclegan.figure(frame, figure)


def evaluation(
    images: Sequence[Path], evaluation: dict, table: Path, figure: Path, threads: int, say: Say = print
) -> None:
    """Measure how fast CNNs are evaluated, on the first fusion's test images."""
    test = of_concepts.read_test(images[0])
    frame = bench_evaluation.run(test["images"], test["labels"], test["groups"], evaluation, processes=threads)
    say(frame.to_string(index=False))
    csv_files.write(table, frame)
    bench_evaluation.figure(frame, figure)


def predict(table: Path, threads: int, say: Say = print) -> None:
    """Measure how fast a folder of images is scored."""
    frame = bench_predict.run(threads=threads)
    say(frame.to_string(index=False))
    csv_files.write(table, frame)


def _on_devices(run: Callable[[str], pd.DataFrame], threads: int, device: str, say: Say) -> pd.DataFrame:
    frames = []
    for on in dict.fromkeys(["cpu", devices.choose_device(device)]):
        say(f"Measuring on {on}, {threads} threads.")
        frames.append(run(on))
        say(frames[-1].to_string(index=False))
    return pd.concat(frames)
