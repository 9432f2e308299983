"""The forward pass of one CNN of any `Network`."""

from collections.abc import Callable, Iterator, Mapping

import torch.nn.functional as F
from torch import Tensor

from zoofuse.models.network import Layer, Network

_ACTIVATIONS = {"relu": F.relu, "gelu": F.gelu, "silu": F.silu, "tanh": F.tanh, "leaky": F.leaky_relu}


def logits(
    network: Network,
    weights: Mapping[str, Tensor],
    x: Tensor,
    dropout: Callable[[Tensor, int], Tensor] | None = None,
) -> Tensor:
    """The outputs of one CNN.

    Args:
        network: its architecture.
        weights: its parameters by the names of `network.shapes`.
        x: normalised images, (b, channels, size, size).
        dropout: gives the values after dropout from those before and the number of the dropout layer, counted from
            0; None leaves them as they are, as in evaluation.

    Returns:
        (b, classes).
    """
    dropped = 0
    for step in network.steps:
        if step.kind == "dropout":
            x = x if dropout is None else dropout(x, dropped)
            dropped += 1
        else:
            x = _apply(step, weights, x)
    return x


def _apply(step: Layer, weights: Mapping[str, Tensor], x: Tensor) -> Tensor:
    match step.kind:
        case "conv":
            weight, bias = weights[f"{step.name}.weight"], weights.get(f"{step.name}.bias")
            return F.conv2d(x, weight, bias, step.stride, step.padding, groups=step.groups)
        case "linear":
            return F.linear(x.flatten(1), weights[f"{step.name}.weight"], weights.get(f"{step.name}.bias"))
        case "max":
            return F.max_pool2d(x, step.kernel, step.stride)
        case "average":
            return F.avg_pool2d(x, step.kernel, step.stride)
        case "global":
            return x.mean((2, 3))
        case activation:
            return _ACTIVATIONS[activation](x)


def layers(network: Network, weights: Mapping[str, Tensor], x: Tensor) -> Iterator[tuple[Layer, Tensor, Tensor]]:
    """Each layer that has parameters, with what it takes and gives, of one CNN without dropout.

    Args:
        network: its architecture.
        weights: its parameters. A caller may change those of a layer and of later ones before it goes on; what the
            layer gives is then computed again.
        x: normalised images, (b, channels, size, size).

    Yields:
        The layer, its input and its output, before any activation.
    """
    for step in network.steps:
        if step.kind == "dropout":
            continue
        if step.name:
            yield step, x, _apply(step, weights, x)
        x = _apply(step, weights, x)
