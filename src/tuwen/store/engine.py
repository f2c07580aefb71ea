"""A database, opened: SQLite in a file, or PostgreSQL by URL; its tables made or brought up to date."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import sqlalchemy as sa

from tuwen.errors import DataError, MissingExtra
from tuwen.store.watchdog import AWAY, CONNECT_SECONDS, Watchdog

ALLOWED = "a path of a SQLite file, sqlite:///FILE, or postgresql://USER:$PASSWORD@HOST/DATABASE"
WAIT_SECONDS = 5  # for another process that writes
STATEMENT_MILLISECONDS = 5000  # that PostgreSQL works on one statement
# of a connection to PostgreSQL: a machine that is gone is noticed in seconds, also by who only waits
CONNECTION = {
    "connect_timeout": CONNECT_SECONDS,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 5000,
}


def open_engine(url: str | Path) -> sa.Engine:
    """The engine of ``url``; environment variables in it are filled in. A path is a SQLite file.

    SQLite keeps a write-ahead log that is synced with every commit, so what was acknowledged survives a killed process
    and a lost power supply, and readers never wait for the writer.

    Raises:
        DataError: not a database that the store knows; no message holds the password.
        MissingExtra: the driver of PostgreSQL is not installed.
    """
    text = os.path.expandvars(str(url))
    try:
        place = sa.make_url(text if "://" in text else f"sqlite:///{text}")
    except sa.exc.ArgumentError:
        raise DataError("not a database URL", seen=text.split("://")[0] + "://…", allowed=ALLOWED) from None
    if place.drivername in ("postgresql", "postgres"):
        place = place.set(drivername="postgresql+psycopg")
    backend = place.get_backend_name()
    if backend not in ("sqlite", "postgresql"):
        raise DataError("the store cannot live there", seen=backend, allowed=ALLOWED)
    if backend == "sqlite":
        return _sqlite(place)
    return _postgresql(place)


def _postgresql(url: sa.URL) -> sa.Engine:
    """Every connection is watched from the moment it is lent or made: see :mod:`tuwen.store.watchdog`."""
    options = {name: value for name, value in CONNECTION.items() if name not in url.query}
    try:
        engine = sa.create_engine(url, pool_timeout=WAIT_SECONDS, connect_args=options)
    except ModuleNotFoundError:
        raise MissingExtra("postgres", "a store in PostgreSQL") from None
    watchdog = _WATCHDOGS[engine] = Watchdog()

    @sa.event.listens_for(engine, "connect", insert=True)
    def on_connect(connection: Any, record: Any) -> None:
        watchdog.lend(connection)
        with connection.cursor() as cursor:
            cursor.execute(f"SET statement_timeout = {STATEMENT_MILLISECONDS}")
        connection.commit()
        record.info["fresh"] = True

    @sa.event.listens_for(engine, "checkout")
    def lent(connection: Any, record: Any, _: Any) -> None:
        watchdog.lend(connection)
        if record.info.pop("fresh", False):
            return
        try:
            alive = engine.dialect.do_ping(connection)
        except Exception:  # of the driver: whatever it is, this connection is of no use
            alive = False
        if not alive:
            raise sa.exc.InvalidatePoolError

    @sa.event.listens_for(engine, "checkin")
    @sa.event.listens_for(engine, "close")
    def given_back(connection: Any, _: Any) -> None:
        watchdog.give_back(connection)

    @sa.event.listens_for(engine, "engine_disposed")
    def end(_: sa.Engine) -> None:
        watchdog.end()

    return engine


_WATCHDOGS: WeakKeyDictionary[sa.Engine, Watchdog] = WeakKeyDictionary()


def watchdog_of(engine: sa.Engine) -> Watchdog | None:
    """What watches the connections of an engine; None for SQLite, which is a file."""
    return _WATCHDOGS.get(engine)


def _sqlite(place: sa.URL) -> sa.Engine:
    if place.database in (None, "", ":memory:"):
        raise DataError("a store in memory would be lost with the process", allowed=ALLOWED)
    file = Path(str(place.database))
    if not file.parent.is_dir():
        raise DataError("there is no such folder", where=str(file.parent), todo=f"mkdir -p {file.parent}")
    with suppress(FileExistsError):  # for its owner alone; SQLite gives the files beside it the same rights
        os.close(os.open(file, os.O_CREAT | os.O_EXCL, 0o600))
    engine = sa.create_engine(place, connect_args={"timeout": WAIT_SECONDS})

    @sa.event.listens_for(engine, "connect")
    def prepare(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # the driver begins no transaction of its own: see below
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {pragma}")
        # what is deleted is overwritten: a forgotten name stands in no free page
        if connection.execute("PRAGMA secure_delete = ON").fetchone() != (1,):
            raise DataError(
                "this SQLite does not overwrite what is deleted", where=str(file), todo="install another one"
            )

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        # who will write says so at once: a reader that turns writer fails where another wrote meanwhile
        writes = connection.get_execution_options().get("writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


@contextmanager
def reading(engine: sa.Engine, *, long: bool = False) -> Iterator[sa.Connection]:
    """A connection that sees one moment of the store.

    Args:
        long: whether it reads whole tables, for as long as that takes.
    """
    with told(engine), engine.connect() as connection:
        if long:
            take_time(engine, connection)
        yield connection


def take_time(engine: sa.Engine, connection: sa.Connection, seconds: float | None = None) -> None:
    """Let a transaction in PostgreSQL last for so long; None for as long as it needs. One that the watchdog knows is
    still ended as soon as the database is away.
    """
    watchdog = watchdog_of(engine)
    if watchdog is None:
        return
    connection.exec_driver_sql(f"SET LOCAL statement_timeout = {int(1000 * (seconds or 0))}")
    driver = connection.connection.driver_connection
    if seconds is None:
        watchdog.give_back(driver)
    else:
        watchdog.lend(driver, seconds)


@contextmanager
def writing(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A connection whose changes are all kept when the block ends well, synced to the disk, and none otherwise."""
    with told(engine), engine.execution_options(writes=True).begin() as connection:
        yield connection


