"""Colours, chance and a pen: what the synthetic images are drawn with."""

import colorsys
import math
import random
from collections.abc import Sequence

from PIL import Image, ImageDraw

Colour = tuple[int, int, int]  # RGB, 0-255
Points = Sequence[tuple[float, float]]

# Hue in degrees, saturation and value in [0, 1], each from-to. Neighbours are close: dark grey is not black.
COLOURS = {
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


def one_of(generator: random.Random, items: Sequence):
    """One of `items`, each as likely."""
    return items[int(generator.random() * len(items))]  # Random.random() alone is promised to stay the same


def shade_of(generator: random.Random, colour: str) -> Colour:
    """Some shade of a colour of COLOURS."""
    (h0, h1), saturation, value = COLOURS[colour]
    hue = generator.uniform(h0, h1) % 360 / 360
    return _rgb(colorsys.hsv_to_rgb(hue, generator.uniform(*saturation), generator.uniform(*value)))


def any_colour(generator: random.Random) -> Colour:
    """Any colour, mostly a pale one."""
    return _rgb(colorsys.hsv_to_rgb(generator.random(), generator.random() ** 2 * 0.5, generator.uniform(0.03, 1)))


def _rgb(fractions: Sequence[float]) -> Colour:
    return tuple(round(255 * fraction) for fraction in fractions)


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """Colour `a` with a `share` of `b` in it."""
    return tuple(round(x + (y - x) * share) for x, y in zip(a, b, strict=True))


def shadow(colour: Colour) -> Colour:
    """A tone beside `colour` that still shows on it: lighter on the dark ones."""
    return mix(colour, (128, 128, 136), 0.22) if max(colour) < 70 else mix(colour, (0, 0, 0), 0.32)


class Pen:
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
