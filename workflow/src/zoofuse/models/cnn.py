"""The zoo's CNN, many at a time: every tensor has the CNN as its first axis.

This is the one forward pass of the project, for any registered architecture; beside it stand the
C++ trainer and, as a reference, the plain loop of `zoo.training`.

Published architecture (report, II.D.1; `published` of `architectures`): conv 5x5 3->6, ReLU,
max-pool 2, conv 5x5 6->16, ReLU, max-pool 2, flatten to 400, linear 400->2; 3,674 parameters,
593,600 multiply-adds for a 32x32 image.
"""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from zoofuse.core import rng
from zoofuse.models import resnet, vit
from zoofuse.models.architectures import ARCHITECTURES, Architecture, Layers, start

__all__ = ["ARCHITECTURES", "Architecture", "Layers"]  # where those who work on CNNs look for them

Weights = Mapping[str, Tensor]  # name -> (n, ...)


def initial_weights(architecture: Layers, seed: int, concept: str, models: np.ndarray) -> dict[str, np.ndarray]:
    """PyTorch's default initialisation, U(-1/sqrt(fan_in), 1/sqrt(fan_in)).

    Args:
        architecture: of the CNNs.
        seed, concept, models: a CNN's values depend on the seed, the concept's name and its global
            index, one of models (n,), only.

    Returns:
        Name -> float32 (n, ...).
    """
    shapes = architecture.shapes
    weights = {name: np.empty((len(models), *shape), np.float32) for name, shape in shapes.items()}
    for row, model in enumerate(models):
        for name, shape in shapes.items():
            fan_in = int(np.prod(shapes[name.replace(".bias", ".weight")][1:]))
            if (value := start(name)) is not None:
                weights[name][row] = value
                continue
            draws = rng.uniform(shape, seed, "initial_weights", concept, int(model), name)
            weights[name][row] = (2 * draws - 1) / np.float32(np.sqrt(fan_in))
    for name in ("fc1.weight", "fc1.bias"):  # as drawn, the concept is the first output
        weights[name] = np.ascontiguousarray(weights[name][:, ::-1])
    return weights


def normalise(images: Tensor) -> Tensor:
    """The published Normalize(0.5, 0.5): uint8 (..., 32, 32, 3) -> float32 (..., 3, 32, 32) in [-1, 1]."""
    return images.movedim(-1, -3).float().div(255).sub(0.5).div(0.5)


def conv_layers(names: Iterable[str]) -> list[str]:
    """conv1, conv2, ... among the names of parameters, in the order in which a CNN applies them."""
    layers = {name.split(".")[0] for name in names if name.startswith("conv")}
    return sorted(layers, key=lambda layer: int(layer[4:]))


def preactivations(weights: Weights, x: Tensor) -> Iterator[Tensor]:
    """The outputs of each conv layer before its ReLU.

    Args:
        weights: conv layers, name -> (n, ...).
        x: normalised images, (b, 3, 32, 32) where all CNNs take the same, or (n, b, 3, 32, 32).

    Yields:
        (n, b, out, rows, columns), layer after layer.
    """
    return (convolved for convolved, _ in _blocks(weights, x))


def features(weights: Weights, x: Tensor) -> Tensor:
    """Feature vectors after the last pooling, of CNNs of any architecture; arguments as of `preactivations`.

    Returns:
        (n, b, features), flattened as PyTorch does: channel, row, column.
    """
    for layer, of in {"stem.weight": resnet.features, "patch.weight": vit.features}.items():
        if layer in weights:
            return of(weights, x)
    *_, (_, pooled) = _blocks(weights, x)
    return pooled.flatten(2)


def head(weights: Weights, features: Tensor, name: str = "fc1") -> Tensor:
    """Logits (n, b, classes) of the linear layer of this name, from features (n, b, f)."""
    kernels = weights[f"{name}.weight"].transpose(1, 2)
    return torch.baddbmm(weights[f"{name}.bias"][:, None], features, kernels)


def logits(weights: Weights, x: Tensor) -> Tensor:
    """Class 1 is the concept, class 0 everything else; arguments as of `preactivations`.

    Returns:
        (n, b, classes), by the linear layer fc1.
    """
    return head(weights, features(weights, x))


def _blocks(weights: Weights, x: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """What each block's convolution and max-pool give, (n, b, channels, rows, columns) both."""
    shared = x.ndim == 4
    for layer in conv_layers(weights):
        kernels, bias = weights[f"{layer}.weight"], weights[f"{layer}.bias"]
        n = len(kernels)
        if shared:  # one group for each CNN; the first layer reads the images once for all of them
            groups = 1 if layer == "conv1" else n
            convolved = F.conv2d(x, kernels.flatten(0, 1), bias.flatten(), groups=groups)
            x = F.max_pool2d(F.relu(convolved), 2)  # (b, n * channels, rows, columns)
            yield tuple(y.unflatten(1, (n, -1)).transpose(0, 1) for y in (convolved, x))
        else:
            convolved = _products(x, kernels, bias)
            x = F.max_pool2d(F.relu(convolved.flatten(0, 1)), 2).unflatten(0, (n, -1))
            yield convolved, x


def _products(x: Tensor, kernels: Tensor, bias: Tensor) -> Tensor:
    """A convolution as one batched product over patches (im2col), channels last in memory.

    A GPU's libraries run such products near their peak, and grouped convolutions far below it.
    """
    n, b = x.shape[:2]
    k = kernels.shape[-1]
    if x.stride(0) == 0:  # the same images for all CNNs
        x = x[:1]
    patches = x.unfold(3, k, 1).unfold(4, k, 1).movedim(2, 4)  # (n, b, rows, columns, c, k, k), a view
    rows, columns = patches.shape[2:4]
    patches = patches.reshape(len(x), b * rows * columns, -1).expand(n, -1, -1)
    y = torch.baddbmm(bias[:, None], patches, kernels.flatten(2).transpose(1, 2))
    return y.view(n, b, rows, columns, -1).movedim(-1, 2)
