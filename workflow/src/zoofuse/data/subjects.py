"""What the synthetic images show: animals and things, each of one colour, in a pose that chance chooses."""

import math
import random
from collections.abc import Callable

from zoofuse.data.pen import Colour, Pen, any_colour, mix, one_of, shadow

_PINK, _DARK, _WOOD = (214, 140, 140), (22, 18, 20), (112, 78, 48)

# Mostly face on, as people image their animals.
_POSES = ("portrait",) * 4 + ("sitting",) * 2 + ("standing", "lying")


def _mammal(head: Callable, tail: Callable, stout: float = 1.0, legs: float = 1.0) -> Callable:
    """Portrait, sitting, standing or lying; `head` and `tail` tell which animal it is."""

    def subject(pen: Pen, generator: random.Random, coat: Colour) -> None:
        other = shadow(coat)
        marks = generator.random()  # below 0.3 stripes, below 0.45 a white chest
        chest = mix((240, 236, 228), coat, 0.1) if 0.3 < marks < 0.45 else coat
        turn = generator.uniform(-1, 1)
        pose = one_of(generator, _POSES)
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
                pen.oval(x, 0.72, 0.1, 0.28, chest if chest != coat else mix(coat, other, 0.4))
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
            pen.oval(0.5, 0.5, 0.28, 0.24, mix(coat, other, 0.4))
            if marks < 0.3:
                for x in (-0.2, 0.0, 0.2, 0.4):
                    pen.line([(x, 0.15), (x + 0.05, 0.42)], 0.07, other)
            pen.oval(-0.55, 0.66, 0.3, 0.09, chest if chest != coat else mix(coat, other, 0.4))
            head(pen, generator, -0.4, 0.0, 0.45, turn, coat)

    return subject


def _eyes(pen: Pen, x: float, y: float, r: float, spread: float, size: float, iris: Colour, slit: float) -> None:
    for side in (-1, 1):
        pen.oval(x + side * spread * r, y, size * r, size * r, iris)
        pen.oval(x + side * spread * r, y, slit * r, size * 0.8 * r, _DARK)


def _cat_head(pen: Pen, generator: random.Random, x: float, y: float, r: float, turn: float, coat: Colour) -> None:
    lean = 0.2 * turn * r
    point = generator.uniform(1.2, 1.45)
    for side in (-1, 1):
        base = [(x + side * 0.18 * r, y - 0.75 * r), (x + side * 0.98 * r, y - 0.2 * r)]
        pen.polygon([*base, (x + side * 0.85 * r + lean, y - point * r)], coat)
        inner = [(x + side * 0.4 * r, y - 0.7 * r), (x + side * 0.85 * r, y - 0.45 * r)]
        pen.polygon([*inner, (x + side * 0.8 * r + lean, y - (point - 0.25) * r)], mix(coat, _PINK, 0.6))
    pen.oval(x, y, 1.05 * r, 0.88 * r, coat)
    if generator.random() < 0.3:
        for u in (-0.25, 0.0, 0.25):
            pen.line([(x + u * r + lean, y - 0.8 * r), (x + u * r + lean, y - 0.45 * r)], 0.1 * r, shadow(coat))
    iris = one_of(generator, ((196, 190, 60), (120, 176, 80), (214, 150, 40), (110, 160, 200)))
    _eyes(pen, x + lean, y - 0.08 * r, r, 0.44, 0.25, iris, generator.uniform(0.05, 0.13))
    for side in (-1, 1):
        pen.oval(x + lean * 1.5 + side * 0.16 * r, y + 0.42 * r, 0.22 * r, 0.17 * r, mix(coat, (240, 236, 230), 0.35))
    nose = [(x + lean * 1.5 + u * r, y + v * r) for u, v in ((-0.13, 0.2), (0.13, 0.2), (0, 0.36))]
    pen.polygon(nose, _PINK)
    hair = (60, 56, 56) if sum(coat) > 400 else (225, 225, 225)
    for side in (-1, 1):
        for rise in (0.22, 0.5):
            start = (x + lean + side * 0.4 * r, y + 0.4 * r)
            pen.line([start, (x + lean + side * 1.35 * r, y + rise * r)], 0.02, hair)


def _dog_head(pen: Pen, generator: random.Random, x: float, y: float, r: float, turn: float, coat: Colour) -> None:
    lean = 0.35 * turn * r
    ear = mix(coat, shadow(coat), generator.uniform(0.3, 1))
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
    muzzle = mix(coat, (235, 225, 210), generator.uniform(0, 0.5))
    pen.oval(x + snout * 0.7, y + 0.42 * r, (0.4 + 0.3 * abs(turn)) * r, 0.4 * r, muzzle)
    pen.oval(x + snout * 1.3, y + 0.25 * r, 0.2 * r, 0.15 * r, _DARK)
    if generator.random() < 0.4:
        pen.oval(x + snout, y + 0.85 * r, 0.14 * r, 0.25 * r, (220, 100, 110))


