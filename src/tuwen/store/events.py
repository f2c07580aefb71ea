"""What shoppers did: written once, whatever is sent twice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from tuwen.store import moments
from tuwen.store.engine import reading, writing
from tuwen.store.tables import EVENTS

INSERT = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
# kinds that tuwen knows; another is kept alike, and counts as a wish
KINDS = ("view", "click", "cart", "purchase", "impression", "search")
AT_ONCE = 500  # rows of one statement: SQLite takes at most 32,766 values
COLUMNS = [column.name for column in EVENTS.columns]


def latest_of(*columns: sa.ColumnElement[Any]) -> sa.Select[Any]:
    """Of the latest ``most`` events of ``user`` from the moment ``since`` on, latest first."""
    asked = sa.select(*columns).where(EVENTS.c.user == sa.bindparam("user"), EVENTS.c.time >= sa.bindparam("since"))
    return asked.order_by(EVENTS.c.time.desc(), EVENTS.c.event.desc()).limit(sa.bindparam("most", type_=sa.Integer))


LATEST = latest_of(*EVENTS.columns)  # made once: SQLAlchemy takes as long to make a question as to ask it


def insert(connection: sa.Connection, table: sa.Table) -> Any:
    """INSERT with ON CONFLICT, in the words of the database."""
    return INSERT[connection.dialect.name](table)


class Events:
    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def add(self, events: Sequence[Mapping[str, Any]]) -> int:
        """Keep events; when this returns they are on the disk.

        Args:
            events: each with ``event`` (its key), ``user``, ``item``, ``time`` (a moment), ``kind``, and what else the
                table has. One whose key is there already, or came before in the same call, is left as it was.

        Returns:
            how many are new.
        """
        received = moments.now()
        first = {row["event"]: row for row in reversed(events)}
        rows = [{**dict.fromkeys(COLUMNS), **row, "received": received} for row in first.values()]
        new = 0
        with writing(self._engine) as connection:
            for start in range(0, len(rows), AT_ONCE):
                words = insert(connection, EVENTS).on_conflict_do_nothing().returning(EVENTS.c.event)
                kept = connection.execute(words, rows[start : start + AT_ONCE])
                new += len(kept.all())
        return new

    def of(self, user: str, since: int = 0, most: int = 1000) -> list[dict[str, Any]]:
        """The latest ``most`` events of a shopper from the moment ``since`` on, oldest first."""
        with reading(self._engine) as connection:
            asked = {"user": user, "since": since, "most": most}
            found = [dict(row) for row in connection.execute(LATEST, asked).mappings()]
        return found[::-1]

    def count(self) -> int:
        with reading(self._engine) as connection:
            return int(connection.execute(sa.select(sa.func.count()).select_from(EVENTS)).scalar_one())

    def all(self) -> Iterator[dict[str, Any]]:
        """Every event in the order of time, as one moment of the store saw them."""
        with reading(self._engine, long=True) as connection:
            streamed = connection.execution_options(yield_per=2000)
            for row in streamed.execute(sa.select(EVENTS).order_by(EVENTS.c.time, EVENTS.c.event)).mappings():
                yield dict(row)

    def kinds(self, since: int = 0) -> dict[str, int]:
        """Kind → how many from a moment on."""
        asked = sa.select(EVENTS.c.kind, sa.func.count()).where(EVENTS.c.time >= since).group_by(EVENTS.c.kind)
        with reading(self._engine) as connection:
            return {kind: int(count) for kind, count in connection.execute(asked)}
