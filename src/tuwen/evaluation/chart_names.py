"""Names from the data as charts show them: short enough, told apart, and plain (plotly reads a little HTML)."""

from __future__ import annotations

import html
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

from tuwen.evaluation.cell_names import JOINT


def width(text: str) -> int:
    """How wide a text is drawn, in letters; a Chinese character is as wide as two."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def name(text: str, most: int = 22) -> str:
    """A name from the data: shortened to ``most`` letters' width, and plain (plotly reads a little HTML)."""
    return html.escape(_cut(text, most), quote=False)


def _cut(text: str, most: int) -> str:
    return text if width(text) <= most else text[: _room(text, most - 1)].rstrip() + "…"


def _room(text: str, most: int) -> int:
    """How many characters of ``text`` are at most so many letters wide."""
    return bisect_right(list(accumulate(width(c) for c in text)), most)


def names(texts: Sequence[str], most: int = 22) -> list[str]:
    """Several names, shortened; those that would look the same then are numbered by their place."""
    return [html.escape(text, quote=False) for text in _apart(texts, most)]


def _apart(texts: Sequence[str], most: int) -> list[str]:
    cut = [_cut(text, most) for text in texts]
    return [
        f"{i}. {_cut(text, most - 4)}" if cut.count(c) > 1 else c
        for i, (text, c) in enumerate(zip(texts, cut, strict=True), 1)
    ]


def wrapped_names(texts: Sequence[str], most: int = 22, lines: int = 3) -> list[str]:
    """Several names as plotly draws them, in lines of ``most`` letters' width: a phone has room for no more.

    Lines end between the settings of a name where they can, else behind a sign; what finds no room in so many lines
    is shortened.
    """
    found = []
    for text in _apart(texts, lines * most):
        told = _lines(text, most)
        if len(told) > lines:
            told = [*told[: lines - 1], _cut(" ".join(told[lines - 1 :]), most)]
        found.append("<br>".join(html.escape(line, quote=False) for line in told))
    return found


def _lines(text: str, most: int) -> list[str]:
    found: list[str] = []
    for part in text.split(JOINT):
        if found and width(found[-1] + JOINT + part) <= most:
            found[-1] += JOINT + part
        else:
            found += _broken(part, most)
    return found


def _broken(text: str, most: int) -> list[str]:
    """A text in lines, each as full as it can be without breaking between two letters."""
    found: list[str] = []
    while width(text) > most:
        room = max(1, _room(text, most))
        signs = [match.end() for match in re.finditer(r"[^\w.]|_", text[:room])]
        end = signs[-1] if signs else room
        found.append(text[:end].rstrip())
        text = text[end:].lstrip()
    return [*found, text]
