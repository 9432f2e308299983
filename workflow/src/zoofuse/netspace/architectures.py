"""Several architectures in one NetSpace, and architectures that it never saw trained.

The zoo's CNN, a VanillaCNN of three convolutions, and residual networks (He et al. 2016, section 4.2: 6n + 2 layers,
shortcuts without parameters) at a width that a CPU trains. These are trained here with batch normalisation, which is
folded into the convolutions before anything is embedded. All are CNNs of one concept.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from zoofuse.core import rng
from zoofuse.models import cnn
from zoofuse.models.architectures import convolution_shapes, residual_layers
from zoofuse.models.resnet import Norm, convolved
from zoofuse.netspace import cnns, spaces
from zoofuse.zoo import training


@dataclass(frozen=True)
class Architecture:
    """Convolutions 3x3 with padding 1, then a mean over the image and a linear layer.

    layers: name -> (channels in, channels out, stride). residual: after the first, pairs with a shortcut.
    """

    name: str
    layers: Mapping[str, tuple[int, int, int]]
    residual: bool

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        shapes = convolution_shapes(self.layers)
        width = list(self.layers.values())[-1][1]
        return shapes | {"fc.weight": (2, width), "fc.bias": (2,)}

    def predict(self, weights: Mapping[str, Tensor], images: Tensor, norm: Norm | None = None) -> Tensor:
        """Logits (n, b, 2) for images uint8 (b, 32, 32, 3)."""
        strides = {name: stride for name, (_, _, stride) in self.layers.items()}
        pooled = convolved(weights, cnn.normalise(images), strides, self.residual, norm)
        return cnn.head(weights, pooled, "fc")

    @property
    def network(self) -> spaces.Network:
        # Without normalisation changes add up from layer to layer, and a deep network that changes much degenerates.
        return spaces.Network(self.shapes, self.predict, gain=max(1, len(self.layers) / 2))


def resnet(depth: int, widths: Sequence[int] = (4, 8, 16)) -> Architecture:
    """A residual network of 6n + 2 layers, as `models.architectures.residual_layers` builds it."""
    return Architecture(f"ResNet{depth}", residual_layers(depth, widths), True)


VANILLA = Architecture("VanillaCNN", {"conv1": (3, 8, 2), "conv2": (8, 16, 2), "conv3": (16, 16, 2)}, False)


def zoo_cnn(architecture: cnn.Architecture) -> spaces.Network:
    """The zoo's CNN with its own linear layer."""

    return spaces.Network(architecture.shapes, lambda weights, images: cnn.logits(weights, cnn.normalise(images)))


def named(name: str) -> Architecture:
    """VanillaCNN, or ResNet with the number of its layers: ResNet8, ResNet14, ..."""
    if name == VANILLA.name:
        return VANILLA
    if name.startswith("ResNet") and name[6:].isdigit():
        return resnet(int(name[6:]))
    raise ValueError(f"netspace: there is no architecture {name!r}; write zoo, VanillaCNN, ResNet8, ResNet14, ...")


def fresh(network: spaces.Network, seed: int, name: str, n: int = 1) -> dict[str, np.ndarray]:
    """n networks as He et al. 2015 initialise them, zero biases, name -> float32 (n, ...)."""
    weights = {}
    for key, shape in network.shapes.items():
        spread = 0 if key.endswith("bias") else np.sqrt(2 / np.prod(shape[1:]))
        weights[key] = np.float32(spread) * rng.normal((n, *shape), seed, "netspace", "fresh", name, key)
    return weights


