"""All that a running service writes."""

from __future__ import annotations

import threading
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

import sqlalchemy as sa

from tuwen.store.engine import name_of, open_engine, reading, watchdog_of
from tuwen.store.events import Events
from tuwen.store.items import Items
from tuwen.store.keys import Keys
from tuwen.store.migrate import migrate
from tuwen.store.people import People
from tuwen.store.removal import reserve_of, tidy
from tuwen.store.tables import COUNTERS
from tuwen.store.version import Version


class Store:
    """Args:
        url: a path of a SQLite file (made if absent), ``sqlite:///FILE`` or ``postgresql://…``; environment variables
            in it are filled in.

    Raises:
        DataError: see :func:`tuwen.store.engine.open_engine` and :func:`tuwen.store.migrate.migrate`.
    """

    def __init__(self, url: str | Path) -> None:
        self.closed = threading.Event()
        self._engine = open_engine(url)
        try:
            migrate(self._engine)
        except BaseException:
            self._engine.dispose()
            raise
        self.tidy()
        self.name = name_of(self._engine)
        self.events = Events(self._engine)
        self.items = Items(self._engine)
        self.people = People(self._engine)
        self.keys = Keys(self._engine)
        self.version = Version(self._engine, self.people.refusals)

    @cached_property
    def number(self) -> int:
        """Of this store and no other: changes of items are numbered anew in each."""
        with reading(self._engine) as connection:
            return int(connection.execute(sa.select(COUNTERS.c.value).where(COUNTERS.c.name == "store")).scalar_one())

    def ping(self) -> None:
        """Whether it answers.

        Raises:
            StoreUnavailable: it does not.
        """
        watchdog = watchdog_of(self._engine)
        if watchdog is not None:
            watchdog.probe(True)
        try:
            with reading(self._engine) as connection:
                connection.execute(sa.text("SELECT 1"))
        finally:
            if watchdog is not None:
                watchdog.probe(False)

    def watched(self, on: bool) -> None:
        """Whether somebody calls :meth:`ping` all the time: while the database is away nobody else asks it then."""
        watchdog = watchdog_of(self._engine)
        if watchdog is not None:
            watchdog.watched = on

    def give_up_reserve(self) -> bool:
        """Whether there was one: its room is free now, for a removal."""
        return reserve_of(self._engine).give_up()

    def tidy(self) -> None:
        """Keep the room that removals need on a full disk, and empty a log that still holds what was removed."""
        reserve_of(self._engine).make()
        tidy(self._engine)

    def close(self) -> None:
        self.closed.set()
        self.version.close()
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
