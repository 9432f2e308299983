"""What networks of any chain of layers give for images, on flat weights."""

import numpy as np

from zoofuse.methods.generators import alignment
from zoofuse.models.network import Network

_AT_ONCE = 128  # images that PyTorch takes at once, which stay in the cache


def logits(network: Network, images: np.ndarray, flat: np.ndarray) -> np.ndarray:
    """The outputs of n networks one after another, in C++ where there is a compiler.

    Args:
        network: their architecture.
        images: uint8 (m, size, size, channels).
        flat: their weights (n, parameters).

    Returns:
        float32 (n, m, classes).
    """
    import torch

    from zoofuse.models import cnn, forward
    from zoofuse.native import network_trainer

    flat = np.asarray(flat, np.float32)
    if network_trainer.available(network)[0]:
        return np.stack([network_trainer.logits(network, images, row) for row in flat])
    x = cnn.normalise(torch.from_numpy(np.ascontiguousarray(images))).split(_AT_ONCE)
    weights, rows = alignment.unflatten(network, flat), []
    with torch.inference_mode():
        for row in range(len(flat)):
            one = {name: torch.from_numpy(values[row]) for name, values in weights.items()}
            rows.append(torch.cat([forward.logits(network, one, part) for part in x]).numpy())
    return np.stack(rows)
