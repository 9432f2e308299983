"""The training of the kernel CycleGAN, which goes on from its state file to the same bits."""

import functools
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from zoofuse.core import rng
from zoofuse.methods.cyclegan import measures
from zoofuse.methods.cyclegan.backends import BACKENDS, choose_backend, steps
from zoofuse.methods.cyclegan.io import Trained, _identity
from zoofuse.methods.cyclegan.losses import _parts
from zoofuse.methods.cyclegan.networks import _discriminate, _judges, initial, window
from zoofuse.methods.cyclegan.settings import Settings, _known
from zoofuse.methods.cyclegan.translation import _WAYS, _exported, _scale, _to_network, translate
from zoofuse.models import fit
from zoofuse.native import build


class TrainingError(RuntimeError):
    """A loss is not finite; the message says in which epoch and step, and which loss."""


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

    Args:
        a: (n_a, out, in, 5, 5), or matrices (n_a, out, in), float32.
        b: (n_b, ...), float32. A domain smaller than a batch is repeated within it.
        settings: What the generators depend on besides.
        seed: Of all random numbers.
        state_path: See `fit.Fit`. A state of other kernels, settings or seed, or of another way of computing
            (backend, instruction set or kind of device), is not gone on with.
        device: "cpu", or as torch names it.
        threads: Of the CPU; each works on a part of the batch, and their number changes no bit.
        backend: "auto" (see `choose_backend`), "cpp" or "pytorch".
        progress: Called after each epoch with (epochs done, that epoch's losses and measures).

    Raises:
        ValueError: The kernels cannot be trained on, or the backend does not run here.
        TrainingError: A loss is not finite.
    """
    kernels = {"A": _checked(a, "A"), "B": _checked(b, "B")}
    if kernels["A"].shape[1:] != kernels["B"].shape[1:]:
        raise ValueError(f"domain A has kernels {a.shape[1:]}, domain B {b.shape[1:]}; a CycleGAN needs one shape.")
    _known("backend", backend, ("auto", *BACKENDS))
    possible, reason = choose_backend(kernels["A"].shape, device)
    if backend == "cpp" and possible != "cpp":
        raise ValueError(f"backend: cpp cannot be used here ({reason}). Write auto.")
    backend, device = possible if backend == "auto" else backend, torch.device(device)
    with steps(backend, threads if device.type == "cpu" else 1) as both:
        return _train(kernels, settings, seed, Path(state_path), device, backend, both, progress)


def _checked(kernels: np.ndarray, domain: str) -> np.ndarray:
    kernels = np.asarray(kernels)
    if kernels.ndim not in (3, 5):
        raise ValueError(
            f"domain {domain}: kernels of shape {kernels.shape}; expected (n, out, in, rows, columns), or of matrices "
            "(n, out, in)."
        )
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
    held_out, training, places = {}, {}, {}  # as many sets as the measures take; the rows of all that are trained on
    for domain, values in kernels.items():
        order = rng.permutation(len(values), seed, "cyclegan", "held out", domain)
        count = max(2, round(s.held_out * len(values)))
        places[domain] = np.sort(order[count:])
        held_out[domain] = values[np.sort(order[:count])[: measures.HELD_OUT]]
        training[domain] = values[places[domain][: measures.NEAREST[1]]]
    drawn = _drawn(kernels, places, scales, device)
    counts = {domain: len(rows) for domain, rows in places.items()}
    _, out, inputs, *rest = kernels["A"].shape
    shape = (inputs, out, *rest)

    identity = _identity(kernels, s, seed, way)
    run = fit.Fit(_initial(s, shape, seed), s.epochs, state_path=state_path, identity=identity, device=device)
    tensors = run.tensors
    generators, discriminators = tensors["generators"], tensors["discriminators"]
    optimisers = [run.adam(name, betas=s.betas) for name in ("generators", "discriminators")]
    every = s.measure_every or max(1, round(_STEPS_PER_MEASURE / len(_orders(s, counts, seed, 0))))

    def epoch(index: int) -> dict[str, float]:
        for adam in optimisers:
            adam.param_groups[0]["lr"] = s.learning_rate * _decay(s, index)
        totals: dict[str, list[float]] = {}
        for number, rows in enumerate(_orders(s, counts, seed, index)):
            x = {domain: drawn(domain, of_domain) for domain, of_domain in rows.items()}
            losses, generators.grad, fakes = generator_step(s, generators, discriminators, x)
            optimisers[0].step()
            for domain, fake in fakes.items():
                pool = f"pool/{domain}"
                fakes[domain], tensors[pool] = _replay(tensors[pool], s.pool, fake, seed, index, number, domain)
            judged, discriminators.grad = discriminator_step(s, discriminators, x, fakes)
            optimisers[1].step()
            losses |= judged
            for name, value in zip(losses, torch.stack(list(losses.values())).tolist(), strict=True):
                if not math.isfinite(value):
                    raise TrainingError(
                        f"CycleGAN loss {name} is {value} in epoch {index + 1}, step {number + 1}: training has "
                        "diverged. Try a smaller learning rate, or check the kernels for outliers."
                    )
                totals.setdefault(name, []).append(value)
        recorded = {f"loss_{name}": sum(values) / len(values) for name, values in totals.items()}
        if (index + 1) % every == 0 or index + 1 == s.epochs:
            recorded |= _measured(held_out, training, generators, discriminators, scales, s, device)
        return recorded

    run.run(epoch, progress)
    return Trained(_exported(generators, shape[0], s, scales, window(shape)), run.history, way)


_STEPS_PER_MEASURE = 40  # one round of measures costs as much as six to nine steps of the published size


def _drawn(kernels, places, scales, device: torch.device) -> Callable[[str, np.ndarray], Tensor]:
    """What returns some of a domain's training sets, (in, out, 5, 5, n), given their rows among `places`."""
    if device.type == "cpu":  # from the kernels themselves: those of a large zoo are not held twice
        return lambda domain, rows: torch.from_numpy(_to_network(kernels[domain][places[domain][rows]], scales[domain]))
    data = {
        domain: torch.from_numpy(_to_network(kernels[domain][rows], scales[domain]))
        .movedim(-1, 0)
        .contiguous()
        .to(device)
        for domain, rows in places.items()
    }  # sets first, where drawing some of them is quick
    return lambda domain, rows: data[domain][torch.from_numpy(rows).to(device)].movedim(0, -1).contiguous()


def _initial(s: Settings, shape: tuple[int, ...], seed: int) -> dict[str, np.ndarray]:
    """What training changes, as it is before the first epoch."""
    flats = initial(s, shape[0], seed, window=window(shape))
    pairs = zip(("generators", "discriminators"), flats, strict=True)
    state = {name: flat.numpy() for name, flat in pairs}
    return state | {f"pool/{domain}": np.empty((*shape, 0), np.float32) for domain in "AB"}


def _decay(s: Settings, epoch: int) -> float:
    """Factor of the learning rate: 1, then falling linearly so that it would be 0 after the last epoch (Zhu et al.)."""
    start = s.decay_start * s.epochs
    return 1.0 if epoch < start else (s.epochs - epoch) / (s.epochs - start + 1)


def _measured(held_out, training, generators, discriminators, scales, s: Settings, device) -> dict[str, float]:
    channels, of = held_out["A"].shape[2], window(held_out["A"].shape[1:])
    exported = _exported(generators, channels, s, scales, of)
    judges = _judges(discriminators, channels, s, of)

    def judge(domain: str, kernels: np.ndarray) -> np.ndarray:
        parts = _parts(torch.from_numpy(_to_network(kernels, scales[domain])).to(device))
        logits = torch.cat([_discriminate(judges[domain], part) for part in parts], dim=-1)
        judged = logits.sigmoid() if s.adversarial == "mse after sigmoid" else logits
        return judged.flatten(0, -2).mean(0).cpu().numpy()

    makers = {domain: functools.partial(translate, exported[way], device=str(device)) for domain, way in _WAYS.items()}
    return measures.measure(held_out, training, translate=makers, judge=judge, scales=scales)


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
