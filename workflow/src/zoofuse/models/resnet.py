"""Residual networks (He et al. 2016, section 4.2: 6n + 2 layers, shortcuts without parameters), many at a time."""

from collections.abc import Callable, Mapping

import torch.nn.functional as F
from torch import Tensor

Norm = Callable[[str, Tensor], Tensor]  # convolution's name, outputs (b, n * c, h, w) -> the same shape


def features(weights: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """Feature vectors of n residual networks whose layers are named as `architectures.residual_layers` names them.

    Args:
        weights: name -> (n, ...).
        x: normalised images, (b, 3, h, w) where all networks take the same, or (n, b, 3, h, w).

    Returns:
        (n, b, features).
    """
    of_stages = [name.removesuffix(".weight") for name in weights if name.startswith("stage") and "weight" in name]
    # In the order in which they are applied, which a file's need not be.
    layers = ["stem", *sorted(of_stages, key=lambda name: [int(part) for part in name[5:].split(".")])]
    # The stem, and the first convolution of each later stage.
    halved = {name for name in layers if name == "stem" or (name.endswith(".0.0") and not name.startswith("stage0."))}
    return convolved(weights, x, {name: 2 if name in halved else 1 for name in layers}, residual=True)


def convolved(
    weights: Mapping[str, Tensor], x: Tensor, strides: Mapping[str, int], residual: bool, norm: Norm | None = None
) -> Tensor:
    """The means over the image after 3x3 convolutions with padding 1 and ReLUs.

    Args:
        weights, x: as `features` takes them.
        strides: convolution -> its stride, in the order in which they are applied.
        residual: after the first, pairs of convolutions have a shortcut.
        norm: what a convolution's outputs are normalised by, if anything.

    Returns:
        (n, b, features).
    """
    n = len(next(iter(weights.values())))
    shared = x.ndim == 4
    x = kept = x if shared else x.transpose(0, 1).flatten(1, 2)
    for at, (name, stride) in enumerate(strides.items()):
        opens = residual and at % 2 == 1  # stem, then pairs
        if opens:
            kept = x
        kernels, bias = weights[f"{name}.weight"].flatten(0, 1), weights[f"{name}.bias"].flatten()
        y = F.conv2d(x, kernels, bias, stride=stride, padding=1, groups=1 if shared and at == 0 else n)
        y = norm(name, y) if norm else y
        if residual and at and not opens:
            y = y + _shortcut(kept, n, weights[f"{name}.weight"].shape[1], y.shape[-1])
        x = F.relu(y)
    return x.mean((2, 3)).unflatten(1, (n, -1)).transpose(0, 1)


def _shortcut(x: Tensor, n: int, channels: int, size: int) -> Tensor:
    """The block's input, every other pixel and new channels zero where the block changes size (option A)."""
    stride = x.shape[-1] // size
    x = x[:, :, ::stride, ::stride].unflatten(1, (n, -1))
    return F.pad(x, (0, 0, 0, 0, 0, channels - x.shape[2])).flatten(1, 2)
