"""What reads text from outside takes time that grows with the text: titles, queries, conditions, cells, settings."""

from __future__ import annotations

import contextlib
import time
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from growth import ALLOWED, growth
from tuwen.apps.query import Synonyms
from tuwen.config import load_yaml
from tuwen.data import examples, expressions, references
from tuwen.errors import NAMES_COMPARED, TuwenError, close_names
from tuwen.index.filters import Condition, FilterLimits
from tuwen.preprocess import cleaning, colours, terms, words
from tuwen.service.language import said
from tuwen.unicode import MARKS, nfc, nfkc

WIDE = FilterLimits(characters=10**9, values=10**9)
DOORS: dict[str, Callable[[str], object]] = {
    "clean": cleaning.clean,
    "terms": terms.terms,
    "words": words.words,
    "nfkc": nfkc,
    "nfc": nfc,
    "normalised": examples.normalised,
    "colour_of_texts": lambda text: colours.colour_of_texts([text]),
    "colour_of_word": colours.colour_of_word,
    "references": references.split,
    "condition": lambda text: Condition.read(text, WIDE),
    "expression": expressions.parse,
    "synonyms": Synonyms.of,
    "said": lambda text: said(text, "zh"),
}
SHAPES = {
    "blanks": " ",
    "blanks between": "a" + " " * 200,
    "lines": "\n",
    "comments": "<!--",
    "scripts": "<script>",
    "open tags": "<a",
    "tags": "<script x",
    "colours": "color",
    "labels": "color ",
    "labels with values": "color: ",
    "entities": "&amp;lt;",
    "entities begun": "&#",
    "quotes": "'",
    "double quotes": '"',
    "brackets": "[",
    "round brackets": "(",
    "bars": "|",
    "bars and lines": "\n|",
    "addresses": "http://",
    "commas": ",",
    "points": "1..",
    "signs": "=",
    "minus": "-",
    "not": "not ",
    "codes": "a1-",
    "digits": "1",
    "Chinese": "红色",
    "one Chinese character": "一",
    "emoji": "👩\u200d",
    "places": ", picture ",
}


def on(door: Callable[[str], object], text: str) -> Callable[[], object]:
    def read() -> None:
        with contextlib.suppress(TuwenError):
            door(text)

    return read


@pytest.mark.parametrize("door", DOORS)
def test_what_reads_text_takes_linear_time(door: str) -> None:
    read = DOORS[door]
    on(read, "warm 红色 ①")()
    for shape, pump in SHAPES.items():
        exponent = growth(lambda size, pump=pump: on(read, pump * (size // len(pump))))
        assert exponent <= ALLOWED, f"{door} takes n^{exponent:.1f} on {shape}"


@pytest.mark.parametrize("door", ["clean", "nfkc", "nfc", "normalised", "terms"])
def test_marks_on_one_letter_take_linear_time(door: str) -> None:
    """Python sorts the marks of a letter by insertion: those of a lower class behind those of a higher one."""
    read = DOORS[door]
    exponent = growth(lambda size: on(read, "a" + "\u0300" * (size // 2) + "\u0316" * (size // 2)))
    assert exponent <= ALLOWED


@given(st.text(st.sampled_from("aé\u0300\u0316\u0344Å①ﾞが\u0f73가 "), max_size=MARKS))
def test_normal_forms_are_those_of_python(text: str) -> None:
    assert nfkc(text) == unicodedata.normalize("NFKC", text)
    assert nfc(text) == unicodedata.normalize("NFC", text)


def test_of_many_marks_the_first_stay() -> None:
    assert nfc("x" + "\u0316" * 500 + "y") == "x" + "\u0316" * MARKS + "y"
    assert nfkc("a" * 1_000 + "\u0316" * MARKS) == "a" * 1_000 + "\u0316" * MARKS


# --- Names that are near --------------------------------------------------------------------------------------------


def test_a_near_name_is_suggested_among_many() -> None:
    names = [f"SKU-{number:06d}" for number in range(200_000)]
    begin = time.process_time()
    assert close_names("SKU-1234", ["SKU-12345", "BAG-1"]) == ["SKU-12345"]
    assert close_names("SKU-15000x", names)[0].startswith("SKU-150")
    assert close_names("zzz", names) == [] and close_names("", names) == []
    assert close_names("x" * 101, ["x" * 101]) == []
    assert time.process_time() - begin < 2


def test_few_names_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[int] = []
    monkeypatch.setattr("tuwen.errors.get_close_matches", lambda _, names, **__: compared.append(len(names)) or [])
    close_names("SKU-1", (f"SKU-{number}" for number in range(50_000)))
    assert compared == [NAMES_COMPARED]


@given(st.text("abc-_1", min_size=1, max_size=12), st.lists(st.text("abc-_1", min_size=1, max_size=12), max_size=20))
@example("1111111", ["111"])  # exactly at the cutoff
def test_near_names_are_those_of_difflib(name: str, names: list[str]) -> None:
    from difflib import get_close_matches

    assert close_names(name, names) == get_close_matches(name, names, n=1, cutoff=0.6)
    assert close_names(name, names, cutoff=0.8) == get_close_matches(name, names, n=1, cutoff=0.8)


# --- Settings -------------------------------------------------------------------------------------------------------


def test_settings_within_the_limits_are_read_in_linear_time(tmp_path: Path) -> None:
    def settings(size: int) -> Callable[[], object]:
        path = tmp_path / f"{size}.yaml"
        path.write_text("".join(f"key{number}: [a, {{b: 'c'}}]\n" for number in range(size // 20)))
        return lambda: load_yaml(path)

    assert growth(settings, sizes=tuple(2**power for power in range(10, 15))) <= ALLOWED
