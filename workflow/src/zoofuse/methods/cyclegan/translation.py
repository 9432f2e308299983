"""Kernels in and out of the generators: scales, axes, and the translation of one domain into the other."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from zoofuse.methods.cyclegan.networks import _generate, _makers, _shapes
from zoofuse.methods.cyclegan.settings import Settings

_WAYS = {"B": "A2B", "A": "B2A"}  # by the domain a generator makes


def _scale(kernels: np.ndarray, standardise: bool) -> np.ndarray:
    """(2,) float32: the mean and the unit of a domain. With a unit of 4 standard deviations Tanh reaches 4 of them."""
    if not standardise:
        return np.array([0, 1], np.float32)
    if not (deviation := kernels.std(dtype=np.float64)):
        raise ValueError("every kernel weight of a domain has the same value; it cannot be standardised.")
    return np.array([kernels.mean(dtype=np.float64), 4 * deviation], np.float32)


def _to_network(kernels: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """(n, out, in, 5, 5) -> (in, out, 5, 5, n), or (n, out, in) -> (in, out, n), standardised."""
    return np.ascontiguousarray((kernels.transpose(2, 1, *range(3, kernels.ndim), 0) - scale[0]) / scale[1])


def _exported(
    generators: Tensor, channels: int, s: Settings, scales: Mapping[str, np.ndarray], window: tuple[int, ...]
) -> dict[str, dict[str, np.ndarray]]:
    exported = {}
    for domain, network in _makers(generators, channels, s, window).items():
        way = _WAYS[domain]
        exported[way] = {name: value.cpu().numpy().copy() for name, value in network.items()}
        if s.standardise:
            exported[way] |= {"scale.in": scales["A" if domain == "B" else "B"], "scale.out": scales[domain]}
    return exported


def translate(
    generator: Mapping[str, np.ndarray], kernels: np.ndarray, *, device: str = "cpu", batch_size: int = 16
) -> np.ndarray:
    """Kernels (n, out, in, 5, 5), or matrices (n, out, in) -> float32 of the same shape in the other domain.

    generator: 0.weight (hidden, in, 3, 3, 3), 0.bias, 2.weight (in, hidden, 3, 3, 3), 2.bias, of matrices
        (hidden, in, 2) and (in, hidden, 2): of the row itself, and of the mean row; and, from standardised training,
        scale.in and scale.out, each the (mean, unit) of a domain.
    Raises ValueError when the generator is for kernels with another number of input channels.
    """
    kernels = np.asarray(kernels, np.float32)
    axes = generator["0.weight"].ndim  # those of the kernels too: 5, or of matrices 3
    if kernels.ndim != axes or kernels.shape[2] != generator["0.weight"].shape[1]:
        wanted = f"(n, out, {generator['0.weight'].shape[1]}{', 5, 5' if axes == 5 else ''})"
        raise ValueError(f"kernels have shape {kernels.shape}; this generator translates {wanted}.")
    plain = np.array([0, 1], np.float32)
    before, after = generator.get("scale.in", plain), generator.get("scale.out", plain)
    network = {name: torch.as_tensor(generator[name], device=device) for name in _shapes(1, 1, 1)}
    result = np.empty_like(kernels)
    for start in range(0, len(kernels), batch_size):
        part = slice(start, start + batch_size)
        x = torch.from_numpy(_to_network(kernels[part], before)).to(device)
        with torch.no_grad():
            y = _generate(network, x).cpu().numpy()
        result[part] = y.transpose(axes - 1, 1, 0, *range(2, axes - 1)) * after[1] + after[0]
    return result
