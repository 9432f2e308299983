"""The losses and gradients of one step in PyTorch, with autograd; native/cyclegan_steps.py has them in C++."""

from collections.abc import Iterable

import torch
from torch import Tensor

from zoofuse.methods.cyclegan.networks import _discriminate, _generate, _judges, _makers, window
from zoofuse.methods.cyclegan.settings import Settings


def _parts(x: Tensor) -> list[Tensor]:
    """Parts of a batch, small enough for what one part needs to stay in a core's cache; a GPU takes the whole."""
    if not x.shape[-1]:
        return []
    count = 1 if x.is_cuda else -(-x[0].numel() // _POSITIONS)
    return [part.contiguous() for part in x.tensor_split(min(count, x.shape[-1]), dim=-1)]


_POSITIONS = 6400  # in the volumes of a part, at most; much fewer and Python takes the time, many more and memory does


def _generator_step(s: Settings, generators: Tensor, discriminators: Tensor, x: dict[str, Tensor], run=map):
    """One batch's losses by name, the gradient of their sum, and the translated sets by the domain they now belong to.

    x: domain -> (in, out, 5, 5, b) or (in, out, b). Of an empty domain nothing is lost or translated: the
    published code's loss is NaN there, and its gradient zero. run: `map`, or an executor's.
    """
    shape = len(x["A"]), s, window(x["A"].shape[:-1])
    judges = _judges(discriminators, *shape)
    weights = {"cycle": s.cycle_weight, "identity": s.identity_weight}

    def work(task):
        source, target, real = task
        leaf = generators.detach().requires_grad_()
        makers = _makers(leaf, *shape)
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
    shape = len(real["A"]), s, window(real["A"].shape[:-1])

    def work(task):
        domain, target, sets, share = task
        leaf = discriminators.detach().requires_grad_()
        judge = _judges(leaf, *shape)[domain]
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
