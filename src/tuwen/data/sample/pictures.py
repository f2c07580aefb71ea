"""Drawn product photographs: thirteen kinds of things in twelve colours and four patterns.

The pattern is what the sample shop's ratings depend on and no word mentions, so only a model that sees can use it.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

Pattern = Literal["plain", "checks", "stripes", "dots"]
Colour = tuple[int, int, int]
Point = tuple[float, float]

SIDE = 224  # pixels of the finished picture
CANVAS = 2 * SIDE  # drawn twice as large, then shrunk: smooth edges
UNIT = CANVAS / 100


class Pen:
    """Draws in per cent of the canvas on two masks: ``body`` takes the pattern, ``trim`` does not."""

    def __init__(self) -> None:
        self.body = Image.new("L", (CANVAS, CANVAS))
        self.trim = Image.new("L", (CANVAS, CANVAS))
        self._draw = {"body": ImageDraw.Draw(self.body), "trim": ImageDraw.Draw(self.trim)}

    def polygon(self, mask: str, points: Sequence[Point], fill: int = 255) -> None:
        self._draw[mask].polygon([(x * UNIT, y * UNIT) for x, y in points], fill=fill)

    def smooth(self, mask: str, points: Sequence[Point]) -> None:
        """A closed Catmull-Rom curve through ``points``."""
        self.polygon(mask, _curve(points))

    def ellipse(self, mask: str, box: tuple[float, float, float, float], fill: int = 255) -> None:
        self._draw[mask].ellipse([v * UNIT for v in box], fill=fill)

    def rounded(self, mask: str, box: tuple[float, float, float, float], radius: float, fill: int = 255) -> None:
        self._draw[mask].rounded_rectangle([v * UNIT for v in box], radius * UNIT, fill=fill)

    def arc(self, mask: str, box: tuple[float, float, float, float], start: float, end: float, width: float) -> None:
        self._draw[mask].arc([v * UNIT for v in box], start, end, fill=255, width=round(width * UNIT))

    def line(self, mask: str, points: Sequence[Point], width: float) -> None:
        self._draw[mask].line([(x * UNIT, y * UNIT) for x, y in points], 255, round(width * UNIT), joint="curve")


def _curve(points: Sequence[Point], steps: int = 8) -> list[Point]:
    p = np.asarray(points, float)
    before, after, second = np.roll(p, 1, 0), np.roll(p, -1, 0), np.roll(p, -2, 0)
    t = np.linspace(0, 1, steps, endpoint=False)[:, None, None]
    curve = 0.5 * (
        2 * p
        + (after - before) * t
        + (2 * before - 5 * p + 4 * after - second) * t**2
        + (3 * p - before - 3 * after + second) * t**3
    )
    return [(float(x), float(y)) for x, y in curve.transpose(1, 0, 2).reshape(-1, 2)]


def _mirror(half: Sequence[Point]) -> list[Point]:
    return [*half, *[(100 - x, y) for x, y in reversed(half)]]


def _tee(pen: Pen) -> None:
    pen.polygon("body", _mirror([(41, 20), (30, 23), (10, 42), (20, 52), (29, 44), (29, 86)]))
    pen.ellipse("body", (40, 12, 60, 28), fill=0)
    pen.arc("trim", (39, 11, 61, 29), 15, 165, 2.2)


def _dress(pen: Pen) -> None:
    pen.polygon("body", _mirror([(41, 12), (37, 12), (34, 26), (39, 44), (20, 88), (36, 91)]))
    pen.ellipse("body", (41, 2, 59, 24), fill=0)
    pen.polygon("trim", _mirror([(39.5, 42), (37.6, 48)]))


def _socks(pen: Pen) -> None:
    for dx in (0, 30):
        leg = [(24, 22), (42, 22), (41, 58), (44, 76), (34, 84), (12, 84), (9, 76), (24, 62)]
        pen.smooth("body", [(x + dx, y) for x, y in leg])
        pen.rounded("trim", (23 + dx, 17, 43 + dx, 25), 2)
        pen.ellipse("trim", (34 + dx, 68, 46 + dx, 82))


def _cap(pen: Pen) -> None:
    pen.smooth("body", [(18, 64), (20, 46), (34, 31), (48, 28), (62, 32), (74, 46), (75, 64), (46, 67)])
    pen.smooth("trim", [(44, 64), (72, 57), (90, 62), (97, 70), (84, 71), (66, 68)])
    pen.ellipse("trim", (44.5, 25, 51.5, 31))


def _sneaker(pen: Pen) -> None:
    pen.smooth(
        "body", [(10, 68), (12, 50), (15, 34), (28, 36), (36, 34), (52, 50), (76, 56), (89, 64), (88, 72), (50, 74)]
    )
    pen.rounded("trim", (8, 69, 92, 79), 4)
    for x in (39, 45, 51):
        pen.line("trim", [(x - 3, 46 + (x - 39) * 0.55), (x + 4, 41 + (x - 39) * 0.75)], 1.6)


def _tote(pen: Pen) -> None:
    pen.arc("trim", (35, 12, 65, 74), 180, 360, 3.2)
    pen.polygon("body", [(22, 40), (78, 40), (83, 88), (17, 88)])
    pen.polygon("trim", [(22, 40), (78, 40), (78.6, 45), (21.4, 45)])


def _backpack(pen: Pen) -> None:
    pen.arc("trim", (41, 10, 59, 32), 180, 360, 3)
    pen.rounded("body", (25, 20, 75, 88), 15)
    pen.rounded("trim", (17, 44, 24, 82), 3)
    pen.rounded("trim", (76, 44, 83, 82), 3)
    pen.line("trim", [(29, 44), (71, 44)], 1.6)
    pen.rounded("trim", (46, 42, 54, 52), 2)


def _umbrella(pen: Pen) -> None:
    pen.line("trim", [(50, 56), (50, 84)], 1.8)
    pen.line("trim", [(50, 11), (50, 18)], 1.8)
    pen.arc("trim", (39, 76, 51, 92), 0, 180, 2)
    pen.ellipse("body", (10, 16, 90, 98))
    pen.polygon("body", [(0, 57), (100, 57), (100, 100), (0, 100)], fill=0)
    for i in range(5):
        pen.ellipse("body", (10 + 16 * i, 51, 26 + 16 * i, 63), fill=0)


def _mug(pen: Pen) -> None:
    pen.arc("trim", (54, 36, 84, 72), 0, 360, 5)
    pen.polygon("trim", [(24, 28), (66, 28), (64, 82), (26, 82)], fill=0)
    pen.smooth("body", [(23, 30), (45, 31), (67, 30), (66, 56), (64, 78), (45, 83), (26, 78), (24, 56)])
    pen.ellipse("trim", (23, 23, 67, 35))


def _teapot(pen: Pen) -> None:
    pen.arc("trim", (8, 42, 40, 76), 90, 270, 4.5)
    pen.smooth("trim", [(68, 66), (78, 58), (86, 40), (93, 41), (86, 60), (76, 76)])
    pen.ellipse("body", (22, 36, 76, 84))
    pen.ellipse("trim", (36, 32, 62, 43))
    pen.ellipse("trim", (45, 24, 53, 33))


def _vase(pen: Pen) -> None:
    for x, y, lean in ((40, 14, -6), (50, 8, 0), (61, 15, 7)):
        pen.line("trim", [(50, 42), (50 + lean * 0.6, 30), (x, y)], 1.2)
        pen.ellipse("trim", (x - 5, y - 5, x + 5, y + 5))
    pen.smooth("body", _mirror([(42, 38), (41, 44), (33, 54), (27, 68), (32, 84), (42, 90)]))
    pen.ellipse("trim", (41, 35.5, 59, 40.5))


def _lamp(pen: Pen) -> None:
    pen.polygon("body", [(35, 14), (65, 14), (82, 56), (18, 56)])
    pen.rounded("trim", (47.5, 56, 52.5, 84), 1)
    pen.ellipse("trim", (32, 80, 68, 90))


def _cushion(pen: Pen) -> None:
    pen.smooth("body", [(14, 18), (50, 23), (86, 18), (82, 50), (86, 84), (50, 79), (14, 84), (18, 50)])
    for x, y in ((14, 18), (86, 18), (14, 84), (86, 84)):
        pen.ellipse("trim", (x - 4, y - 4, x + 4, y + 4))


DRAWINGS: dict[str, Callable[[Pen], None]] = {
    "tee": _tee,
    "dress": _dress,
    "socks": _socks,
    "cap": _cap,
    "sneaker": _sneaker,
    "tote": _tote,
    "backpack": _backpack,
    "umbrella": _umbrella,
    "mug": _mug,
    "teapot": _teapot,
    "vase": _vase,
    "lamp": _lamp,
    "cushion": _cushion,
}


@cache
def _masks(kind: str) -> tuple[Image.Image, Image.Image]:
    pen = Pen()
    DRAWINGS[kind](pen)
    return pen.body, pen.trim


def _pattern_mask(pattern: Pattern, period: float, phase: float) -> Image.Image:
    """White where the second colour goes; ``period`` and ``phase`` in per cent of the canvas."""
    mask = Image.new("L", (CANVAS, CANVAS))
    draw = ImageDraw.Draw(mask)
    starts = [(phase + period * i) * UNIT for i in range(-1, math.ceil(100 / period) + 1)]
    width = period * UNIT
    if pattern == "stripes":
        for y in starts:
            draw.rectangle((0, y, CANVAS, y + width / 2), fill=255)
    elif pattern == "checks":
        for i, y in enumerate(starts):
            for j, x in enumerate(starts):
                if (i + j) % 2:
                    draw.rectangle((x, y, x + width, y + width), fill=255)
    elif pattern == "dots":
        radius = 0.29 * width
        for i, y in enumerate(starts):
            for x in starts:
                cx = x + (width / 2 if i % 2 else 0)
                draw.ellipse((cx - radius, y - radius, cx + radius, y + radius), fill=255)
    return mask


def _mix(one: Colour, other: Colour, share: float) -> Colour:
    r, g, b = (round(a + (c - a) * share) for a, c in zip(one, other, strict=True))
    return r, g, b


@cache
def _ramp() -> Image.Image:
    """0 at the top left to 255 at the bottom right: the light falls from there."""
    line = np.linspace(0, 1, SIDE)
    return Image.fromarray((255 * (0.6 * line[None, :] + 0.4 * line[:, None])).astype(np.uint8))


def _background(rng: np.random.Generator) -> Image.Image:
    """A soft wall and a table top."""
    walls: tuple[Colour, ...] = ((243, 238, 230), (229, 237, 242), (238, 232, 241), (233, 241, 232), (247, 240, 222))
    wall = walls[rng.integers(len(walls))]
    picture = Image.new("RGB", (SIDE, SIDE), wall)
    picture.paste(_mix(wall, (150, 128, 108), 0.32), (0, int(SIDE * rng.uniform(0.72, 0.8)), SIDE, SIDE))
    return Image.composite(
        Image.new("RGB", (SIDE, SIDE), _mix(wall, (90, 90, 110), 0.5)), picture, _ramp().point(lambda v: v * 0.35)
    )


def draw_item(kind: str, colour: Colour, pattern: Pattern, rng: np.random.Generator) -> bytes:
    """One photograph.

    Args:
        kind: a key of ``DRAWINGS``.
        colour: the main colour, RGB.
        pattern: what is printed on the body.
        rng: draws size, place, tilt, background, light and noise.

    Returns:
        JPEG bytes, 224 × 224.
    """
    body, trim = _masks(kind)
    bright = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]
    second = _mix(colour, (255, 252, 244), 0.88) if bright < 165 else _mix(colour, (34, 40, 66), 0.82)
    layer = Image.new("RGB", (CANVAS, CANVAS), colour)
    if pattern != "plain":
        layer.paste(second, mask=_pattern_mask(pattern, rng.uniform(11, 14), rng.uniform(0, 10)))
    layer.paste(_mix(colour, (28, 26, 34), 0.45), mask=trim)
    outline = Image.new("L", (CANVAS, CANVAS))
    outline.paste(body)
    outline.paste(255, mask=trim)

    angle, zoom = rng.uniform(-7, 7), rng.uniform(0.84, 1.0)
    side = round(SIDE * zoom)
    place = (round((SIDE - side) * rng.uniform(0, 1)), round((SIDE - side) * rng.uniform(0, 1)))
    layer = layer.resize((side, side), Image.Resampling.BOX).rotate(angle, Image.Resampling.BILINEAR)
    outline = outline.resize((side, side), Image.Resampling.BOX).rotate(angle, Image.Resampling.BILINEAR)
    shade = _ramp().resize((side, side)).point(lambda v: max(0.0, v - 90) * 0.55)
    layer.paste((22, 20, 34), mask=shade)

    picture = _background(rng)
    shadow = Image.new("L", (SIDE, SIDE))
    shadow.paste(outline.point(lambda v: v * 0.38), (place[0] + 7, place[1] + 8))
    picture.paste((38, 34, 46), mask=shadow.filter(ImageFilter.BoxBlur(6)))
    picture.paste(layer, place, outline)

    grain = rng.normal(0, 4.5, (SIDE, SIDE, 1)).astype(np.float32) + np.float32(rng.uniform(-10, 8))
    pixels = np.clip(np.asarray(picture, np.float32) + grain, 0, 255).astype(np.uint8)  # [224, 224, 3]
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=88)
    return out.getvalue()