def _rabbit_head(pen: Pen, generator: random.Random, x: float, y: float, r: float, turn: float, coat: Colour) -> None:
    y, r = y + 0.15 * r, 0.8 * r
    lean = 0.2 * turn * r
    for side in (-1, 1):
        spread = generator.uniform(0.0, 0.45) * side
        across, up = x + side * 0.4 * r + math.sin(spread) * r, y - 0.6 * r - math.cos(spread) * r
        pen.oval(across, up, 0.28 * r, 1.0 * r, coat, spread)
        pen.oval(across, up, 0.13 * r, 0.75 * r, mix(coat, _PINK, 0.6), spread)
    pen.oval(x, y, 0.95 * r, 0.92 * r, coat)
    _eyes(pen, x + lean, y - 0.1 * r, r, 0.55, 0.16, (70, 40, 36), 0.12)
    for side in (-1, 1):
        pen.oval(x + lean + side * 0.2 * r, y + 0.45 * r, 0.27 * r, 0.22 * r, mix(coat, (245, 240, 236), 0.4))
    pen.oval(x + lean, y + 0.25 * r, 0.13 * r, 0.1 * r, _PINK)
    pen.box(x + lean - 0.1 * r, y + 0.6 * r, x + lean + 0.1 * r, y + 0.8 * r, (245, 245, 240))


def _cat_tail(pen: Pen, generator: random.Random, x: float, y: float, coat: Colour) -> None:
    bend, rise = generator.uniform(-0.3, 0.35), generator.uniform(0.3, 0.8)
    curve = [(x, y), (x + 0.25, y - 0.1 * rise), (x + 0.38, y - 0.5 * rise), (x + 0.38 + bend, y - rise)]
    pen.line(curve, 0.11, coat)
    pen.oval(*curve[-1], 0.055, 0.055, coat)


def _dog_tail(pen: Pen, generator: random.Random, x: float, y: float, coat: Colour) -> None:
    drop = generator.uniform(-0.45, 0.25)
    pen.polygon([(x, y - 0.1), (x + 0.42, y + drop), (x + 0.36, y + drop + 0.12), (x, y + 0.1)], coat)


def _rabbit_tail(pen: Pen, generator: random.Random, x: float, y: float, coat: Colour) -> None:
    pen.oval(x + 0.1, y - 0.02, 0.15, 0.15, mix(coat, (250, 250, 250), generator.uniform(0.3, 0.8)))


def _bird(pen: Pen, generator: random.Random, coat: Colour) -> None:
    wing, bill = shadow(coat), one_of(generator, ((230, 160, 40), (120, 100, 70), (60, 56, 50)))
    if generator.random() < 0.35:  # flying, seen from the side
        lift = generator.uniform(-0.9, 0.5)
        pen.polygon([(-0.25, 0), (0.25, 0.05), (0.55, lift - 0.1), (0.15, lift)], mix(coat, wing, 0.5))
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


def _fish(pen: Pen, generator: random.Random, coat: Colour) -> None:
    fin, depth = shadow(coat), generator.uniform(0.28, 0.5)
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


def _car(pen: Pen, generator: random.Random, paint: Colour) -> None:
    glass = mix((150, 190, 215), _DARK, generator.uniform(0, 0.8))
    back = one_of(generator, (0.45, 0.92))  # saloon or van
    roof = generator.uniform(-0.6, -0.4)
    pen.polygon([(-0.55, 0), (-0.28, roof), (back - 0.15, roof), (back, 0)], paint)
    pen.polygon([(-0.42, -0.03), (-0.22, roof + 0.1), (0.02, roof + 0.1), (0.02, -0.03)], glass)
    pen.polygon([(0.1, -0.03), (0.1, roof + 0.1), (back - 0.2, roof + 0.1), (back - 0.1, -0.03)], glass)
    pen.polygon([(-0.98, 0.1), (-0.9, 0), (0.92, -0.04), (0.98, 0.4), (-0.98, 0.4)], paint)
    pen.line([(-0.95, 0.28), (0.95, 0.28)], 0.05, shadow(paint))
    for x in (-0.55, 0.55):
        pen.oval(x, 0.4, 0.23, 0.23, _DARK)
        pen.oval(x, 0.4, 0.11, 0.11, (170, 170, 175))
    pen.oval(-0.92, 0.13, 0.07, 0.07, (250, 240, 180))


