"""Items that came, changed or went while the service ran; each change has a number, so that processes can follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from tuwen.store import moments
from tuwen.store.engine import reading, writing
from tuwen.store.events import insert
from tuwen.store.removal import removed
from tuwen.store.tables import COUNTERS, FEEDBACK, ITEMS, PICTURES


@dataclass(frozen=True)
class StoredItem:
    """An item as it is now.

    Attributes:
        live: false where it was taken out of the shop; its columns are empty then.
        columns: ``title``, ``description``, ``category``, ``brand``, ``price`` and the shop's own.
        pictures: JPEG bytes, as :func:`tuwen.data.media.normalise` left them.
        change: the number of its last change.
    """

    item: str
    live: bool
    columns: Mapping[str, Any]
    pictures: Sequence[bytes]
    change: int


class Items:
    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def put(self, item: str, columns: Mapping[str, Any], pictures: Sequence[bytes] = ()) -> int:
        """Write an item, new or in place of what it was; returns the number of the change."""
        return self._change(item, True, columns, pictures)

    def remove(self, item: str) -> int:
        """Take an item out: its words, pictures and feedback are deleted; its key stays, so that a bundle that still
        knows it hides it. Events stay: they are what shoppers did.
        """
        return self._change(item, False, {}, ())

    def _change(self, item: str, live: bool, columns: Mapping[str, Any], pictures: Sequence[bytes]) -> int:
        def work(connection: sa.Connection) -> int:
            raised = sa.update(COUNTERS).where(COUNTERS.c.name == "items").values(value=COUNTERS.c.value + 1)
            change = int(connection.execute(raised.returning(COUNTERS.c.value)).scalar_one())
            row = {"live": live, "columns": dict(columns), "change": change, "changed": moments.now()}
            written = insert(connection, ITEMS).values(item=item, **row)
            connection.execute(written.on_conflict_do_update(index_elements=[ITEMS.c.item], set_=row))
            connection.execute(sa.delete(PICTURES).where(PICTURES.c.item == item))
            for place, jpeg in enumerate(pictures):
                connection.execute(sa.insert(PICTURES).values(item=item, place=place, jpeg=jpeg))
            if not live:
                connection.execute(sa.delete(FEEDBACK).where(FEEDBACK.c.item == item))
            return change

        if not live:
            return removed(self._engine, work)
        with writing(self._engine) as connection:
            return work(connection)

    def get(self, item: str) -> StoredItem | None:
        found = self._read(sa.select(ITEMS).where(ITEMS.c.item == item))
        return found[0] if found else None

    def latest(self) -> int:
        """The number of the last change of any item; 0 where there was none."""
        asked = sa.select(COUNTERS.c.value).where(COUNTERS.c.name == "items")
        with reading(self._engine) as connection:
            return int(connection.execute(asked).scalar_one())

    def count_after(self, change: int) -> int:
        """How many items were changed after that number."""
        query = sa.select(sa.func.count()).select_from(ITEMS).where(ITEMS.c.change > change)
        with reading(self._engine) as connection:
            return int(connection.execute(query).scalar_one())

    def oldest_after(self, change: int) -> int | None:
        """The moment of the oldest change after that number."""
        query = sa.select(sa.func.min(ITEMS.c.changed)).where(ITEMS.c.change > change)
        with reading(self._engine) as connection:
            moment = connection.execute(query).scalar_one()
        return None if moment is None else int(moment)

    def since(self, change: int, most: int = 1000) -> list[StoredItem]:
        """Items whose last change has a higher number, in that order."""
        return self._read(sa.select(ITEMS).where(ITEMS.c.change > change).order_by(ITEMS.c.change).limit(most))

    def _read(self, asked: sa.Select[Any]) -> list[StoredItem]:
        with reading(self._engine) as connection:
            rows = connection.execute(asked).mappings().all()
            names = [row["item"] for row in rows]
            shown = sa.select(PICTURES).where(PICTURES.c.item.in_(names)).order_by(PICTURES.c.place)
            pictures: dict[str, list[bytes]] = {}
            for row in connection.execute(shown).mappings() if names else ():
                pictures.setdefault(row["item"], []).append(bytes(row["jpeg"]))
        return [
            StoredItem(row["item"], bool(row["live"]), row["columns"], pictures.get(row["item"], []), row["change"])
            for row in rows
        ]
