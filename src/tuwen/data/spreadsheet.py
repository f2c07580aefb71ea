"""Write tables as CSV for spreadsheets: in the right encoding, and without formulas."""

from __future__ import annotations

import json
from typing import IO

import polars as pl

from tuwen.amounts import amounts

UTF8_MARK = b"\xef\xbb\xbf"  # without it Excel reads UTF-8 as an old code page
_BLANK = r"[\s\p{Cc}\p{Cf}]*"  # a spreadsheet trims it
_FORMULA = (
    rf"^(?:[\t\r\n]|{_BLANK}[=+\-@＝＋－＠﹦﹢﹣﹫])"  # full-width and small forms are typed in Chinese and Japanese
)
_EXPONENT = r"^[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$"  # as a program writes a number
_PLACEHOLDER = rf"^{_BLANK}[-－﹣]+{_BLANK}$"
_CELL = r"(?i)^[^A-ZＡ-Ｚ]*[A-ZＡ-Ｚ]{1,3}[$＄]?[0-9０-９]"  # -EUR1 is an amount, and also minus the cell EUR1


def write_spreadsheet(frame: pl.DataFrame, file: IO[bytes]) -> None:
    """Write ``frame`` as CSV: UTF-8 with its mark, lists as JSON text, formulas as text.

    Names of columns and texts come from others: ``=HYPERLINK(...)`` gets an apostrophe, which tells a spreadsheet that
    it is a text. Numbers stay numbers. Collect takes the apostrophe of a key away again (:mod:`tuwen.data.keys`).
    """
    names = as_text(pl.Series(frame.columns, dtype=pl.String)).to_list()
    file.write(UTF8_MARK)
    # by the writer of the rows, which quotes a lone carriage return: Python's csv does not
    pl.DataFrame([names], schema=[str(n) for n in range(len(names))], orient="row").write_csv(
        file, include_header=False
    )
    frame.with_columns(map(_plain, frame)).write_csv(file, include_header=False)


def _plain(values: pl.Series) -> pl.Series:
    """Return a column that CSV can hold and a spreadsheet can open safely."""
    if values.dtype.is_nested():
        texts = [None if v is None else json.dumps(v, ensure_ascii=False, default=str) for v in values.to_list()]
        return as_text(pl.Series(values.name, texts, pl.String))
    return as_text(values) if values.dtype in (pl.String, pl.Categorical, pl.Enum) else values


def as_text(values: pl.Series) -> pl.Series:
    """Put an apostrophe before strings that a spreadsheet would run.

    A number in any form that :mod:`tuwen.amounts` reads is no formula, and neither is a dash for "no value".

    >>> as_text(pl.Series(["=1+1", "-12.5", "-3,50 €", "-", "-2+3", "tea"])).to_list()
    ["'=1+1", '-12.5', '-3,50 €', '-', "'-2+3", 'tea']
    """
    text = values.cast(pl.String)
    begins = text.str.contains(_FORMULA).fill_null(False)
    if not begins.any():
        return text
    suspects = text.filter(begins)
    numbers, _ = amounts(suspects)
    harmless = numbers.is_not_null() & ~suspects.str.contains(_CELL)
    harmless |= suspects.str.contains(_EXPONENT) | suspects.str.contains(_PLACEHOLDER)
    guarded = suspects.zip_with(harmless, "'" + suspects)
    return text.scatter(begins.arg_true(), guarded)
