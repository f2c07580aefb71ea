"""What a search compares, Chinese and English."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuwen.preprocess.terms import _CODE, LONGEST, is_chinese, stem, terms


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Laptops & Batteries", ["laptop", "battery"]),
        ("ＤＤＲ４ 16 GB", ["ddr4", "16gb"]),
        ("WH-1000XM4", ["wh", "1000xm4", "wh1000xm4"]),
        ("3.5mm 35mm", ["3", "5mm", "3.5mm", "35mm"]),
        ("men’s dresses", ["men", "dress"]),
        ("红色连衣裙", ["红色", "连衣", "衣裙", "连衣裙"]),
        ("iPhone手机壳", ["iphone", "手机", "壳"]),
        ("", []),
        (None, []),
        ("\x00\x1b[2J \u200b", ["2j"]),
    ],
)
def test_terms(text: str | None, expected: list[str]) -> None:
    assert terms(text) == expected


@pytest.mark.parametrize(
    ("word", "expected"),
    [("buses", "buse"), ("glass", "glass"), ("usb", "usb"), ("boxes", "box"), ("watches", "watch"), ("gas", "gas")],
)
def test_plurals(word: str, expected: str) -> None:
    assert stem(word) == expected


@given(st.text(max_size=300))
def test_any_text_has_terms_that_are_found_again(text: str) -> None:
    found = terms(text)
    assert all(0 < len(term) <= LONGEST and "\n" not in term for term in found)
    assert found == terms(text.upper().lower()) or not text.isascii()


def test_which_terms_are_chinese() -> None:
    assert is_chinese("连衣裙") and not is_chinese("wh1000xm4")


@given(st.text("a0-_./ é，", max_size=40))
def test_codes_are_found_as_by_the_plain_pattern(text: str) -> None:
    assert _CODE.findall(text) == re.findall(r"[a-z0-9]+(?:[-_./][a-z0-9]+)+", text)
