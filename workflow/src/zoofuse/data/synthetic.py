"""The embedded default images: 32x32 scenes of cats, other animals and things in many colours, drawn by ourselves.

A scene has one subject, of a kind and a colour, in some pose, size and place, before a cluttered background of any
brightness, under some light, seen by a noisy sensor. Selectors (see `selectors`) say which scenes are meant, by the
words of kind ("cat"), colour ("black", "dark grey") and class ("animal", "thing").
"""

import colorsys
import math
import random
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageDraw

from zoofuse.core import rng
from zoofuse.data import query

SIZE = 32  # pixels, of a finished image
_OVERSAMPLING = 4  # canvas pixels per image pixel, each way: antialiasing

Colour = tuple[int, int, int]  # RGB, 0-255
Points = Sequence[tuple[float, float]]

# Hue in degrees, saturation and value in [0, 1], each from-to. Neighbours are close: dark grey is not black.
_COLOURS = {
    "black": ((0, 360), (0.0, 0.3), (0.03, 0.22)),
    "dark grey": ((0, 360), (0.0, 0.12), (0.25, 0.36)),
    "grey": ((0, 360), (0.0, 0.10), (0.48, 0.70)),
    "white": ((0, 360), (0.0, 0.07), (0.88, 1.0)),
    "dark brown": ((14, 30), (0.45, 0.75), (0.25, 0.36)),
    "brown": ((16, 32), (0.45, 0.70), (0.42, 0.62)),
    "orange": ((20, 33), (0.65, 0.90), (0.78, 0.98)),
    "cream": ((34, 46), (0.18, 0.40), (0.84, 0.97)),
    "dark red": ((348, 366), (0.55, 0.85), (0.25, 0.36)),
    "dark blue": ((210, 242), (0.45, 0.80), (0.25, 0.36)),
    "dark green": ((95, 150), (0.40, 0.75), (0.24, 0.35)),
    "red": ((348, 366), (0.65, 0.90), (0.55, 0.92)),
    "blue": ((205, 238), (0.50, 0.85), (0.40, 0.88)),
    "green": ((90, 145), (0.40, 0.75), (0.33, 0.72)),
    "yellow": ((47, 56), (0.65, 0.92), (0.84, 1.0)),
}
_COATS = ("black", "dark grey", "grey", "white", "dark brown", "brown", "orange", "cream")
_PINK, _DARK, _WOOD = (214, 140, 140), (22, 18, 20), (112, 78, 48)


