"""A database, opened: SQLite in a file, or PostgreSQL by URL; its tables made or brought up to date."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from tuwen.errors import DataError, MissingExtra

ALLOWED = "a path of a SQLite file, sqlite:///FILE, or postgresql://USER:$PASSWORD@HOST/DATABASE"
WAIT_SECONDS = 10  # for another process that writes
LOCK = 7885  # PostgreSQL knows an advisory lock by a number
VERSIONS = Path(__file__).parent / "migrations"


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
    try:
        return sa.create_engine(place, pool_pre_ping=True, pool_timeout=WAIT_SECONDS)
    except ModuleNotFoundError:
        raise MissingExtra("postgres", "a store in PostgreSQL") from None


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

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        # who will write says so at once: a reader that turns writer fails where another wrote meanwhile
        writes = connection.get_execution_options().get("writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


@contextmanager
def reading(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A connection that sees one moment of the store."""
    with told(engine), engine.connect() as connection:
        yield connection


@contextmanager
def writing(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A connection whose changes are all kept when the block ends well, synced to the disk, and none otherwise."""
    with told(engine), engine.execution_options(writes=True).begin() as connection:
        yield connection


def migrate(engine: sa.Engine) -> None:
    """Make the tables, or bring them from an earlier tuwen's shape to today's; nothing where they are so already.

    Raises:
        DataError: the store was written by a newer tuwen.
    """
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(VERSIONS).replace("%", "%%"))
    newest = ScriptDirectory.from_config(config).get_current_head()
    with reading(engine) as connection:
        if _version(connection) == newest:
            return
    with writing(engine) as connection:
        if connection.dialect.name == "postgresql":  # two services that start at once do not both make the tables
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")
        if _version(connection) == newest:  # another process did it meanwhile
            return
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError:
            raise DataError(
                "the store was written by a newer tuwen",
                where=name_of(engine),
                seen=f"version {_version(connection)}",
                allowed=f"up to version {newest}",
                todo="install that tuwen again",
            ) from None


def _version(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("tuwen_store"):
        return None
    return connection.execute(sa.text("SELECT version_num FROM tuwen_store")).scalar()


def name_of(engine: sa.Engine) -> str:
    """The URL without its password."""
    return engine.url.render_as_string(hide_password=True)


# SQLite's own errors too: the version is asked past SQLAlchemy
GONE = (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.TimeoutError, sqlite3.OperationalError)


class StoreUnavailable(DataError):
    """The database does not answer, is full, or is locked: the same request may succeed later."""


@contextmanager
def told(engine: sa.Engine) -> Iterator[None]:
    """Turn what a database says inside the block into an error a person can act on.

    Raises:
        StoreUnavailable: it is gone, full or locked.
    """
    try:
        yield
    except GONE as error:
        cause = getattr(error, "orig", None) or error
        raise StoreUnavailable(
            "the store does not answer",
            where=name_of(engine),
            seen=str(cause).strip().split("\n")[0],
            todo="try again; if it stays so, look whether the database runs, and whether its disk is full",
        ) from None
    except (sa.exc.DatabaseError, sqlite3.DatabaseError) as error:
        raise DataError(
            "the store cannot be read or written",
            where=name_of(engine),
            seen=str(getattr(error, "orig", None) or error).strip().split("\n")[0],
            todo="a SQLite file that is damaged is mended by: sqlite3 FILE .recover",
        ) from None
