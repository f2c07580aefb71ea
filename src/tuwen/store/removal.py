"""Remove rows from a store and its files, on a full disk too."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakSet

import sqlalchemy as sa

from tuwen.store.engine import WAIT_SECONDS, StoreUnavailable, take_time, writing
from tuwen.store.reserve import Reserve

T = TypeVar("T")
REMOVAL_SECONDS = 120.0  # that PostgreSQL may take for one: a shopper may have done a million things
READER_MILLISECONDS = 250  # for who reads an older moment while the log is emptied
UNTIDY: WeakSet[sa.Engine] = WeakSet()  # whose log still holds what was removed


def removed(engine: sa.Engine, work: Callable[[sa.Connection], T]) -> T:
    """What ``work`` gives that removes something: on a full disk too, with the room of the reserve; and of what was
    removed from SQLite nothing stays in its write-ahead log, unless somebody reads an older moment just now.
    """

    def once() -> T:
        with writing(engine) as connection:
            take_time(engine, connection, REMOVAL_SECONDS)
            return work(connection)

    try:
        done = once()
    except StoreUnavailable as error:
        if not error.full or not reserve_of(engine).give_up():
            raise
        done = once()
    checkpoint(engine)
    return done


def checkpoint(engine: sa.Engine) -> bool:
    """Write SQLite's log into the database. Returns whether the log is empty now."""
    if engine.dialect.name != "sqlite":
        return True
    raw = engine.raw_connection()
    driver: Any = raw.driver_connection
    try:
        driver.execute(f"PRAGMA busy_timeout = {READER_MILLISECONDS}")
        busy, _, _ = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.OperationalError:  # the disk is full, or another process writes
        busy = True
    finally:
        driver.execute(f"PRAGMA busy_timeout = {1000 * WAIT_SECONDS}")
        raw.close()
    (UNTIDY.add if busy else UNTIDY.discard)(engine)
    return not busy


def tidy(engine: sa.Engine) -> None:
    """Call :func:`checkpoint` if the last one did not finish."""
    if engine in UNTIDY:
        checkpoint(engine)


def reserve_of(engine: sa.Engine) -> Reserve:
    return Reserve(Path(str(engine.url.database)) if engine.dialect.name == "sqlite" else None)


def rewrite(engine: sa.Engine) -> None:
    """Rewrite the store without free pages, in which an earlier tuwen left deleted rows."""
    raw = engine.raw_connection()
    try:
        with suppress(sqlite3.OperationalError):  # no room, or another process reads: nothing is lost by that
            driver: Any = raw.driver_connection
            driver.execute("VACUUM")
    finally:
        raw.close()
    checkpoint(engine)
