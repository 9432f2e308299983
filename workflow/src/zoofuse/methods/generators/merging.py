"""Networks merged from several training networks, as if each were one model to be merged with another.

Every merged network comes from training networks that are drawn at random. Their channels are brought into one order
first, except where the method's point is to do without. Papers merge models that were fine-tuned from one
initialisation; a zoo's networks have none in common, and the mean of the re-based zoo stands for it.
"""

from collections.abc import Callable

import numpy as np

from zoofuse.methods.generators import alignment
from zoofuse.methods.generators.densities import rebased
from zoofuse.methods.generators.registry import Given, generator

IMAGES = 128  # that activations and gradients are measured on, at most
_BEST = 0.25  # share of the training networks that a soup is made of
_KEPT = 0.2  # share of a task vector that TIES keeps, as published
_SHRUNK = 0.9  # RegMean's factor for off-diagonal entries, as published


def pairs(given: Given) -> tuple[np.ndarray, np.ndarray]:
    """float32 (count, parameters) twice: two training networks for each network to make, the second brought into the
    first one's channel order."""
    first, second = _two(given)
    one, other = given.weights[first], given.weights[second]
    return one, alignment.align(given.network, other, one)


def _two(given: Given) -> tuple[np.ndarray, np.ndarray]:
    """Places of two training networks for each network to make, never the same one twice; of two tasks one of each."""
    n = len(given.weights)
    if given.tasks == 2:
        return np.arange(given.count), n // 2 + np.arange(given.count)
    first = given.drawn(n, given.count, name="first")
    return first, (first + 1 + given.drawn(n - 1, given.count, name="second")) % n


@generator(
    "average",
    label="average of two",
    about="The mean of two training networks, channels as they are.",
)
def average(given: Given) -> np.ndarray:
    first, second = _two(given)
    return (given.weights[first] + given.weights[second]) / 2


@generator(
    "rebasin",
    label="Git Re-Basin",
    about="The mean of two training networks after the channels of one are matched to the other's.",
    cites="Ainsworth et al. 2023",
)
def rebasin(given: Given) -> np.ndarray:
    one, other = pairs(given)
    return (one + other) / 2


