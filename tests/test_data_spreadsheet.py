"""Answers as CSV: opened by a spreadsheet they are read as UTF-8, and nothing in them is run."""

from __future__ import annotations

import csv
import io

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tuwen.data.keys import plain_keys
from tuwen.data.spreadsheet import UTF8_MARK, as_text, write_spreadsheet

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)


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
        assert not cell.startswith(tuple("=+-@\t\r\n＝＋－＠")) or float(cell) is not None
    assert all(row[1] == "0.5" for row in rows)


@pytest.mark.parametrize("text", ["=cmd|' /C calc'!A0", "+1 555", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "＝1", "-"])
def test_a_formula_gets_an_apostrophe(text: str) -> None:
    assert as_text(pl.Series([text])).to_list() == [f"'{text}"]


@pytest.mark.parametrize("text", ["-12.5", "+3", "-1e5", "tea = pot", "a@b.c", "", None])
def test_numbers_and_other_texts_stay(text: str | None) -> None:
    assert as_text(pl.Series([text], dtype=pl.String)).to_list() == [text]


def test_numbers_stay_numbers_and_lists_are_json() -> None:
    frame = pl.DataFrame({"n": [-1.5, None], "=f": ["女鞋", "=1"], "l": [["=x"], None]})
    assert written(frame) == [["n", "'=f", "l"], ["-1.5", "女鞋", '["=x"]'], ["", "'=1", ""]]


@given(st.from_regex(r"[=+\-@][A-Za-z0-9()+]{1,8}", fullmatch=True))
def test_a_key_comes_back_from_a_spreadsheet_as_it_was(key: str) -> None:
    guarded = as_text(pl.Series([key]))
    assert plain_keys(guarded).to_list() == plain_keys(pl.Series([key])).to_list()
