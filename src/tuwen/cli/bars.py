"""Progress for a person: bars in a terminal, a line at each end of a piece of work in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

from tuwen.cli.screen import harmless
from tuwen.progress import Task


class _Bar:
    def __init__(self, rich: RichProgress, number: TaskID) -> None:
        self._rich, self._number = rich, number

    def advance(self, n: int = 1) -> None:
        self._rich.advance(self._number, n)


class _Count:
    def __init__(self) -> None:
        self.done = 0

    def advance(self, n: int = 1) -> None:
        self.done += n


class Bars:
    """tuwen's ``Progress`` on stderr; pieces of work may stand inside one another."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._rich: RichProgress | None = None
        self._open = 0

    @contextmanager
    def task(self, name: str, total: int | None = None) -> Iterator[Task]:
        name = harmless(name)
        if not self._console.is_terminal:
            yield from self._logged(name, total)
            return
        rich = self._enter()
        number = rich.add_task(name, total=total)
        try:
            yield _Bar(rich, number)
            if total is None:  # it is known now
                done = rich.tasks[rich.task_ids.index(number)].completed
                rich.update(number, total=max(done, 1), completed=max(done, 1))
        finally:
            rich.stop_task(number)
            self._leave()

    def _enter(self) -> RichProgress:
        if self._rich is None:
            self._rich = RichProgress(
                TextColumn("{task.description:<24}", markup=False),
                BarColumn(bar_width=30),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                console=self._console,
            )
            self._rich.start()
        self._open += 1
        return self._rich

    def _leave(self) -> None:
        self._open -= 1
        if self._open == 0 and self._rich is not None:
            self._rich.stop()
            self._rich = None

    def _logged(self, name: str, total: int | None) -> Iterator[Task]:
        count, began = _Count(), time.perf_counter()
        yield count
        of = "" if total is None else f" of {total}"
        amount = f"{count.done}{of} " if count.done or total else ""
        print(f"{name}: {amount}in {time.perf_counter() - began:.1f} s", file=sys.stderr)
