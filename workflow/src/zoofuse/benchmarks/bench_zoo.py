"""Training samples per second of several implementations that train many small CNNs, on the same images in one run.

They are a plain PyTorch loop, `torch.func.vmap`, grouped convolutions, JAX where it is installed (the project does not
need it), and zoofuse's backends; on CPUs for several architectures. All compute in float32, without TF32, which
PyTorch's convolutions take on GPUs by default. The limit is the arithmetic of a training sample (`sample_flop`) at the
machine's measured multiply-add rate.
"""

import contextlib
import functools
import importlib.util
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoofuse.models import cnn, forward
from zoofuse.models.network import ACTIVATIONS, NETWORKS, Network
from zoofuse.native import cuda_trainer, network_trainer, trainer
from zoofuse.report.canvas import ACCENT, INK, PALE, canvas
from zoofuse.zoo import populations, training

PUBLISHED = "published"
ARCHITECTURES = (PUBLISHED, "wide", "deep", "cnn_s", "small_cnn_zoo")
BATCH = 128
COLUMNS = [
    "architecture",
    "implementation",
    "device",
    "n_cnns",
    "samples_per_second",
    "spread",
    "ratio_to_serial",
    "share_of_peak",
]
SERIAL, PER_THREAD = "serial PyTorch", "one PyTorch CNN per thread"
OURS = ("batched (zoofuse)", "cpp (zoofuse)", "cuda (zoofuse)")
CPU_CNNS, GPU_ROUNDS = 8, 2  # CNNs trained together on a CPU, and for each multiprocessor of a GPU
CPP_EPOCHS = 20  # as published; with fewer, planning would take too large a share
MIN_SECONDS = 0.3  # of each timing
MIN_REPETITIONS, MAX_SECONDS = 5, 180  # a slow machine gets fewer repetitions after this many seconds
MEMORY_CNNS, MEMORY_IMAGES = 1749, 30_405  # the published cat zoo


def run(
    images: np.ndarray,
    labels: np.ndarray,
    *,
    n_cnns: int | None = None,
    steps: int = 4,
    repetitions: int = 7,
    threads: int = 2,
    device: str = "cpu",
    architectures: Sequence[str] = ARCHITECTURES,
) -> pd.DataFrame:
    """Time every implementation on the same images, in interleaved repetitions.

    Args:
        images: uint8 (N, 32, 32, 3); other architectures get their corner and their first channels.
        labels: (N,).
        n_cnns: CNNs that are trained together; by default 8 on a CPU, and 2 for each multiprocessor of a GPU.
        steps: batches of 128 images for each CNN, repeated until 0.3 s have passed.
        repetitions: of all implementations; at least 5 on a slow machine.
        threads: CPU threads.
        device: "cpu" or "cuda".
        architectures: names in `NETWORKS`; on a GPU the published one alone is measured.

    Returns:
        One row per architecture and implementation: `samples_per_second` is the median over repetitions, `spread` their
        interquartile range, `ratio_to_serial` the median of the ratios within a repetition. `share_of_peak` is NaN if
        no peak could be measured (a CPU without a compiler). `attrs` holds the measured peak in FLOP/s.
    """
    if n_cnns is None:
        on_gpu = device != "cpu"
        n_cnns = GPU_ROUNDS * torch.cuda.get_device_properties(device).multi_processor_count if on_gpu else CPU_CNNS
    frames, peaks = [], []
    for architecture in architectures if device == "cpu" else (PUBLISHED,):
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            if architecture == PUBLISHED:
                found = _implementations(images, labels, n_cnns, steps, threads, torch.device(device))
            else:
                found = _of_network(NETWORKS[architecture], images, labels, n_cnns, steps, threads)
            with float32():
                frames.append(_timed(found, repetitions, threads, device, peaks))
        finally:
            torch.set_num_threads(before)
        frames[-1].insert(0, "architecture", architecture)
    frame = pd.concat(frames, ignore_index=True)
    flop = frame["architecture"].map(lambda name: sample_flop(NETWORKS[name]))
    frame["share_of_peak"] = frame["samples_per_second"] * flop / max(peaks)
    frame.attrs = {"peak_flops": max(peaks), "threads": threads, "repetitions": repetitions}
    return frame[COLUMNS]


