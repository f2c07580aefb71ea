"""Rows as they arrive over HTTP → rows as a bundle takes them."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from tuwen.errors import DataError, did_you_mean
from tuwen.service.predictor import Input
from tuwen.service.problems import RequestError


def to_rows(rows: Sequence[Mapping[str, Any]], inputs: Sequence[Input], picture_bytes: int) -> list[dict[str, Any]]:
    """Every column under its qualified name, every value of the kind that the bundle expects.

    Raises:
        DataError: an unknown or ambiguous column, a value of the wrong kind, a row that says nothing.
        RequestError: a picture above ``picture_bytes``.
    """
    kinds: dict[str, str] = {entry["column"]: entry["kind"] for entry in inputs}
    return [_row(row, kinds, picture_bytes, f"row {i + 1}") for i, row in enumerate(rows)]


def _row(row: Mapping[str, Any], kinds: dict[str, str], picture_bytes: int, where: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in row.items():
        column = qualified(name, kinds, where)
        place = f"{where}, '{name}'"
        if column in found:
            raise DataError("the column stands twice", where=place, todo=f"send '{column}' once")
        found[column] = _picture(value, place, picture_bytes) if kinds[column] == "image" else None
        if kinds[column] != "image" and value is not None:
            found[column] = _CONVERT[kinds[column]](value, place)
    if not found:
        raise DataError("the row names no column", where=where, allowed=kinds)
    return found


def qualified(name: str, kinds: Mapping[str, str], where: str) -> str:
    """The column that ``name`` means: its qualified name, or its last part where only one column has it.

    Raises:
        DataError: none or several do.
    """
    if name in kinds:
        return name
    fits = [column for column in kinds if column.rpartition(".")[2] == name]
    if len(fits) == 1:
        return fits[0]
    if fits:
        raise DataError(f"'{name}' could be more than one column", where=where, allowed=fits)
    names = [*kinds, *(column.rpartition(".")[2] for column in kinds)]
    raise DataError(
        f"the bundle reads no column '{name}'", where=where, allowed=list(kinds), todo=did_you_mean(name, names)
    )


def _picture(value: Any, where: str, most: int) -> bytes | None:
    """Bytes as they are; text as base64, with or without ``data:image/jpeg;base64,`` before it."""
    if value is None or value in ("", b""):
        return None
    if isinstance(value, str):
        text = value.partition(",")[2] if value.startswith("data:") else value
        if len(text) * 3 // 4 - 3 > most:
            raise too_large(where, len(text) * 3 // 4, most)
        try:
            value = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raise DataError(
                "a picture must be the base64 text of an image file", where=where, seen=f"{text[:24]!r}…"
            ) from None
    if not isinstance(value, bytes):
        raise _wrong("a picture", value, where, "base64 text, or a file in a form")
    if len(value) > most:
        raise too_large(where, len(value), most)
    return value


def too_large(where: str, seen: int, most: int) -> RequestError:
    """The refusal of a picture with too many bytes."""
    return RequestError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "the picture is too large",
        where=where,
        seen=f"{seen} bytes",
        allowed=f"{most} bytes",
        todo="shrink it: nothing above 512 pixels a side is looked at",
    )


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise _wrong("a text", value, where, "text")
    return value


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise _wrong("a number", value, where, "a number")
    try:
        number = float(value)
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise _wrong("a number", value, where, "a finite number")
    return number


def _category(value: Any, where: str) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, int | float | str):
        raise _wrong("a category", value, where, "text or a number")
    return str(value)


def _date(value: Any, where: str) -> datetime:
    """ISO 8601; with an offset it is turned into UTC, as collecting does."""
    try:
        time = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise _wrong("a date", value, where, "2025-06-14 or 2025-06-14T12:30:00") from None
    return time.astimezone(UTC).replace(tzinfo=None) if time.tzinfo else time


def _list(value: Any, where: str) -> list[str]:
    """A list of texts; one text is a list of one."""
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(one, str) for one in values):
        raise _wrong("a list", value, where, "a list of texts")
    return values


_CONVERT: dict[str, Callable[[Any, str], Any]] = {
    "text": _text,
    "number": _number,
    "category": _category,
    "date": _date,
    "list": _list,
}


def _wrong(what: str, value: Any, where: str, allowed: str) -> DataError:
    shown = repr(value)
    return DataError(
        f"the value is not {what}", where=where, seen=shown if len(shown) <= 80 else f"{shown[:80]}…", allowed=allowed
    )