def scenes(texts: Sequence[str]) -> list[tuple[str, str]]:
    """The (colour, kind) pairs that match at least one of the selectors `texts`.

    Raises ValueError for no selector, for one that `selectors.parse` refuses, and for one that matches nothing.
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
        fitting = _one_of(generator, choices)
        kind = _one_of(generator, list(dict.fromkeys(kind for _, kind in fitting)))
        colour = _one_of(generator, [colour for colour, other in fitting if other == kind])
        images[i] = _photograph(
            _scene(generator, colour, kind), generator, rng.bits(images[i].size, seed, "noise", stream, i)
        )
        names.append(f"{colour} {kind}".replace(" ", "-") + f"_{i:04d}")
    return images, names


def contact_sheet(images: np.ndarray, columns: int, scale: int = 2) -> Image.Image:
    """One picture of all `images` (n, 32, 32, 3), row by row, each pixel enlarged `scale` times, on white."""
    rows = -(-len(images) // columns)
    step = SIZE * scale + 2
    sheet = Image.new("RGB", (columns * step - 2, rows * step - 2), "white")
    for i, image in enumerate(images):
        enlarged = Image.fromarray(image).resize((SIZE * scale, SIZE * scale), Image.Resampling.NEAREST)
        sheet.paste(enlarged, (i % columns * step, i // columns * step))
    return sheet


# --- choices


def _matching(text: str) -> list[tuple[str, str]]:
    selector = query.parse(text, VOCABULARY)
    found = [pair for pair in _SCENES if selector.matches(_words(*pair))]
    if not found:
        raise ValueError(
            f"selector {text!r}: no drawn image matches. Kinds: {', '.join(_KINDS)}. Colours: {', '.join(_COLOURS)}, "
            f"but cats, dogs and rabbits only {', '.join(_COATS)}."
        )
    return found


def _words(colour: str, kind: str) -> set[str]:
    return {*colour.split(), kind, "animal" if kind in _ANIMALS else "thing"}


def _one_of(generator: random.Random, items: Sequence):
    return items[int(generator.random() * len(items))]  # Random.random() alone is promised to stay the same


def _shade_of(generator: random.Random, colour: str) -> Colour:
    (h0, h1), saturation, value = _COLOURS[colour]
    hue = generator.uniform(h0, h1) % 360 / 360
    return _rgb(colorsys.hsv_to_rgb(hue, generator.uniform(*saturation), generator.uniform(*value)))


def _any_colour(generator: random.Random) -> Colour:
    return _rgb(colorsys.hsv_to_rgb(generator.random(), generator.random() ** 2 * 0.5, generator.uniform(0.03, 1)))


def _rgb(fractions: Sequence[float]) -> Colour:
    return tuple(round(255 * fraction) for fraction in fractions)


def _mix(a: Colour, b: Colour, share: float) -> Colour:
    return tuple(round(x + (y - x) * share) for x, y in zip(a, b, strict=True))


def _shadow(colour: Colour) -> Colour:
    """A tone beside `colour` that still shows on it: lighter on the dark ones."""
    return _mix(colour, (128, 128, 136), 0.22) if max(colour) < 70 else _mix(colour, (0, 0, 0), 0.32)


# --- the scene: background, clutter, subject


class _Pen:
    """Draws on a canvas in the subject's own coordinates: x right, y down, the subject within about [-1, 1]."""

    def __init__(
        self, canvas: Image.Image, x: float, y: float, scale: float, tilt: float = 0.0, mirrored: bool = False
    ):
        self._drawing = ImageDraw.Draw(canvas)
        side = canvas.width / 2
        cos, sin = math.cos(tilt) * scale * side, math.sin(tilt) * scale * side
        flip = -1 if mirrored else 1
        self._matrix = (flip * cos, -sin, (1 + x) * side, flip * sin, cos, (1 + y) * side)
        self._unit = scale * side

    def _place(self, points: Points) -> list[tuple[float, float]]:
        a, b, c, d, e, f = self._matrix
        return [(a * x + b * y + c, d * x + e * y + f) for x, y in points]

    def polygon(self, points: Points, colour: Colour) -> None:
        self._drawing.polygon(self._place(points), fill=colour)

    def box(self, x0: float, y0: float, x1: float, y1: float, colour: Colour) -> None:
        self.polygon([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], colour)

    def oval(self, x: float, y: float, rx: float, ry: float, colour: Colour, tilt: float = 0.0) -> None:
        cos, sin = math.cos(tilt), math.sin(tilt)
        ring = [(u * rx, v * ry) for u, v in _CIRCLE]
        self.polygon([(x + u * cos - v * sin, y + u * sin + v * cos) for u, v in ring], colour)

    def line(self, points: Points, width: float, colour: Colour) -> None:
        self._drawing.line(self._place(points), fill=colour, width=max(1, round(width * self._unit)), joint="curve")


_CIRCLE = [(math.cos(k * math.pi / 10), math.sin(k * math.pi / 10)) for k in range(20)]


def _scene(generator: random.Random, colour: str, kind: str) -> Image.Image:
    side = SIZE * _OVERSAMPLING
    canvas = Image.new("RGB", (side, side), _any_colour(generator))
    _background(_Pen(canvas, 0, 0, 1), generator)
    for _ in range(int(generator.random() * 4)):
        pen = _Pen(
            canvas,
            generator.uniform(-1, 1),
            generator.uniform(-1, 1),
            generator.uniform(0.1, 0.3),
            generator.uniform(-3, 3),
        )
        _one_of(generator, _DISTRACTORS)(pen, generator, _any_colour(generator))
    blur = _one_of(generator, (4, 8, 16))  # the camera looks at the subject, so what is behind is out of focus
    canvas = canvas.reduce(blur).resize(canvas.size, Image.Resampling.BILINEAR)
    scale = generator.uniform(0.85, 1.0)
    room = 1.06 - scale
    pen = _Pen(
        canvas,
        x=generator.uniform(-room, room),
        y=generator.uniform(-room, room),
        scale=scale,
        tilt=generator.uniform(-0.15, 0.15),
        mirrored=generator.random() < 0.5,
    )
    _KINDS[kind](pen, generator, _shade_of(generator, colour))
    if generator.random() < 0.1:  # something stands before the subject
        pen = _Pen(canvas, _one_of(generator, (-1, 1)) * 0.9, generator.uniform(-1, 1), generator.uniform(0.15, 0.3))
        _one_of(generator, _DISTRACTORS)(pen, generator, _any_colour(generator))
    return canvas


