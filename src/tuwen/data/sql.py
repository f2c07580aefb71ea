"""The result of one SQL query, through SQLAlchemy: SQLite as it is, PostgreSQL with the extra ``postgres``."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import sqlalchemy as sa

from tuwen.data.batch import Batch, numbered, series
from tuwen.data.header import renamed_note, unique_names
from tuwen.errors import DataError, MissingExtra

ROWS = 2_000  # rows fetched at once; rows may hold pictures


class Query:
    """One query against one database. The URL may name environment variables: ``postgresql://me:$PASSWORD@host/shop``.

    Raises:
        DataError: no such database, or a query it does not accept; the message never holds the password.
        MissingExtra: the driver is not installed.
    """

    def __init__(self, url: str, query: str, folder: Path) -> None:
        self.rows: int | None = None
        self.notes: list[str] = []
        self.numbers = frozenset[str]()
        self._query = query
        try:
            place = sa.make_url(os.path.expandvars(url))
        except sa.exc.ArgumentError:
            raise DataError("not a database URL", seen=url.split("://")[0] + "://...", allowed=_ALLOWED) from None
        if place.drivername in ("postgresql", "postgres"):
            place = place.set(drivername="postgresql+psycopg")
        self.name = place.render_as_string(hide_password=True)
        if place.get_backend_name() == "sqlite" and place.database:
            file = folder / place.database
            if not file.is_file():  # SQLite would make an empty one
                raise DataError("there is no such database", where=self.name, seen=str(file))
            place = place.set(database=str(file))
        try:
            self._engine = sa.create_engine(place, poolclass=sa.NullPool)
        except sa.exc.NoSuchModuleError:
            raise DataError("no driver for this kind of database", where=self.name, allowed=_ALLOWED) from None
        except ModuleNotFoundError as error:
            if place.get_backend_name() == "postgresql":
                raise MissingExtra("postgres", "reading from PostgreSQL") from None
            raise DataError("the driver is not installed", where=self.name, seen=error, allowed=_ALLOWED) from None
        with self._asked() as result:
            self.columns, renamed = unique_names(list(result.keys()))
        self.notes += renamed_note(self.name, renamed)

    def batches(self, columns: Sequence[str]) -> Iterator[Batch]:
        """Columns of the types that the driver gives; a column of mixed types as text."""
        start = 1
        with self._asked() as result:
            for rows in result.partitions(ROWS):
                values = dict(zip(self.columns, zip(*rows, strict=True), strict=True))
                frame = pl.DataFrame([series(column, list(values[column])) for column in columns])
                yield Batch(frame, numbered(frame.height, start))
                start += frame.height

    @contextmanager
    def _asked(self) -> Iterator[sa.CursorResult[Any]]:
        """The answer, streamed. The query goes to the driver as it is: neither a colon nor a % is special.

        Collecting must never change a shop's own database, whatever the query says: the connection only reads.
        """
        try:
            with self._engine.connect().execution_options(**_READ_ONLY.get(self._engine.name, {})) as connection:
                if self._engine.name == "sqlite":
                    connection.exec_driver_sql("PRAGMA query_only = ON")
                options = {"stream_results": True, "no_parameters": True}
                with closing(connection.exec_driver_sql(self._query, execution_options=options)) as result:
                    yield result
        except sa.exc.SQLAlchemyError as error:
            seen = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
            raise DataError("the database does not answer the query", where=self.name, seen=seen) from None


_READ_ONLY: dict[str, dict[str, Any]] = {"postgresql": {"postgresql_readonly": True}}
_ALLOWED = "sqlite:///shop.db, postgresql://user:$PASSWORD@host/shop, or any SQLAlchemy URL whose driver is installed"
