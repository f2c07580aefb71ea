"""What a row says about its media → references: paths, URLs, or ``sha256:…`` for bytes that came with the row."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence

import polars as pl

BYTES = "sha256:"
LONGEST_NAME = 8  # commas that one file name may have
_SEPARATOR = re.compile(r"[|;\n]")
_ADDRESS = re.compile(r"https?://", re.IGNORECASE)
_ENDING = re.compile(r"\.[A-Za-z0-9]{2,5}\Z")

Exists = Callable[[str], bool]


def _nothing(_: str) -> bool:
    return False


def references(
    frame: pl.DataFrame, columns: Sequence[str], *, exists: Exists = _nothing, separators: str | None = None
) -> tuple[pl.Series, dict[str, bytes]]:
    """The media of every row, in order and each once, and the bytes of those that came as bytes.

    A column may hold bytes, a list of bytes, one reference, or several: a list, a JSON list, or one text that
    :func:`split` cuts.
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
                    row.extend(split(str(one), exists=exists, separators=separators))
    return pl.Series("references", [list(dict.fromkeys(row)) for row in rows], pl.List(pl.String)), contents


def split(text: str, *, exists: Exists = _nothing, separators: str | None = None) -> list[str]:
    """The references in one cell.

    Args:
        exists: whether there is a file of that name. A name may hold a comma: the cell is cut where the files say so.
        separators: the characters that the shop says stand between two references; ``""``: a cell is one reference.
            Without them a cell is cut at ``|``, ``;`` and line ends, addresses also at commas and blanks before the
            next address, and names of files at commas behind a file's ending or around a file that exists.

    >>> split("a.jpg, b.jpg"), split("12 High Street, York.jpg"), split("https://a/w_1,h_1/b.jpg,https://a/c.jpg")
    (['a.jpg', 'b.jpg'], ['12 High Street, York.jpg'], ['https://a/w_1,h_1/b.jpg', 'https://a/c.jpg'])
    """
    text = text.strip()
    if text.startswith("["):
        try:
            listed = json.loads(text)
        except (ValueError, RecursionError):
            listed = None
        if isinstance(listed, list):
            parts = [part if isinstance(part, str) else json.dumps(part) for part in listed if part is not None]
            return [part.strip() for part in parts if part.strip()]
    if separators is not None:
        pieces = re.split(f"[{re.escape(separators)}]", text) if separators else [text]
        return [piece.strip() for piece in pieces if piece.strip()]
    if _ADDRESS.match(text):
        return _addresses(text)
    if any(mark in text for mark in "|;,\n") and exists(text):
        return [text]
    names: list[str] = []
    for piece in _SEPARATOR.split(text):
        part = piece.strip()
        if _ADDRESS.match(part):
            names += _addresses(part)
        elif "," in part:
            names += _names(part, exists)
        elif part:
            names.append(part)
    return names


def _addresses(text: str) -> list[str]:
    """Cut before each address that a separator or a blank stands before; other commas are part of an address."""
    addresses: list[str] = []
    start = 0
    for match in _ADDRESS.finditer(text, 1):
        end = match.start()
        while end > start and text[end - 1].isspace():
            end -= 1
        if end < match.start() or text[end - 1] in "|;,":
            addresses.append(text[start:end].rstrip("|;, \t\r\n"))
            start = match.start()
    addresses.append(text[start:].rstrip("|;, \t\r\n"))
    return [address for address in addresses if address]


def _names(text: str, exists: Exists) -> list[str]:
    """Names of files with commas between them, in them, or both: the longest that exists is one name, else all up to
    the next file's ending.
    """
    pieces = text.split(",")
    names: list[str] = []
    at = 0
    while at < len(pieces):
        last = min(len(pieces), at + LONGEST_NAME + 1)
        whole = (end for end in range(last, at, -1) if exists(",".join(pieces[at:end]).strip()))
        end = next(whole, None) or _end_of_name(pieces, at, exists)
        names.append(",".join(pieces[at:end]).strip())
        at = end
    return [name for name in names if name]


def _end_of_name(pieces: Sequence[str], at: int, exists: Exists) -> int:
    """Behind the first piece with a file's ending, or before one that is a file by itself."""
    for index in range(at, len(pieces)):
        piece = pieces[index].strip()
        if index > at and (not piece or exists(piece)):
            return index
        if _ENDING.search(piece) or not piece:
            return index + 1
    return len(pieces)
