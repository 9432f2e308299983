"""Training samples per second of several implementations that train many small CNNs, on the same images in one run.

They are a plain PyTorch loop, `torch.func.vmap`, grouped convolutions, and zoofuse's backends. The limit is the
arithmetic of a training sample (1.6 MFLOP) at the machine's measured multiply-add rate.
"""

import resource
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoofuse.models import cnn
from zoofuse.native import trainer
from zoofuse.report.canvas import ACCENT, INK, PALE, canvas
from zoofuse.zoo import training

SAMPLE_FLOP = 1.6e6  # forward 1.19 MFLOP; backward 0.42, as pooling routes each gradient to one of four positions
BATCH = 128
COLUMNS = ["implementation", "device", "n_cnns", "samples_per_second", "spread", "ratio_to_serial", "share_of_peak"]
SERIAL, OURS = "serial PyTorch", ("batched (zoofuse)", "cpp (zoofuse)")
CPP_EPOCHS = 20  # as published; with fewer, planning would take too large a share
MIN_SECONDS = 0.3  # of each timing
MIN_REPETITIONS, MAX_SECONDS = 5, 180  # a slow machine gets fewer repetitions after this many seconds
MEMORY_CNNS, MEMORY_IMAGES = 1749, 30_405  # the published cat zoo


def run(
    images: np.ndarray,
    labels: np.ndarray,
    *,
    n_cnns: int = 8,
    steps: int = 4,
    repetitions: int = 7,
    threads: int = 2,
    device: str = "cpu",
) -> pd.DataFrame:
    """Time every implementation on the same images, in interleaved repetitions.

    Args:
        images: uint8 (N, 32, 32, 3).
        labels: (N,).
        n_cnns: CNNs that are trained together.
        steps: batches of 128 images for each CNN, repeated until 0.3 s have passed.
        repetitions: of all implementations; at least 5 on a slow machine.
        threads: CPU threads.
        device: "cpu" or "cuda".

    Returns:
        One row per implementation: `samples_per_second` is the median over repetitions, `spread` their interquartile
        range, `ratio_to_serial` the median of the ratios within a repetition. `share_of_peak` is NaN if no peak could
        be measured (a CPU without a compiler). `attrs` holds the measured peak in FLOP/s.
    """
    end = time.monotonic() + MAX_SECONDS
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        implementations = _implementations(images, labels, n_cnns, steps, threads, torch.device(device))
        stretches = {
            name: max(1, round(MIN_SECONDS / _time(train, 1, device)))
            for name, (train, *_) in _warmed(implementations).items()
        }
        seconds: dict[str, list[float]] = {name: [] for name in implementations}
        peaks = []
        while len(peaks) < repetitions and (len(peaks) < MIN_REPETITIONS or time.monotonic() < end):
            peaks.append(peak_flops(threads, torch.device(device)))
            for name, (train, *_) in implementations.items():
                seconds[name].append(_time(train, stretches[name], device) / stretches[name])
    finally:
        torch.set_num_threads(before)
    peak = max(peaks)
    rates = {name: samples / np.array(seconds[name]) for name, (_, _, samples) in implementations.items()}
    rows = []
    for name, (_, cnns, _) in implementations.items():
        low, median, high = np.quantile(rates[name], [0.25, 0.5, 0.75])
        ratio = np.median(rates[name] / rates[SERIAL])  # neighbours in time, so that changes of the machine cancel
        rows.append([name, device, cnns, median, high - low, ratio, median * SAMPLE_FLOP / peak])
    frame = pd.DataFrame(rows, columns=COLUMNS)
    frame.attrs = {"peak_flops": peak, "threads": threads, "repetitions": len(peaks)}
    return frame


def resident_bytes(n_cnns: int = MEMORY_CNNS, n_images: int = MEMORY_IMAGES) -> int:
    """Peak memory in bytes of a new process that holds these images and trains these CNNs for one step each."""
    code = f"from zoofuse.benchmarks import bench_zoo; bench_zoo._hold({n_cnns}, {n_images})"
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r}); {code}"]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def figure(frame: pd.DataFrame, path: Path) -> None:
    """Draw bars of training samples per second with spread and ratio to the serial loop, as PNG or SVG."""
    rows = frame.iloc[::-1]
    with canvas(path, 0.9 + 0.34 * len(frame)) as figure:
        axis = figure.subplots()
        colours = [ACCENT if name in OURS else PALE for name in rows["implementation"]]
        axis.barh(range(len(rows)), rows["samples_per_second"], 0.62, color=colours)
        axis.errorbar(
            rows["samples_per_second"], range(len(rows)), xerr=rows["spread"] / 2, fmt="none", ecolor=INK, lw=1
        )
        for y, row in enumerate(rows.itertuples()):
            share = "" if np.isnan(row.share_of_peak) else f", {row.share_of_peak:.0%} of peak"
            axis.text(
                row.samples_per_second + row.spread / 2,
                y,
                f"  {row.samples_per_second:,.0f} ({row.ratio_to_serial:.1f}x{share})",
                va="center",
                size=8,
            )
        names = [f"{row.implementation}, {row.n_cnns} CNN{'s' if row.n_cnns > 1 else ''}" for row in rows.itertuples()]
        axis.set_yticks(range(len(rows)), names)
        axis.set_xlim(0, 1.65 * rows["samples_per_second"].max())
        axis.set_xlabel(f"training samples per second on {', '.join(sorted(set(rows['device'])))}, median and IQR")