@contextlib.contextmanager
def float32() -> Iterator[None]:
    """Let GPUs multiply float32 as such, in PyTorch's convolutions and matrix products, and not as TF32."""
    switches = (torch.backends.cudnn, torch.backends.cuda.matmul)
    before = [switch.allow_tf32 for switch in switches]
    try:
        for switch in switches:
            switch.allow_tf32 = False
        yield
    finally:
        for switch, allowed in zip(switches, before, strict=True):
            switch.allow_tf32 = allowed


def sample_flop(network: Network) -> float:
    """Floating-point operations of one training sample in the convolutions and linear layers.

    Forward, then twice as many backward, once in the first layer, whose images need no gradient. Max-pooling of 2 x 2
    sends each gradient to one of four positions, so that a quarter of them is enough before it. Published: 1.6 million.
    """
    trained = [at for at, step in enumerate(network.steps) if step.name]
    total = 0.0
    for at in trained:
        step, after = (
            network.steps[at],
            [of for of in network.steps[at + 1 :] if of.kind not in (*ACTIVATIONS, "dropout")],
        )
        pooled = step.kind == "conv" and after[0].kind == "max" and (after[0].kernel, after[0].stride) == (2, 2)
        back = (1 if at == trained[0] else 2) * (0.25 if pooled else 1)
        total += 2 * step.multiply_adds * (1 + back)
    return total


def _timed(implementations: dict, repetitions: int, threads: int, device: str, peaks: list[float]) -> pd.DataFrame:
    """A row for each implementation, without `architecture` and `share_of_peak`. Measured peaks go to `peaks`."""
    end = time.monotonic() + MAX_SECONDS
    stretches = {
        name: max(1, round(MIN_SECONDS / _time(train, 1, device)))
        for name, (train, *_) in _warmed(implementations).items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in implementations}
    done = 0
    while done < repetitions and (done < MIN_REPETITIONS or time.monotonic() < end):
        peaks.append(peak_flops(threads, torch.device(device)))
        for name, (train, *_) in implementations.items():
            seconds[name].append(_time(train, stretches[name], device) / stretches[name])
        done += 1
    rates = {name: samples / np.array(seconds[name]) for name, (_, _, samples) in implementations.items()}
    rows = []
    for name, (_, cnns, _) in implementations.items():
        low, median, high = np.quantile(rates[name], [0.25, 0.5, 0.75])
        ratio = np.median(rates[name] / rates[SERIAL])  # neighbours in time, so that changes of the machine cancel
        rows.append([name, device, cnns, median, high - low, ratio])
    return pd.DataFrame(rows, columns=COLUMNS[1:-1])


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
        names = [
            f"{row.architecture}: {row.implementation}, {row.n_cnns} CNN{'s' if row.n_cnns > 1 else ''}"
            for row in rows.itertuples()
        ]
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
    if importlib.util.find_spec("jax"):
        implementations["JAX, compiled"] = (_jax(single, x, y, order[0]), 1, steps * BATCH)
    if device.type == "cpu":
        implementations[PER_THREAD] = ours("serial")
        if trainer.available()[0]:
            implementations[OURS[1]] = ours("cpp", CPP_EPOCHS)
    elif cuda_trainer.available(device)[0]:
        implementations[OURS[2]] = ours("cuda", CPP_EPOCHS)
    return implementations