def _background(pen: _Pen, generator: random.Random) -> None:
    far, near = _any_colour(generator), _any_colour(generator)
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
            _mix(_any_colour(generator), near, generator.random()),
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


# --- animals


# Mostly face on, as people photograph their animals.
_POSES = ("portrait",) * 4 + ("sitting",) * 2 + ("standing", "lying")


def _mammal(head: Callable, tail: Callable, stout: float = 1.0, legs: float = 1.0) -> Callable:
    """Portrait, sitting, standing or lying; `head` and `tail` tell which animal it is."""

    def subject(pen: _Pen, generator: random.Random, coat: Colour) -> None:
        other = _shadow(coat)
        marks = generator.random()  # below 0.3 stripes, below 0.45 a white chest
        chest = _mix((240, 236, 228), coat, 0.1) if 0.3 < marks < 0.45 else coat
        turn = generator.uniform(-1, 1)
        pose = _one_of(generator, _POSES)
        if pose == "portrait":
            pen.oval(0, 0.95, 0.75 * stout, 0.55, coat)
            pen.oval(0, 0.95, 0.35, 0.4, chest)
            head(pen, generator, 0.0, 0.05, 0.68, turn * 0.5, coat)
        elif pose == "sitting":
            tail(pen, generator, 0.3, 0.8, coat)
            pen.oval(0, 0.4, 0.4 * stout, 0.55, coat)
            pen.oval(-0.3, 0.75, 0.2, 0.22, coat)
            pen.oval(0.3, 0.75, 0.2, 0.22, coat)
            if marks < 0.3:
                for y in (0.2, 0.4, 0.6):
                    pen.line([(0.12, y), (0.36, y - 0.08)], 0.07, other)
                    pen.line([(-0.12, y), (-0.36, y - 0.08)], 0.07, other)
            pen.oval(0, 0.35, 0.2, 0.3, chest)
            for x in (-0.12, 0.12):
                pen.oval(x, 0.72, 0.1, 0.28, chest if chest != coat else _mix(coat, other, 0.4))
            head(pen, generator, 0.0, -0.3, 0.46, turn * 0.7, coat)
        elif pose == "standing":
            foot = 0.35 + 0.5 * legs
            tail(pen, generator, 0.52, 0.0, coat)
            for x, tone in ((-0.3, other), (0.36, other), (-0.44, coat), (0.48, coat)):
                sway = generator.uniform(-0.08, 0.08)
                pen.polygon([(x - 0.1, 0.1), (x + 0.1, 0.1), (x + 0.07 + sway, foot), (x - 0.07 + sway, foot)], tone)
            pen.oval(0.02, 0.1, 0.6, 0.27 * stout, coat)
            if marks < 0.3:
                for x in (-0.3, -0.1, 0.1, 0.3):
                    pen.line([(x, -0.13), (x + 0.05, 0.17)], 0.07, other)
            pen.polygon([(-0.6, -0.25), (-0.3, -0.12), (-0.3, 0.2), (-0.6, 0.1)], coat)
            head(pen, generator, -0.55, -0.25, 0.42, -1.0 + 0.6 * abs(turn), coat)
        else:
            tail(pen, generator, 0.72, 0.5, coat)
            pen.oval(0.12, 0.42, 0.72, 0.3 * stout, coat)
            pen.oval(0.5, 0.5, 0.28, 0.24, _mix(coat, other, 0.4))
            if marks < 0.3:
                for x in (-0.2, 0.0, 0.2, 0.4):
                    pen.line([(x, 0.15), (x + 0.05, 0.42)], 0.07, other)
            pen.oval(-0.55, 0.66, 0.3, 0.09, chest if chest != coat else _mix(coat, other, 0.4))
            head(pen, generator, -0.4, 0.0, 0.45, turn, coat)

    return subject


