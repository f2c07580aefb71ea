"""Rows of a table → the good ones, typed, and the rejected ones, each with its reason and everything it held.

Plain Polars rather than pandera, which was tried (0.35): one cell that cannot be coerced leaves its whole column as it
was, so that the ranges of all other rows go unchecked; a repeated key condemns the first row too; rows are counted
within the frame, not within the file; and it takes half a second to import.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from tuwen.data.batch import Unread
from tuwen.data.dates import EMPTY_DATE
from tuwen.data.dialects import Dialect
from tuwen.data.rounded import ROUNDED, rounded
from tuwen.data.schema import Table
from tuwen.data.values import typed

FILE, ROW = "\0file", "\0row"  # where a row stood; names no shop's column can have
REJECTED = {
    "table": pl.String,
    "file": pl.String,
    "row": pl.Int64,
    "column": pl.String,
    "reason": pl.String,
    "seen": pl.String,
    "record": pl.String,
}
SEEN_LIMIT = 200
EXAMPLE_LIMIT = 60
SILENT = "a review that says nothing"
NO_DATE = "no date, zeros only"
_WORDS = ("text", "title", "rating")  # what a review says, beside its media


@dataclass
class Emptied:
    """Cells of one column that could not be read and are now missing; their rows stay.

    Attributes:
        column: tuwen's name.
        reasons: how many for each reason.
        first: where the first of them stood and what it held.
    """

    column: str
    reasons: Counter[str]
    first: str


@dataclass
class Checked:
    """Good rows (with FILE and ROW), rejected rows (columns REJECTED), emptied cells, and how many texts were cut."""

    good: pl.DataFrame
    rejected: list[pl.DataFrame] = field(default_factory=list)
    emptied: list[Emptied] = field(default_factory=list)
    cut: int = 0


def check_rows(frame: pl.DataFrame, name: str, table: Table, dialects: Mapping[str, Dialect] | None = None) -> Checked:
    """Every rule that looks at one row alone.

    A bad value in the key or in ``table.needed`` rejects its row, in another known column it becomes missing.

    Args:
        frame: columns under tuwen's names plus FILE and ROW; unknown columns are carried along.
        dialects: how known columns of numbers and dates are written.
    """
    checked = Checked(frame)
    bad = pl.Series([False]).new_from_index(0, frame.height)
    columns: list[pl.Series] = []
    doubtful: dict[str, pl.Series] = {}
    for column in frame.columns:
        if column not in table.columns:
            columns.append(_finite(frame[column]))
            continue
        dialect = (dialects or {}).get(column, Dialect())
        values, reasons = typed(frame[column], table.columns[column], dialect)
        if column in table.key:
            reasons = _with_missing(frame[column], values, reasons)
        new = reasons.is_not_null() & ~bad
        if column not in (*table.key, *table.needed):
            doubtful[column] = reasons
        elif new.any():
            checked.rejected.append(rejected(frame.filter(new), name, column, reasons.filter(new)))
            bad = bad | new
        if table.columns[column].kind == "text" and frame[column].dtype == pl.String:
            checked.cut += int((frame[column].str.len_chars() > values.str.len_chars()).sum())
        columns.append(values.alias(column))
    if name == "reviews":
        silent = _silent(pl.DataFrame(columns), table) & ~bad
        if silent.any():
            column = next(c for c in _WORDS if c in frame.columns)
            reasons = pl.Series([SILENT]).new_from_index(0, int(silent.sum()))
            checked.rejected.append(rejected(frame.filter(silent), name, column, reasons))
            bad = bad | silent
    checked.good = pl.DataFrame(columns).filter(~bad)
    checked.emptied = [
        _emptied(frame.filter(~bad & reasons.is_not_null()), column, reasons.filter(~bad).drop_nulls())
        for column, reasons in doubtful.items()
        if (~bad & reasons.is_not_null()).any()
    ]
    return checked


def _with_missing(written: pl.Series, values: pl.Series, reasons: pl.Series) -> pl.Series:
    """The reasons of a key, also where it is missing; a date of zeros is none, but there."""
    empty = pl.repeat(False, len(written), dtype=pl.Boolean, eager=True)
    if written.dtype == pl.String and values.dtype.is_temporal():
        empty = written.str.strip_chars().str.contains(EMPTY_DATE).fill_null(False)
    word = pl.when(empty).then(pl.lit(NO_DATE)).otherwise(pl.lit("missing key"))
    missing = pl.select(pl.when(values.is_null() & reasons.is_null()).then(word)).to_series()
    return reasons.zip_with(reasons.is_not_null(), missing)


def _silent(reviews: pl.DataFrame, table: Table) -> pl.Series:
    """Whether a review has no text, title, rating or media, and nothing in a column of the shop's own.

    None is silent where the table has no column for words.
    """
    silent = pl.repeat(any(c in reviews.columns for c in _WORDS), reviews.height, dtype=pl.Boolean, eager=True)
    for values in reviews:
        known = table.columns.get(values.name)
        if values.name in (FILE, ROW) or (known is not None and known.kind != "media" and values.name not in _WORDS):
            continue
        if isinstance(values.dtype, pl.List):
            silent = silent & (values.list.len() == 0).fill_null(True)
        elif values.dtype == pl.String:
            silent = silent & (values.str.strip_chars() == "").fill_null(True)
        else:
            silent = silent & values.is_null()
    return silent


def emptied_note(name: str, cells: Sequence[Emptied]) -> str:
    """One sentence about all emptied cells of one column of the table ``name``."""
    reasons = sum((part.reasons for part in cells), Counter[str]())
    told = ", ".join(f"{count:,} {reason}" for reason, count in reasons.most_common())
    return (
        f"{name}: {reasons.total():,} values of '{cells[0].column}' could not be used and are left empty ({told}); "
        f"the first: {cells[0].first}"
    )


def _emptied(frame: pl.DataFrame, column: str, reasons: pl.Series) -> Emptied:
    file, row, seen = frame.select(FILE, ROW, column).row(0)
    text = repr(seen)
    short = text if len(text) <= EXAMPLE_LIMIT else text[:EXAMPLE_LIMIT] + "…"
    return Emptied(column, Counter(reasons.to_list()), f"{file}, row {row}, {short}")


def check_keys(frame: pl.DataFrame, name: str, table: Table) -> Checked:
    """The first row of every key is good, later ones are rejected."""
    first = frame.select(pl.struct(table.key).is_first_distinct()).to_series()
    if first.all():
        return Checked(frame)
    again = frame.filter(~first)
    lossy = pl.Series([False]).new_from_index(0, frame.height)
    for column in table.key:
        if frame[column].dtype == pl.String:
            lossy = lossy | rounded(frame[column])
    reasons = again.select(
        pl.when(pl.lit(lossy.filter(~first))).then(pl.lit(ROUNDED)).otherwise(pl.lit("duplicate key")).alias("reason")
    ).to_series()
    return Checked(frame.filter(first), [rejected(again, name, ", ".join(table.key), reasons)])


def rejected(frame: pl.DataFrame, name: str, column: str, reasons: pl.Series) -> pl.DataFrame:
    """The rows of ``frame`` as rows of ``rejected.parquet``."""
    record = frame.drop(FILE, ROW)
    seen = record.select(pl.concat_str(pl.col(c).cast(pl.String, strict=False) for c in column.split(", ")))
    return pl.DataFrame(
        {
            "table": pl.Series([name]).new_from_index(0, frame.height),
            "file": frame[FILE],
            "row": frame[ROW].cast(pl.Int64),
            "column": pl.Series([column]).new_from_index(0, frame.height),
            "reason": reasons,
            "seen": seen.to_series().str.slice(0, SEEN_LIMIT),
            "record": record.select(pl.struct(pl.all()).struct.json_encode()).to_series(),
        },
        schema_overrides=REJECTED,
    )


def unread(rows: Sequence[Unread], name: str, file: str) -> pl.DataFrame:
    """What could not be read as rows, as rows of ``rejected.parquet``."""
    return pl.DataFrame(
        [
            (
                name,
                file,
                row.row,
                "",
                row.reason,
                row.text[:SEEN_LIMIT],
                json.dumps({"text": row.text}, ensure_ascii=False),
            )
            for row in rows
        ],
        schema=REJECTED,
        orient="row",
    )


def _finite(values: pl.Series) -> pl.Series:
    """NaN and infinity in a column of the shop's own are missing values, not numbers."""
    return values.set(~values.is_finite().fill_null(True), None) if values.dtype.is_float() else values
