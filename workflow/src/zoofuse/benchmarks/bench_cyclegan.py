"""Speed of a step of the kernel CycleGAN, compared with a plain PyTorch loop."""

import contextlib
import itertools
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoofuse.benchmarks import bench_zoo
from zoofuse.methods.cyclegan import backends, networks, translation
from zoofuse.methods.cyclegan.settings import Settings
from zoofuse.methods.cyclegan.settings import settings as cyclegan_settings
from zoofuse.report.canvas import ACCENT, BLUE, GREY, canvas


class PlainCycleGAN:
    """The published loop with modules, autograd and torch.optim; the tests use it as a reference.

    Published order: one step of both generators on adversarial, cycle and identity losses, then one of each
    discriminator on the real batch and the sets just translated. No pool, no decay.
    """

    def __init__(self, settings: Settings, channels: int, generators: Tensor, discriminators: Tensor):
        """generators, discriminators: flat initial parameters, as of `networks.initial`."""
        self.settings = settings
        hidden = settings.hidden
        self.a2b, self.b2a = (
            nn.Sequential(_conv(channels, hidden), nn.ReLU(), _conv(hidden, channels), nn.Tanh()) for _ in range(2)
        )
        last = [nn.Sigmoid()] if settings.adversarial == "mse after sigmoid" else []
        self.d_a, self.d_b = (
            nn.Sequential(_conv(channels, hidden), nn.LeakyReLU(0.2), _conv(hidden, 1), *last) for _ in range(2)
        )
        self.generators, self.discriminators = nn.ModuleList((self.a2b, self.b2a)), nn.ModuleList((self.d_a, self.d_b))
        for modules, flat in ((self.generators, generators), (self.discriminators, discriminators)):
            nn.utils.vector_to_parameters(flat.clone(), modules.to(flat.device).parameters())
        options = {"lr": settings.learning_rate, "betas": settings.betas}
        parameters = itertools.chain(self.a2b.parameters(), self.b2a.parameters())
        self.optimiser = torch.optim.Adam(parameters, **options)
        self.optimiser_a = torch.optim.Adam(self.d_a.parameters(), **options)
        self.optimiser_b = torch.optim.Adam(self.d_b.parameters(), **options)

    def step(self, a: Tensor, b: Tensor) -> dict[str, float]:
        """a, b: (batch, in, out, 5, 5); returns the losses by name."""
        self.optimiser.zero_grad()
        fake_b, fake_a = self.a2b(a), self.b2a(b)
        judged_a, judged_b = self.d_a(fake_a), self.d_b(fake_b)
        losses = {
            "adversarial_B": F.mse_loss(judged_b, torch.ones_like(judged_b)),
            "adversarial_A": F.mse_loss(judged_a, torch.ones_like(judged_a)),
            "cycle": F.l1_loss(self.b2a(fake_b), a) + F.l1_loss(self.a2b(fake_a), b),
        }
        total = losses["adversarial_A"] + losses["adversarial_B"] + self.settings.cycle_weight * losses["cycle"]
        if self.settings.identity_weight:
            losses["identity"] = F.l1_loss(self.a2b(b), b) + F.l1_loss(self.b2a(a), a)
            total = total + self.settings.identity_weight * losses["identity"]
        total.backward()
        self.optimiser.step()
        for name, judge, real, fake, optimiser in (
            ("discriminator_A", self.d_a, a, fake_a, self.optimiser_a),
            ("discriminator_B", self.d_b, b, fake_b, self.optimiser_b),
        ):
            optimiser.zero_grad()
            judged_real, judged_fake = judge(real), judge(fake.detach())
            losses[name] = F.mse_loss(judged_real, torch.ones_like(judged_real)) / 2
            losses[name] = losses[name] + F.mse_loss(judged_fake, torch.zeros_like(judged_fake)) / 2
            losses[name].backward()
            optimiser.step()
        return {name: loss.item() for name, loss in losses.items()}


def _conv(channels: int, out: int) -> nn.Conv3d:
    return nn.Conv3d(channels, out, 3, padding=1)


Step = Callable[[dict[str, Tensor]], dict[str, float]]  # domain -> (in, out, 5, 5, batch); returns the losses by name


def plain_step(plain: PlainCycleGAN) -> Step:
    """One step of the plain loop, which has the batch as its first axis."""
    return lambda x: plain.step(*(x[domain].movedim(-1, 0).contiguous() for domain in "AB"))


def fast_step(settings: Settings, generators: Tensor, discriminators: Tensor, steps: tuple[Callable, Callable]) -> Step:
    """One step of `train.train` with `backends.steps`; changes the flat parameters in place."""
    generator_step, discriminator_step = steps
    options = {"lr": settings.learning_rate, "betas": settings.betas}
    optimisers = [torch.optim.Adam([flat], **options) for flat in (generators, discriminators)]

    def step(x: dict[str, Tensor]) -> dict[str, float]:
        losses, generators.grad, fakes = generator_step(settings, generators, discriminators, x)
        optimisers[0].step()
        judged, discriminators.grad = discriminator_step(settings, discriminators, x, fakes)
        optimisers[1].step()
        return {name: loss.item() for name, loss in (losses | judged).items()}

    return step


PLAIN, OURS = "plain PyTorch", {backend: f"{backend} (zoofuse)" for backend in backends.BACKENDS}


