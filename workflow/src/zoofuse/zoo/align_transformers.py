"""One order of channels, heads and hidden units for many vision transformers, by weight matching as in `zoo.align`.

Renumbering these changes nothing that a transformer computes: the channels between its layers, the heads of a block,
and the hidden units of a block's MLP. What is within a head stays as it is, as it may be turned by any matrix.
"""

import numpy as np
from scipy.optimize import linear_sum_assignment

from zoofuse.models.architectures import HEAD

ROUNDS = 20  # of passes over everything that has an order; a handful are enough

Network = dict[str, np.ndarray]  # one transformer's tensors by name
Orders = dict[str, np.ndarray]  # what has an order, such as width or block1.heads -> its new order


def match(network: Network, reference: Network) -> Orders:
    """The orders in which a transformer's channels, heads and hidden units stand in for a reference's.

    Args:
        network, reference: one transformer's parameters by name; linear layers named fc1 count where both have them.

    Returns:
        What `permute` takes.
    """
    axes = {name: _axes(name) for name in network if name in reference}
    # width first: patches, their places and the classes are the same in all networks.
    parts = sorted({part for of in axes.values() for part in of}, key=lambda part: (part != "width", part))
    orders = {part: np.arange(_size(network, axes, part)) for part in parts}
    for sweep in range(ROUNDS):
        before = dict(orders)
        for at, part in enumerate(parts):
            agreement = np.zeros((len(orders[part]),) * 2)
            for name, of in axes.items():
                # At first only where everything else is in order already.
                if part in of and (sweep or set(of) <= set(parts[: at + 1])):
                    others = {other: order for other, order in orders.items() if other != part}
                    wanted, given = reference[name], permute({name: network[name]}, others)[name]
                    agreement += _along(name, wanted, of[part]) @ _along(name, given, of[part]).T
            orders[part] = linear_sum_assignment(agreement, maximize=True)[1]
        if sweep and all((orders[part] == before[part]).all() for part in parts):
            break
    return orders


def permute(network: Network, orders: Orders) -> Network:
    """The same transformer in other orders; its linear layers, where it has some, follow.

    Args:
        network: parameters by name.
        orders: as `match` returns them; what is missing stays as it is.
    """
    permuted = {}
    for name, values in network.items():
        seen = _seen(name, values)
        for part, axis in _axes(name).items():
            seen = seen.take(orders[part], axis) if part in orders else seen
        permuted[name] = seen.reshape(values.shape)
    return permuted


def _axes(name: str) -> dict[str, int]:
    """What has an order in a parameter -> its axis, as `_seen` shows it."""
    layer, _, part = name.rpartition(".")
    block, _, last = layer.rpartition(".")
    bias = part == "bias"
    match last:
        case "qkv":
            return {f"{block}.heads": 1} if bias else {"width": 3, f"{block}.heads": 1}
        case "out":
            return {"width": 0} if bias else {"width": 0, f"{block}.heads": 1}
        case "mlp1":
            return {f"{block}.hidden": 0} if bias else {"width": 1, f"{block}.hidden": 0}
        case "mlp2":
            return {"width": 0} if bias else {"width": 0, f"{block}.hidden": 1}
        case "place":
            return {"width": 1}
        case fc if fc.startswith("fc"):
            return {} if bias else {"width": 1}
    return {"width": 0}  # patches and normalisations


def _seen(name: str, values: np.ndarray) -> np.ndarray:
    """A parameter with an axis for heads, where it has them."""
    layer = name.rpartition(".")[0].rpartition(".")[2]
    if layer == "qkv":
        return values.reshape(3, -1, HEAD, *values.shape[1:])
    return values.reshape(len(values), -1, HEAD) if layer == "out" and values.ndim > 1 else values


def _along(name: str, values: np.ndarray, axis: int) -> np.ndarray:
    """A parameter as a matrix with a row for each place along an axis of what `_seen` shows."""
    seen = np.moveaxis(_seen(name, values), axis, 0)
    return seen.reshape(len(seen), -1)


def _size(network: Network, axes: dict[str, dict[str, int]], part: str) -> int:
    name = next(name for name, of in axes.items() if part in of)
    return _seen(name, network[name]).shape[axes[name][part]]
