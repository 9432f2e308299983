"""NetSpace: networks embedded in a latent space by their predictions, and decoded to working weights.

Berardi et al. 2022, "Learning the space of deep models" (ICPR, arXiv 2206.05194). An encoder reads a network, a
decoder writes parameters, and the loss compares both networks' predictions on the same inputs, never their weights:
a decoded network may have other channels in another order. Networks of any architecture, CNNs or others, are read and
written as a PRep, the padded representation of their parameters: (n, rows, width), in the order of `Network.shapes`.

Here the decoder is a small perceptron whose output is a scale and an addend away from the parameters, for each of them
as published; ours start at a fresh network's values, so that decoding starts where training does. The encoder reads
either the network's predictions on fixed inputs, in which the order of channels does not show, or its PRep (published).
"""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from zoofuse.core import files, rng
from zoofuse.models import fit
from zoofuse.settings.fields import Encoder
from zoofuse.settings.netspace import Netspace

ENCODERS = get_args(Encoder)
LOSSES = ("kl", "mse", "l1")
_DEFAULT = Netspace()

Parameters = dict[str, Tensor]


@dataclass(frozen=True)
class Network:
    """An architecture.

    Args:
        shapes: parameter name -> shape of one network's tensor.
        predict: weights name -> (n, ...), inputs (b, ...) as a `Group` holds them -> logits or other
            predictions (n, b, outputs).
        gain: what its sums are multiplied by, a SIREN's 30; a decoder's first changes are smaller by it.
    """

    shapes: Mapping[str, tuple[int, ...]]
    predict: Callable[[Mapping[str, Tensor], Tensor], Tensor]
    gain: float = 1.0

    @property
    def size(self) -> int:
        """Number of parameters."""
        return sum(map(math.prod, self.shapes.values()))


@dataclass(frozen=True)
class Group:
    """n networks of one architecture that were trained on the same inputs.

    Args:
        network: their architecture.
        encoder_inputs: (n, ...), what the encoder reads of each, see `read_predictions` and `to_prep`.
        inputs: (m, ...), what the networks are compared on.
        predictions: (n, m, outputs), of the networks on these inputs.
        architecture: index among the space's architectures.
    """

    network: Network
    encoder_inputs: np.ndarray
    inputs: np.ndarray
    predictions: np.ndarray
    architecture: int = 0


@dataclass(frozen=True)
class Settings:
    """What a space depends on beside its networks and the seed."""

    # What these mean stands in `zoofuse.settings.netspace`.
    encoder: str = _DEFAULT.encoder
    code: int = _DEFAULT.code
    hidden: int = _DEFAULT.hidden
    width: int = _DEFAULT.width
    steps: int = _DEFAULT.steps
    networks: int = _DEFAULT.networks
    inputs: int = _DEFAULT.inputs
    learning_rate: float = _DEFAULT.learning_rate
    # kl: of softened class probabilities (Hinton et al. 2015); for networks that predict numbers mse or l1
    loss: str = "kl"
    temperature: float = _DEFAULT.temperature
    mixed: float = _DEFAULT.mixed
    # Spaces of several architectures have these.
    clip: float = 0.0
    rise: float = 0.0

    def __post_init__(self):
        for name, known in (("encoder", ENCODERS), ("loss", LOSSES)):
            if getattr(self, name) not in known:
                raise ValueError(f"netspace: {name} {getattr(self, name)!r} is unknown; write {' or '.join(known)}.")


@dataclass(frozen=True)
class Space:
    """A trained space: its parameters by name, and the loss of every step."""

    settings: Settings
    networks: tuple[Network, ...]
    parameters: Parameters
    loss: np.ndarray

    def encode(self, encoder_inputs: np.ndarray) -> Tensor:
        """What the encoder reads of n networks, (n, ...) -> latent codes (n, code)."""
        inputs = torch.from_numpy(encoder_inputs).to(self.parameters["scale.0"].device)
        with torch.no_grad():
            return encode(self.parameters, self.settings, inputs)

    def decode(self, codes: Tensor, architecture: int = 0) -> Parameters:
        """Latent codes (n, code) -> weights, name -> (n, ...); gradients reach codes that ask for them."""
        return from_prep(decode(self.parameters, codes, architecture), self.networks[architecture].shapes)

    def architecture(self, codes: Tensor) -> Tensor:
        """Logits (n, architectures): which architecture a code (n, code) stands for."""
        return F.linear(codes, self.parameters["which.weight"], self.parameters["which.bias"])


# ---------------------------------------------------------------------------------------------- PRep


