"""Where a command's answer goes: tables for a person, one JSON document for a program, nothing for --quiet."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any
from unicodedata import category

from tuwen.progress import Progress, Silent

if TYPE_CHECKING:
    from rich.console import Console


class Screen:
    """The output of one command.

    Args:
        as_json: one JSON document on stdout and nothing else.
        quiet: no progress and no text, only errors.
    """

    def __init__(self, *, as_json: bool = False, quiet: bool = False) -> None:
        self.as_json, self.quiet = as_json, quiet

    def progress(self) -> Progress:
        """Bars on stderr where a person looks on."""
        if self.as_json or self.quiet:
            return Silent()
        from tuwen.cli.bars import Bars

        return Bars()

    def answer(self, value: Any) -> None:
        """The JSON document of --json."""
        if self.as_json:
            print(json.dumps(value, ensure_ascii=False, indent=2, default=str, allow_nan=False))

    def say(self, *lines: str) -> None:
        """Text for a person."""
        if self._speaks:
            for line in lines:
                self._console.print(told(line), markup=False)

    def table(
        self,
        header: Sequence[str],
        rows: Iterable[Sequence[object]],
        title: str | None = None,
        whole: Collection[str] | None = None,
    ) -> None:
        """A table for a person; numbers to the right, words whole where they find room.

        Args:
            whole: the columns that are never cut. Where it is given, the cells and names of all others are shortened to
                what one line has room for, and columns that find none are counted below the table.
        """
        if not self._speaks:
            return
        from rich.box import SIMPLE_HEAD
        from rich.cells import cell_len
        from rich.table import Table
        from rich.text import Text

        console, rows = self._console, [list(row) for row in rows]
        texts = [[harmless(name), *(_text(row[i]) for row in rows)] for i, name in enumerate(header)]
        kept_at = [i for i, name in enumerate(header) if whole is None or name in whole]
        least = _least(texts, kept_at, console.width)
        places = _places(least, kept_at, console.width)
        widths = _widths([max(map(cell_len, texts[i])) for i in places], [least[i] for i in places], console.width)
        cut: dict[str, Any] = {"no_wrap": True, "overflow": "ellipsis"}
        table = Table(box=SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
        for i, width in zip(places, widths, strict=True):
            numeric = bool(rows) and all(isinstance(row[i], int | float) or row[i] == "" for row in rows)
            kept = i in kept_at
            table.add_column(
                Text(harmless(header[i]), **({} if kept else cut)),
                justify="right" if numeric else "left",
                overflow="fold",
                width=width,
            )
        for row in rows:
            cells = [(row[i], {} if i in kept_at else cut) for i in places]
            table.add_row(*(cell if isinstance(cell, Text) else Text(shown(cell), **how) for cell, how in cells))
        console.print(table)
        if len(places) < len(header):
            self.say(f"… and {len(header) - len(places)} more columns")

    @property
    def _speaks(self) -> bool:
        return not (self.as_json or self.quiet)

    @property
    def _console(self) -> Console:
        from rich.console import Console

        return Console(file=sys.stdout, highlight=False, emoji=False, soft_wrap=True)


WIDEST = 200  # characters of a cell: an address fits, a pasted page does not
NARROWEST = 10  # characters of a column that is shortened, its gap included
LONGEST_WORDS = (40, 32, 24, 16)  # that are not broken: the most that there is room for
GAP = 3  # characters between columns


def _places(least: Sequence[int], kept: Sequence[int], width: int) -> list[int]:
    """The columns that a line of ``width`` characters has room for: those that are kept, and the first others."""
    room = max(width - sum(least[i] + GAP for i in kept), NARROWEST)
    others = [i for i in range(len(least)) if i not in kept][: room // NARROWEST]
    return [i for i in range(len(least)) if i in kept or i in others]


def _widths(natural: Sequence[int], least: Sequence[int], width: int) -> list[int | None]:
    """Of each column; None where all find room as they are, or not even their longest words do."""
    room = width - GAP * len(natural)
    widths = [min(one, other) for one, other in zip(natural, least, strict=True)]
    if sum(natural) <= room or sum(widths) > room:
        return [None] * len(natural)
    for _ in range(room - sum(widths)):  # to the one that would have the most lines
        widths[max(range(len(widths)), key=lambda i: natural[i] / widths[i])] += 1
    return list(widths)


def _text(cell: object) -> str:
    return str(getattr(cell, "plain", None) or shown(cell))


def _least(texts: Sequence[Sequence[str]], kept: Collection[int], width: int) -> list[int]:
    """Of each column the width that breaks no word; where there is no room for that, very long words break."""
    words = [_longest_word(column) if i in kept else NARROWEST - GAP for i, column in enumerate(texts)]
    limited = [[min(word, most) for word in words] for most in LONGEST_WORDS]
    return next((found for found in limited if sum(found) + GAP * len(found) <= width), limited[-1])


def _longest_word(texts: Iterable[str]) -> int:
    """In characters of the terminal. Chinese has no spaces and breaks anywhere."""
    from rich.cells import cell_len

    return max(cell_len(word) for text in texts for word in re.split(r"\s|(?<=[\u2e80-\uffdc])", text)) or 1


def shown(value: object) -> str:
    """A cell as text: numbers to four digits, a missing one as a dash, a long text cut."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    text = harmless(str(value)[: 5 * WIDEST])  # more is not shown
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 1]}…"


def alike(*values: float) -> list[str]:
    """Numbers that stand together, with the same decimals: about four digits of the largest."""
    size = max(map(abs, values))
    steps = ((1000, 0), (100, 1), (10, 2), (1.000001, 3), (0.01, 4), (0.0001, 6))
    decimals = next((decimals for least, decimals in steps if size >= least), 8 if size else 0)
    return [f"{value:,.{decimals}f}" for value in values]


def harmless(text: str) -> str:
    """Text that a terminal only shows: line breaks as spaces, what would move, colour or turn round as ``\\x1b``."""
    return "".join(_SHOWN.get(one) or (repr(one)[1:-1] if category(one) in _COMMANDS else one) for one in text)


def told(text: str, indent: int = 0) -> str:
    """What a person is told, quoted data in it :func:`harmless`. Lines stay lines; all but the first are indented."""
    return f"\n{' ' * indent}".join(map(harmless, text.split("\n")))


_SHOWN = {"\t": " ", "\n": " ", "\r": " ", "\u200d": "\u200d"}  # the last one joins emojis
_COMMANDS = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # control, format (which turns the direction round), halves, breaks
