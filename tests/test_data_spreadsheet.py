"""Answers as CSV: opened by a spreadsheet they are read as UTF-8, and nothing in them is run."""

from __future__ import annotations

import csv
import io
import re
import unicodedata

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tuwen.amounts import amounts
from tuwen.data.keys import plain_keys
from tuwen.data.spreadsheet import UTF8_MARK, as_text, write_spreadsheet

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
SIGNS = "=+-@＝＋－＠﹦﹢﹣﹫"
CELL = re.compile(r"[^A-ZＡ-Ｚ]*[A-ZＡ-Ｚ]{1,3}[$＄]?[0-9０-９]", re.IGNORECASE)
FIGURES = st.from_regex(
    r"[0-9]{1,3}|[1-9][0-9]{0,2}(\.[0-9]{3}){0,2},[0-9]{2}|[1-9](,[0-9]{3}){1,2}(\.[0-9]+)?", fullmatch=True
)


def is_harmless(cell: str) -> bool:
    """A number, or a dash that stands for none."""
    blank = "".join(c for c in set(cell) if c.isspace() or unicodedata.category(c) in ("Cc", "Cf"))
    number = amounts(pl.Series([cell]))[0][0] is not None and not CELL.match(cell)
    return (
        number
        or not cell.strip(blank).strip("-－﹣")
        or re.fullmatch(r"[+-]?[0-9.]+e[+-]?[0-9]+", cell, re.I) is not None
    )


def written(frame: pl.DataFrame) -> list[list[str]]:
    file = io.BytesIO()
    write_spreadsheet(frame, file)
    data = file.getvalue()
    assert data.startswith(UTF8_MARK)
    return list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")))


@given(st.lists(TEXTS, min_size=1), TEXTS.filter(lambda name: name not in ("", "n")))
@example([""], "\r")
def test_no_cell_begins_a_formula_and_nothing_else_changes(texts: list[str], name: str) -> None:
    head, *rows = written(pl.DataFrame({name: texts, "n": [0.5] * len(texts)}))
    for given_text, cell in [(name, head[0]), *zip(texts, (row[0] for row in rows), strict=True)]:
        assert cell in (given_text, f"'{given_text}")
        assert not cell.startswith(tuple("=+-@\t\r\n＝＋－＠")) or is_harmless(cell)
    assert all(row[1] == "0.5" for row in rows)


@pytest.mark.parametrize(
    "text",
    [
        "=cmd|' /C calc'!A0",
        "-1+cmd|' /C calc'!A0",
        "+1 555 12",
        "-2+3",
        "-3,50+A1",
        "@SUM(A1)",
        "@12",
        "=12",
        "\t=1",
        "\r=1",
        "\ttea",
        " =1",
        "\u3000\u200b=1",
        "＝1",
        "　＋A1",
        "﹫x",
        "-EUR1",
        "+us$2",
        "-ＫＲ３",
        "-5 %",
        "=-",
        "-+",
    ],
)
def test_a_formula_gets_an_apostrophe(text: str) -> None:
    assert as_text(pl.Series([text])).to_list() == [f"'{text}"]


@pytest.mark.parametrize(
    "text",
    [
        "-12.5",
        "+3",
        "-1e5",
        "-7,25",
        "-2.345.678,90",
        "- 1'250.00 CHF",
        "-€ 4",
        "-EUR 4",
        "-4 zł",
        "－１２．５",
        "+1 555",
        "-12,-",
        "-",
        " - ",
        "--",
        "－",
        "tea = pot",
        "a@b.c",
        "",
        None,
    ],
)
def test_numbers_and_other_texts_stay(text: str | None) -> None:
    assert as_text(pl.Series([text], dtype=pl.String)).to_list() == [text]


@settings(max_examples=40)
@given(
    st.sampled_from(["", " ", "\t", "\u3000"]),
    st.sampled_from(["-", "+", "－", "- ", "-€", "-$ ", "-CHF "]),
    FIGURES,
    st.sampled_from(["", " €", " kr", ",-", " 元"]),
)
def test_what_is_read_as_a_number_stays_in_every_form(before: str, sign: str, figures: str, after: str) -> None:
    cell = f"{before}{sign}{figures}{after}"
    is_number = amounts(pl.Series([cell]))[0][0] is not None
    assert as_text(pl.Series([cell])).to_list() == [cell if is_number else f"'{cell}"]


@settings(max_examples=40)
@given(
    st.sampled_from(["", " ", "\t", "\r", "\u00a0", "\u200b "]),
    st.sampled_from(SIGNS),
    st.text("0123456789.,+-*()%!A$B|' ", max_size=8),
)
def test_what_begins_as_a_formula_and_is_no_number_gets_an_apostrophe(before: str, sign: str, rest: str) -> None:
    cell = f"{before}{sign}{rest}"
    assert as_text(pl.Series([cell])).to_list() == [cell if is_harmless(cell) else f"'{cell}"]


def test_numbers_stay_numbers_and_lists_are_json() -> None:
    frame = pl.DataFrame({"n": [-1.5, None], "=f": ["女鞋", "=1"], "l": [["=x"], None]})
    assert written(frame) == [["n", "'=f", "l"], ["-1.5", "女鞋", '["=x"]'], ["", "'=1", ""]]


@given(st.from_regex(rf"[ \t]?[{re.escape(SIGNS)}][A-Za-z0-9()+]{{1,8}}", fullmatch=True))
def test_a_key_comes_back_from_a_spreadsheet_as_it_was(key: str) -> None:
    guarded = as_text(pl.Series([key]))
    assert plain_keys(guarded).to_list() == plain_keys(pl.Series([key])).to_list()