def _eyes(pen: _Pen, x: float, y: float, r: float, spread: float, size: float, iris: Colour, slit: float) -> None:
    for side in (-1, 1):
        pen.oval(x + side * spread * r, y, size * r, size * r, iris)
        pen.oval(x + side * spread * r, y, slit * r, size * 0.8 * r, _DARK)


def _cat_head(pen: _Pen, generator: random.Random, x: float, y: float, r: float, turn: float, coat: Colour) -> None:
    lean = 0.2 * turn * r
    point = generator.uniform(1.2, 1.45)
    for side in (-1, 1):
        base = [(x + side * 0.18 * r, y - 0.75 * r), (x + side * 0.98 * r, y - 0.2 * r)]
        pen.polygon([*base, (x + side * 0.85 * r + lean, y - point * r)], coat)
        inner = [(x + side * 0.4 * r, y - 0.7 * r), (x + side * 0.85 * r, y - 0.45 * r)]
        pen.polygon([*inner, (x + side * 0.8 * r + lean, y - (point - 0.25) * r)], _mix(coat, _PINK, 0.6))
    pen.oval(x, y, 1.05 * r, 0.88 * r, coat)
    if generator.random() < 0.3:
        for u in (-0.25, 0.0, 0.25):
            pen.line([(x + u * r + lean, y - 0.8 * r), (x + u * r + lean, y - 0.45 * r)], 0.1 * r, _shadow(coat))
    iris = _one_of(generator, ((196, 190, 60), (120, 176, 80), (214, 150, 40), (110, 160, 200)))
    _eyes(pen, x + lean, y - 0.08 * r, r, 0.44, 0.25, iris, generator.uniform(0.05, 0.13))
    for side in (-1, 1):
        pen.oval(x + lean * 1.5 + side * 0.16 * r, y + 0.42 * r, 0.22 * r, 0.17 * r, _mix(coat, (240, 236, 230), 0.35))
    nose = [(x + lean * 1.5 + u * r, y + v * r) for u, v in ((-0.13, 0.2), (0.13, 0.2), (0, 0.36))]
    pen.polygon(nose, _PINK)
    hair = (60, 56, 56) if sum(coat) > 400 else (225, 225, 225)
    for side in (-1, 1):
        for rise in (0.22, 0.5):
            start = (x + lean + side * 0.4 * r, y + 0.4 * r)
            pen.line([start, (x + lean + side * 1.35 * r, y + rise * r)], 0.02, hair)


def _dog_head(pen: _Pen, generator: random.Random, x: float, y: float, r: float, turn: float, coat: Colour) -> None:
    lean = 0.35 * turn * r
    ear = _mix(coat, _shadow(coat), generator.uniform(0.3, 1))
    pen.oval(x, y, 0.85 * r, 0.92 * r, coat)
    length = generator.uniform(0.5, 0.75)
    if generator.random() < 0.3:  # half-raised ears: not every dog's hang
        for side in (-1, 1):
            root = [(x + side * 0.25 * r, y - 0.8 * r), (x + side * 0.85 * r, y - 0.4 * r)]
            pen.polygon([*root, (x + side * 1.0 * r, y - 1.15 * r)], ear)
            pen.polygon([root[1], (x + side * 1.0 * r, y - 1.15 * r), (x + side * 1.2 * r, y - 0.6 * r)], ear)
    else:
        for side in (-1, 1):
            pen.oval(x + side * 0.85 * r, y + 0.05 * r, 0.26 * r, length * r, ear, -side * 0.25)
    _eyes(pen, x + lean, y - 0.2 * r, r, 0.35, 0.13, (90, 60, 40), 0.09)
    snout = 0.75 * turn * r
    muzzle = _mix(coat, (235, 225, 210), generator.uniform(0, 0.5))
    pen.oval(x + snout * 0.7, y + 0.42 * r, (0.4 + 0.3 * abs(turn)) * r, 0.4 * r, muzzle)
    pen.oval(x + snout * 1.3, y + 0.25 * r, 0.2 * r, 0.15 * r, _DARK)
    if generator.random() < 0.4:
        pen.oval(x + snout, y + 0.85 * r, 0.14 * r, 0.25 * r, (220, 100, 110))


