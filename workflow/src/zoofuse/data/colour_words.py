"""The colour word of an image by a stated rule, for images whose colours nobody labelled.

A pixel has a word by its hue, saturation and value; an image has the word that covers most of its middle,
or of all of it, where that is enough. An image without a clear colour has none, and serves neither as an
example of a colour nor of its absence.
"""

import numpy as np

# Word -> hue in degrees (from, to), saturation, value: the first that fits is a pixel's.
RULE = {
    "black": ((0, 360), (0, 1), (0, 0.22)),
    "white": ((0, 360), (0, 0.18), (0.78, 1)),
    "grey": ((0, 360), (0, 0.18), (0.22, 0.78)),
    "brown": ((8, 50), (0.18, 1), (0.22, 0.68)),
    "orange": ((14, 40), (0.18, 1), (0.68, 1)),
    "yellow": ((40, 70), (0.18, 1), (0.22, 1)),
    "green": ((70, 165), (0.18, 1), (0.22, 1)),
    "blue": ((165, 265), (0.18, 1), (0.22, 1)),
    "purple": ((265, 335), (0.18, 1), (0.22, 1)),
    "red": ((0, 360), (0.18, 1), (0.22, 1)),  # what is left, on both sides of 0 degrees
}
WORDS = tuple(RULE)
LEAST_SHARE = 0.4  # of the place, that a word covers where an image has it
LEAST_LEAD = 1.5  # times as much as the next word


def pixel_words(images: np.ndarray) -> np.ndarray:
    """The index into WORDS of every pixel.

    Args:
        images: uint8 (n, height, width, 3).

    Returns:
        uint8 (n, height, width).
    """
    rgb = images.astype(np.float32) / 255
    value, least = rgb.max(-1), rgb.min(-1)
    chroma = value - least
    saturation = np.where(value > 0, chroma / np.maximum(value, 1e-6), 0)
    red, green, blue = np.moveaxis(rgb, -1, 0)
    by = np.maximum(chroma, 1e-6)
    hue = np.select(
        [value == red, value == green],
        [(green - blue) / by % 6, (blue - red) / by + 2],
        (red - green) / by + 4,
    )
    hue = 60 * hue
    fits = [
        (hue >= hues[0]) & (hue <= hues[1]) & (saturation <= saturations[1])
        & (saturation >= saturations[0]) & (value >= values[0]) & (value <= values[1])
        for hues, saturations, values in RULE.values()
    ]  # fmt: skip
    return np.argmax(fits, axis=0).astype(np.uint8)


def shares(images: np.ndarray, place: str = "middle") -> np.ndarray:
    """How much of each image each word covers.

    Args:
        images: uint8 (n, height, width, 3).
        place: "middle" weights pixels by a Gaussian about the centre (standard deviation 1/4 of the
            side), "everywhere" weights all alike.

    Returns:
        float32 (n, len(WORDS)), each row sums to 1.
    """
    height, width = images.shape[1:3]
    weights = np.ones((height, width), np.float32)
    if place == "middle":
        y, x = np.linspace(-2, 2, height)[:, None], np.linspace(-2, 2, width)
        weights = np.exp(-(x**2 + y**2) / 2).astype(np.float32)
    weights /= weights.sum()
    words = pixel_words(images)
    return np.stack([((words == i) * weights).sum((1, 2)) for i in range(len(WORDS))], 1).astype(np.float32)


def words(images: np.ndarray, place: str = "middle") -> np.ndarray:
    """The colour word of each image.

    Args:
        images: uint8 (n, height, width, 3).
        place: "middle" or "everywhere".

    Returns:
        str (n,): the word that covers at least LEAST_SHARE of the place and LEAST_LEAD times as much as
        the next one; "" where none does.
    """
    found = np.concatenate([shares(images[i : i + 1000], place) for i in range(0, len(images), 1000)] or [
        np.empty((0, len(WORDS)), np.float32)
    ])  # fmt: skip
    ordered = np.sort(found, axis=1)
    clear = (ordered[:, -1] >= LEAST_SHARE) & (ordered[:, -1] >= LEAST_LEAD * ordered[:, -2])
    return np.where(clear, np.array(WORDS)[found.argmax(1)], "")
