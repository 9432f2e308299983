"""REPAIR: merged CNNs whose channels vary as much as their parents' do.

Jordan et al. 2023, "REPAIR: REnormalizing Permuted Activations for Interpolation Repair": averaging weights lets the
variance of activations collapse. Each channel of the merged CNN is scaled and shifted so that its mean and standard
deviation before the ReLU are the means of its parents', layer after layer.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from zoofuse.core import files
from zoofuse.methods import distil
from zoofuse.models import cnn
from zoofuse.zoo import zoo

# Of dead leaves, that activations are measured on. More change little: of each channel these are 50,000 activations in
# the smallest layer of the published CNN.
IMAGES = 500
_AT_ONCE = 16  # CNNs


def write(average: Path, zoos: Mapping[str, list[Path]], seed: int, fusion: str, output: Path) -> None:
    """Write the CNNs of a file by `generate.average`, repaired on images of dead leaves, with the same heads.

    Args:
        average: The CNNs to repair.
        zoos: Domain -> the zoo files of their parents, of equal index.
        seed: The run's seed.
        fusion: The fusion's name.
        output: The zoo file to write.
    """
    (n,) = zoo.sizes([average])
    parents, images = [zoo.Stored(paths) for paths in zoos.values()], distil.leaves(IMAGES, seed, fusion, "repair")
    with files.create(output, "zoo", method="repair", seed=seed, sources=[files.fingerprint(average)]) as writer:
        for rows in zoo.in_blocks(n):
            arrays = files.read(average, "zoo", rows=rows)
            names = [name for name in arrays if name.startswith("conv")]
            of_parents = [of.pick(names, rows) for of in parents]
            writer.append(arrays | repaired(arrays, of_parents, images), of=n)


def repaired(merged: Mapping[str, np.ndarray], parents: list, images: np.ndarray) -> dict[str, np.ndarray]:
    """Conv weights and biases of n merged CNNs, repaired.

    Args:
        merged: Name -> (n, ...).
        parents: For each zoo the n CNNs that were merged, name -> (n, ...).
        images: uint8 (m, 32, 32, 3), that activations are measured on.

    Returns:
        Conv layers, name -> float32 (n, ...).
    """
    x = cnn.normalise(torch.from_numpy(images))
    names = [name for name in merged if name.startswith("conv")]
    result = {name: merged[name].copy() for name in names}
    for start in range(0, len(result["conv1.bias"]), _AT_ONCE):
        part, *parts_of_parents = (
            {name: torch.from_numpy(of[name][start : start + _AT_ONCE]) for name in names} for of in (result, *parents)
        )
        with torch.inference_mode():
            targets = [
                torch.stack(values).mean(0)
                for values in zip(*(_statistics(of, x) for of in parts_of_parents), strict=True)
            ]
            for layer, (mean, spread) in enumerate(targets, start=1):
                now_mean, now_spread = list(_statistics(part, x))[layer - 1]  # with the layers before it repaired
                scale = spread / now_spread.clamp_min(1e-6)
                part[f"conv{layer}.weight"] *= scale[..., None, None, None]
                part[f"conv{layer}.bias"].sub_(now_mean).mul_(scale).add_(mean)
    return result


def _statistics(weights: cnn.Weights, x: torch.Tensor):
    """For each layer the mean and standard deviation (2, n, out) of its channels before the ReLU."""
    for values in cnn.preactivations(weights, x):
        yield torch.stack([values.mean((1, 3, 4)), values.std((1, 3, 4))])
