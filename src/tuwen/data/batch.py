"""What every kind of source gives: rows in batches, as they stand, and the rows that could not be read."""

from __future__ import annotations

import json
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
    """

    name: str
    columns: list[str]
    rows: int | None
    notes: list[str]

    def batches(self, columns: Sequence[str]) -> Iterator[Batch]:
        """All rows, with these columns only."""


def need_table(data: bytes, where: str) -> None:
    """Refuse a file whose first bytes say that it holds no table at all.

    Raises:
        DataError: nothing, zero bytes only, or a web page (a log-in page in the place of the export).
    """
    if not data.strip():
        raise DataError("the file is empty", where=where, todo="check the export")
    if data[:512].lstrip().lower().startswith((b"<!doctype html", b"<html")):
        seen = data.lstrip()[:40].decode("utf-8", "ignore")
        raise DataError("a web page, not a table", where=where, seen=seen, todo="export the table anew")
    if not data.strip(b"\0\r\n "):
        raise DataError("the file holds zero bytes only", where=where, todo="export the table anew")


def numbered(count: int, start: int = 1) -> pl.Series:
    """``start``, ``start`` + 1, …: row numbers."""
    return pl.int_range(start, start + count, dtype=pl.Int64, eager=True)


def series(name: str, values: list[Any]) -> pl.Series:
    """Python values as a column: of their own type where they share one, else each as text, so that nothing is lost."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {memoryview}:
        return pl.Series(name, [None if value is None else bytes(value) for value in values], pl.Binary)
    if kinds == {Decimal}:
        values = [None if value is None else _number(value) for value in values]
        kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float}:
        if float not in kinds and all(value is None or -(2**63) <= value < 2**63 for value in values):
            return pl.Series(name, values, pl.Int64)
        return pl.Series(name, values, pl.Float64, strict=False)
    for kind, dtype in _TYPES.items():
        if kinds == {kind}:
            return pl.Series(name, values, dtype)
    if kinds == {list} and all(isinstance(part, str) for value in values if value for part in value):
        return pl.Series(name, values, pl.List(pl.String))
    return pl.Series(name, [None if value is None else _text(value) for value in values], pl.String)


_TYPES: dict[type, Any] = {
    str: pl.String,
    bool: pl.Boolean,
    bytes: pl.Binary,
    datetime: pl.Datetime("us"),
    date: pl.Date,
}


def _number(value: Decimal) -> int | float:
    """What a database calls numeric: whole where it is (``7.00`` may be a key), else floating-point."""
    whole = value.is_finite() and value.adjusted() < 19 and value == value.to_integral_value()
    return int(value) if whole else float(value)


def _text(value: Any) -> str:
    if isinstance(value, bool | int | float | list | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)
