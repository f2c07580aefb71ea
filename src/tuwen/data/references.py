"""What a row says about its media → references: paths, URLs, or ``sha256:…`` for bytes that came with the row."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence

import polars as pl

BYTES = "sha256:"
_SPLIT = re.compile(r"\s*[|;\n]\s*")
_SPLIT_URLS = re.compile(r"\s*[|;\n]\s*(?=https?://)", re.IGNORECASE)


def references(frame: pl.DataFrame, columns: Sequence[str]) -> tuple[pl.Series, dict[str, bytes]]:
    """The media of every row, in order and each once, and the bytes of those that came as bytes.

    A column may hold bytes, a list of bytes, one reference, or several: a list, a JSON list, or separated by ``|``,
    ``;`` or a new line.
    """
    contents: dict[str, bytes] = {}
    rows: list[list[str]] = [[] for _ in range(frame.height)]
    for column in columns:
        for row, value in zip(rows, frame[column].to_list(), strict=True):
            for part in value if isinstance(value, list) else [value]:
                one = part.get("bytes") or part.get("path") if isinstance(part, dict) else part  # {bytes, path} structs
                if isinstance(one, bytes):
                    if one:
                        reference = BYTES + hashlib.sha256(one).hexdigest()
                        contents[reference] = one
                        row.append(reference)
                elif one is not None:
                    row.extend(split(str(one)))
    return pl.Series("references", [list(dict.fromkeys(row)) for row in rows], pl.List(pl.String)), contents


def split(text: str) -> list[str]:
    """The references in one cell."""
    text = text.strip()
    if text.startswith("["):
        try:
            listed = json.loads(text)
        except ValueError:
            listed = None
        if isinstance(listed, list):
            parts = [part if isinstance(part, str) else json.dumps(part) for part in listed if part is not None]
            return [part.strip() for part in parts if part.strip()]
    cut = _SPLIT_URLS if text[:8].lower().startswith(("http://", "https://")) else _SPLIT
    return [part for part in cut.split(text) if part]
