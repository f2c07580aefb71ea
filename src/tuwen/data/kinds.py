"""The kinds of media a shop may have: their column, their word, their limits, and the one door each goes through.

Another kind is another line in :data:`MEDIA` and a module with ``normalise``; docs/add-a-modality.md walks through it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tuwen.data.decoder import normalise
from tuwen.data.looks import looks_like
from tuwen.errors import DataError


@dataclass(frozen=True)
class Medium:
    """One kind of media.

    Attributes:
        column: the column of items and reviews that lists it.
        word: what a person calls one of it.
        door: ``module:function``, ``(data: bytes, *, limits...) -> bytes``; raises DataError with a short reason.
        limits: the names of those limits.
    """

    column: str
    word: str
    door: str
    limits: tuple[str, ...]

    def named(self, reference: str) -> str:
        """A reference as the store and its quarantine know it: of a picture as it stands, else ``sound:a.wav``."""
        return reference if self.column == "images" else f"{self.word}:{reference}"

    def limited(self, limits: Mapping[str, Any]) -> dict[str, Any]:
        """This kind's part of ``media_limits``: the pictures' stand in the open, the others' under their word."""
        if self.column == "images":
            return {name: limits[name] for name in self.limits}
        return dict(limits[self.word])

    def normalise(self, data: bytes, limits: Mapping[str, Any]) -> bytes:
        """The bytes that the store keeps and that training and serving see.

        Raises:
            DataError: it cannot be used; ``what`` is the reason.
            MissingExtra: what reads it is not installed.
            Interrupted: the deadline of a service passed meanwhile.
        """
        return normalise(self.door, data, limits)


MEDIA = {
    "image": Medium(
        "images", "picture", "tuwen.data.media:normalise", ("max_bytes", "max_pixels", "max_side", "min_side")
    ),
    "audio": Medium(
        "sounds", "sound", "tuwen.data.audio:normalise", ("max_bytes", "max_seconds", "max_channels", "rate")
    ),
    "shape": Medium("shapes", "shape", "tuwen.data.shape:normalise", ("max_bytes", "max_vertices", "max_faces")),
}
"""By the name of the modality that reads it."""

INPUTS = {"picture-text": "image"}
"""Modality → the kind of its files, where that is not its own name."""

COLUMNS = {medium.column: medium for medium in MEDIA.values()}
"""By the column that lists it."""


def input_kind(use: str) -> str:
    """What a modality is given: ``image`` for whatever reads pictures; ``text`` and ``table`` as they are."""
    return INPUTS.get(use, use)


def medium_of(use: str) -> Medium | None:
    """The kind of files that a modality reads; None where it reads texts or columns."""
    return MEDIA.get(input_kind(use))


def need_file(data: bytes, word: str, allowed: str, max_bytes: int) -> None:
    """Refuse what is too large, empty, or a web page in the place of a file.

    Args:
        word: what it should be: "sound".
        allowed: the formats that are read.

    Raises:
        DataError: it is.
    """
    if len(data) > max_bytes:
        raise DataError("too many bytes", seen=f"{len(data):,} bytes", allowed=f"at most {max_bytes:,} bytes")
    if not data:
        raise DataError("empty file", allowed=allowed)
    head = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith((b"<!doctype html", b"<html")) or b"<head" in head or b"<body" in head:
        raise DataError(f"a web page, not a {word}", seen=looks_like(data), allowed=allowed)
