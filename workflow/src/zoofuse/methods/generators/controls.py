"""What methods are compared with: copies, other networks of the zoo, and noise."""

import numpy as np

from zoofuse.methods.generators import alignment
from zoofuse.methods.generators.registry import NOISE, Given, generator


@generator(
    "copy",
    label="copies of training networks",
    control=True,
    about="Training networks with their hidden channels in another order: as good as the zoo, and nothing new.",
)
def copy(given: Given) -> np.ndarray:
    chosen = given.weights[given.drawn(len(given.weights), given.count)]
    keys = given.normal(given.count, alignment.hidden_channels(given.network), name="order")
    return alignment.shuffle(given.network, chosen, keys)


@generator(
    "held_out",
    label="held-out networks of the zoo",
    control=True,
    given="held-out networks",
    about="A perfect sampler: networks of the zoo that no method was given.",
)
def held_out(given: Given) -> np.ndarray:
    return given.held_out[: given.count]


@generator(
    NOISE,
    label="training networks and noise",
    control=True,
    about="Training networks plus Gaussian noise, for several sizes relative to the standard deviation of each "
    "tensor's weights: the curve that methods are compared with.",
    cites="Zeng et al. 2025",
)
def noise(given: Given) -> np.ndarray:
    return noisy(given, 0.2)


def noisy(given: Given, size: float) -> np.ndarray:
    """Training networks plus Gaussian noise.

    Args:
        given: what there is.
        size: of the noise, relative to the standard deviation of each tensor over all training networks.

    Returns:
        float32 (count, parameters).
    """
    spread = alignment.unflatten(given.network, np.ones((1, given.weights.shape[1]), np.float32))
    for name, values in alignment.unflatten(given.network, given.weights).items():
        spread[name] = np.full_like(spread[name], values.std(dtype=np.float64))
    chosen = given.weights[given.drawn(len(given.weights), given.count)]
    return chosen + size * alignment.flatten(given.network, spread) * given.normal(*chosen.shape)