def _of_network(
    network: Network, images: np.ndarray, labels: np.ndarray, n: int, steps: int, threads: int
) -> dict[str, tuple[Callable, int, int]]:
    """As `_implementations`, of any network on the CPU."""
    shown = np.ascontiguousarray(images[:, : network.size, : network.size, : network.channels])
    data = {"images": shown, "labels": (labels % network.classes).astype(np.uint8)}
    data |= {f"{part}_{key}": data[key][:0] for part in ("validation", "test") for key in ("images", "labels")}
    settings = populations.Settings(network, {"epochs": 1, "batch_size": BATCH}, images_per_epoch=steps * BATCH)
    x = cnn.normalise(torch.from_numpy(shown)).contiguous()  # ready in memory, which favours the others
    y = torch.from_numpy(data["labels"]).long()
    order = torch.from_numpy(np.random.default_rng(0).integers(0, len(y), (n, steps * BATCH)))
    starts = [populations.initial_weights(network, "default", (0, "bench", model)) for model in range(n)]
    stacked = {name: torch.from_numpy(np.stack([start[name] for start in starts])) for name in network.shapes}

    def ours(backend: str, epochs: int = 1) -> tuple[Callable, int, int]:
        longer = replace(settings, factors={**settings.factors, "epochs": epochs})
        options = {"backend": backend, "threads": threads}
        return (
            lambda: populations.train(longer, data, 0, "bench", np.arange(n), **options),
            n,
            n * epochs * steps * BATCH,
        )

    logits = functools.partial(forward.logits, network)
    alone = {name: value[:1] for name, value in stacked.items()}
    one = lambda weights, x: logits({name: value[0] for name, value in weights.items()}, x[0])[None]  # noqa: E731
    implementations = {
        SERIAL: (lambda: _train_together(one, alone, x, y, order[:1]), 1, steps * BATCH),
        "torch.func vmap": (
            lambda: _train_together(torch.func.vmap(logits), stacked, x, y, order),
            n,
            n * steps * BATCH,
        ),
        PER_THREAD: ours("serial"),
    }
    if network_trainer.available(network)[0]:
        implementations[OURS[1]] = ours("cpp", CPP_EPOCHS)
    return implementations


def _jax(start: dict[str, Tensor], x: Tensor, y: Tensor, order: Tensor) -> Callable[[], dict]:
    """One CNN's training, each step compiled, with channels last: the fastest of four forms on a CPU.

    All steps in one compiled loop (`lax.scan`) would be a third as fast there, as XLA leaves its fast convolutions.
    """
    import jax
    from jax import lax
    from jax import numpy as jnp

    images, labels, batches = (jnp.asarray(a.cpu().numpy()) for a in (x.movedim(1, -1), y, order.view(-1, BATCH)))
    weights = {name: jnp.asarray(value.cpu().numpy()) for name, value in start.items()}

    def loss(weights, rows):
        x = images[rows]
        for layer in ("conv1", "conv2"):
            x = lax.conv_general_dilated(
                x, weights[f"{layer}.weight"], (1, 1), "VALID", dimension_numbers=("NHWC", "OIHW", "NHWC")
            )
            x = jax.nn.relu(x + weights[f"{layer}.bias"])
            x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
        z = jnp.moveaxis(x, -1, 1).reshape(len(x), -1) @ weights["fc1.weight"].T + weights["fc1.bias"]
        return -jnp.take_along_axis(jax.nn.log_softmax(z), labels[rows, None], 1).mean()

    @jax.jit
    def step(carried, rows):
        (weights, mean, square, count), gradient = carried, jax.grad(loss)(carried[0], rows)
        count += 1
        mean = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, mean, gradient)
        square = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, square, gradient)
        rate, correction = 0.01 / (1 - 0.9**count), 1 - 0.999**count
        weights = jax.tree.map(lambda w, m, v: w - rate * m / (jnp.sqrt(v / correction) + 1e-8), weights, mean, square)
        return weights, mean, square, count

    zeros = jax.tree.map(jnp.zeros_like, weights)

    def run() -> dict:
        carried = (weights, zeros, zeros, 0.0)
        with jax.default_matmul_precision("highest"):  # no TF32
            for rows in batches:
                carried = step(carried, rows)
            return jax.block_until_ready(carried[0])

    return run


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