def train(
    architecture: Architecture, data: training.Data, n: int, seed: int, *, steps: int, batch: int,
    learning_rate: float, device: str = "cpu",
) -> dict[str, Tensor]:  # fmt: skip
    """n networks of an architecture, each from its own weights on the same balanced batches; batch norm folded.

    Adam, the learning rate falling to 0 as half a cosine. Returns name -> (n, ...).
    """
    name, momentum = architecture.name, 0.1
    start = fresh(architecture.network, seed, name, n)
    weights = {key: torch.from_numpy(value).to(device).requires_grad_() for key, value in start.items()}
    gains, means, variances = {}, {}, {}
    for layer, (_, cout, _) in architecture.layers.items():
        gains[layer] = torch.ones(n * cout, device=device, requires_grad=True)
        means[layer], variances[layer] = torch.zeros(n * cout, device=device), torch.ones(n * cout, device=device)
    adam = torch.optim.Adam([*weights.values(), *gains.values()], lr=learning_rate)
    images, labels = torch.from_numpy(data.images).to(device), torch.from_numpy(data.labels.astype(np.int64)).to(device)

    def norm(layer: str, y: Tensor) -> Tensor:
        bias = weights[f"{layer}.bias"].flatten()  # stands for batch normalisation's addend
        y = y - bias[:, None, None]
        return F.batch_norm(y, means[layer], variances[layer], gains[layer], bias, True, momentum)

    for step in range(steps):
        adam.param_groups[0]["lr"] = learning_rate * (1 + np.cos(np.pi * step / steps)) / 2
        rows = cnns.balanced(data.labels, batch, seed, "netspace", name, step)
        logits = architecture.predict(weights, images[rows], norm)
        loss = F.cross_entropy(logits.flatten(0, 1), labels[rows].repeat(n)) * n
        adam.zero_grad()
        loss.backward()
        adam.step()
    return {key: value.detach() for key, value in folded(weights, gains, means, variances).items()}


def folded(weights: Mapping[str, Tensor], gains, means, variances, epsilon: float = 1e-5) -> dict[str, Tensor]:
    """Weights that do without the batch normalisation behind them: gain (x - mean) / deviation + bias."""
    plain = dict(weights)
    for layer in gains:
        n = len(weights["fc.bias"])
        factor = (gains[layer] / torch.sqrt(variances[layer] + epsilon)).view(n, -1)
        plain[f"{layer}.weight"] = weights[f"{layer}.weight"] * factor[..., None, None, None]
        plain[f"{layer}.bias"] = weights[f"{layer}.bias"] - means[layer].view(n, -1) * factor
    return plain


# ---------------------------------------------------------------------------------------------- the two settings


@dataclass
class Members:
    """Networks of one architecture: their weights, and their logits on the probe and on the compared images."""

    name: str
    network: spaces.Network
    weights: dict[str, Tensor]
    probes: np.ndarray
    predictions: np.ndarray
    held_out: np.ndarray  # rows
    trained: np.ndarray


def members(
    name: str,
    network: spaces.Network,
    weights: dict[str, Tensor],
    images: np.ndarray,
    probes: int,
    held_out: float,
    seed: int,
) -> Members:
    """images: uint8 (m, ...), the images compared on; the first `probes` of them are what the encoder reads."""
    n = len(next(iter(weights.values())))
    order = rng.permutation(n, seed, "netspace", "held out", name)
    count = max(2, round(held_out * n))
    predictions = cnns.predictions(network, weights, images)
    return Members(
        name, network, weights, predictions[:, :probes], predictions, np.sort(order[:count]), np.sort(order[count:])
    )


