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