@generator(
    "soup",
    label="soup of the best",
    given="weights, validation accuracy",
    about="The mean of four of the best quarter of the training networks, re-based.",
    cites="Wortsman et al. 2022",
)
def soup(given: Given) -> np.ndarray:
    weights, chosen = rebased(given), []
    for name, rows in zip(("normal", "second"), np.split(np.arange(len(weights)), given.tasks), strict=False):
        best = rows[np.argsort(-given.accuracy[rows], kind="stable")[: max(4, int(_BEST * len(rows)))]]
        keys = given.normal(given.count, len(best), name=name)
        chosen.append(weights[best][keys.argsort(1)[:, : 4 // given.tasks]])
    return np.concatenate(chosen, 1).mean(1)


@generator(
    "arithmetic",
    label="task arithmetic",
    about="The zoo's re-based mean plus 0.4 of the sum of two networks' differences from it.",
    cites="Ilharco et al. 2023",
)
def arithmetic(given: Given) -> np.ndarray:
    mean, one, other = _differences(given)
    return mean + np.float32(0.4) * (one + other)


@generator(
    "ties",
    label="TIES",
    about="As task arithmetic, but only the largest fifth of each difference is kept, and of each weight the sign that "
    "has more weight; what agrees with it is averaged.",
    cites="Yadav et al. 2023",
)
def ties(given: Given) -> np.ndarray:
    mean, *differences = _differences(given)
    trimmed = []
    for difference in differences:
        size = np.abs(difference)
        least = np.quantile(size, 1 - _KEPT, axis=1, keepdims=True)
        trimmed.append(np.where(size >= least, difference, 0))
    stacked = np.stack(trimmed)
    agreeing = stacked * (np.sign(stacked) == np.sign(stacked.sum(0)))
    return (mean + agreeing.sum(0) / np.maximum((agreeing != 0).sum(0), 1)).astype(np.float32)


def _differences(given: Given) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The mean (parameters,) of the re-based zoo, and two networks' differences from it, (count, parameters)."""
    weights, (first, second) = rebased(given), _two(given)
    mean = weights.mean(0)
    return mean, weights[first] - mean, weights[second] - mean


@generator(
    "repair",
    label="Git Re-Basin, then REPAIR",
    given="weights, images",
    about="rebasin, each channel scaled and shifted to the mean and deviation that it has in the two networks.",
    cites="Jordan et al. 2023",
)
def repair(given: Given) -> np.ndarray:
    import torch

    def merged(one: dict, other: dict, x) -> dict:
        from zoofuse.models import forward

        weights = {name: (one[name] + other[name]) / 2 for name in one}
        walks = [forward.layers(given.network, of, x) for of in (one, other)]
        last = [step.name for step in given.network.steps if step.name][-1]
        for step, _, now in forward.layers(given.network, weights, x):
            targets = [next(walk)[2] for walk in walks]
            if step.name == last:
                break
            axes = (0, 2, 3) if now.ndim == 4 else (0,)
            mean, spread = (
                torch.stack([reduce(of, axes) for of in targets]).mean(0) for reduce in (torch.mean, torch.std)
            )
            scale = spread / now.std(axes).clamp_min(1e-6)
            weight, bias = weights[f"{step.name}.weight"], weights.get(f"{step.name}.bias")
            weights[f"{step.name}.weight"] = weight * scale.reshape(-1, *[1] * (weight.ndim - 1))
            if bias is not None:
                weights[f"{step.name}.bias"] = (bias - now.mean(axes)) * scale + mean
        return weights

    return _each_pair(given, merged)


@generator(
    "regmean",
    label="RegMean",
    given="weights, images",
    about="Each layer the least-squares fit to what that layer gives in two matched networks, for their own inputs.",
    cites="Jin et al. 2023",
)
def regmean(given: Given) -> np.ndarray:
    import torch

    def merged(one: dict, other: dict, x) -> dict:
        weights = {name: (one[name] + other[name]) / 2 for name in one}
        grams = [_grams(given, of, x) for of in (one, other)]
        for name, first in grams[0].items():
            if name == _heads(given):
                continue
            both = torch.stack([first, grams[1][name]])
            diagonal = both.diagonal(dim1=1, dim2=2)
            both = _SHRUNK * both + (1 - _SHRUNK) * torch.diag_embed(diagonal)
            rows = torch.stack([of[f"{name}.weight"].flatten(1).double() for of in (one, other)])
            total = both.sum(0)
            total.diagonal().add_(1e-6 * total.diagonal().mean())
            solved = torch.linalg.solve(total, (both @ rows.transpose(1, 2)).sum(0)).T
            weights[f"{name}.weight"] = solved.float().reshape(one[f"{name}.weight"].shape)
        return weights

    return _each_pair(given, merged)


def _heads(given: Given) -> str | None:
    """The layer that is the mean of both networks', whatever the method: the heads of two tasks."""
    return [step.name for step in given.network.steps if step.name][-1] if given.tasks == 2 else None


def _grams(given: Given, weights: dict, x) -> dict:
    """Layer -> float64 (inputs, inputs), the products of what it takes; layers of several groups have none."""
    import torch.nn.functional as F

    from zoofuse.models import forward

    grams = {}
    for step, taken, _ in forward.layers(given.network, weights, x):
        if step.kind == "conv" and step.groups == 1:
            patches = F.unfold(taken, step.kernel, padding=step.padding, stride=step.stride)
            rows = patches.transpose(1, 2).flatten(0, 1)
        elif step.kind == "linear":
            rows = taken.flatten(1)
        else:
            continue
        grams[step.name] = (rows.T @ rows / len(rows)).double()
    return grams


@generator(
    "fisher",
    label="Fisher averaging",
    given="weights, images",
    about="The mean of two matched networks, each weight counted by its diagonal Fisher information on images.",
    cites="Matena and Raffel 2022",
)
def fisher(given: Given) -> np.ndarray:
    import torch
    from torch.func import grad, vmap

    from zoofuse.models import forward

    uniform = torch.rand(IMAGES, generator=torch.Generator().manual_seed(given.small()))

    def information(weights: dict, x, task: int) -> dict:
        def predict(own: dict, images):
            logits = forward.logits(given.network, own, images)
            return logits if given.tasks == 1 else logits.chunk(2, 1)[task] / 2

        with torch.no_grad():  # labels that the network itself would give, as the Fisher information has it
            shares = predict(weights, x).softmax(1).cumsum(1)
        labels = (uniform[: len(x), None] > shares).sum(1).clamp(max=shares.shape[1] - 1)

        def loss(own: dict, image, label):
            return torch.nn.functional.cross_entropy(predict(own, image[None]), label[None])

        gradients = vmap(grad(loss), in_dims=(None, 0, 0))(weights, x, labels)
        return {name: values.square().mean(0) + 1e-10 for name, values in gradients.items()}

    def merged(one: dict, other: dict, x) -> dict:
        counts = [information(of, x, task) for task, of in enumerate((one, other))]
        for of in counts:
            of |= {name: torch.ones_like(of[name]) for name in of if name.startswith(f"{_heads(given)}.")}
        return {
            name: (counts[0][name] * one[name] + counts[1][name] * other[name]) / (counts[0][name] + counts[1][name])
            for name in one
        }

    return _each_pair(given, merged)


@generator(
    "zipit",
    label="ZipIt",
    given="weights, images",
    about="Channels of two networks that are most alike are merged, within a network too, layer after layer.",
    cites="Stoica et al. 2024",
)
def zipit(given: Given) -> np.ndarray:
    import torch

    from zoofuse.models import forward

    def merged(one: dict, other: dict, x) -> dict:
        weights, spread = {}, None  # spread: (channels of both before, merged channels), 1 where a channel went
        walks = [list(forward.layers(given.network, of, x)) for of in (one, other)]
        for (step, _, first), (_, _, second) in zip(*walks, strict=True):
            name = step.name
            rows = [of[f"{name}.weight"] for of in (one, other)]
            if spread is not None:
                channels = len(spread) // 2
                halves = spread.split(channels)
                rows = [
                    torch.einsum("ocp,cd->odp", weight.reshape(len(weight), channels, -1), half).reshape(weight.shape)
                    for weight, half in zip(rows, halves, strict=True)
                ]
            biases = [of.get(f"{name}.bias") for of in (one, other)]
            if step is walks[0][-1][0]:  # classes correspond
                mix = torch.eye(len(rows[0])).repeat(1, 2) / 2
            else:
                mix = _zipped(torch.cat([first, second], 1))
            weights[f"{name}.weight"] = torch.tensordot(mix, torch.cat(rows), 1)
            if biases[0] is not None:
                weights[f"{name}.bias"] = mix @ torch.cat(biases)
            spread = (mix.T > 0).float()
        return weights

    if any(step.groups > 1 for step in given.network.steps):
        raise ValueError("zipit merges no grouped convolutions; leave it out of leaderboard.generators.")
    return _each_pair(given, merged)


def _zipped(activations):
    """(channels, 2 * channels): for each merged channel 1/2 at the two that it comes from, most alike ones first."""
    import torch

    values = activations.transpose(0, 1).flatten(1)
    values = values - values.mean(1, keepdim=True)
    values = values / values.norm(dim=1, keepdim=True).clamp_min(1e-9)
    alike = (values @ values.T).numpy()
    np.fill_diagonal(alike, -np.inf)
    mix = torch.zeros(len(alike) // 2, len(alike))
    for row in range(len(mix)):
        i, j = np.unravel_index(int(np.argmax(alike)), alike.shape)
        mix[row, [int(i), int(j)]] = 0.5
        for gone in (i, j):
            alike[gone], alike[:, gone] = -np.inf, -np.inf
    return mix


def _each_pair(given: Given, merge: Callable) -> np.ndarray:
    """float32 (count, parameters): `merge` of two networks' tensors and of normalised images, for every pair."""
    import torch

    from zoofuse.models import cnn

    chosen = given.normal(len(given.images), name="images").argsort()[:IMAGES]
    x = cnn.normalise(torch.from_numpy(np.ascontiguousarray(given.images[chosen])))
    both = [alignment.unflatten(given.network, of) for of in pairs(given)]
    made = []
    with torch.no_grad():
        for row in range(given.count):
            one, other = ({name: torch.tensor(of[name][row]) for name in of} for of in both)
            made.append({name: values.numpy()[None] for name, values in merge(one, other, x).items()})
    return np.concatenate([alignment.flatten(given.network, one) for one in made])