def name_of(engine: sa.Engine) -> str:
    """The URL without its password."""
    return engine.url.render_as_string(hide_password=True)


# SQLite's own errors too: the version is asked past SQLAlchemy
GONE = (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.TimeoutError, sqlite3.OperationalError)


FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_IOERR_FSYNC}


class StoreUnavailable(DataError):
    """The database does not answer, is full, or is locked: the same request may succeed later.

    Attributes:
        full: whether the disk of a SQLite store is full.
    """

    full = False


def _is_away(error: Exception) -> bool:
    """Whether the database cannot be reached, and not one statement failed: that has a code of its own."""
    if isinstance(error, sa.exc.TimeoutError):  # too many ask at once
        return False
    code = getattr(getattr(error, "orig", None), "sqlstate", None)
    return code is None or code.startswith(("08", "57P"))


def _unavailable(engine: sa.Engine, seen: str) -> StoreUnavailable:
    todo = "try again; if it stays so, look whether the database runs, and whether its disk is full"
    return StoreUnavailable("the store does not answer", where=name_of(engine), seen=seen, todo=todo)


@contextmanager
def told(engine: sa.Engine) -> Iterator[None]:
    """Turn what a database says inside the block into an error a person can act on.

    Raises:
        StoreUnavailable: it is gone, full or locked.
    """
    watchdog = watchdog_of(engine)
    if watchdog is not None and watchdog.refuses():
        raise _unavailable(engine, AWAY)
    try:
        yield
        if watchdog is not None:
            watchdog.answered()
    except GONE as error:
        cause = getattr(error, "orig", None) or error
        if watchdog is not None and _is_away(error):
            watchdog.failed()
        failure = _unavailable(engine, str(cause).strip().split("\n")[0])
        failure.full = getattr(cause, "sqlite_errorcode", None) in FULL
        raise failure from None
    except (sa.exc.DatabaseError, sqlite3.DatabaseError) as error:
        raise DataError(
            "the store cannot be read or written",
            where=name_of(engine),
            seen=str(getattr(error, "orig", None) or error).strip().split("\n")[0],
            todo="a SQLite file that is damaged is mended by: sqlite3 FILE .recover",
        ) from None