def _implementations(
    images: np.ndarray, labels: np.ndarray, n: int, steps: int, threads: int, device: torch.device
) -> dict[str, tuple[Callable, int, int]]:
    """Name -> (a function that trains CNNs, how many CNNs, how many training samples it processes)."""
    settings = training.Settings(epochs=1, images_per_epoch=steps * BATCH, batch_size=BATCH)
    data = training.Data(images, labels, images[:0], labels[:0])
    order = torch.from_numpy(training.plan(settings, 0, "bench", np.arange(n), labels).order[:, 0]).long().to(device)
    x = cnn.normalise(torch.from_numpy(images)).contiguous().to(device)  # ready in memory, which favours the others
    y = torch.from_numpy(labels.astype(np.int64)).to(device)
    start = cnn.initial_weights(cnn.ARCHITECTURES[settings.architecture], 0, "bench", np.arange(n))
    stacked = {name: torch.from_numpy(value).to(device) for name, value in start.items()}

    def ours(backend: str, epochs: int = 1) -> tuple[Callable, int, int]:
        options = {"backend": backend, "device": str(device), "threads": threads}
        longer = replace(settings, epochs=epochs)
        return lambda: training.train(data, longer, 0, "bench", np.arange(n), **options), n, n * epochs * steps * BATCH

    def together(logits: Callable) -> tuple[Callable, int, int]:
        return lambda: _train_together(logits, stacked, x, y, order), n, n * steps * BATCH

    single = {name: value[0] for name, value in stacked.items()}
    implementations = {
        SERIAL: (lambda: _train_plainly(single, x, y, order[0]), 1, steps * BATCH),
        "torch.func vmap": together(torch.func.vmap(_logits)),
        "grouped convolutions": together(_grouped),
        OURS[0]: ours("batched"),
    }
    if device.type == "cpu":
        implementations["one PyTorch CNN per thread"] = ours("serial")
        if trainer.available()[0]:
            implementations[OURS[1]] = ours("cpp", CPP_EPOCHS)
    return implementations


class Plain(nn.Module):
    """The CNN as a plain PyTorch module."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2, self.fc1 = nn.Conv2d(3, 6, 5), nn.Conv2d(6, 16, 5), nn.Linear(400, 2)

    def features(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return x.flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc1(self.features(x))


def _train_plainly(start: dict[str, Tensor], x: Tensor, y: Tensor, order: Tensor) -> dict[str, Tensor]:
    model = Plain().to(x.device)
    model.load_state_dict(start)
    adam = torch.optim.Adam(model.parameters(), lr=0.01)
    for rows in order.split(BATCH):
        adam.zero_grad()
        F.cross_entropy(model(x[rows]), y[rows]).backward()
        adam.step()
    return dict(model.named_parameters())


def _logits(weights: dict[str, Tensor], x: Tensor) -> Tensor:
    """One CNN's, to be mapped over CNNs by torch.func."""
    for layer in ("conv1", "conv2"):
        x = F.max_pool2d(F.relu(F.conv2d(x, weights[f"{layer}.weight"], weights[f"{layer}.bias"])), 2)
    return F.linear(x.flatten(1), weights["fc1.weight"], weights["fc1.bias"])


def _grouped(weights: dict[str, Tensor], x: Tensor) -> Tensor:
    """Many CNNs' logits (n, b, 2) for images (n, b, 3, 32, 32), each convolution with a group for each CNN."""
    n, x = len(x), x.transpose(0, 1).flatten(1, 2)
    for layer in ("conv1", "conv2"):
        kernels, bias = (weights[f"{layer}.{kind}"].flatten(0, 1) for kind in ("weight", "bias"))
        x = F.max_pool2d(F.relu(F.conv2d(x, kernels, bias, groups=n)), 2)
    return cnn.head(weights, x.unflatten(1, (n, -1)).transpose(0, 1).flatten(2))


def _train_together(
    logits: Callable, start: dict[str, Tensor], x: Tensor, y: Tensor, order: Tensor
) -> dict[str, Tensor]:
    weights = {name: value.clone().requires_grad_() for name, value in start.items()}
    adam = torch.optim.Adam(weights.values(), lr=0.01)
    for rows in order.split(BATCH, dim=1):
        adam.zero_grad()
        z = logits(weights, x[rows])  # (n, b, 2)
        (F.cross_entropy(z.flatten(0, 1), y[rows].flatten()) * len(rows)).backward()  # sum over CNNs of batch means
        adam.step()
    return weights


def _warmed(implementations: dict) -> dict:
    for train, *_ in implementations.values():
        train()
    return implementations


def _time(train: Callable, times: int, device: str) -> float:
    start = time.perf_counter()
    for _ in range(times):
        train()
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def peak_flops(threads: int, device: torch.device) -> float:
    """FLOP/s: multiply-adds in registers on all threads of a CPU; a large float32 matrix product on a GPU."""
    if device.type == "cuda":
        a = torch.randn(8192, 8192, device=device)
        return 2 * 8192**3 * 5 / _time(lambda: a @ a, 5, str(device))
    if not trainer.available()[0]:
        return float("nan")
    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(trainer.peak, [0.1] * threads))


def _hold(n_cnns: int, n_images: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (n_images, 32, 32, 3), np.uint8)
    labels = np.arange(n_images) % 2
    data = training.Data(images, labels, images[:100], labels[:100])
    training.train(data, training.Settings(epochs=1, images_per_epoch=BATCH), 0, "bench", np.arange(n_cnns))
    status = Path("/proc/self/status")
    if status.exists():  # ru_maxrss begins with the parent's on Linux
        print(next(1024 * int(line.split()[1]) for line in status.read_text().splitlines() if "VmHWM" in line))
    else:
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
