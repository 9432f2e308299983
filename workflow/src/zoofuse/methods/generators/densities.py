"""Networks drawn from simple densities that are fitted to a zoo's weights."""

from typing import NamedTuple

import numpy as np

from zoofuse.methods.generators import alignment
from zoofuse.methods.generators.registry import Given, generator


def rebased(given: Given) -> np.ndarray:
    """The training networks in one order of channels: that of the one best on the images to select by."""
    return alignment.align(given.network, given.weights, given.weights[int(np.argmax(given.accuracy))])


class Components(NamedTuple):
    """Principal components: weights are `mean + codes * spread @ directions`, with codes of variance 1."""

    mean: np.ndarray  # (parameters,)
    directions: np.ndarray  # (k, parameters), orthonormal
    spread: np.ndarray  # (k,)

    def codes(self, weights: np.ndarray) -> np.ndarray:
        """(n, k) of weights (n, parameters)."""
        return (weights - self.mean) @ self.directions.T / self.spread

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """float32 weights (n, parameters) of codes (n, k)."""
        return (self.mean + codes * self.spread @ self.directions).astype(np.float32)


def components(weights: np.ndarray, most: int | None = None) -> Components:
    """Principal components of n networks.

    Args:
        weights: (n, parameters).
        most: so many at most; by default all n - 1 of them, which lose nothing.

    Returns:
        The components of variance above rounding.
    """
    mean = weights.mean(0, dtype=np.float64)
    _, values, directions = np.linalg.svd(weights - mean, full_matrices=False)
    k = min(int((values > 1e-6 * values[0]).sum()), len(weights) - 1, most or len(weights))
    return Components(mean, directions[:k], values[:k] / np.sqrt(len(weights) - 1))


def smoothed(codes: np.ndarray, chosen: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Samples of a kernel density estimate that has the mean and the covariance of what it is fitted to.

    A Gaussian kernel of Silverman's width h adds h^2 to every variance; samples are shrunk towards the mean to make up
    for it (Jones 1991).

    Args:
        codes: (n, k) of variance 1 in every direction.
        chosen: (m,) rows whose kernels are sampled.
        normal: (m, k) standard normal numbers.

    Returns:
        (m, k).
    """
    n, k = codes.shape
    width = (4 / (n * (k + 2))) ** (1 / (k + 4))
    mean = codes.mean(0)
    return mean + (codes[chosen] - mean + width * normal) / np.sqrt(1 + width**2)


@generator(
    "gaussian",
    label="Gaussian per tensor",
    about="Every weight drawn from the normal distribution with the mean and variance of its tensor.",
)
def gaussian(given: Given) -> np.ndarray:
    made = alignment.unflatten(given.network, given.normal(given.count, given.weights.shape[1]))
    for name, values in alignment.unflatten(given.network, given.weights).items():
        made[name] = values.mean(dtype=np.float64) + values.std(dtype=np.float64) * made[name]
    return alignment.flatten(given.network, made)


@generator(
    "gaussian_weights",
    label="Gaussian per weight, re-based",
    about="Every weight drawn from the normal distribution of that weight over the re-based training networks.",
)
def gaussian_weights(given: Given) -> np.ndarray:
    weights = rebased(given)
    drawn = given.normal(given.count, weights.shape[1])
    return (weights.mean(0) + weights.std(0) * drawn).astype(np.float32)


@generator(
    "pca_kde",
    label="kernel density in PCA",
    about="A Gaussian kernel density over all principal components of the re-based training networks, of their mean "
    "and covariance.",
    cites="Jones 1991",
)
def pca_kde(given: Given) -> np.ndarray:
    weights = rebased(given)
    fitted = components(weights)
    codes = fitted.codes(weights)
    chosen = given.drawn(len(codes), given.count)
    return fitted.decode(smoothed(codes, chosen, given.normal(given.count, codes.shape[1])))
