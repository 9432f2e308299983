"""Dropout's mask: a share of the units, independent of each other, and a function of their place alone."""

import numpy as np
import pytest

from zoofuse.native import dropout

KEY, IMAGES, UNITS = 0x0123456789ABCDEF, np.arange(64), 400


def hashed(words: list[int]) -> int:
    """The same hash, word by word, in Python's integers."""

    def mixed(x: int) -> int:
        x = (x ^ x >> 16) * 0x7FEB352D % 2**32
        x = (x ^ x >> 15) * 0x846CA68B % 2**32
        return x ^ x >> 16

    *before, unit = words
    state = 0
    for word in before:
        state = mixed((state + 0x9E3779B9) % 2**32 ^ word)
    return mixed((state + 0x9E3779B9 * unit) % 2**32)


def test_one_unit_by_hand():
    kept = dropout.mask(KEY, 7, IMAGES, 3, UNITS, 0.3)
    for image, unit in ((0, 0), (5, 17), (63, 399)):
        drawn = hashed([KEY % 2**32, KEY >> 32, 7, 3, image, unit])
        assert kept[image, unit] == (drawn >= round(0.3 * 2**32))


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_the_share_is_met(share):
    kept = np.stack([dropout.mask(KEY, step, IMAGES, 3, UNITS, share) for step in range(40)])
    deviation = np.sqrt(share * (1 - share) / kept.size)
    assert abs(1 - kept.mean() - share) <= 4 * deviation
    # No unit, image or step is dropped oftener than chance explains.
    for axes in ((0, 1), (0, 2), (1, 2)):
        means = kept.mean(axes)
        size = kept.size // means.size
        assert np.abs(1 - means - share).max() <= 5.5 * np.sqrt(share * (1 - share) / size)
    assert dropout.scale(share) * kept.mean() == pytest.approx(1, abs=0.02)


def test_every_word_counts_and_masks_are_independent():
    first = dropout.mask(KEY, 7, IMAGES, 3, UNITS, 0.5)
    assert np.array_equal(first[10:20], dropout.mask(KEY, 7, IMAGES[10:20], 3, UNITS, 0.5))
    assert np.array_equal(first[:, :50], dropout.mask(KEY, 7, IMAGES, 3, 50, 0.5))
    others = [(KEY + 1, 7, 3), (KEY + 2**32, 7, 3), (KEY, 8, 3), (KEY, 7, 4)]
    for key, step, layer in others:
        agreement = (dropout.mask(key, step, IMAGES, layer, UNITS, 0.5) == first).mean()
        assert abs(agreement - 0.5) < 5 * 0.5 / np.sqrt(first.size)
    neighbours = [(first[:, 1:] == first[:, :-1]).mean(), (first[1:] == first[:-1]).mean()]
    assert np.abs(np.array(neighbours) - 0.5).max() < 5 * 0.5 / np.sqrt(first.size)


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_impossible_shares_are_refused(share):
    with pytest.raises(ValueError, match="dropout: "):
        dropout.mask(KEY, 0, IMAGES, 0, 1, share)
