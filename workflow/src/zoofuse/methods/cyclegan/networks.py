"""The generators and discriminators: their initial values, and how they are applied to kernel sets.

There is a kind of them for kernels, 3x3x3 convolutions over the volume of a layer's filters, and one for matrices,
which are sets of rows: neither a row's place nor that of a column has a meaning that several networks share.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from zoofuse.core import rng
from zoofuse.methods.cyclegan.settings import Settings

Network = dict[str, Tensor]  # 0.weight, 0.bias, 2.weight, 2.bias: convolution, activation, convolution
VOLUME = (3, 3, 3)  # window of a convolution over kernels
# By the axes of a layer's weights; of matrices one weight for the row itself and one for the mean row.
_WINDOWS = {4: VOLUME, 2: (2,)}


def window(weights: Sequence) -> tuple[int, ...]:
    """The last axes of the networks' weights, by the shape of what they translate.

    Args:
        weights: shape of one network's layer, (out, in, rows, columns) or (out, in).
    """
    return _WINDOWS[len(weights)]


def _shapes(channels: int, hidden: int, out: int, window: tuple[int, ...] = VOLUME) -> dict[str, tuple[int, ...]]:
    return {
        "0.weight": (hidden, channels, *window),
        "0.bias": (hidden,),
        "2.weight": (out, hidden, *window),
        "2.bias": (out,),
    }


def _makers(flat: Tensor, channels: int, s: Settings, window: tuple[int, ...] = VOLUME) -> dict[str, Network]:
    """The generators whose parameters lie one after another in `flat`, by the domain each makes: A2B, then B2A."""
    return _networks(flat, "BA", _shapes(channels, s.hidden, channels, window))


def _judges(flat: Tensor, channels: int, s: Settings, window: tuple[int, ...] = VOLUME) -> dict[str, Network]:
    """The discriminators in `flat` by their domain."""
    return _networks(flat, "AB", _shapes(channels, s.hidden, 1, window))


def _networks(flat: Tensor, domains: str, shapes: dict[str, tuple[int, ...]]) -> dict[str, Network]:
    parts = iter(flat.split([math.prod(shape) for shape in shapes.values()] * 2))
    return {domain: {name: next(parts).view(shape) for name, shape in shapes.items()} for domain in domains}


def initial(
    s: Settings, channels: int, seed: int, device: str | torch.device = "cpu", window: tuple[int, ...] = VOLUME
) -> tuple[Tensor, Tensor]:
    """The initial parameters of both generators and of both discriminators, each pair flat."""
    pairs = []
    for names, out in ((("A2B", "B2A"), channels), (("A", "B"), 1)):
        values = []
        for network in names:
            for name, shape in _shapes(channels, s.hidden, out, window).items():
                fan_in = math.prod(window) * (channels if name.startswith("0.") else s.hidden)
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


def _rows(network: Network, layer: int, x: Tensor) -> Tensor:
    """(in, rows, b) -> (out, rows, b): a linear function of each row and of the mean row (Zaheer et al. 2017)."""
    own, mean = network[f"{layer}.weight"].unbind(2)
    shared = torch.addmm(network[f"{layer}.bias"][:, None], mean, x.mean(1))
    return (own @ x.flatten(1)).view(-1, *x.shape[1:]) + shared[:, None]


def _generate(network: Network, x: Tensor) -> Tensor:
    """(in, out, 5, 5, b) or (in, out, b) -> the same shape, within (-1, 1)."""
    if x.ndim == 3:
        return _rows(network, 2, F.relu(_rows(network, 0, x))).tanh()
    hidden = F.relu_(_Gather.apply(x, network["0.weight"], network["0.bias"]))
    return _Scatter.apply(hidden, network["2.weight"], network["2.bias"], x.shape[1:]).tanh()


def _discriminate(network: Network, x: Tensor) -> Tensor:
    """(in, out, 5, 5, b) -> logits of being real: for each patch, (1, out, 5, 5, b), or row, (1, out, b)."""
    if x.ndim == 3:
        return _rows(network, 2, F.leaky_relu(_rows(network, 0, x), 0.2))
    hidden = F.leaky_relu_(_Gather.apply(x, network["0.weight"], network["0.bias"]), 0.2)
    return _Scatter.apply(hidden, network["2.weight"], network["2.bias"], x.shape[1:])