def _rabbit_head(pen: _Pen, generator: random.Random, x: float, y: float, r: float, turn: float, coat: Colour) -> None:
    y, r = y + 0.15 * r, 0.8 * r
    lean = 0.2 * turn * r
    for side in (-1, 1):
        spread = generator.uniform(0.0, 0.45) * side
        across, up = x + side * 0.4 * r + math.sin(spread) * r, y - 0.6 * r - math.cos(spread) * r
        pen.oval(across, up, 0.28 * r, 1.0 * r, coat, spread)
        pen.oval(across, up, 0.13 * r, 0.75 * r, _mix(coat, _PINK, 0.6), spread)
    pen.oval(x, y, 0.95 * r, 0.92 * r, coat)
    _eyes(pen, x + lean, y - 0.1 * r, r, 0.55, 0.16, (70, 40, 36), 0.12)
    for side in (-1, 1):
        pen.oval(x + lean + side * 0.2 * r, y + 0.45 * r, 0.27 * r, 0.22 * r, _mix(coat, (245, 240, 236), 0.4))
    pen.oval(x + lean, y + 0.25 * r, 0.13 * r, 0.1 * r, _PINK)
    pen.box(x + lean - 0.1 * r, y + 0.6 * r, x + lean + 0.1 * r, y + 0.8 * r, (245, 245, 240))


def _cat_tail(pen: _Pen, generator: random.Random, x: float, y: float, coat: Colour) -> None:
    bend, rise = generator.uniform(-0.3, 0.35), generator.uniform(0.3, 0.8)
    curve = [(x, y), (x + 0.25, y - 0.1 * rise), (x + 0.38, y - 0.5 * rise), (x + 0.38 + bend, y - rise)]
    pen.line(curve, 0.11, coat)
    pen.oval(*curve[-1], 0.055, 0.055, coat)


def _dog_tail(pen: _Pen, generator: random.Random, x: float, y: float, coat: Colour) -> None:
    drop = generator.uniform(-0.45, 0.25)
    pen.polygon([(x, y - 0.1), (x + 0.42, y + drop), (x + 0.36, y + drop + 0.12), (x, y + 0.1)], coat)


def _rabbit_tail(pen: _Pen, generator: random.Random, x: float, y: float, coat: Colour) -> None:
    pen.oval(x + 0.1, y - 0.02, 0.15, 0.15, _mix(coat, (250, 250, 250), generator.uniform(0.3, 0.8)))


def _bird(pen: _Pen, generator: random.Random, coat: Colour) -> None:
    wing, bill = _shadow(coat), _one_of(generator, ((230, 160, 40), (120, 100, 70), (60, 56, 50)))
    if generator.random() < 0.35:  # flying, seen from the side
        lift = generator.uniform(-0.9, 0.5)
        pen.polygon([(-0.25, 0), (0.25, 0.05), (0.55, lift - 0.1), (0.15, lift)], _mix(coat, wing, 0.5))
        pen.polygon([(0.4, 0.0), (1.0, -0.12), (0.95, 0.18)], wing)
        pen.oval(0, 0.05, 0.55, 0.22, coat)
        pen.polygon([(-0.3, 0.02), (0.2, 0.05), (0.1, -lift - 0.1), (-0.25, -lift)], wing)
        x, y = -0.55, -0.05
    else:
        for side in (-0.1, 0.12):
            pen.line([(side, 0.4), (side + 0.03, 0.9)], 0.06, bill)
        pen.polygon([(0.3, 0.15), (1.0, 0.35), (0.9, 0.55), (0.2, 0.4)], wing)
        pen.oval(0.02, 0.15, 0.52, 0.36, coat, 0.5)
        pen.oval(0.15, 0.18, 0.4, 0.2, wing, 0.5)
        x, y = -0.38, -0.35
    pen.polygon([(x - 0.2, y - 0.1), (x - 0.55, y + 0.05), (x - 0.2, y + 0.12)], bill)
    pen.oval(x, y, 0.27, 0.26, coat)
    pen.oval(x - 0.1, y - 0.05, 0.07, 0.07, (240, 240, 235))
    pen.oval(x - 0.1, y - 0.05, 0.04, 0.04, _DARK)


