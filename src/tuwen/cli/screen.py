"""Where a command's answer goes: tables for a person, one JSON document for a program, nothing for --quiet."""

from __future__ import annotations

import json
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
                self._console.print(line, markup=False)

    def table(
        self,
        header: Sequence[str],
        rows: Iterable[Sequence[object]],
        title: str | None = None,
        whole: Collection[str] | None = None,
    ) -> None:
        """A table for a person; numbers to the right.

        Args:
            whole: the columns that are never cut. Where it is given, the cells and names of all others are shortened to
                what one line has room for, and columns that find none are counted below the table.
        """
        if not self._speaks:
            return
        from rich.box import SIMPLE_HEAD
        from rich.table import Table
        from rich.text import Text

        console, rows = self._console, [list(row) for row in rows]
        places = _places(header, console.width, whole)
        table = Table(box=SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
        for i in places:
            numeric = bool(rows) and all(isinstance(row[i], int | float) or row[i] == "" for row in rows)
            kept = whole is None or header[i] in whole
            name = harmless(header[i]) if kept else Text(harmless(header[i]), no_wrap=True, overflow="ellipsis")
            table.add_column(
                name,
                justify="right" if numeric else "left",
                overflow="fold",
                no_wrap=whole is not None and kept and numeric,
                min_width=len(header[i]) if whole is not None and kept else None,
            )
        cut: dict[str, Any] = {"no_wrap": True, "overflow": "ellipsis"}
        for row in rows:
            cells = [(row[i], {} if whole is None or header[i] in whole else cut) for i in places]
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

        return Console(file=sys.stdout, highlight=False, soft_wrap=True)


WIDEST = 200  # characters of a cell: an address fits, a pasted page does not
NARROWEST = 10  # characters of a column that is shortened, its gap included
GAP = 3  # characters between columns


def _places(header: Sequence[str], width: int, whole: Collection[str] | None) -> list[int]:
    """The columns that a line of ``width`` characters has room for: those of ``whole``, and the first of the others."""
    if whole is None:
        return list(range(len(header)))
    room = max(width - sum(len(name) + GAP for name in header if name in whole), NARROWEST)
    others = [i for i, name in enumerate(header) if name not in whole][: room // NARROWEST]
    return [i for i, name in enumerate(header) if name in whole or i in others]


def shown(value: object) -> str:
    """A cell as text: numbers to four digits, a missing one as a dash, a long text cut."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    text = harmless(str(value))
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 1]}…"


def harmless(text: str) -> str:
    """Text that a terminal only shows: line breaks as spaces, what would move, colour or turn round as ``\\x1b``."""
    start = text[: 5 * WIDEST]  # more is not shown
    return "".join(_SHOWN.get(one) or (repr(one)[1:-1] if category(one) in _COMMANDS else one) for one in start)


_SHOWN = {"\t": " ", "\n": " ", "\r": " ", "\u200d": "\u200d"}  # the last one joins emojis
_COMMANDS = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # control, format (which turns the direction round), halves, breaks
