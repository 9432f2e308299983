"""The embedded default images: 32x32 scenes of cats, other animals and things in many colours, drawn by ourselves.

A scene has one subject, of a kind and a colour, in some pose, size and place, before a cluttered background of any
brightness, under some light, seen by a noisy sensor. Selectors (see `query`) say which scenes are meant, by the
words of kind ("cat"), colour ("black", "dark grey") and class ("animal", "thing").
"""

import math
import random
from collections.abc import Sequence

import numpy as np
from PIL import Image

from zoofuse.core import rng
from zoofuse.data import query
from zoofuse.data.pen import COLOURS, Pen, any_colour, mix, one_of, shade_of
from zoofuse.data.subjects import ANIMALS, DISTRACTORS, KINDS

SIZE = 32  # pixels, of a finished image
_OVERSAMPLING = 4  # canvas pixels per image pixel, each way: antialiasing
_COATS = ("black", "dark grey", "grey", "white", "dark brown", "brown", "orange", "cream")


def scenes(texts: Sequence[str]) -> list[tuple[str, str]]:
    """The (colour, kind) pairs that match at least one of the selectors `texts`.

    Raises ValueError for no selector, for one that `query.parse` refuses, and for one that matches nothing.
    """
    if not texts:
        raise ValueError('no selector; write at least one, such as "black cat"')
    wanted = {pair for text in texts for pair in _matching(text)}
    return [pair for pair in _SCENES if pair in wanted]


def draw(texts: Sequence[str], n: int, seed: int, stream: str) -> tuple[np.ndarray, list[str]]:
    """`n` images of scenes that match the selectors `texts`: uint8 (n, 32, 32, 3) and their names.

    Each image takes a selector, then a kind, then a colour, each uniformly among those that fit, so that every kind is
    seen equally often under a selector. Image i depends on `texts`, `seed`, `stream` and i only; give every set of
    images a stream of its own, for two sets of one stream share their backgrounds and light. A name is "colour-kind_i",
    such as "dark-grey-cat_0007". Raises ValueError like `scenes`.
    """
    scenes(texts)
    choices = [_matching(text) for text in texts]
    images = np.empty((n, SIZE, SIZE, 3), np.uint8)
    names = []
    for i in range(n):
        generator = random.Random(int(rng.bits(1, seed, "drawn", stream, i)[0]))
        fitting = one_of(generator, choices)
        kind = one_of(generator, list(dict.fromkeys(kind for _, kind in fitting)))
        colour = one_of(generator, [colour for colour, other in fitting if other == kind])
        images[i] = _photograph(
            _scene(generator, colour, kind), generator, rng.bits(images[i].size, seed, "noise", stream, i)
        )
        names.append(f"{colour} {kind}".replace(" ", "-") + f"_{i:04d}")
    return images, names


def pairs(colours: Sequence[str], kinds: Sequence[str]) -> list[tuple[str, str]]:
    """The (colour, kind) pairs of these that can be drawn: a cat's, dog's or rabbit's colour is a coat's.

    Raises ValueError for an unknown colour or kind.
    """
    for name, known, what in [(c, COLOURS, "colour") for c in colours] + [(k, KINDS, "kind") for k in kinds]:
        if name not in known:
            raise ValueError(f"{name!r} is not a {what} of synthetic images; write some of {', '.join(known)}.")
    return [pair for pair in _SCENES if pair[0] in colours and pair[1] in kinds]