def run(
    a_by_layer: Mapping[str, np.ndarray],
    b_by_layer: Mapping[str, np.ndarray],
    *,
    steps: int = 3,
    repetitions: int = 5,
    threads: int = 1,
    device: str = "cpu",
) -> pd.DataFrame:
    """Time steps with the report's settings (hidden 64, batch 64), alternating implementations.

    Args:
        a_by_layer: layer -> kernel sets of domain A (n, out, in, 5, 5), at least 64.
        b_by_layer: the same of domain B.
        steps: in one timing.
        repetitions: timings.
        threads: CPU threads.
        device: "cpu" or "cuda".

    Returns:
        One row per layer and implementation. ms_per_step: median over repetitions of the mean of `steps` steps.
        spread: (max - min) / median. ratio_to_plain: speed relative to the plain loop, median over repetitions.
        share_of_limit: the time that the `operations` need at the machine's measured rate, as a share of the measured
        time (NaN without the C++). minutes_for_published_size: for 200 epochs of 2,749 pairs, without measures.

    Raises:
        ValueError: a domain has fewer kernel sets than a batch.
    """
    rows = []
    for layer, a in a_by_layer.items():
        s = cyclegan_settings("report", layer)
        sets = {"A": a[: s.batch_size], "B": b_by_layer[layer][: s.batch_size]}
        for domain, values in sets.items():
            if len(values) < s.batch_size:
                raise ValueError(f"{layer}, domain {domain}: {len(values)} kernel sets; a step takes {s.batch_size}.")
        x = {d: torch.from_numpy(translation._to_network(values, (0, 1))).to(device) for d, values in sets.items()}
        limit = bench_zoo.peak_flops(threads, torch.device(device))
        times = _times(s, x, steps, repetitions, threads)
        for name, values in times.items():
            median = float(np.median(values))
            rows.append(
                {
                    "layer": layer,
                    "implementation": name,
                    "device": device,
                    "ms_per_step": median,
                    "spread": (max(values) - min(values)) / median,
                    "ratio_to_plain": float(np.median(np.divide(times[PLAIN], values))),
                    "share_of_limit": operations(s, *x["A"].shape[:2]) / limit / (median / 1000),
                    "minutes_for_published_size": median * s.epochs * -(-_PUBLISHED_PAIRS // s.batch_size) / 60_000,
                }
            )
    return pd.DataFrame(rows)


def operations(s: Settings, channels: int, depth: int) -> int:
    """Floating-point operations that a step's convolutions and their gradients need, with the identity loss.

    Multiplications by padding zeros and unused gradients are not counted.
    """
    window = 13 * 13 * (3 * depth - 2)  # of 15 * 15 * 3 * depth multiplications, for each pair of channels
    # Each of three translations: 2 convolutions forward, 3 for the gradients; through the cycle to its input one more.
    # The fakes' judgement and its gradient by them: 2 + 2. Discriminators, on real and fake sets: 2 + 3 each.
    outer, judged = 3 * 5 + 1 + 2 + 2 * 2, 2 + 2 * 3  # those with `channels` at one end, and those with 1
    return 2 * (outer * channels + judged) * s.hidden * window * 2 * s.batch_size


def _times(s: Settings, x: dict[str, Tensor], steps: int, repetitions: int, threads: int) -> dict[str, list[float]]:
    """Implementation -> milliseconds of a step in each repetition, alternating."""
    device = x["A"].device
    generators, discriminators = networks.initial(s, len(x["A"]), 0, device)
    implementations = {PLAIN: plain_step(PlainCycleGAN(s, len(x["A"]), generators, discriminators))}
    fused = backends.choose_backend(x["A"].shape[:-1], str(device))[0] == "cpp"
    times: dict[str, list[float]] = {}
    with contextlib.ExitStack() as stack:
        for backend in backends.BACKENDS if fused else ("pytorch",):
            both = stack.enter_context(backends.steps(backend, threads))
            implementations[OURS[backend]] = fast_step(s, generators.clone(), discriminators.clone(), both)
        for repetition in range(repetitions + 1):  # the first one warms up
            for name, step in implementations.items():
                torch.set_num_threads(threads if name == PLAIN else 1)
                start = time.perf_counter()
                for _ in range(steps):
                    step(x)  # ends by reading the losses, so a GPU has finished too
                if repetition:
                    times.setdefault(name, []).append((time.perf_counter() - start) / steps * 1000)
    return times


_PUBLISHED_PAIRS = 2749


def figure(frame: pd.DataFrame, path: str | Path) -> None:
    """Draw minutes for the published size per layer, implementation and device, with the ratio to the plain loop."""
    implementations = list(dict.fromkeys(zip(frame["implementation"], frame["device"], strict=True)))
    layers = list(dict.fromkeys(frame["layer"]))
    width = 0.8 / len(implementations)
    with canvas(path, 3.2) as drawn:
        axes = drawn.subplots()
        for number, (name, device) in enumerate(implementations):
            rows = frame[(frame["implementation"] == name) & (frame["device"] == device)].set_index("layer").loc[layers]
            colour = {PLAIN: GREY, OURS["pytorch"]: BLUE}.get(name, ACCENT)
            places = np.arange(len(layers)) + number * width
            bars = axes.bar(places, rows["minutes_for_published_size"], width, label=f"{name}, {device}", color=colour)
            axes.bar_label(bars, [f"{ratio:.1f}x" for ratio in rows["ratio_to_plain"]])
        axes.set_xticks(np.arange(len(layers)) + 0.4 - width / 2, layers)
        axes.set_ylabel("minutes, 200 epochs of 2,749 pairs")
        axes.margins(y=0.1)
        axes.legend()
