"""Colours by name, from words in two languages and from pictures."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tuwen.preprocess.colours import CHINESE, NAMES, cielab, colour_of_picture, colour_of_texts, colour_of_word


@pytest.mark.parametrize(
    ("text", "colour"),
    [
        ("Nike Men Red T-shirt", "red"),
        ("纸鹤日常双肩包（淡紫色）", "purple"),
        ("藏青色 夹克", "navy"),
        ("Dark blue jeans", "navy"),
        ("Grey / gray mug", "grey"),
        ('{"Product colour": "White", "Cable": "black"}', "white"),
        ("Black & Decker drill", None),
        ("Black and Decker drill, orange", "orange"),
        ("红茶 口红 黑板", None),
        ("Redmi blackboard greenhouse", None),
        ("", None),
        ("Blue box. Colour: red", "red"),
        ("Blue box. Size: XL, Primary colour  (of case) : red", "blue"),
        ("Blue box. Size: XL, Primary Color of it : red", "red"),
        ("蓝色盒子 颜色：红色", "red"),
        ("Blue box colour 'x' = red", "blue"),
        ("Blue, color:" + " " * 9, "blue"),
    ],
)
def test_words_that_name_a_colour(text: str, colour: str | None) -> None:
    assert colour_of_texts([text]) == colour
    assert colour_of_texts([None, text]) == colour


@given(st.sampled_from(sorted(NAMES)), st.sampled_from(["", " ", "　"]), st.booleans())
def test_every_name_names_one_colour_however_it_is_typed(colour: str, space: str, upper: bool) -> None:
    for name in (*NAMES[colour], CHINESE[colour]):
        assert colour_of_word(space + (name.upper() if upper else name) + space) == colour


def picture(colour: tuple[int, int, int], back: tuple[int, int, int] = (255, 255, 255)) -> bytes:
    image = Image.new("RGB", (80, 60), back)
    image.paste(colour, (20, 10, 60, 50))
    out = BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize(
    ("rgb", "colour"),
    [
        ((200, 20, 30), "red"),
        ((30, 60, 190), "blue"),
        ((20, 140, 40), "green"),
        ((15, 15, 15), "black"),
        ((110, 70, 40), "brown"),
        ((240, 210, 30), "yellow"),
        ((120, 40, 150), "purple"),
        ((245, 150, 180), "pink"),
        ((130, 130, 130), None),
    ],
)
def test_a_picture_tells_the_colour_of_what_it_shows_not_of_its_background(
    rgb: tuple[int, int, int], colour: str | None
) -> None:
    for back in ((255, 255, 255), (128, 128, 128), rgb):
        if back != (128, 128, 128) or colour is not None:
            assert colour_of_picture(picture(rgb, back)) == colour


@given(st.binary(max_size=200))
def test_what_is_no_picture_has_no_colour(data: bytes) -> None:
    assert colour_of_picture(data) is None


def test_cielab_of_known_colours() -> None:
    known = {
        (1, 1, 1): (100, 0, 0),
        (0, 0, 0): (0, 0, 0),
        (1, 0, 0): (53.2, 80.1, 67.2),
        (0, 0, 1): (32.3, 79.2, -107.9),
    }
    for rgb, lab in known.items():
        np.testing.assert_allclose(cielab(np.array(rgb, float)), lab, atol=0.3)
