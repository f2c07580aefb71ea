"""Rows as they arrive over HTTP → rows as a bundle takes them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from tuwen.bundle.reading import named
from tuwen.data.kinds import MEDIA
from tuwen.errors import DataError
from tuwen.service.invalid_values import as_sent
from tuwen.service.predictor import Input
from tuwen.service.problems import RequestError

PART = 1 << 18  # characters of base64 (four of them are three bytes), decoded in some 3 ms


def to_rows(rows: Sequence[Mapping[str, Any]], inputs: Sequence[Input], picture_bytes: int) -> list[dict[str, Any]]:
    """Every column under its qualified name, media as bytes; all other values as they were sent.

    What a number or a date may look like is no matter of HTTP: the predictor reads them as it does for every door.

    Raises:
        DataError: an unknown or ambiguous column, one given twice, a file that is none, a row that says nothing.
        RequestError: a file above ``picture_bytes``.
    """
    known = [entry["column"] for entry in inputs]
    words = {entry["column"]: MEDIA[entry["kind"]].word for entry in inputs if entry["kind"] in MEDIA}
    found = []
    for i, row in enumerate(rows):
        where = f"row {i + 1}"
        if not row:
            raise DataError("the row names no column", where=where, allowed=dict.fromkeys(known))
        sent = named(row, known, where)
        found.append(
            {c: _files(v, words[c], f"{where}, '{c}'", picture_bytes) if c in words else v for c, v in sent.items()}
        )
    return found


def _files(value: Any, word: str, where: str, most: int) -> bytes | list[bytes] | None:
    """One file, or several of a list."""
    if not isinstance(value, list):
        return file_of(value, word, where, most)
    several = (file_of(one, word, where, most) for one in value)
    return [one for one in several if one is not None] or None


def file_of(value: Any, word: str, where: str, most: int) -> bytes | None:
    """Bytes as they are; text as base64, with or without ``data:image/jpeg;base64,`` before it."""
    if value is None or value in ("", b""):
        return None
    if isinstance(value, str):
        if value[:8].lower().startswith(("http://", "https://")):
            raise DataError(
                f"a {word} is sent as its bytes: the service fetches no addresses",
                where=where,
                seen=as_sent(value[:80]),
                todo="fetch it and send base64 text, or a file in a form",
            )
        text = value.partition(",")[2] if value.startswith("data:") else value
        if len(text) * 3 // 4 - 3 > most:
            raise too_large(word, where, len(text) * 3 // 4, most)
        try:
            value = _decoded(text)
        except (binascii.Error, ValueError):
            raise DataError(
                f"a {word} must be the base64 text of a file", where=where, seen=as_sent(text[:24])
            ) from None
    if not isinstance(value, bytes):
        raise DataError(
            f"the value is not a {word}",
            where=where,
            seen=as_sent(value),
            allowed="base64 text or a list of such, or files in a form",
        )
    if len(value) > most:
        raise too_large(word, where, len(value), most)
    return value


def _decoded(text: str) -> bytes:
    """Base64 in parts: of one call for 20 MB, which takes a tenth of a second, nobody else is answered.

    Raises:
        ValueError: it is no base64.
    """
    parts = [text[start : start + PART] for start in range(0, len(text), PART)]
    if any("=" in part for part in parts[:-1]):
        raise ValueError("padding before the end")
    return b"".join(base64.b64decode(part, validate=True) for part in parts)


def too_large(word: str, where: str, seen: int, most: int) -> RequestError:
    """The refusal of a file with too many bytes."""
    return RequestError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"the {word} is too large",
        where=where,
        seen=f"{seen} bytes",
        allowed=f"{most} bytes",
        todo="shrink it: nothing above 512 pixels a side is looked at"
        if word == "picture"
        else "shorten or simplify it",
    )
