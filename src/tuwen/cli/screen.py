"""Where a command's answer goes: tables for a person, one JSON document for a program, nothing for --quiet."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

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

    def table(self, header: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None) -> None:
        """A table for a person; numbers to the right."""
        if not self._speaks:
            return
        from rich.box import SIMPLE_HEAD
        from rich.table import Table
        from rich.text import Text

        rows = [list(row) for row in rows]
        table = Table(box=SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
        for i, name in enumerate(header):
            numeric = bool(rows) and all(isinstance(row[i], int | float) or row[i] == "" for row in rows)
            table.add_column(name, justify="right" if numeric else "left", overflow="fold")
        for row in rows:
            table.add_row(*(cell if isinstance(cell, Text) else Text(shown(cell)) for cell in row))
        self._console.print(table)

    @property
    def _speaks(self) -> bool:
        return not (self.as_json or self.quiet)

    @property
    def _console(self) -> Console:
        from rich.console import Console

        return Console(file=sys.stdout, highlight=False, soft_wrap=True)


WIDEST = 200  # characters of a cell: an address fits, a pasted page does not


def shown(value: object) -> str:
    """A cell as text: numbers to four digits, a missing one as a dash, a long text cut."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    text = str(value)
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 1]}…"