def contact_sheet(images: np.ndarray, columns: int, scale: int = 2) -> Image.Image:
    """One image of all `images` (n, 32, 32, 3), row by row, each pixel enlarged `scale` times, on white."""
    rows = -(-len(images) // columns)
    step = SIZE * scale + 2
    sheet = Image.new("RGB", (columns * step - 2, rows * step - 2), "white")
    for i, image in enumerate(images):
        enlarged = Image.fromarray(image).resize((SIZE * scale, SIZE * scale), Image.Resampling.NEAREST)
        sheet.paste(enlarged, (i % columns * step, i // columns * step))
    return sheet


def words(texts: Sequence[str]) -> list[frozenset[str]]:
    """The words of each scene that matches one of the selectors; raises as `scenes` does."""
    return [frozenset(_words(*pair)) for pair in scenes(texts)]


# --- choices


def _matching(text: str) -> list[tuple[str, str]]:
    selector = query.parse(text, VOCABULARY)
    found = [pair for pair in _SCENES if selector.matches(_words(*pair))]
    if not found:
        raise ValueError(
            f"selector {text!r}: no synthetic image matches. Kinds: {', '.join(KINDS)}. Colours: {', '.join(COLOURS)}, "
            f"but cats, dogs and rabbits only {', '.join(_COATS)}."
        )
    return found


def possible(text: str) -> bool:
    """Whether any scene matches a selector of known words."""
    selector = query.parse(text, VOCABULARY)
    return any(selector.matches(_words(*pair)) for pair in _SCENES)


def _words(colour: str, kind: str) -> set[str]:
    return {*colour.split(), kind, "animal" if kind in ANIMALS else "thing"}


# --- the scene: background, clutter, subject


def _scene(generator: random.Random, colour: str, kind: str) -> Image.Image:
    side = SIZE * _OVERSAMPLING
    canvas = Image.new("RGB", (side, side), any_colour(generator))
    _background(Pen(canvas, 0, 0, 1), generator)
    for _ in range(int(generator.random() * 4)):
        pen = Pen(
            canvas,
            generator.uniform(-1, 1),
            generator.uniform(-1, 1),
            generator.uniform(0.1, 0.3),
            generator.uniform(-3, 3),
        )
        one_of(generator, DISTRACTORS)(pen, generator, any_colour(generator))
    blur = one_of(generator, (4, 8, 16))  # the camera looks at the subject, so what is behind is out of focus
    canvas = canvas.reduce(blur).resize(canvas.size, Image.Resampling.BILINEAR)
    scale = generator.uniform(0.85, 1.0)
    room = 1.06 - scale
    pen = Pen(
        canvas,
        x=generator.uniform(-room, room),
        y=generator.uniform(-room, room),
        scale=scale,
        tilt=generator.uniform(-0.15, 0.15),
        mirrored=generator.random() < 0.5,
    )
    KINDS[kind](pen, generator, shade_of(generator, colour))
    if generator.random() < 0.1:  # something stands before the subject
        pen = Pen(canvas, one_of(generator, (-1, 1)) * 0.9, generator.uniform(-1, 1), generator.uniform(0.15, 0.3))
        one_of(generator, DISTRACTORS)(pen, generator, any_colour(generator))
    return canvas


def _background(pen: Pen, generator: random.Random) -> None:
    far, near = any_colour(generator), any_colour(generator)
    pattern = generator.random()
    if pattern < 0.45:  # a wall or sky above a floor or ground
        horizon = generator.uniform(-0.4, 0.7)
        pen.box(-1, -1, 1, horizon, far)
        pen.box(-1, horizon, 1, 1, near)
    elif pattern < 0.6:  # stripes: curtain, fence, boards
        width, slope = generator.uniform(0.1, 0.4), generator.uniform(-1, 1)
        x = -2.0
        while x < 2:
            pen.polygon([(x - slope, -1), (x - slope + width, -1), (x + slope + width, 1), (x + slope, 1)], far)
            x += 2 * width
    for _ in range(int(generator.random() * 7)):  # blotches: bushes, furniture, shadows
        x, y, tint = (
            generator.uniform(-1, 1),
            generator.uniform(-1, 1),
            mix(any_colour(generator), near, generator.random()),
        )
        if generator.random() < 0.5:
            pen.oval(x, y, generator.uniform(0.1, 0.6), generator.uniform(0.1, 0.6), tint, generator.uniform(0, 3))
        else:
            pen.polygon([(x + generator.uniform(-0.7, 0.7), y + generator.uniform(-0.7, 0.7)) for _ in range(4)], tint)


def _photograph(canvas: Image.Image, generator: random.Random, noise: np.ndarray) -> np.ndarray:
    """Light and sensor: exposure, a gradient of light, a colour cast and pixel noise; uint8 (32, 32, 3)."""
    pixels = np.asarray(canvas.reduce(_OVERSAMPLING), np.float32)
    exposure, slope, angle = generator.uniform(0.65, 1.3), generator.uniform(0, 0.3), generator.uniform(0, 2 * math.pi)
    light = exposure * (1 + slope * (math.cos(angle) * _RAMP[:, None] + math.sin(angle) * _RAMP))
    cast = np.float32([generator.uniform(0.92, 1.08) for _ in range(3)])
    haze = generator.uniform(0, 24)
    grain = noise.view(np.uint8).reshape(SIZE, SIZE, 3, 8).sum(-1, dtype=np.float32)  # 8 dice: nearly normal
    grain = (grain - 1020) / 209.0  # mean 0, standard deviation 1
    pixels = pixels * light[..., None] * cast + haze + generator.uniform(3, 10) * grain
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


_RAMP = np.linspace(-1, 1, SIZE, dtype=np.float32)


_SCENES = [(colour, kind) for kind in KINDS for colour in (_COATS if kind in ("cat", "dog", "rabbit") else COLOURS)]

VOCABULARY: frozenset[str] = frozenset().union(*(_words(colour, kind) for colour, kind in _SCENES))
"""Every word a selector of synthetic images may use."""