def _house(pen: Pen, generator: random.Random, paint: Colour) -> None:
    roof = mix(shadow(paint), one_of(generator, ((150, 60, 45), (80, 80, 90), paint)), 0.5)
    width, peak = generator.uniform(0.55, 0.85), generator.uniform(-1.0, -0.7)
    pen.box(-width, -0.25, width, 0.85, paint)
    pen.polygon([(-width - 0.15, -0.22), (0, peak), (width + 0.15, -0.22)], roof)
    pen.box(-0.13, 0.3, 0.15, 0.85, mix(_WOOD, shadow(paint), 0.4))
    window = one_of(generator, ((240, 225, 150), (150, 185, 210), (235, 235, 235)))
    for x in (-0.65 * width, 0.65 * width):
        pen.box(x - 0.15, -0.05, x + 0.15, 0.22, window)


def _tree(pen: Pen, generator: random.Random, leaves: Colour) -> None:
    pen.polygon([(-0.1, 0.1), (0.1, 0.1), (0.16, 0.98), (-0.16, 0.98)], mix(_WOOD, leaves, 0.2))
    if generator.random() < 0.4:  # a fir
        for y, half in ((0.6, 0.7), (0.2, 0.55), (-0.2, 0.4)):
            pen.polygon([(-half, y), (half, y), (0, y - 0.75)], leaves)
    else:
        for _ in range(7):
            x, y, r = generator.uniform(-0.4, 0.4), generator.uniform(-0.6, 0.05), generator.uniform(0.25, 0.4)
            pen.oval(x, y, r, r, mix(leaves, shadow(leaves), generator.uniform(0, 0.4)))
        pen.oval(0, -0.3, 0.5, 0.45, leaves)


def _cup(pen: Pen, generator: random.Random, glaze: Colour) -> None:
    foot = generator.uniform(0.3, 0.55)
    pen.oval(0.6, 0.1, 0.32, 0.36, glaze)
    pen.oval(0.6, 0.1, 0.18, 0.22, any_colour(generator))
    pen.polygon([(-0.6, -0.55), (0.6, -0.55), (foot, 0.75), (-foot, 0.75)], glaze)
    pen.oval(0, 0.75, foot, 0.13, glaze)
    pen.oval(0, -0.55, 0.6, 0.18, mix(glaze, (255, 255, 255), 0.25))
    pen.oval(0, -0.53, 0.5, 0.12, one_of(generator, ((70, 44, 26), (150, 90, 40), (235, 230, 220))))
    if generator.random() < 0.4:
        pen.line([(-0.54, 0.0), (0.53, 0.0)], 0.14, shadow(glaze))


def _ball(pen: Pen, generator: random.Random, paint: Colour) -> None:
    pen.oval(0, 0, 0.8, 0.8, paint)
    mark = generator.random()
    if mark < 0.35:
        pen.line([(-0.75, -0.1), (0, 0.12), (0.75, -0.1)], 0.16, shadow(paint))
    elif mark < 0.7:
        for x, y in ((0, 0), (-0.5, -0.3), (0.5, -0.3), (-0.3, 0.5), (0.3, 0.5)):
            pen.oval(x, y, 0.15, 0.15, shadow(paint))
    pen.oval(-0.28, -0.32, 0.18, 0.14, mix(paint, (255, 255, 255), 0.4), -0.6)


def _shoe(pen: Pen, generator: random.Random, leather: Colour) -> None:
    top = generator.uniform(-0.7, -0.2)  # boots to slippers
    upper = [(0.85, top), (0.25, top), (0.15, -0.05), (-0.55, 0.1), (-0.92, 0.28), (-0.95, 0.48), (0.88, 0.48)]
    pen.polygon(upper, leather)
    pen.oval(-0.72, 0.32, 0.25, 0.2, mix(leather, shadow(leather), 0.5))
    sole = one_of(generator, ((235, 230, 220), (60, 45, 35), (150, 120, 80)))
    pen.polygon([(-1.0, 0.45), (0.9, 0.45), (0.9, 0.62), (-0.95, 0.62)], sole)
    for x in (-0.3, -0.12, 0.06):
        pen.line([(x, -0.05), (x + 0.12, 0.15)], 0.06, (235, 235, 235))
    pen.oval(0.55, top, 0.3, 0.08, shadow(leather))


ANIMALS = {
    "cat": _mammal(_cat_head, _cat_tail),
    "dog": _mammal(_dog_head, _dog_tail, legs=1.15),
    "rabbit": _mammal(_rabbit_head, _rabbit_tail, stout=1.2, legs=0.6),
    "bird": _bird,
    "fish": _fish,
}
KINDS = {**ANIMALS, "car": _car, "house": _house, "tree": _tree, "cup": _cup, "ball": _ball, "shoe": _shoe}
DISTRACTORS = (_ball, _cup, _tree, _house)
