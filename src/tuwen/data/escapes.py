"""Backslashes before quotes, separators and line ends, as MySQL and others write them, in a delimited file.

Each pair becomes one Unicode noncharacter before the file is parsed, and the character that it
stands for afterwards: a parser then sees no quote, separator or line end that is part of a value.
"""

from __future__ import annotations

import polars as pl

BACKSLASH = b"\\"
_FIRST = 0xFDD2  # noncharacters: no text contains them; encoding and open quotes take those before


def has_escapes(data: bytes, separator: str) -> bool:
    """Whether a backslash stands before anything that a parser would take for its own."""
    return any(pair in data for pair, _, _ in _pairs(separator) if pair != BACKSLASH * 2)


def hide_escapes(data: bytes, separator: str) -> bytes:
    """``data`` with every escaped character as a noncharacter."""
    for pair, token, _ in _pairs(separator):
        data = data.replace(pair, token.encode())
    return data


def show_escapes(frame: pl.DataFrame, separator: str) -> pl.DataFrame:
    """Texts with the characters that the escapes stood for."""
    tokens = {token: character for _, token, character in _pairs(separator)}
    return frame.with_columns(pl.col(pl.String).str.replace_many(tokens))


def written_escapes(text: str, separator: str) -> str:
    """``text`` with the escapes as the file has them: for a row that could not be read."""
    for pair, token, _ in _pairs(separator):
        text = text.replace(token, pair.decode())
    return text


def _pairs(separator: str) -> list[tuple[bytes, str, str]]:
    """(escaped pair, noncharacter, character); the escaped backslash first, since it shields what follows."""
    characters = ["\\", '"', separator, "\r\n", "\n", "\r"]
    return [(BACKSLASH + c.encode(), chr(_FIRST + i), c) for i, c in enumerate(characters)]
