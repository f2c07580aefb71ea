"""Normalise texts to NFKC and NFC in linear time."""

from __future__ import annotations

import re
import sys
import unicodedata
from functools import cache

MARKS = 100  # combining marks on one letter; no language has more than 30 (UAX #15, Stream-Safe Text Format)


def nfkc(text: str) -> str:
    """Return ``text`` in NFKC. Of a run of combining marks only the first :data:`MARKS` stay.

    Python sorts the marks of a letter by insertion, so a letter with 50,000 marks took 15 seconds.
    """
    return unicodedata.normalize("NFKC", _with_few_marks(text))


def nfc(text: str) -> str:
    """Return ``text`` in NFC, with marks limited as in :func:`nfkc`."""
    return unicodedata.normalize("NFC", _with_few_marks(text))


def _with_few_marks(text: str) -> str:
    if len(text) <= MARKS or text.isascii():
        return text
    marks, runs = _patterns()
    # every run that is too long stands in this sample
    return runs.sub(r"\1", text) if marks.search(text[::MARKS]) else text


@cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """A mark; and more marks in a row than one letter may have, the first :data:`MARKS` of them as a group."""
    points = [point for point in range(0x300, 0x20000) if _is_mark(chr(point))]
    points += [point for point in range(0xE0000, sys.maxunicode + 1) if point < 0xE0200 and _is_mark(chr(point))]
    spans: list[list[int]] = []
    for point in points:
        if spans and spans[-1][1] == point - 1:
            spans[-1][1] = point
        else:
            spans.append([point, point])
    marks = "".join(f"{re.escape(chr(first))}-{re.escape(chr(last))}" for first, last in spans)
    return re.compile(f"[{marks}]"), re.compile(f"(?<![{marks}])([{marks}]{{{MARKS}}})[{marks}]++")


def _is_mark(character: str) -> bool:
    """Whether normal form begins with a mark, which is then sorted among the marks before it."""
    return unicodedata.combining(unicodedata.normalize("NFKD", character)[0]) > 0