def to_prep(weights: Mapping[str, Tensor | np.ndarray], shapes: Mapping[str, tuple[int, ...]], width: int, rows: int):
    """Weights name -> (n, ...) to float32 (n, rows, width), padded with zeros; ValueError if rows are too few."""
    flat = torch.cat([torch.as_tensor(weights[name]).reshape(-1, math.prod(shapes[name])) for name in shapes], dim=1)
    if flat.shape[1] > rows * width:
        raise ValueError(f"{flat.shape[1]} parameters do not fit into {rows} rows of {width}; write more rows.")
    return F.pad(flat.float(), (0, rows * width - flat.shape[1])).unflatten(1, (rows, width))


def from_prep(prep: Tensor, shapes: Mapping[str, tuple[int, ...]]) -> Parameters:
    """(n, rows, width) to weights name -> (n, ...); the padding is ignored."""
    flat = prep.flatten(1)
    sizes = [math.prod(shape) for shape in shapes.values()]
    parts = flat[:, : sum(sizes)].split(sizes, dim=1)
    return {name: part.unflatten(1, shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}


def rows_for(networks: Sequence[Network], width: int) -> int:
    """Rows that the largest of these architectures needs."""
    return -(-max(network.size for network in networks) // width)


def read_predictions(predictions: np.ndarray, architecture: int = 0, architectures: int = 1) -> np.ndarray:
    """What the encoder "predictions" reads.

    Args:
        predictions: (n, inputs, outputs); of several outputs their mean is subtracted.
        architecture: the networks' index among so many architectures.

    Returns:
        float32 (n, values): predictions within (-1, 1), then, of several architectures, which one it is.
    """
    n, outputs = len(predictions), predictions.shape[-1]
    centred = (predictions - predictions.mean(-1, keepdims=True) if outputs > 1 else predictions)[..., -1:]
    which = np.zeros((n, architectures if architectures > 1 else 0), np.float32)
    which[:, architecture : architecture + 1] = 1
    return np.concatenate([np.tanh(centred.reshape(n, -1) / 4), which], 1).astype(np.float32)


def with_noise(weights: Mapping[str, Tensor], decoded: Mapping[str, Tensor], seed: int, *names) -> dict[str, Tensor]:
    """Control: networks plus Gaussian noise as large, in each tensor, as the change that decoding makes.

    Args:
        weights, decoded: the networks before and after, name -> (n, ...).
        seed, names: of the noise.
    """
    noisy = {}
    for name, values in weights.items():
        change = (decoded[name] - values).flatten(1)
        size = change.square().mean(1).sqrt().view(-1, *[1] * (values.ndim - 1))
        noise = torch.from_numpy(rng.normal(tuple(values.shape), seed, *names, name))
        noisy[name] = values + size * noise.to(values.device)
    return noisy


# ---------------------------------------------------------------------------------------------- encoder and decoder


def encode(p: Parameters, s: Settings, encoder_inputs: Tensor) -> Tensor:
    """(n, ...) as `Group.encoder_inputs` holds it -> latent codes (n, code)."""
    if s.encoder == "predictions":
        x = F.leaky_relu(F.linear(encoder_inputs, p["encoder.0.weight"], p["encoder.0.bias"]))
        return F.linear(x, p["encoder.1.weight"], p["encoder.1.bias"])
    # Published: along the rows, the largest over the width, then across the rows, the largest over those.
    x = encoder_inputs.unsqueeze(1)
    for i in range(4):
        step, padding = ((1, 2), (0, 1)) if i < 2 else ((1, 1), (1, 0))
        x = F.conv2d(x, p[f"encoder.{i}.weight"], p[f"encoder.{i}.bias"], stride=step, padding=padding)
        x = F.leaky_relu(x)
        if i == 1:
            x = x.amax(3, keepdim=True)
    return x.amax((2, 3))


def decode(p: Parameters, codes: Tensor, architecture: int = 0) -> Tensor:
    """Codes (n, code) -> PReps (n, rows, width) of networks of this architecture."""
    x = codes
    for i in range(2):
        x = F.leaky_relu(F.linear(x, p[f"decoder.{i}.weight"], p[f"decoder.{i}.bias"]))
    scale, addend = p[f"scale.{architecture}"], p[f"addend.{architecture}"]
    x = F.linear(x, p["decoder.2.weight"], p["decoder.2.bias"]).view(-1, *scale.shape)
    return x * scale + addend


def initial(
    s: Settings,
    networks: Sequence[Network],
    fresh: Sequence[Mapping[str, np.ndarray]],
    encoder_input: tuple[int, ...],
    seed: int,
) -> Parameters:
    """The parameters of encoder and decoder before training.

    Args:
        s: the space's settings.
        networks: its architectures.
        fresh: a network of each before training, name -> (1, ...): what the decoder adds to.
        encoder_input: shape of what the encoder reads of one network.
        seed: of the random numbers.
    """
    rows = rows_for(networks, s.width)
    h = max(1, s.code // 32)
    if s.encoder == "predictions":
        layers = {"encoder.0": (s.hidden, encoder_input[0]), "encoder.1": (s.code, s.hidden)}
    else:
        kernels = [(h, 1, 1, 3), (2 * h, h, 1, 3), (4 * h, 2 * h, 3, 1), (s.code, 4 * h, 3, 1)]
        layers = {f"encoder.{i}": kernel for i, kernel in enumerate(kernels)}
    layers |= {"decoder.0": (s.hidden, s.code), "decoder.1": (s.hidden, s.hidden)}
    layers |= {"decoder.2": (rows * s.width, s.hidden), "which": (len(networks), s.code)}
    p = {}
    for name, shape in layers.items():
        # He et al. 2015; the last layer's outputs near 1, so that `scale` says what a code can change at first
        spread = math.sqrt((1 if name in ("decoder.2", "which") else 2) / math.prod(shape[1:]))
        p[f"{name}.weight"] = torch.from_numpy(spread * rng.normal(shape, seed, "netspace", "initial", name))
        p[f"{name}.bias"] = torch.zeros(shape[0])
    for i, (network, values) in enumerate(zip(networks, fresh, strict=True)):
        fan_in = {name: math.prod(network.shapes[name.replace("bias", "weight")][1:]) for name in network.shapes}
        scales = {
            name: torch.full((1, *network.shapes[name]), 0.3 / network.gain / math.sqrt(fan_in[name]))
            for name in network.shapes
        }
        p[f"scale.{i}"] = to_prep(scales, network.shapes, s.width, rows)[0]
        p[f"addend.{i}"] = to_prep(values, network.shapes, s.width, rows)[0]
    return p


# ---------------------------------------------------------------------------------------------- training


def distance(s: Settings, predictions: Tensor, targets: Tensor) -> Tensor:
    """(n,) how far predictions (n, b, outputs) are from their targets, by the settings' loss."""
    if s.loss == "mse":
        return ((predictions - targets) ** 2).mean((1, 2))
    if s.loss == "l1":
        return (predictions - targets).abs().mean((1, 2))
    t = s.temperature
    predictions, targets = F.log_softmax(predictions / t, -1), F.log_softmax(targets / t, -1)
    divergence = F.kl_div(predictions, targets, reduction="none", log_target=True)
    return t**2 * divergence.sum(-1).mean(1)


def train(
    networks: Sequence[Network],
    groups: Sequence[Group],
    settings: Settings,
    fresh: Sequence[Mapping[str, np.ndarray]],
    seed: int,
    state_path: Path,
    *,
    device: str = "cpu",
    progress: fit.Progress | None = None,
    between: Callable[[Parameters, int], Tensor] | None = None,
) -> Space:
    """Train a space on these networks; a step takes one group, the groups by turns.

    Args:
        networks: the architectures, in the order of the groups' `architecture`.
        groups: the networks to embed.
        settings: what the space depends on besides.
        fresh: an untrained network of each architecture, name -> (1, ...).
        seed: of the random numbers.
        state_path: see `fit.Fit`.
        device: as torch names it.
        progress: called after each step.
        between: a further loss of each step, from the parameters and the step's index, for what lies
            between networks.

    Raises:
        ValueError: a loss is not finite.
    """
    s = settings
    tensors = [
        tuple(torch.from_numpy(a).to(device) for a in (g.encoder_inputs, g.inputs, g.predictions)) for g in groups
    ]

    def loss(p: Parameters, step: int) -> Tensor:
        at = step % len(groups)
        group, (encoder_inputs, inputs, predictions) = groups[at], tensors[at]
        rows, columns, mixed, share = _draw(len(encoder_inputs), len(inputs), s, seed, step)
        codes = encode(p, s, encoder_inputs[rows])
        targets = predictions[rows][:, columns]
        blend = torch.from_numpy(share).to(device)
        codes = torch.lerp(codes, codes[mixed], blend[:, None])
        targets = torch.lerp(targets, targets[mixed], blend[:, None, None])
        weights = from_prep(decode(p, codes, group.architecture), group.network.shapes)
        total = distance(s, group.network.predict(weights, inputs[columns]), targets).mean()
        if len(networks) > 1:
            labels = torch.full((len(codes),), group.architecture, device=device)
            total = total + F.cross_entropy(F.linear(codes, p["which.weight"], p["which.bias"]), labels)
        return total + between(p, step) if between else total

    parameters, losses = descend(
        initial(s, networks, fresh, groups[0].encoder_inputs.shape[1:], seed),
        loss,
        steps=s.steps,
        learning_rate=s.learning_rate,
        clip=s.clip,
        rise=s.rise,
        state_path=state_path,
        identity=_identity(groups, s, fresh, seed, device),
        device=device,
        progress=progress,
    )
    return Space(s, tuple(networks), parameters, losses)


def descend(
    start: Parameters,
    loss: Callable[[Parameters, int], Tensor],
    *,
    steps: int,
    learning_rate: float,
    clip: float = 0.0,
    rise: float = 0.0,
    state_path: Path,
    identity: str,
    device: str = "cpu",
    progress: fit.Progress | None = None,
) -> tuple[Parameters, np.ndarray]:
    """Parameters moved by Adam, the rate falling to 0 as half a cosine; returns them and the loss of every step.

    Args:
        start: the parameters before training.
        loss: parameters and the step's index -> a number.
        steps, learning_rate, clip, rise: as `Settings` has them.
        state_path, identity, device: see `fit.Fit`.
        progress: called after each step.

    Raises:
        ValueError: a loss is not finite.
    """
    shapes = {name: value.shape for name, value in start.items()}
    flat = np.concatenate([value.numpy().ravel() for value in start.values()])
    run = fit.Fit({"parameters": flat}, steps, state_path=state_path, identity=identity, device=device)
    adam, flat = run.adam("parameters"), run.tensors["parameters"].requires_grad_()

    def take(step: int) -> dict[str, float]:
        value = loss(_views(flat, shapes), step)
        warmed_up = min(1, (step + 1) / (rise * steps)) if rise else 1
        adam.param_groups[0]["lr"] = warmed_up * learning_rate * (1 + math.cos(math.pi * step / steps)) / 2
        adam.zero_grad()
        value.backward()
        if clip:
            torch.nn.utils.clip_grad_norm_(flat, clip)
        adam.step()
        recorded = value.item()
        if not math.isfinite(recorded):
            raise ValueError(f"netspace: the loss is {recorded} in step {step + 1}; write a smaller learning_rate.")
        return {"loss": recorded}

    run.run(take, progress)
    return _views(flat.detach(), shapes), run.history["loss"]


def _draw(n: int, m: int, s: Settings, seed: int, step: int):
    """Which networks and inputs a step takes, and with which other of them, at which share, each network is mixed."""
    names = (seed, "netspace", "step", step)
    rows = rng.permutation(n, *names, "networks")[: s.networks]
    columns = rng.permutation(m, *names, "inputs")[: s.inputs]
    draws = rng.uniform((2, len(rows)), *names, "mixed")
    share = np.where(draws[0] < s.mixed, draws[1], 0).astype(np.float32)
    return rows, columns, np.roll(np.arange(len(rows)), 1), share


def _views(flat: Tensor, shapes: Mapping[str, tuple[int, ...]]) -> Parameters:
    parts = flat.split([math.prod(shape) for shape in shapes.values()])
    return {name: part.view(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}


# ---------------------------------------------------------------------------------------------- codes


def optimise(
    codes: Tensor, loss: Callable[[Tensor, int], Tensor], *, steps: int, learning_rate: float = 0.01
) -> Tensor:
    """Latent codes (n, ...) moved by Adam along a frozen decoder, each for itself.

    Args:
        codes: where they start.
        loss: codes and the step's index -> (n,).
        steps, learning_rate: of Adam.
    """
    codes = codes.detach().clone().requires_grad_()
    adam = torch.optim.Adam([codes], lr=learning_rate)
    for step in range(steps):
        adam.zero_grad()
        loss(codes, step).sum().backward()
        adam.step()
    return codes.detach()


# ---------------------------------------------------------------------------------------------- state and space files


def _identity(groups: Sequence[Group], s: Settings, fresh: Sequence, seed: int, device: str) -> str:
    arrays = [a for g in groups for a in (g.encoder_inputs, g.inputs, g.predictions)] + [
        v for f in fresh for v in f.values()
    ]
    digests = [(a.shape, hashlib.sha256(np.ascontiguousarray(a).data).hexdigest()) for a in map(np.asarray, arrays)]
    return files.digest([asdict(s), seed, device, digests, [g.architecture for g in groups]])


def write(path: Path, space: Space, **attributes) -> None:
    """The space as a file (kind "netspace"); `attributes` as `files.write` takes."""
    arrays = {name: value.cpu().numpy() for name, value in space.parameters.items()}
    files.write(path, "netspace", arrays | {"history/loss": space.loss}, settings=asdict(space.settings), **attributes)


def read(path: Path, networks: Sequence[Network], device: str = "cpu") -> Space:
    """The space of a file; networks: its architectures, in their order. Raises FileError."""
    arrays, settings = files.read(path, "netspace"), files.attributes(path, "netspace")["settings"]
    loss = arrays.pop("history/loss")
    parameters = {name: torch.from_numpy(values).to(device) for name, values in arrays.items()}
    return Space(Settings(**settings), tuple(networks), parameters, loss)
