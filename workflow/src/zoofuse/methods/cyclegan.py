"""The kernel CycleGAN: two sets of convolution kernels, and generators that translate each into the other.

Published system (report, II.D.2; Zhu et al. 2017, "Unpaired image-to-image translation using cycle-consistent
adversarial networks"): a CNN's kernels of one layer, (out, in, 5, 5), are turned to (in, out, 5, 5) and read as a
small volume with `in` channels, whose depth is the filters; kernels of other sizes are read alike. Domain A is the
first concept of a fusion, B the second.

Training depends on the kernels, the settings and the seed only: orders, replay and initial weights are named random
numbers, so that a run which was stopped at any moment goes on from its state file to the same bits. Losses and
gradients come from one of two backends: `fused` is C++ for CPUs, `pytorch` runs anywhere. They agree within rounding,
and after many steps no longer; so a training is computed by one of them from its first step to its last.
"""

import contextlib
import functools
import hashlib
import math
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from zoofuse.core import files, rng
from zoofuse.core.errors import AccessError
from zoofuse.methods import kernel_measures
from zoofuse.native import build, cyclegan_steps

ADVERSARIAL = ("mse after sigmoid", "mse on logits")
BATCHES = ("paired", "mixed")
INITIALISATION = ("pytorch", "normal")
BACKENDS = ("fused", "pytorch")

Network = dict[str, Tensor]  # 0.weight, 0.bias, 2.weight, 2.bias: convolution, activation, convolution


@dataclass(frozen=True)
class Settings:
    """Everything a training depends on besides the kernels and the seed."""

    epochs: int = 200
    batch_size: int = 64
    learning_rate: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    hidden: int = 64
    adversarial: str = "mse after sigmoid"  # least squares on probabilities (published) or on logits (LSGAN)
    cycle_weight: float = 10.0
    identity_weight: float = 5.0
    # paired: a batch of each domain in every step, the smaller domain reshuffled and cycled, an epoch is the larger
    # domain once. mixed: batches of the two domains shuffled together (published code); a side may be empty.
    batches: str = "paired"
    pool: int = 0  # translated sets kept and replayed to each discriminator
    decay_start: float = 1.0  # share of the epochs after which the learning rate falls linearly to 0
    initialisation: str = "pytorch"  # PyTorch's uniform default, or "normal": N(0, 0.02), zero biases (Zhu et al.)
    standardise: bool = False  # each domain to mean 0 and standard deviation 1/4; undone after translation
    held_out: float = 0.05  # share of each domain that only the measures see
    measure_every: int = 0  # epochs; 0: seldom enough to stay below a fifth of the time

    def __post_init__(self):
        object.__setattr__(self, "betas", tuple(self.betas))
        _known("adversarial", self.adversarial, ADVERSARIAL)
        _known("batches", self.batches, BATCHES)
        _known("initialisation", self.initialisation, INITIALISATION)
        for name in ("epochs", "batch_size", "hidden"):
            _check(name, getattr(self, name), getattr(self, name) >= 1, "1 or more")
        for name in ("cycle_weight", "identity_weight", "pool", "measure_every"):
            _check(name, getattr(self, name), getattr(self, name) >= 0, "0 or more")
        _check("learning_rate", self.learning_rate, self.learning_rate > 0, "more than 0")
        _check("decay_start", self.decay_start, 0 <= self.decay_start <= 1, "between 0 and 1")
        _check("held_out", self.held_out, 0 < self.held_out <= 0.5, "more than 0, at most 0.5")
        _check("betas", self.betas, len(self.betas) == 2 and all(0 <= b < 1 for b in self.betas), "two in [0, 1)")


def _known(name: str, value: str, known) -> None:
    if value not in known:
        raise ValueError(f"{name} {value!r} is not known; write one of {', '.join(known)}.")


def _check(name: str, value, good: bool, wanted: str) -> None:
    if not good:
        raise ValueError(f"CycleGAN setting {name} is {value}; write {wanted}.")