def embed(
    kinds: Sequence[Members], images: np.ndarray, settings: spaces.Settings, seed: int, state, *,
    unseen: Sequence[tuple[str, spaces.Network]] = (), device: str = "cpu", progress=None,
) -> spaces.Space:  # fmt: skip
    """A space of several architectures, which the latent code names; arguments as of `spaces.train`, and:

    unseen: architectures between the first and the last of `kinds`, without any trained network: a code on the
    interpolation path from a network of the first to one of the last, at the architecture's place on it, has to name
    the architecture and to decode to one of it that predicts what the two do, mixed alike (published: an
    interpolation loss).
    """
    names = [kind.name for kind in kinds] + [name for name, _ in unseen]
    networks = [kind.network for kind in kinds] + [network for _, network in unseen]
    starts = [_shallow(fresh(network, seed, name)) for name, network in zip(names, networks, strict=True)]
    groups = [
        spaces.Group(
            kind.network,
            _encoder_inputs(kind, kind.trained, at, len(names)),
            images,
            kind.predictions[kind.trained],
            at,
        )
        for at, kind in enumerate(kinds)
    ]
    first, last = groups[0], groups[-1]
    ends = [torch.from_numpy(group.encoder_inputs).to(device) for group in (first, last)]
    end_targets = [torch.from_numpy(group.predictions).to(device) for group in (first, last)]
    inputs = torch.from_numpy(images).to(device)

    def between(p: spaces.Parameters, step: int) -> Tensor:
        at = len(kinds) + step % len(unseen)
        share = (step % len(unseen) + 1) / (len(unseen) + 1)
        key = (seed, "netspace", "between", step)
        pair = [rng.permutation(len(end), *key, i)[: settings.networks // 2].copy() for i, end in enumerate(ends)]
        count = min(map(len, pair))
        drawn = rng.permutation(len(images), *key, "inputs")[: settings.inputs].copy()
        codes = [spaces.encode(p, settings, end[rows[:count]]) for end, rows in zip(ends, pair, strict=True)]
        code = torch.lerp(*codes, share)
        target = torch.lerp(*(of[rows[:count]][:, drawn] for of, rows in zip(end_targets, pair, strict=True)), share)
        weights = spaces.from_prep(spaces.decode(p, code, at), networks[at].shapes)
        distance = spaces.distance(settings, networks[at].predict(weights, inputs[drawn]), target).mean()
        which = F.linear(code, p["which.weight"], p["which.bias"])
        return distance + F.cross_entropy(which, torch.full((count,), at, device=which.device))

    return spaces.train(
        networks,
        groups,
        settings,
        starts,
        seed,
        state,
        device=device,
        progress=progress,
        between=between if unseen else None,
    )


def _shallow(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The second convolution of each residual block zero, so that a block starts as its shortcut: without normalisation
    a deep network degenerates otherwise (Zhang et al. 2019, "Fixup initialization")."""
    return {
        name: np.zeros_like(values) if name.startswith("stage") and name.endswith(".1.weight") else values
        for name, values in weights.items()
    }


def _encoder_inputs(kind: Members, rows: np.ndarray, at: int, architectures: int) -> np.ndarray:
    return spaces.read_predictions(kind.probes[rows], at, architectures)


def reconstruct(
    space: spaces.Space, kinds: Sequence[Members], images: np.ndarray, labels: np.ndarray
) -> dict[str, dict[str, np.ndarray]]:
    """Of each architecture the held-out networks: balanced accuracies original, decoded and average (of the weights of
    all trained on), the agreement of their classes, and whether the code names the architecture; arrays (n,)."""
    results = {}
    for at, kind in enumerate(kinds):
        codes = space.encode(_encoder_inputs(kind, kind.held_out, at, len(space.networks)))
        named = space.architecture(codes).argmax(1)
        held_out = {name: values[kind.held_out] for name, values in kind.weights.items()}
        mean = {name: values[kind.trained].mean(0, keepdim=True) for name, values in kind.weights.items()}
        original, decoded, average = (
            cnns.predictions(kind.network, weights, images) for weights in (held_out, space.decode(codes, at), mean)
        )
        classes = original.argmax(-1)
        results[kind.name] = {
            "original": cnns.balanced_accuracy(original, labels),
            "decoded": cnns.balanced_accuracy(decoded, labels),
            "average": np.repeat(cnns.balanced_accuracy(average, labels), len(codes)),
            "agreement": (classes == decoded.argmax(-1)).mean(1),
            "agreement_control": (classes == np.roll(classes, 1, 0)).mean(1),
            "named": (named == at).cpu().numpy().astype(float),
        }
    return results


def unseen_codes(space: spaces.Space, kinds: Sequence[Members], share: float) -> Tensor:
    """Codes at this share of the interpolation path from held-out networks of the first architecture to the last's."""
    total = len(space.networks)
    ends = [(kinds[0], 0), (kinds[-1], len(kinds) - 1)]
    codes = [space.encode(_encoder_inputs(kind, kind.held_out, at, total)) for kind, at in ends]
    n = min(map(len, codes))
    return torch.lerp(codes[0][:n], codes[1][:n], share)


def tensors(weights: Mapping[str, np.ndarray], device: str = "cpu") -> dict[str, Tensor]:
    return {name: torch.from_numpy(values).to(device) for name, values in weights.items()}
