"""Progress of long work, seen from below: floors say what they do, the doors decide how it is shown."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Task(Protocol):
    """One named piece of work."""

    def advance(self, n: int = 1) -> None: ...


class Progress(Protocol):
    """Something that can show named pieces of work; ``total`` is None where it is unknown."""

    def task(self, name: str, total: int | None = None) -> AbstractContextManager[Task]: ...


class Silent:
    """Shows nothing."""

    @contextmanager
    def task(self, name: str, total: int | None = None) -> Iterator[Task]:
        yield self

    def advance(self, n: int = 1) -> None:
        """Nothing to show."""


class Within:
    """The same place, with what the work is for before its name: three trainings in a row are three different ones."""

    def __init__(self, progress: Progress, purpose: str) -> None:
        self.progress, self.purpose = progress, purpose

    def task(self, name: str, total: int | None = None) -> AbstractContextManager[Task]:
        return self.progress.task(f"{self.purpose}: {name}", total)