# What the report leaves open: hidden 64 as in the code; weights 10 and 5 as in Zhu et al. (identity: half the cycle's).
_REPORT = Settings()
# The code defines an identity loss and never adds it.
_CODE = replace(_REPORT, identity_weight=0.0, batches="mixed")
# Short runs on the published banks: standardising lowers the cycle error by a fifth (conv1) to two fifths (conv2), and
# the identity loss keeps a set's own pattern, where without it signs change and channels mix. Logits instead of
# probabilities, a pool and a decay gained nothing beyond the spread between seeds.
_BEST = replace(_REPORT, standardise=True)
PRESETS: dict[str, dict[str, Settings]] = {
    "report": {"conv1": _REPORT, "conv2": _REPORT},
    "code": {"conv1": replace(_CODE, epochs=1000, batch_size=10, learning_rate=2e-5), "conv2": _CODE},
    "best": {"conv1": _BEST, "conv2": _BEST},
}


def settings(preset: str, layer: str, **overrides) -> Settings:
    """The settings of a preset for a layer, with `overrides` on top; ValueError names what is unknown and the known.

    Layers deeper than the published two take those of conv2, and so do both together (joint).
    """
    _known("CycleGAN preset", preset, PRESETS)
    if not re.fullmatch(r"conv[1-9]\d*|joint", layer):
        raise ValueError(f"layer {layer!r} is not known; write conv1, conv2 and so on, or joint.")
    names = [field.name for field in fields(Settings)]
    for name in overrides:
        _known("CycleGAN setting", name, names)
    return replace(PRESETS[preset].get(layer, PRESETS[preset]["conv2"]), **overrides)


@dataclass(frozen=True)
class Trained:
    """generators: "A2B" and "B2A" -> name -> float32; history: name -> (epochs,) float32, NaN where not measured.

    way: backend and instruction set or device, such as "fused avx2"; the same way gives the same bits. Empty for
    generators trained elsewhere.
    """

    generators: dict[str, dict[str, np.ndarray]]
    history: dict[str, np.ndarray]
    way: str = ""


class TrainingError(RuntimeError):
    """A loss is not finite; the message says in which epoch and step, and which loss."""


# ---------------------------------------------------------------------------------------------- networks


def _shapes(channels: int, hidden: int, out: int) -> dict[str, tuple[int, ...]]:
    return {
        "0.weight": (hidden, channels, 3, 3, 3),
        "0.bias": (hidden,),
        "2.weight": (out, hidden, 3, 3, 3),
        "2.bias": (out,),
    }


def _makers(flat: Tensor, channels: int, s: Settings) -> dict[str, Network]:
    """The generators whose parameters lie one after another in `flat`, by the domain each makes: A2B, then B2A."""
    return _networks(flat, "BA", _shapes(channels, s.hidden, channels))


def _judges(flat: Tensor, channels: int, s: Settings) -> dict[str, Network]:
    """The discriminators in `flat` by their domain."""
    return _networks(flat, "AB", _shapes(channels, s.hidden, 1))


def _networks(flat: Tensor, domains: str, shapes: dict[str, tuple[int, ...]]) -> dict[str, Network]:
    parts = iter(flat.split([math.prod(shape) for shape in shapes.values()] * 2))
    return {domain: {name: next(parts).view(shape) for name, shape in shapes.items()} for domain in domains}


def initial(s: Settings, channels: int, seed: int, device: str | torch.device = "cpu") -> tuple[Tensor, Tensor]:
    """The initial parameters of both generators and of both discriminators, each pair flat."""
    pairs = []
    for names, out in ((("A2B", "B2A"), channels), (("A", "B"), 1)):
        values = []
        for network in names:
            for name, shape in _shapes(channels, s.hidden, out).items():
                fan_in = 27 * (channels if name.startswith("0.") else s.hidden)
                values.append(_initial(s.initialisation, shape, fan_in, (seed, "cyclegan", "initial", network, name)))
        pairs.append(torch.from_numpy(np.concatenate(values)).to(device))
    return pairs[0], pairs[1]


def _initial(initialisation: str, shape: tuple[int, ...], fan_in: int, key: tuple) -> np.ndarray:
    """One tensor's initial values, flat."""
    if initialisation == "pytorch":
        return (2 * rng.uniform(shape, *key).ravel() - 1) / np.float32(math.sqrt(fan_in))
    if len(shape) == 1:
        return np.zeros(shape, np.float32)
    return np.float32(0.02) * rng.normal((math.prod(shape),), *key)


