"""What every kind of source gives: rows in batches, as they stand, and the rows that could not be read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple, Protocol

import polars as pl

from tuwen.errors import DataError

BATCH_ROWS = 65_536


class Unread(NamedTuple):
    """A row that is none: its number, what is wrong, and the text that stood there."""

    row: int
    reason: str
    text: str


@dataclass
class Batch:
    """Some rows of a source.

    Attributes:
        frame: the columns as the source has them.
        rows: the number of each row in its source, from 1: data rows of CSV, Parquet and SQL, lines of JSONL.
        unread: what could not be read.
    """

    frame: pl.DataFrame
    rows: pl.Series
    unread: list[Unread] = field(default_factory=list)


class Part(Protocol):
    """One file, or the result of one query.

    Attributes:
        name: as errors and ``rejected.parquet`` name it.
        columns: the source's own names.
        rows: how many there are, where that is known beforehand.
        notes: what a person should know about how it was read.
        numbers: columns that hold nothing but numbers, where that is known beforehand.
    """

    name: str
    columns: list[str]
    rows: int | None
    notes: list[str]
    numbers: frozenset[str]

    def batches(self, columns: Sequence[str]) -> Iterator[Batch]:
        """All rows, with these columns only."""


def need_table(data: bytes, where: str) -> None:
    """Refuse a file whose first bytes say that it holds no table at all.

    Raises:
        DataError: nothing, zero bytes only, or a web page (a log-in page in the place of the export).
    """
    if not data.strip():
        raise DataError("the file is empty", where=where, todo="check the export")
    if data[:512].lstrip().lower().startswith((b"<!doctype html", b"<html", b"<head", b"<body", b"<table", b"<?xml")):
        seen = data.lstrip()[:40].decode("utf-8", "ignore")
        raise DataError("a web page, not a table", where=where, seen=seen, todo="export the table anew")
    if not data.strip(b"\0\r\n "):
        raise DataError("the file holds zero bytes only", where=where, todo="export the table anew")


_BINARY = (  # first bytes, what the file is, and what to do
    (b"PK\x03\x04", "an Excel workbook or a ZIP archive", "open it, and save the sheet as CSV"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook", "open it, and save the sheet as CSV"),
    (b"PAR1", "a Parquet file", "say format: parquet beside its source in SHOP.yaml, or name it .parquet"),
    (b"\x1f\x8b", "a gzip archive", "unpack it"),
    (b"%PDF-", "a PDF", "export the table as CSV"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "unpack it"),
    (b"Rar!", "a RAR archive", "unpack it"),
    (b"BZh", "a bzip2 archive", "unpack it"),
    (b"\xfd7zXZ\0", "an xz archive", "unpack it"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive", "unpack it"),
    (b"SQLite format 3\0", "an SQLite database", "name it by a URL and a query: sqlite:///FILE"),
)
_CONTROL = re.compile(rb"[\0-\x08\x0e-\x1f]")  # a column of a text file may be called PAR1


def need_text(data: bytes, where: str) -> None:
    """Refuse a file that is no text, whatever its name, before its encoding is guessed.

    Args:
        data: its first bytes, or all.

    Raises:
        DataError: a workbook, an archive or a Parquet file; says which, and what to do.
    """
    for beginning, words, todo in _BINARY:
        if data.startswith(beginning) and (_CONTROL.search(data[:4096]) or beginning == b"%PDF-"):
            raise DataError(f"{words}, not a text file", where=where, todo=todo)


def numbered(count: int, start: int = 1) -> pl.Series:
    """``start``, ``start`` + 1, …: row numbers."""
    return pl.int_range(start, start + count, dtype=pl.Int64, eager=True)


Kinds = frozenset[type | str]  # the types of a column's values; WIDE, LONG and OTHER where a type alone says too little
WIDE, LONG, OTHER = (
    "wide",
    "long",
    "other",
)  # whole numbers that no float holds, that no int64 holds; lists of more than texts
_EXACT = 2**53


def kind_of(value: Any) -> type | str | None:
    """What a Python value asks of its column; None where it is missing."""
    if value is None:
        return None
    if isinstance(value, Decimal):
        value = _number(value)
    kind = type(value)
    if kind is int and not -_EXACT <= value <= _EXACT:
        return WIDE if -(2**63) <= value < 2**63 else LONG
    if kind is list and not all(isinstance(part, str) for part in value):
        return OTHER
    return kind


def kinds_of(values: list[Any]) -> Kinds:
    """Of all values of a column, or of a part of it: kinds of parts are joined by ``|``."""
    return frozenset(kind for value in values if (kind := kind_of(value)) is not None)


def series(name: str, values: list[Any], kinds: Kinds | None = None) -> pl.Series:
    """Python values as a column: of their own type where they share one, else each as text, so that nothing is lost.

    Args:
        kinds: of the whole column, where ``values`` are a part of it.
    """
    kinds = kinds_of(values) if kinds is None else kinds
    dtype = _dtype(kinds)
    if dtype in (pl.Int64, pl.Float64):
        values = [_number(value) if isinstance(value, Decimal) else value for value in values]
        return pl.Series(name, values, dtype, strict=False)
    if dtype == pl.Binary:
        return pl.Series(name, [None if value is None else bytes(value) for value in values], dtype)
    if dtype != pl.String or kinds == {str}:
        return pl.Series(name, values, dtype)
    return pl.Series(name, [None if value is None else _text(value) for value in values], pl.String)


def joined_frames(parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Batches as one frame. A column that has several types becomes what it would be had it come in one batch."""
    types: dict[str, set[pl.DataType]] = {}
    for part in parts:
        for column, dtype in part.schema.items():
            types.setdefault(column, set()).add(dtype)
    mixed = [column for column, kinds in types.items() if _differ(kinds - {pl.Null()})]
    if mixed:
        parts = [
            part.with_columns(_as_text(part[column]) for column in mixed if column in part.columns) for part in parts
        ]
    return pl.concat(parts, how="diagonal_relaxed")


def _differ(kinds: set[pl.DataType]) -> bool:
    """Whether nothing but texts holds values of all these types."""
    return len(kinds) > 1 and any(kind == pl.String or kind.is_nested() or kind == pl.Binary for kind in kinds)


def _as_text(values: pl.Series) -> pl.Series:
    if values.dtype == pl.String or values.dtype in (pl.Categorical, pl.Enum, pl.Null):
        return values.cast(pl.String)
    if values.dtype.is_integer() or values.dtype.is_temporal():
        return values.cast(pl.String)
    return pl.Series(values.name, [None if value is None else _text(value) for value in values.to_list()], pl.String)


_TYPES: dict[type, Any] = {
    str: pl.String,
    bool: pl.Boolean,
    bytes: pl.Binary,
    memoryview: pl.Binary,
    datetime: pl.Datetime("us"),
    date: pl.Date,
    list: pl.List(pl.String),
}


def _dtype(kinds: Kinds) -> Any:
    if kinds <= {int, WIDE}:
        return pl.Int64
    if kinds <= {int, float}:
        return pl.Float64
    if kinds <= {bytes, memoryview}:
        return pl.Binary
    (kind, *others) = kinds
    return pl.String if others or isinstance(kind, str) else _TYPES.get(kind, pl.String)


def _number(value: Decimal) -> int | float:
    """What a database calls numeric: whole where it is (``7.00`` may be a key), else floating-point."""
    whole = value.is_finite() and value.adjusted() < 19 and value == value.to_integral_value()
    return int(value) if whole else float(value)


def _text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        return str(int(value))
    if isinstance(value, bool | int | float | list | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)
