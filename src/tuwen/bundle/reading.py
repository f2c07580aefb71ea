"""Rows as people write them → the values that training saw. One rule for Python, the command line and HTTP.

A column that tuwen knows (``items.price``) is read by the rule that collect has for it, a column of the shop's own by
what the bundle takes it for. Each value is read by itself, whatever stands beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from tuwen import deadline
from tuwen.amounts import MULTIPLIER, PERCENT, TWO_MEANINGS
from tuwen.data.dates import NAMED_ZONE, SHORT_YEAR, TWO_ORDERS
from tuwen.data.decoder import weigh
from tuwen.data.dialects import Dialect
from tuwen.data.kinds import MEDIA, Medium
from tuwen.data.ratings import SCALES
from tuwen.data.schema import TABLES, Column
from tuwen.data.values import FIRST_YEAR, LAST_YEAR, numbers, times, typed
from tuwen.errors import DataError, did_you_mean

KINDS = (*MEDIA, "text", "number", "category", "date", "list")
SEEN_LIMIT = 80  # characters of a value that an error shows
_ALONE = Dialect()  # of a value that no column and no file stands beside

_DTYPES: dict[type, Any] = {
    str: pl.String,
    bool: pl.Boolean,
    int: pl.Int64,
    float: pl.Float64,
    datetime: pl.Datetime("us"),
    date: pl.Date,
}
_RESULTS: dict[str, Any] = {
    "number": pl.Float64,
    "whole": pl.Int64,
    "time": pl.Datetime("us"),
    "date": pl.Datetime("us"),
}  # all others are texts
_NOT = {"whole": "number", "time": "date", "id": "text"}  # kind of a column → the word for its values
_SAID = {
    "number out of range": "the number is out of range",
    "date out of range": "the date is out of range",
    "key too long": "the key is too long",
    TWO_ORDERS: "the date can have the day or the month first",
    SHORT_YEAR: "the year of the date has two digits",
    NAMED_ZONE: "the date has a time zone by name",
    MULTIPLIER: "what stands behind the number has several meanings",
    SCALES: "the rating has a scale of its own",
    TWO_MEANINGS: "the number can have a point or a comma for decimals",
}
_ALLOWED = {
    "not a number": "12, 1,299.00, ￥12",
    "not a finite number": "a finite number",
    "not a date": "2025-06-14, 2025-06-14T12:30:00, 2025年6月14日, seconds since 1970",
    PERCENT: "12, 1,299.00, ￥12",
    MULTIPLIER: "12, 1,299.00, ￥12",
    SCALES: "4, 4.5",
    TWO_MEANINGS: "12, 1,299.00, ￥12",
    TWO_ORDERS: "2025-06-14, 14.06.2025",
    SHORT_YEAR: "2025-06-14, 14.06.2025",
    NAMED_ZONE: "2025-06-14T12:30:00+08:00, 2025-06-14T04:30:00Z",
    "date out of range": f"the years {FIRST_YEAR} to {LAST_YEAR}",
    "not a text": "text or a number",
    "not a category": "text or a number",
    "not a list": "a list of texts, or one text",
}


class Unreadable(NamedTuple):
    """A cell that could not be read: its row (from 0), its column, and what to tell."""

    row: int
    column: str
    error: DataError


@dataclass(frozen=True)
class Question:
    """Rows as the modalities take them.

    Attributes:
        rows: how many.
        columns: modality → column → one value a row: a series, or for media a list of normalised files or None; of
            lists of files where the modality reads several.
        unreadable: the cells that could not be read, by row; they count as missing.
    """

    rows: int
    columns: dict[str, dict[str, Any]]
    unreadable: list[Unreadable]


def read_rows(
    rows: Iterable[Mapping[str, Any]],
    inputs: Sequence[Mapping[str, str]],
    limits: Mapping[str, Any],
    separators: Mapping[str, str] | None = None,
    several: Mapping[str, int] | None = None,
    dialects: Mapping[str, Dialect] | None = None,
) -> Question:
    """Every column that a bundle reads, as training saw it.

    Args:
        rows: columns by qualified name or by short name where that is unambiguous.
        inputs: ``{column, kind, modality}`` of every column.
        limits: of media, as the manifest keeps them.
        separators: modality → what stands between the categories of one cell, where it is not "|".
        several: modality → how many files of a cell are read, where that is not the first alone.
        dialects: column → how its numbers and dates are written, where its other values tell.

    Raises:
        DataError: no list of rows; a column that is unknown, ambiguous or given twice.
    """
    known = list(dict.fromkeys(entry["column"] for entry in inputs))
    asked = [named(row, known, f"row {i + 1}") for i, row in enumerate(_list_of_rows(rows))]
    columns: dict[str, dict[str, Any]] = {}
    bad: dict[tuple[int, str], DataError] = {}
    weigh(_pictures(asked, inputs))
    for entry in inputs:
        deadline.check()
        column, kind = entry["column"], entry["kind"]
        cells = [row.get(column) for row in asked]
        separator = (separators or {}).get(entry["modality"], "|")
        read: tuple[Any, dict[int, DataError]]
        if kind in MEDIA:
            read = _media(cells, MEDIA[kind], limits, (several or {}).get(entry["modality"]))
        else:
            read = read_column(cells, column, kind, separator, (dialects or {}).get(column, _ALONE).or_else(_ALONE))
        columns.setdefault(entry["modality"], {})[column] = read[0]
        for i, error in read[1].items():
            bad.setdefault((i, column), error)
    places = sorted(bad, key=lambda place: (place[0], known.index(place[1])))
    return Question(len(asked), columns, [Unreadable(i, c, _placed(bad[i, c], i, c)) for i, c in places])


def _pictures(rows: Sequence[Mapping[str, Any]], inputs: Sequence[Mapping[str, str]]) -> list[bytes]:
    """The files of all columns of pictures."""
    columns = {entry["column"] for entry in inputs if entry["kind"] == "image"}
    cells = [row.get(column) for row in rows for column in columns]
    files = [file for cell in cells for file in (cell if isinstance(cell, list | tuple) else [cell])]
    return [bytes(file) for file in files if isinstance(file, bytes | bytearray | memoryview)]


def qualified(name: str, columns: Iterable[str], where: str) -> str:
    """The column that ``name`` means: its qualified name, or the part behind the table where only one column has it.

    Raises:
        DataError: none or several do.
    """
    known = list(dict.fromkeys(columns))
    if name in known:
        return name
    fits = [column for column in known if column.partition(".")[2] == name]
    if len(fits) == 1:
        return fits[0]
    if fits:
        raise DataError(f"'{name}' could be more than one column", where=where, allowed=fits)
    names = [*known, *(column.partition(".")[2] for column in known)]
    raise DataError(
        f"the bundle reads no column '{name}'", where=where, allowed=known, todo=did_you_mean(str(name), names)
    )


def named(row: Mapping[str, Any], known: Sequence[str], where: str) -> dict[str, Any]:
    """The row with every column under its qualified name.

    Raises:
        DataError: a column that is unknown, ambiguous or given twice.
    """
    found: dict[str, Any] = {}
    for key, value in row.items():
        column = qualified(key, known, where)
        if column in found:
            raise DataError(f"'{column}' is given twice", where=where, todo="leave one of them out")
        found[column] = value
    return found


def read_column(
    cells: Sequence[Any], column: str, kind: str, separator: str = "|", dialect: Dialect = _ALONE
) -> tuple[pl.Series, dict[int, DataError]]:
    """The cells of one column as collect reads them, and what is wrong with those that it cannot read, by place.

    Args:
        cells: Python values of any type; None, NaN and blank text are missing.
        kind: text, number, category, date or list.
        separator: between the categories of one text, where other cells hold lists.

    Returns:
        a series of f64, i64, datetime[us] (naive UTC) or str; of list[str] where ``kind`` is list and a cell holds one.
    """
    table, _, name = column.partition(".")
    known = TABLES[table].columns.get(name) if table in TABLES else None
    rule = known.kind if known is not None else kind
    read: list[Any] = [None] * len(cells)
    errors: dict[int, DataError] = {}
    groups: dict[type, list[int]] = {}
    plain = [_plain(cell) for cell in cells]
    for i, cell in enumerate(plain):
        if cell is not None:
            groups.setdefault(type(cell), []).append(i)
    for group, places in groups.items():
        values, reasons = _read_group(group, [plain[i] for i in places], known, rule, dialect)
        for i, value, reason in zip(places, values, reasons, strict=True):
            read[i] = value
            if reason is not None:
                errors[i] = _error(reason, plain[i], known)
    if list in map(type, read):
        split = [cell.split(separator) if isinstance(cell, str) else cell for cell in read]
        return pl.Series(column, split, pl.List(pl.String)), errors
    return pl.Series(column, read, _RESULTS.get(rule, pl.String)), errors


def _read_group(
    group: type, cells: list[Any], column: Column | None, rule: str, dialect: Dialect
) -> tuple[list[Any], list[str | None]]:
    """Cells of one type: what each says, and the reason where it says nothing that can be read."""
    unread = f"not a {_NOT.get(rule, rule)}"
    if group is list and rule == "list":
        good = [all(type(part) in _DTYPES for part in cell) for cell in cells]
        parts = [[_text(part) for part in cell] if well else None for cell, well in zip(cells, good, strict=True)]
        return parts, [None if well else unread for well in good]
    if group not in _DTYPES:
        return [None] * len(cells), [unread] * len(cells)
    given = pl.Series("cells", cells, _DTYPES[group])
    if column is not None:
        values, reasons = typed(given, column, dialect)
    elif rule == "number":
        values, reasons = numbers(given, -np.inf, np.inf, dialect=dialect)
    elif rule == "date" and group is not date:
        values, reasons = times(given, dialect)
    else:  # as examples give it: a date of the shop's own keeps its year, a text all its characters
        values, reasons = given.cast(_RESULTS.get(rule, pl.String)), pl.Series("reason", [None] * len(cells), pl.String)
    return values.to_list(), reasons.to_list()


def _media(
    cells: Sequence[Any], medium: Medium, limits: Mapping[str, Any], several: int | None
) -> tuple[list[Any], dict[int, DataError]]:
    """The first of each cell that can be read, normalised, or the first ``several`` different ones; the error of the
    first where none can.
    """
    read: list[list[bytes]] = []
    errors: dict[int, DataError] = {}
    for i, cell in enumerate(cells):
        found: list[bytes] = []
        for one in cell if isinstance(cell, list | tuple) else [cell]:
            if len(found) == (several or 1):
                break
            if (one := _plain(one)) is None or one in (b"", ""):
                continue
            try:
                file = _medium(one, medium, limits)
            except DataError as error:
                errors.setdefault(i, error)
                continue
            found += [file] if file not in found else []
        if found:
            errors.pop(i, None)
        read.append(found)
    return (read if several else [found[0] if found else None for found in read]), errors


def _medium(value: Any, medium: Medium, limits: Mapping[str, Any]) -> bytes:
    if not isinstance(value, bytes | bytearray | memoryview):
        raise DataError(f"a {medium.word} must be the bytes of a file", seen=type(value).__name__)
    return medium.normalise(bytes(value), medium.limited(limits))


def _list_of_rows(rows: Any) -> list[Mapping[str, Any]]:
    found: list[Any] = (
        list(rows) if isinstance(rows, Iterable) and not isinstance(rows, str | bytes | Mapping) else [None]
    )
    if not all(isinstance(row, Mapping) for row in found):
        raise DataError("predict takes a list of rows", seen=type(rows).__name__, allowed='[{"items.title": "…"}, …]')
    return found


def _plain(value: Any) -> Any:
    """A value of one of the types that have a rule, None where it says nothing, anything else as it is.

    NaN is how data frames say nothing; a lone surrogate is half a character that no file can hold.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode() if value.strip() else None
    if isinstance(value, Decimal):
        value = float("nan") if value.is_nan() else float(value)
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return float(value) if abs(value) < 2**1023 else float("inf")
    if isinstance(value, float | datetime) and value != value:
        return None
    if isinstance(value, datetime):
        return _utc(value)
    return [part for part in map(_plain, value) if part is not None] if isinstance(value, list | tuple) else value


def _utc(moment: datetime) -> datetime:
    """Without a zone, as collect keeps it; one at the edge of the calendar is out of range either way."""
    try:
        return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
    except OverflowError:
        return moment.replace(tzinfo=None)


def _text(value: Any) -> str:
    return str(pl.Series([value]).cast(pl.String)[0])


def _error(reason: str, value: Any, known: Column | None) -> DataError:
    kind, _, meanings = reason.partition(": ")  # of a word for a time zone
    allowed = _ALLOWED.get(kind)
    if reason == "number out of range" and known is not None:
        allowed = f"{known.low:g} to {known.high:g}"
    shown = repr(value)
    seen = shown if len(shown) <= SEEN_LIMIT else f"{shown[:SEEN_LIMIT]}…"
    what = _SAID.get(kind, f"the value is {kind}")
    return DataError(f"{what}: {meanings}" if meanings else what, seen=seen, allowed=allowed)


def _placed(error: DataError, row: int, column: str) -> DataError:
    where = f"row {row + 1}, '{column}'"
    return DataError(error.what, where=where, seen=error.seen, allowed=error.allowed, todo=error.todo)
