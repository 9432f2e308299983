"""The zoo's CNN, many at a time: every tensor has the CNN as its first axis.

Published architecture (report, II.D.1; `published` of `architectures`): conv 5x5 3->6, ReLU, max-pool 2, conv 5x5
6->16, ReLU, max-pool 2, flatten to 400, linear 400->2; 3,674 parameters, 593,600 multiply-adds for a 32x32 image.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from zoofuse.core import rng
from zoofuse.models.architectures import ARCHITECTURES, Architecture

__all__ = ["ARCHITECTURES", "Architecture"]  # where those who work on CNNs look for them

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
            draws = rng.uniform(shape, seed, "initial_weights", concept, int(model), name)
            weights[name][row] = (2 * draws - 1) / np.float32(np.sqrt(fan_in))
    for name in ("fc1.weight", "fc1.bias"):  # as drawn, the concept is the first output
        weights[name] = np.ascontiguousarray(weights[name][:, ::-1])
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
    for convolved in preactivations(weights, x):
        last = convolved
    n = last.shape[1]
    return F.max_pool2d(F.relu(last.flatten(1, 2)), 2).unflatten(1, (n, -1)).transpose(0, 1).flatten(2)


def preactivations(weights: Weights, x: Tensor) -> Iterator[Tensor]:
    """What each conv layer gives before its ReLU, (b, n, out, rows, columns). Arguments as in `features`."""
    layers = sorted({name.split(".")[0] for name in weights if name.startswith("conv")}, key=lambda name: int(name[4:]))
    n = weights[f"{layers[0]}.weight"].shape[0]
    if x.ndim == 4:
        x = x.expand(n, *x.shape)
    x = x.transpose(0, 1).flatten(1, 2)  # (b, n * 3, 32, 32)
    for layer in layers:
        kernels = weights[f"{layer}.weight"].flatten(0, 1)  # (n * out, in, k, k)
        convolved = F.conv2d(x, kernels, weights[f"{layer}.bias"].flatten(), groups=n)
        yield convolved.unflatten(1, (n, -1))
        x = F.max_pool2d(F.relu(convolved), 2)


def logits(weights: Weights, x: Tensor) -> Tensor:
    """(n, b, classes); class 1 is the concept, class 0 is everything else. Arguments as in `features`."""
    return torch.baddbmm(weights["fc1.bias"][:, None], features(weights, x), weights["fc1.weight"].transpose(1, 2))
