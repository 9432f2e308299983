"""Which units dropout keeps: a hash of their place, so that any trainer, vector width or thread draws the same mask."""

import numpy as np

_STEP = np.uint32(0x9E3779B9)  # 2**32 over the golden ratio: consecutive units lie far apart before they are mixed


def mask(key: int, step: int, images: np.ndarray, layer: int, units: int, share: float) -> np.ndarray:
    """The units that dropout keeps, the same as network.cpp draws.

    Args:
        key: 64 bits of the CNN's own.
        step: how many optimiser steps the CNN has taken before, 0 for its first batch.
        images: (b,) places of the images in their batch, from 0.
        layer: place of the dropout in `Network.steps`, from 0.
        units: values per image, counted in PyTorch's order (channels, rows, columns).
        share: probability of dropping a unit, at least 0 and below 1. A unit that is kept is to be multiplied by
            `scale(share)`.

    Returns:
        (b, units) bool.

    Raises:
        ValueError: the share is out of its bounds.
    """
    low, high = key & 0xFFFFFFFF, key >> 32 & 0xFFFFFFFF
    state = np.zeros(len(images), np.uint32)
    for word in (low, high, step, layer, np.asarray(images)):
        state = _mixed(state + _STEP ^ np.asarray(word).astype(np.uint32))
    drawn = _mixed(state[:, None] + _STEP * np.arange(units, dtype=np.uint32))
    return drawn >= np.uint32(threshold(share))


def threshold(share: float) -> int:
    """The lowest 32-bit hash of a unit that is kept.

    Raises:
        ValueError: the share is not at least 0 and below 1.
    """
    if not 0 <= share < 1:
        raise ValueError(f"dropout: {share} is not possible; write a share from 0 to below 1.")
    return min(round(share * 2**32), 2**32 - 1)


def scale(share: float) -> np.float32:
    """What a unit that is kept is multiplied by, so that its mean stays what it was."""
    return np.float32(1 / (1 - share))


def _mixed(x: np.ndarray) -> np.ndarray:
    """Wellons' lowbias32 (2018): every bit of the result depends on every bit of x."""
    x = (x ^ x >> np.uint32(16)) * np.uint32(0x7FEB352D)
    x = (x ^ x >> np.uint32(15)) * np.uint32(0x846CA68B)
    return x ^ x >> np.uint32(16)