def _fish(pen: _Pen, generator: random.Random, coat: Colour) -> None:
    fin, depth = _shadow(coat), generator.uniform(0.28, 0.5)
    pen.polygon([(0.4, 0), (1.0, -0.42), (0.85, 0), (1.0, 0.42)], fin)
    pen.polygon([(-0.3, -depth * 0.8), (0.1, -depth - 0.25), (0.4, -depth * 0.6)], fin)
    pen.polygon([(-0.1, depth * 0.8), (0.15, depth + 0.2), (0.3, depth * 0.7)], fin)
    pen.oval(-0.15, 0, 0.75, depth, coat)
    if generator.random() < 0.4:
        for x in (-0.3, 0.0, 0.25):
            pen.line([(x, -depth * 0.8), (x + 0.04, depth * 0.8)], 0.09, fin)
    pen.oval(-0.55, -0.08, 0.11, 0.11, (240, 240, 235))
    pen.oval(-0.57, -0.08, 0.06, 0.06, _DARK)
    pen.line([(-0.88, 0.1), (-0.7, 0.13)], 0.05, fin)


# --- things


def _car(pen: _Pen, generator: random.Random, paint: Colour) -> None:
    glass = _mix((150, 190, 215), _DARK, generator.uniform(0, 0.8))
    back = _one_of(generator, (0.45, 0.92))  # saloon or van
    roof = generator.uniform(-0.6, -0.4)
    pen.polygon([(-0.55, 0), (-0.28, roof), (back - 0.15, roof), (back, 0)], paint)
    pen.polygon([(-0.42, -0.03), (-0.22, roof + 0.1), (0.02, roof + 0.1), (0.02, -0.03)], glass)
    pen.polygon([(0.1, -0.03), (0.1, roof + 0.1), (back - 0.2, roof + 0.1), (back - 0.1, -0.03)], glass)
    pen.polygon([(-0.98, 0.1), (-0.9, 0), (0.92, -0.04), (0.98, 0.4), (-0.98, 0.4)], paint)
    pen.line([(-0.95, 0.28), (0.95, 0.28)], 0.05, _shadow(paint))
    for x in (-0.55, 0.55):
        pen.oval(x, 0.4, 0.23, 0.23, _DARK)
        pen.oval(x, 0.4, 0.11, 0.11, (170, 170, 175))
    pen.oval(-0.92, 0.13, 0.07, 0.07, (250, 240, 180))


def _house(pen: _Pen, generator: random.Random, paint: Colour) -> None:
    roof = _mix(_shadow(paint), _one_of(generator, ((150, 60, 45), (80, 80, 90), paint)), 0.5)
    width, peak = generator.uniform(0.55, 0.85), generator.uniform(-1.0, -0.7)
    pen.box(-width, -0.25, width, 0.85, paint)
    pen.polygon([(-width - 0.15, -0.22), (0, peak), (width + 0.15, -0.22)], roof)
    pen.box(-0.13, 0.3, 0.15, 0.85, _mix(_WOOD, _shadow(paint), 0.4))
    window = _one_of(generator, ((240, 225, 150), (150, 185, 210), (235, 235, 235)))
    for x in (-0.65 * width, 0.65 * width):
        pen.box(x - 0.15, -0.05, x + 0.15, 0.22, window)


