"""Git Re-Basin's weight matching for many networks of any chain of layers at a time, on flat weights.

Ainsworth et al. 2023, "Git Re-Basin: Merging models modulo permutation symmetries", section 3.2. `zoo.align` does the
same for the two-class CNNs of fusions, one at a time. The first pass matches each layer by what comes into it, so that
the result does not depend on the order of channels that a network begins with.
"""

import itertools
import math
from typing import NamedTuple

import numpy as np

from zoofuse.models.network import Network

ROUNDS = 12  # passes over the layers; a handful are enough
CANDIDATES = 6  # training networks whose whole distance is measured, in either channel order

Arrays = dict[str, np.ndarray]


class _Hidden(NamedTuple):
    """Channels that may be renumbered: what a layer gives and the next one takes."""

    layer: str
    follower: str
    channels: int
    positions: int  # numbers of one channel in a row of the follower's weights


def unflatten(network: Network, flat: np.ndarray) -> Arrays:
    """Name -> (n, *shape) of flat weights (n, parameters), views."""
    arrays, start = {}, 0
    for name, shape in network.shapes.items():
        stop = start + math.prod(shape)
        arrays[name] = flat[:, start:stop].reshape(len(flat), *shape)
        start = stop
    return arrays


def flatten(network: Network, arrays: Arrays) -> np.ndarray:
    """float32 (n, parameters) of name -> (n, *shape)."""
    parts = [np.asarray(arrays[name], np.float32).reshape(len(arrays[name]), -1) for name in network.shapes]
    return np.concatenate(parts, axis=1)


def align(network: Network, flat: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """The same networks with their hidden channels in the order that agrees best with the reference's.

    Args:
        network: their architecture.
        flat: float32 (n, parameters).
        reference: (parameters,) for all of them, or (n, parameters).

    Returns:
        float32 (n, parameters).
    """
    from scipy.optimize import linear_sum_assignment  # here, as the Snakefile reads this module

    x = {name: values.copy() for name, values in unflatten(network, flat).items()}
    wanted = unflatten(network, np.atleast_2d(reference))
    for sweep in range(ROUNDS):
        changed = False
        for hidden in _hidden(network):
            agreement = _incoming(x, wanted, hidden.layer)
            if sweep:
                agreement = agreement + _outgoing(x, wanted, hidden)
            orders = np.stack([linear_sum_assignment(matrix, maximize=True)[1] for matrix in agreement])
            changed |= bool((orders != np.arange(hidden.channels)).any())
            _permute(x, hidden, orders)
        if sweep and not changed:
            break
    return flatten(network, x)


def shuffle(network: Network, flat: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """The same networks with their hidden channels in another order.

    Args:
        network: their architecture.
        flat: (n, parameters).
        keys: (n, channels of all hidden layers), whose order is taken.

    Returns:
        float32 (n, parameters); what the networks compute is the same.
    """
    x, start = {name: values.copy() for name, values in unflatten(network, flat).items()}, 0
    for hidden in _hidden(network):
        _permute(x, hidden, keys[:, start : start + hidden.channels].argsort(1))
        start += hidden.channels
    return flatten(network, x)


def hidden_channels(network: Network) -> int:
    """Channels that `shuffle` needs keys for."""
    return sum(hidden.channels for hidden in _hidden(network))


def nearest(network: Network, flat: np.ndarray, training: np.ndarray) -> np.ndarray:
    """Euclidean distance of each network to the nearest training network, up to the order of hidden channels.

    Candidates are the nearest ones as they are and those nearest in one common order; each is matched by itself.

    Args:
        network: the architecture of all.
        flat: (n, parameters).
        training: (t, parameters).

    Returns:
        (n,).
    """
    middle = training[0]
    one, other = align(network, flat, middle), align(network, training, middle)
    raw, common = _distances(flat, training), _distances(one, other)
    most = min(CANDIDATES, len(training))
    places = np.concatenate([np.argpartition(of, most - 1, 1)[:, :most] for of in (raw, common)], axis=1)
    rows = np.repeat(np.arange(len(flat)), places.shape[1])
    matched = align(network, training[places.ravel()], flat[rows])
    apart = np.sqrt(((matched - flat[rows]).astype(np.float64) ** 2).sum(1)).reshape(places.shape).min(1)
    return np.minimum(apart, np.minimum(raw.min(1), common.min(1)))


def _distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    one, other = one.astype(np.float64), other.astype(np.float64)
    squares = (one**2).sum(1)[:, None] + (other**2).sum(1) - 2 * one @ other.T
    return np.sqrt(squares.clip(0))


def _hidden(network: Network) -> list[_Hidden]:
    layers = [step for step in network.steps if step.name]
    found = []
    for layer, follower in itertools.pairwise(layers):
        if layer.groups == follower.groups == 1:
            channels = layer.gives[0]
            positions = math.prod(follower.shapes[f"{follower.name}.weight"][1:]) // channels
            found.append(_Hidden(layer.name, follower.name, channels, positions))
    return found


def _incoming(x: Arrays, wanted: Arrays, layer: str) -> np.ndarray:
    """(n, channels, channels): how well each of our channels (last axis) stands in for each of the reference's."""
    agreement = 0
    for name in (f"{layer}.weight", f"{layer}.bias"):
        if name in x:
            one, other = (of[name].reshape(*of[name].shape[:2], -1) for of in (wanted, x))
            agreement = agreement + one @ other.transpose(0, 2, 1)
    return agreement


def _outgoing(x: Arrays, wanted: Arrays, hidden: _Hidden) -> np.ndarray:
    one, other = (_by_channel(of, hidden).swapaxes(1, 2) for of in (wanted, x))
    one, other = (of.reshape(len(of), hidden.channels, -1) for of in (one, other))
    return one @ other.transpose(0, 2, 1)


def _by_channel(x: Arrays, hidden: _Hidden) -> np.ndarray:
    weight = x[f"{hidden.follower}.weight"]
    return weight.reshape(*weight.shape[:2], -1).reshape(len(weight), -1, hidden.channels, hidden.positions)


def _permute(x: Arrays, hidden: _Hidden, orders: np.ndarray) -> None:
    for name in (f"{hidden.layer}.weight", f"{hidden.layer}.bias"):
        if name in x:
            x[name] = np.take_along_axis(x[name], orders.reshape(*orders.shape, *[1] * (x[name].ndim - 2)), 1)
    name = f"{hidden.follower}.weight"
    columns = _by_channel(x, hidden)
    x[name] = np.take_along_axis(columns, orders[:, None, :, None], 2).reshape(x[name].shape)
