"""The zoo's CNN, many at a time: every tensor has the CNN as its first axis.

Published architecture (report, II.D.1; `published` below): conv 5x5 3->6, ReLU, max-pool 2, conv 5x5 6->16, ReLU,
max-pool 2, flatten to 400, linear 400->2; 3,674 parameters, 593,600 multiply-adds for a 32x32 image.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from zoofuse import seeds


@dataclass(frozen=True)
class Architecture:
    """A chain of (convolution without padding, ReLU, max-pool 2) blocks and one linear layer."""

    channels: tuple[int, ...]  # of the image, then after each convolution
    kernel_size: int
    image_size: int = 32
    classes: int = 2

    @property
    def conv_layers(self) -> list[str]:
        return [f"conv{i}" for i in range(1, len(self.channels))]

    @property
    def features(self) -> int:
        """Length of the flattened feature vector (400 as published)."""
        size = self.image_size
        for _ in self.conv_layers:
            size = (size - self.kernel_size + 1) // 2
        return self.channels[-1] * size * size

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Parameter name -> shape of one CNN's tensor, in PyTorch's `parameters()` order."""
        shapes: dict[str, tuple[int, ...]] = {}
        for name, cin, cout in zip(self.conv_layers, self.channels, self.channels[1:], strict=False):
            shapes[f"{name}.weight"] = (cout, cin, self.kernel_size, self.kernel_size)
            shapes[f"{name}.bias"] = (cout,)
        shapes["fc1.weight"] = (self.classes, self.features)
        shapes["fc1.bias"] = (self.classes,)
        return shapes


# By the name that zoo.architecture takes; a new one needs its channels here and its name in the schema, nothing else.
ARCHITECTURES = {
    "published": Architecture(channels=(3, 6, 16), kernel_size=5),
    "wide": Architecture(channels=(3, 12, 32), kernel_size=5),
}

Weights = Mapping[str, Tensor]  # name -> (n, ...)


def initial_weights(architecture: Architecture, seed: int, concept: str, models: np.ndarray) -> dict[str, np.ndarray]:
    """PyTorch's default initialisation, U(-1/sqrt(fan_in), 1/sqrt(fan_in)), of the CNNs with these global indices.

    Returns name -> float32 (n, ...); a CNN's values depend on seed, concept and its index only.
    """
    shapes = architecture.shapes
    weights = {name: np.empty((len(models), *shape), np.float32) for name, shape in shapes.items()}
    for row, model in enumerate(models):
        for name, shape in shapes.items():
            fan_in = int(np.prod(shapes[name.replace(".bias", ".weight")][1:]))
            draws = seeds.uniform(shape, seed, "initial_weights", concept, int(model), name)
            weights[name][row] = (2 * draws - 1) / np.float32(np.sqrt(fan_in))
    return weights


def normalise(images: Tensor) -> Tensor:
    """uint8 (..., 32, 32, 3) -> float32 (..., 3, 32, 32) in [-1, 1], the published Normalize(0.5, 0.5)."""
    return images.movedim(-1, -3).float().div(255).sub(0.5).div(0.5)


def features(weights: Weights, x: Tensor) -> Tensor:
    """Feature vectors after the last pooling.

    weights: name -> (n, ...); the linear layer is not needed.
    x: (b, 3, 32, 32), the same images for every CNN, or (n, b, 3, 32, 32), images of its own for each.
    Returns (n, b, features), flattened as PyTorch does: channel, row, column.
    """
    layers = sorted({name.split(".")[0] for name in weights if name.startswith("conv")}, key=lambda name: int(name[4:]))
    n = weights[f"{layers[0]}.weight"].shape[0]
    if x.ndim == 4:
        x = x.expand(n, *x.shape)
    x = x.transpose(0, 1).flatten(1, 2)  # (b, n * 3, 32, 32)
    for layer in layers:
        kernels = weights[f"{layer}.weight"].flatten(0, 1)  # (n * out, in, k, k)
        x = F.conv2d(x, kernels, weights[f"{layer}.bias"].flatten(), groups=n)
        x = F.max_pool2d(F.relu(x), 2)
    return x.unflatten(1, (n, -1)).transpose(0, 1).flatten(2)


def logits(weights: Weights, x: Tensor) -> Tensor:
    """(n, b, classes); class 0 is the concept, class 1 is everything else. Arguments as in `features`."""
    return torch.baddbmm(weights["fc1.bias"][:, None], features(weights, x), weights["fc1.weight"].transpose(1, 2))