def _tree(pen: _Pen, generator: random.Random, leaves: Colour) -> None:
    pen.polygon([(-0.1, 0.1), (0.1, 0.1), (0.16, 0.98), (-0.16, 0.98)], _mix(_WOOD, leaves, 0.2))
    if generator.random() < 0.4:  # a fir
        for y, half in ((0.6, 0.7), (0.2, 0.55), (-0.2, 0.4)):
            pen.polygon([(-half, y), (half, y), (0, y - 0.75)], leaves)
    else:
        for _ in range(7):
            x, y, r = generator.uniform(-0.4, 0.4), generator.uniform(-0.6, 0.05), generator.uniform(0.25, 0.4)
            pen.oval(x, y, r, r, _mix(leaves, _shadow(leaves), generator.uniform(0, 0.4)))
        pen.oval(0, -0.3, 0.5, 0.45, leaves)


def _cup(pen: _Pen, generator: random.Random, glaze: Colour) -> None:
    foot = generator.uniform(0.3, 0.55)
    pen.oval(0.6, 0.1, 0.32, 0.36, glaze)
    pen.oval(0.6, 0.1, 0.18, 0.22, _any_colour(generator))
    pen.polygon([(-0.6, -0.55), (0.6, -0.55), (foot, 0.75), (-foot, 0.75)], glaze)
    pen.oval(0, 0.75, foot, 0.13, glaze)
    pen.oval(0, -0.55, 0.6, 0.18, _mix(glaze, (255, 255, 255), 0.25))
    pen.oval(0, -0.53, 0.5, 0.12, _one_of(generator, ((70, 44, 26), (150, 90, 40), (235, 230, 220))))
    if generator.random() < 0.4:
        pen.line([(-0.54, 0.0), (0.53, 0.0)], 0.14, _shadow(glaze))


def _ball(pen: _Pen, generator: random.Random, paint: Colour) -> None:
    pen.oval(0, 0, 0.8, 0.8, paint)
    mark = generator.random()
    if mark < 0.35:
        pen.line([(-0.75, -0.1), (0, 0.12), (0.75, -0.1)], 0.16, _shadow(paint))
    elif mark < 0.7:
        for x, y in ((0, 0), (-0.5, -0.3), (0.5, -0.3), (-0.3, 0.5), (0.3, 0.5)):
            pen.oval(x, y, 0.15, 0.15, _shadow(paint))
    pen.oval(-0.28, -0.32, 0.18, 0.14, _mix(paint, (255, 255, 255), 0.4), -0.6)


def _shoe(pen: _Pen, generator: random.Random, leather: Colour) -> None:
    top = generator.uniform(-0.7, -0.2)  # boots to slippers
    upper = [(0.85, top), (0.25, top), (0.15, -0.05), (-0.55, 0.1), (-0.92, 0.28), (-0.95, 0.48), (0.88, 0.48)]
    pen.polygon(upper, leather)
    pen.oval(-0.72, 0.32, 0.25, 0.2, _mix(leather, _shadow(leather), 0.5))
    sole = _one_of(generator, ((235, 230, 220), (60, 45, 35), (150, 120, 80)))
    pen.polygon([(-1.0, 0.45), (0.9, 0.45), (0.9, 0.62), (-0.95, 0.62)], sole)
    for x in (-0.3, -0.12, 0.06):
        pen.line([(x, -0.05), (x + 0.12, 0.15)], 0.06, (235, 235, 235))
    pen.oval(0.55, top, 0.3, 0.08, _shadow(leather))


_ANIMALS = {
    "cat": _mammal(_cat_head, _cat_tail),
    "dog": _mammal(_dog_head, _dog_tail, legs=1.15),
    "rabbit": _mammal(_rabbit_head, _rabbit_tail, stout=1.2, legs=0.6),
    "bird": _bird,
    "fish": _fish,
}
_KINDS = {**_ANIMALS, "car": _car, "house": _house, "tree": _tree, "cup": _cup, "ball": _ball, "shoe": _shoe}
_DISTRACTORS = (_ball, _cup, _tree, _house)
_SCENES = [(colour, kind) for kind in _KINDS for colour in (_COATS if kind in ("cat", "dog", "rabbit") else _COLOURS)]

VOCABULARY: frozenset[str] = frozenset().union(*(_words(colour, kind) for colour, kind in _SCENES))
"""Every word a selector of drawn images may use."""
