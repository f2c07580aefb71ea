"""Create the tables of a store, or migrate them from an earlier version of tuwen."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from tuwen.errors import DataError
from tuwen.store.engine import name_of, reading, take_time, writing
from tuwen.store.removal import rewrite

LOCK = 7885  # PostgreSQL knows an advisory lock by a number
VERSIONS = Path(__file__).parent / "migrations"


def migrate(engine: sa.Engine) -> None:
    """Create or migrate the tables. Does nothing if they are up to date.

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
        take_time(engine, connection)
        if connection.dialect.name == "postgresql":  # only one of two services that start at once creates the tables
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")
        before = _version(connection)
        if before == newest:  # another process has done it
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
    if before == "0001" and engine.dialect.name == "sqlite":  # which left what it deleted in free pages
        rewrite(engine)


def _version(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("tuwen_store"):
        return None
    return connection.execute(sa.text("SELECT version_num FROM tuwen_store")).scalar()