# A kernel set is a tiny volume with few channels at one end of every convolution and `hidden` at the other, so a
# convolution is one matrix product with 27 rows (the 3x3x3 window) per channel at the small end. With the batch as the
# last axis every copy and addition around that product runs over contiguous memory.


def _unfold(x: Tensor) -> Tensor:
    """Volumes (c, depth, rows, columns, b) -> their 3x3x3 windows, zero beyond the edge, (c * 27, depth * ... * b)."""
    padded = F.pad(x, (0, 0, 1, 1, 1, 1, 1, 1))
    c, d, h, w, b = padded.stride()
    return padded.as_strided((x.shape[0], 3, 3, 3, *x.shape[1:]), (c, d, h, w, d, h, w, b)).reshape(x.shape[0] * 27, -1)


def _fold(windows: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The adjoint of `_unfold`: windows added up to volumes (c, depth, rows, columns, b); overwrites `windows`."""
    y = windows.view(shape[0], 3, 3, 3, *shape[1:])
    for size in shape[1:4]:  # the window axis at 1 goes, so axis 3 of what is left is the volume's depth, rows, columns
        before, y, after = y.unbind(1)
        y.narrow(3, 0, size - 1).add_(before.narrow(3, 1, size - 1))
        y.narrow(3, 1, size - 1).add_(after.narrow(3, 0, size - 1))
    return y.contiguous()


class _Gather(torch.autograd.Function):
    """3x3x3 convolution from few channels, volumes (c, depth, rows, columns, b), to many, (hidden, depth * ... * b)."""

    @staticmethod
    def forward(ctx, x, weight, bias):
        windows, matrix = _unfold(x), weight.flatten(1)
        ctx.save_for_backward(windows, matrix)
        ctx.shapes = x.shape, weight.shape
        return torch.addmm(bias[:, None], matrix, windows)

    @staticmethod
    def backward(ctx, gradient):
        windows, matrix = ctx.saved_tensors
        x = weight = bias = None
        if ctx.needs_input_grad[0]:
            x = _fold(matrix.t() @ gradient, ctx.shapes[0])
        if ctx.needs_input_grad[1]:
            weight, bias = (gradient @ windows.t()).view(ctx.shapes[1]), gradient.sum(1)
        return x, weight, bias


class _Scatter(torch.autograd.Function):
    """3x3x3 convolution from many channels, (hidden, depth * ... * b), to few, volumes (c, depth, rows, columns, b).

    Scattering inputs over the outputs they reach is the adjoint of gathering, so the weight's window is turned round.
    """

    @staticmethod
    def forward(ctx, x, weight, bias, volume):  # volume: (depth, rows, columns, b)
        matrix = weight.flip(2, 3, 4).flatten(2).transpose(1, 2).flatten(0, 1)  # (c * 27, hidden)
        ctx.save_for_backward(x, matrix)
        ctx.shape = weight.shape
        return _fold(matrix @ x, (len(weight), *volume)) + bias[:, None, None, None, None]

    @staticmethod
    def backward(ctx, gradient):
        x, matrix = ctx.saved_tensors
        windows = _unfold(gradient)
        into = weight = bias = None
        if ctx.needs_input_grad[0]:
            into = matrix.t() @ windows
        if ctx.needs_input_grad[1]:
            c, hidden, *window = ctx.shape
            weight = (x @ windows.t()).view(hidden, c, *window).transpose(0, 1).flip(2, 3, 4)
            bias = gradient.flatten(1).sum(1)
        return into, weight, bias, None


def _generate(network: Network, x: Tensor) -> Tensor:
    """(in, out, 5, 5, b) -> the same shape, within (-1, 1)."""
    hidden = F.relu_(_Gather.apply(x, network["0.weight"], network["0.bias"]))
    return _Scatter.apply(hidden, network["2.weight"], network["2.bias"], x.shape[1:]).tanh()


def _discriminate(network: Network, x: Tensor) -> Tensor:
    """(in, out, 5, 5, b) -> logits of being real, one for each patch, (1, out, 5, 5, b)."""
    hidden = F.leaky_relu_(_Gather.apply(x, network["0.weight"], network["0.bias"]), 0.2)
    return _Scatter.apply(hidden, network["2.weight"], network["2.bias"], x.shape[1:])


# ---------------------------------------------------------------------------------------------- one step


def _parts(x: Tensor) -> list[Tensor]:
    """Parts of a batch, small enough for what one part needs to stay in a core's cache; a GPU takes the whole."""
    if not x.shape[-1]:
        return []
    count = 1 if x.is_cuda else -(-x[0].numel() // _POSITIONS)
    return [part.contiguous() for part in x.tensor_split(min(count, x.shape[-1]), dim=-1)]


_POSITIONS = 6400  # in the volumes of a part, at most; much fewer and Python takes the time, many more and memory does


def _generator_step(s: Settings, generators: Tensor, discriminators: Tensor, x: dict[str, Tensor], run=map):
    """One batch's losses by name, the gradient of their sum, and the translated sets by the domain they now belong to.

    x: domain -> (in, out, 5, 5, b). Of an empty domain nothing is lost or translated: the published code's loss
    is NaN there, and its gradient zero. run: `map`, or an executor's.
    """
    channels = len(x["A"])
    judges = _judges(discriminators, channels, s)
    weights = {"cycle": s.cycle_weight, "identity": s.identity_weight}

    def work(task):
        source, target, real = task
        leaf = generators.detach().requires_grad_()
        makers = _makers(leaf, channels, s)
        fake = _generate(makers[target], real)
        losses = {
            f"adversarial_{target}": _adversarial(s, _discriminate(judges[target], fake), 1.0),
            "cycle": (_generate(makers[source], fake) - real).abs().mean(),
        }
        if s.identity_weight:
            losses["identity"] = (_generate(makers[source], real) - real).abs().mean()
        total = sum(weights.get(name, 1.0) * loss for name, loss in losses.items())
        return *_weighted(losses, total, leaf, real.shape[-1] / x[source].shape[-1]), fake.detach()

    tasks = [(source, target, part) for source, target in ("AB", "BA") for part in _parts(x[source])]
    losses, gradients, fakes = zip(*run(work, tasks), strict=True)
    made = {d: [fake for (_, target, _), fake in zip(tasks, fakes, strict=True) if target == d] for d in "AB"}
    return _summed(losses), sum(gradients), {d: torch.cat(parts, dim=-1) for d, parts in made.items() if parts}


def _discriminator_step(
    s: Settings, discriminators: Tensor, real: dict[str, Tensor], fakes: dict[str, Tensor], run=map
):
    """The discriminators' losses by name, and the gradient of their sum; arguments as of `_generator_step`."""
    channels = len(real["A"])

    def work(task):
        domain, target, sets, share = task
        leaf = discriminators.detach().requires_grad_()
        judge = _judges(leaf, channels, s)[domain]
        loss = _adversarial(s, _discriminate(judge, sets), target)
        return _weighted({f"discriminator_{domain}": loss}, loss, leaf, share)

    tasks = [
        (domain, target, part, part.shape[-1] / sets[domain].shape[-1] / 2)
        for sets, target in ((real, 1.0), (fakes, 0.0))
        for domain in sets
        for part in _parts(sets[domain])
    ]
    losses, gradients = zip(*run(work, tasks), strict=True)
    return _summed(losses), sum(gradients)


def _weighted(losses: dict[str, Tensor], total: Tensor, leaf: Tensor, share: float):
    """A part's losses and gradient, as the share of the batch's that they are."""
    gradient = torch.autograd.grad(total, leaf)[0]
    return {name: share * loss.detach() for name, loss in losses.items()}, share * gradient


def _summed(losses: Iterable[dict[str, Tensor]]) -> dict[str, Tensor]:
    totals: dict[str, Tensor] = {}
    for part in losses:
        for name, loss in part.items():
            totals[name] = totals[name] + loss if name in totals else loss
    return totals


def _adversarial(s: Settings, logits: Tensor, target: float) -> Tensor:
    judged = logits.sigmoid() if s.adversarial == "mse after sigmoid" else logits
    return (judged - target).square().mean()


def _adam(parameters: Tensor, gradient: Tensor, moments: Tensor, step: int, rate: float, betas) -> None:
    """One step of Adam (Kingma and Ba 2015, algorithm 1) in place; moments: (2, parameters), eps 1e-8."""
    mean, square = moments
    mean.lerp_(gradient, 1 - betas[0])
    square.mul_(betas[1]).addcmul_(gradient, gradient, value=1 - betas[1])
    scale = (square.sqrt() / math.sqrt(1 - betas[1] ** step)).add_(1e-8)
    parameters.addcdiv_(mean, scale, value=-rate / (1 - betas[0] ** step))


def _replay(pool: Tensor, size: int, fresh: Tensor, seed: int, *names) -> tuple[Tensor, Tensor]:
    """Half of the time an older translated set instead of a fresh one (Shrivastava et al. 2017; size 50 in Zhu et al.).

    Returns (what the discriminator sees, the pool afterwards).
    """
    if not size:
        return fresh, pool
    both = torch.cat((pool, fresh), dim=-1)
    kept, shown = list(range(pool.shape[-1])), []
    draws = rng.bits(2 * fresh.shape[-1], seed, "cyclegan", "pool", *names).reshape(-1, 2)
    for row, (coin, slot) in enumerate(draws.tolist(), start=pool.shape[-1]):
        if len(kept) < size:
            kept.append(row)
            shown.append(row)
        elif coin >> 63:
            slot %= size
            shown.append(kept[slot])
            kept[slot] = row
        else:
            shown.append(row)
    return both[..., shown], both[..., kept]


def _orders(s: Settings, n: dict[str, int], seed: int, epoch: int) -> list[dict[str, np.ndarray]]:
    """One dict per step: domain -> rows of its training kernels."""
    if s.batches == "mixed":
        order = rng.permutation(n["A"] + n["B"], seed, "cyclegan", "order", epoch)
        batches = [order[i : i + s.batch_size] for i in range(0, len(order), s.batch_size)]
        return [{"A": rows[rows < n["A"]], "B": rows[rows >= n["A"]] - n["A"]} for rows in batches]
    longest = max(n.values())
    order = {}
    for domain, count in n.items():
        laps = [
            rng.permutation(count, seed, "cyclegan", "order", epoch, domain, lap) for lap in range(-(-longest // count))
        ]
        order[domain] = np.concatenate(laps)[:longest]
    starts = range(0, longest, s.batch_size)
    return [{domain: rows[i : i + s.batch_size] for domain, rows in order.items()} for i in starts]


# ---------------------------------------------------------------------------------------------- training


def train(
    a: np.ndarray,
    b: np.ndarray,
    settings: Settings,
    seed: int,
    *,
    state_path: str | Path,
    device: str = "cpu",
    threads: int = 1,
    backend: str = "auto",
    progress: Callable[[int, dict[str, float]], None] | None = None,
) -> Trained:
    """Train both generators on the kernel sets of two domains.

    a: (n_a, out, in, 5, 5); b: (n_b, out, in, 5, 5); float32. A domain smaller than a batch is repeated within it.
    state_path: an HDF5 kept up to date while training. Calling `train` again goes on from it, and from a finished
        one returns at once; delete it when the generators are written. A state of other kernels, settings or seed, of
        another way of computing (another backend, instruction set or kind of device), or a damaged one, is ignored with
        a printed line. The result has the same bits as an uninterrupted run's on the same hardware, whatever
        `threads` are.
    device: "cpu", or as torch names it; threads: of the CPU, each works on a part of the batch.
    backend: "auto" (see `choose_backend`), "fused" or "pytorch".
    progress: called after each epoch with (epochs done, that epoch's losses and measures).

    Raises ValueError for kernels that cannot be trained on and for a backend that does not run here, TrainingError
    when a loss is not finite.
    """
    kernels = {"A": _checked(a, "A"), "B": _checked(b, "B")}
    if kernels["A"].shape[1:] != kernels["B"].shape[1:]:
        raise ValueError(f"domain A has kernels {a.shape[1:]}, domain B {b.shape[1:]}; a CycleGAN needs one shape.")
    _known("backend", backend, ("auto", *BACKENDS))
    found, reason = choose_backend(kernels["A"].shape[1:], device)
    if backend == "fused" and found != "fused":
        raise ValueError(f"backend: fused cannot be used here ({reason}). Write auto.")
    backend, device = found if backend == "auto" else backend, torch.device(device)
    with steps(backend, threads if device.type == "cpu" else 1) as both:
        return _train(kernels, settings, seed, Path(state_path), device, backend, both, progress)


def choose_backend(shape: Sequence[int], device: str = "cpu") -> tuple[str, str]:
    """The backend that `auto` stands for on this machine, for kernels (..., rows, columns), and why in one line."""
    if torch.device(device).type != "cpu":
        return "pytorch", f"pytorch: on {device}"
    if tuple(shape[-2:]) != (cyclegan_steps.SIZE, cyclegan_steps.SIZE):
        return "pytorch", "pytorch (slower), as the C++ is for 5 x 5 kernels only"
    available, reason = cyclegan_steps.available()
    if available:
        return "fused", f"fused: {reason}"
    return "pytorch", f"pytorch (slower), as the C++ is missing: {reason}"


@contextlib.contextmanager
def steps(backend: str, threads: int) -> Iterator[tuple[Callable, Callable]]:
    """`_generator_step` and `_discriminator_step` as this backend computes them with this many threads."""
    with workers(threads) as run:
        if backend == "fused":
            both, options = (cyclegan_steps.generator_step, cyclegan_steps.discriminator_step), {"threads": threads}
        else:
            both, options = (_generator_step, _discriminator_step), {"run": run}
        yield tuple(functools.partial(step, **options) for step in both)


@contextlib.contextmanager
def workers(threads: int) -> Iterator[Callable]:
    """A `map` over this many threads. Each computes alone, so the results do not depend on how many there are."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        if threads == 1:
            yield map
        else:
            with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
                yield pool.map
    finally:
        torch.set_num_threads(before)


def _checked(kernels: np.ndarray, domain: str) -> np.ndarray:
    kernels = np.asarray(kernels)
    if kernels.ndim != 5:
        raise ValueError(f"domain {domain}: kernels of shape {kernels.shape}; expected (n, out, in, rows, columns).")
    if len(kernels) < 4:
        raise ValueError(f"domain {domain} has {len(kernels)} kernel sets; at least 4 are needed, 2 of them held out.")
    if not np.isfinite(kernels).all():
        raise ValueError(f"domain {domain}: {int((~np.isfinite(kernels)).sum())} kernel weights are not finite.")
    return np.ascontiguousarray(kernels, np.float32)


def _train(
    kernels, s: Settings, seed: int, state_path: Path, device: torch.device, backend: str, both, progress
) -> Trained:
    generator_step, discriminator_step = both
    way = f"{backend} {build.instruction_set() if device.type == 'cpu' else device.type}"
    scales = {domain: _scale(values, s.standardise) for domain, values in kernels.items()}
    held_out, training = {}, {}
    for domain, values in kernels.items():
        order = rng.permutation(len(values), seed, "cyclegan", "held out", domain)
        count = max(2, round(s.held_out * len(values)))
        held_out[domain], training[domain] = values[np.sort(order[:count])], values[np.sort(order[count:])]
    data = {}  # domain -> (n, in, out, 5, 5): sets first, where drawing some of them is quick
    for domain, values in training.items():
        data[domain] = torch.from_numpy(_to_network(values, scales[domain])).movedim(-1, 0).contiguous().to(device)
    counts = {domain: len(values) for domain, values in training.items()}

    identity = _identity(kernels, s, seed, way)
    state = _load(state_path, identity) or _initial_state(s, data, seed)
    history = {name.removeprefix("history/"): state.pop(name) for name in list(state) if name.startswith("history/")}
    done, step = state.pop("done").tolist()  # epochs, steps
    tensors = {name: torch.from_numpy(value).to(device) for name, value in state.items()}
    generators, discriminators = tensors["generators"], tensors["discriminators"]
    every = s.measure_every or max(1, round(_STEPS_PER_MEASURE / len(_orders(s, counts, seed, 0))))

    saved = time.monotonic()
    for epoch in range(done, s.epochs):
        rate = s.learning_rate * _decay(s, epoch)
        totals: dict[str, list[float]] = {}
        for number, rows in enumerate(_orders(s, counts, seed, epoch)):
            step += 1
            x = {d: data[d][torch.from_numpy(r).to(device)].movedim(0, -1).contiguous() for d, r in rows.items()}
            losses, gradient, fakes = generator_step(s, generators, discriminators, x)
            _adam(generators, gradient, tensors["moments/generators"], step, rate, s.betas)
            for domain, fake in fakes.items():
                pool = f"pool/{domain}"
                fakes[domain], tensors[pool] = _replay(tensors[pool], s.pool, fake, seed, epoch, number, domain)
            judged, gradient = discriminator_step(s, discriminators, x, fakes)
            _adam(discriminators, gradient, tensors["moments/discriminators"], step, rate, s.betas)
            losses |= judged
            for name, value in zip(losses, torch.stack(list(losses.values())).tolist(), strict=True):
                if not math.isfinite(value):
                    raise TrainingError(
                        f"CycleGAN loss {name} is {value} in epoch {epoch + 1}, step {number + 1}: training has "
                        "diverged. Try a smaller learning rate, or check the kernels for outliers."
                    )
                totals.setdefault(name, []).append(value)

        row = {f"loss_{name}": sum(values) / len(values) for name, values in totals.items()}
        if (epoch + 1) % every == 0 or epoch + 1 == s.epochs:
            row |= _measured(held_out, training, generators, discriminators, scales, s, device)
        for name, value in row.items():
            history.setdefault(name, np.full(s.epochs, np.nan, np.float32))[epoch] = value
        if epoch + 1 == s.epochs or time.monotonic() - saved >= SAVE_EVERY:
            arrays = {name: value.cpu().numpy() for name, value in tensors.items()}
            arrays |= {f"history/{name}": values for name, values in history.items()}
            files.write(state_path, _STATE, arrays | {"done": np.array([epoch + 1, step])}, identity=identity)
            saved = time.monotonic()
        if progress:
            progress(epoch + 1, row)
    return Trained(_exported(generators, data["A"].shape[1], s, scales), history, way)


SAVE_EVERY = 5.0  # seconds between two writes of the state, at the end of an epoch; so much, and an epoch, can be lost
_STEPS_PER_MEASURE = 40  # one round of measures costs as much as six to nine steps of the published size


def _initial_state(s: Settings, data: Mapping[str, Tensor], seed: int) -> dict[str, np.ndarray]:
    state = {"done": np.zeros(2, np.int64)}
    for name, flat in zip(("generators", "discriminators"), initial(s, data["A"].shape[1], seed), strict=True):
        state |= {name: flat.numpy(), f"moments/{name}": np.zeros((2, len(flat)), np.float32)}
    return state | {f"pool/{domain}": np.empty((*x.shape[1:], 0), np.float32) for domain, x in data.items()}


def _decay(s: Settings, epoch: int) -> float:
    """Factor of the learning rate: 1, then falling linearly so that it would be 0 after the last epoch (Zhu et al.)."""
    start = s.decay_start * s.epochs
    return 1.0 if epoch < start else (s.epochs - epoch) / (s.epochs - start + 1)


def _measured(held_out, training, generators, discriminators, scales, s: Settings, device) -> dict[str, float]:
    channels = held_out["A"].shape[2]
    exported = _exported(generators, channels, s, scales)
    judges = _judges(discriminators, channels, s)

    def judge(domain: str, kernels: np.ndarray) -> np.ndarray:
        parts = _parts(torch.from_numpy(_to_network(kernels, scales[domain])).to(device))
        logits = torch.cat([_discriminate(judges[domain], part) for part in parts], dim=-1)
        judged = logits.sigmoid() if s.adversarial == "mse after sigmoid" else logits
        return judged.flatten(0, -2).mean(0).cpu().numpy()

    makers = {domain: functools.partial(translate, exported[way], device=str(device)) for domain, way in _WAYS.items()}
    return kernel_measures.measure(held_out, training, translate=makers, judge=judge, scales=scales)


_WAYS = {"B": "A2B", "A": "B2A"}  # by the domain a generator makes


# ---------------------------------------------------------------------------------------------- kernels in and out


def _scale(kernels: np.ndarray, standardise: bool) -> np.ndarray:
    """(2,) float32: the mean and the unit of a domain. With a unit of 4 standard deviations Tanh reaches 4 of them."""
    if not standardise:
        return np.array([0, 1], np.float32)
    if not (deviation := kernels.std(dtype=np.float64)):
        raise ValueError("every kernel weight of a domain has the same value; it cannot be standardised.")
    return np.array([kernels.mean(dtype=np.float64), 4 * deviation], np.float32)


def _to_network(kernels: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """(n, out, in, 5, 5) -> (in, out, 5, 5, n), standardised."""
    return np.ascontiguousarray((kernels.transpose(2, 1, 3, 4, 0) - scale[0]) / scale[1])


def _exported(
    generators: Tensor, channels: int, s: Settings, scales: Mapping[str, np.ndarray]
) -> dict[str, dict[str, np.ndarray]]:
    exported = {}
    for domain, network in _makers(generators, channels, s).items():
        way = _WAYS[domain]
        exported[way] = {name: value.cpu().numpy().copy() for name, value in network.items()}
        if s.standardise:
            exported[way] |= {"scale.in": scales["A" if domain == "B" else "B"], "scale.out": scales[domain]}
    return exported


def translate(
    generator: Mapping[str, np.ndarray], kernels: np.ndarray, *, device: str = "cpu", batch_size: int = 16
) -> np.ndarray:
    """Kernels (n, out, in, 5, 5) -> float32 of the same shape in the other domain.

    generator: 0.weight (hidden, in, 3, 3, 3), 0.bias, 2.weight (in, hidden, 3, 3, 3), 2.bias; and, from standardised
        training, scale.in and scale.out, each the (mean, unit) of a domain.
    Raises ValueError when the generator is for kernels with another number of input channels.
    """
    kernels = np.asarray(kernels, np.float32)
    if kernels.ndim != 5 or kernels.shape[2] != generator["0.weight"].shape[1]:
        wanted = f"(n, out, {generator['0.weight'].shape[1]}, 5, 5)"
        raise ValueError(f"kernels have shape {kernels.shape}; this generator translates {wanted}.")
    plain = np.array([0, 1], np.float32)
    before, after = generator.get("scale.in", plain), generator.get("scale.out", plain)
    network = {name: torch.as_tensor(generator[name], device=device) for name in _shapes(1, 1, 1)}
    result = np.empty_like(kernels)
    for start in range(0, len(kernels), batch_size):
        part = slice(start, start + batch_size)
        x = torch.from_numpy(_to_network(kernels[part], before)).to(device)
        with torch.no_grad():
            y = _generate(network, x).cpu().numpy()
        result[part] = y.transpose(4, 1, 0, 2, 3) * after[1] + after[0]
    return result


def write_generators(path: str | Path, trained: Trained, **attributes) -> None:
    """Write a layer's generators and history; `attributes` (settings, seed, source digests) as `files.write` takes."""
    arrays = {f"{way}/{name}": value for way, g in trained.generators.items() for name, value in g.items()}
    arrays |= {f"history/{name}": values for name, values in trained.history.items()}
    files.write(path, "generators", arrays, **attributes)


def read_generators(path: str | Path) -> dict[str, dict[str, np.ndarray]]:
    """ "A2B" and "B2A" -> name -> float32, as `translate` takes; raises FileError."""
    return {way: values for way, values in _groups(path).items() if way != "history"}


def read_history(path: str | Path) -> dict[str, np.ndarray]:
    """The history written beside the generators: name -> (epochs,) float32."""
    return _groups(path).get("history", {})


def _groups(path: str | Path) -> dict[str, dict[str, np.ndarray]]:
    groups: dict[str, dict[str, np.ndarray]] = {}
    for name, value in files.read(path, "generators").items():
        group, _, rest = name.partition("/")
        groups.setdefault(group, {})[rest] = value
    return groups


# ---------------------------------------------------------------------------------------------- state


_STATE = "cyclegan state"  # kind of the file


def _identity(kernels: Mapping[str, np.ndarray], s: Settings, seed: int, way: str) -> str:
    """What a state file must have been made from to be gone on with, and how: the bits are one way's or another's."""
    digests = {domain: hashlib.sha256(values.tobytes()).hexdigest() for domain, values in kernels.items()}
    shapes = {domain: values.shape for domain, values in kernels.items()}
    return files.digest({"settings": asdict(s), "seed": seed, "kernels": digests, "shapes": shapes, "way": way})


def _load(path: Path, identity: str) -> dict[str, np.ndarray] | None:
    if not path.exists():
        return None
    try:
        if files.attributes(path, _STATE).get("identity") != identity:
            others = "other kernels, settings, seed or way of computing"
            print(f"{path}: the state of {others}; ignored, training starts anew.")
            return None
        return files.read(path, _STATE)
    except AccessError:
        raise  # it may be intact, and starting anew would replace it
    except ValueError as error:
        print(f"{path}: ignored, training starts anew ({error}).")
        return None
