"""What shoppers said and allowed, and how all of it is forgotten."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa

from tuwen.store import moments
from tuwen.store.engine import reading, writing
from tuwen.store.events import insert, latest_of
from tuwen.store.refusals import Refusals
from tuwen.store.removal import removed
from tuwen.store.tables import CONSENT, EVENTS, EXPOSURES, FEEDBACK, REFUSALS

LATELY = latest_of(EVENTS.c.item, EVENTS.c.time, EVENTS.c.kind, EVENTS.c.value, EVENTS.c.quantity)
GIVEN = sa.select(CONSENT.c.given).where(
    CONSENT.c.user == sa.bindparam("user"), CONSENT.c.purpose == sa.bindparam("purpose")
)
HOLD_THE_USER = (EVENTS, FEEDBACK, CONSENT, EXPOSURES)


class People:
    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self.refusals = Refusals(engine)

    def say(
        self,
        feedback: str,
        *,
        user: str | None = None,
        item: str | None = None,
        rating: float | None = None,
        text: str | None = None,
    ) -> bool:
        """Keep a shopper's word about an item or an answer; false where the key ``feedback`` is there already."""
        row = {"user": user, "item": item, "rating": rating, "text": text, "time": moments.now()}
        with writing(self._engine) as connection:
            words = insert(connection, FEEDBACK).values(feedback=feedback, **row).on_conflict_do_nothing()
            return bool(connection.execute(words.returning(FEEDBACK.c.feedback)).all())

    def feedback(self, item: str, most: int = 100) -> list[dict[str, Any]]:
        """What was said of an item, the latest first."""
        asked = sa.select(FEEDBACK).where(FEEDBACK.c.item == item).order_by(FEEDBACK.c.time.desc()).limit(most)
        with reading(self._engine) as connection:
            return [dict(row) for row in connection.execute(asked).mappings()]

    def said(self) -> list[dict[str, Any]]:
        """All feedback, in the order of time."""
        with reading(self._engine, long=True) as connection:
            asked = sa.select(FEEDBACK).order_by(FEEDBACK.c.time, FEEDBACK.c.feedback)
            return [dict(row) for row in connection.execute(asked).mappings()]

    def allow(self, user: str, purpose: str, given: bool) -> None:
        """Keep whether a shopper allows a use of what she does: the last word counts. A refusal stays when she is
        forgotten (:mod:`tuwen.store.refusals`); only her own consent ends it.
        """
        row = {"given": given, "time": moments.now()}

        def work(connection: sa.Connection) -> None:
            words = insert(connection, CONSENT).values(user=user, purpose=purpose, **row)
            key = [CONSENT.c.user, CONSENT.c.purpose]
            connection.execute(words.on_conflict_do_update(index_elements=key, set_=row))
            self.refusals.write(connection, user, purpose, refused=not given)

        if given:
            with writing(self._engine) as connection:
                work(connection)
        else:  # a no is taken on a full disk too
            removed(self._engine, work)

    def allows(self, user: str, purpose: str) -> bool | None:
        """None where she was not asked."""
        with reading(self._engine) as connection:
            if self.refusals.has(connection, user, purpose):
                return False
            return True if connection.execute(GIVEN, {"user": user, "purpose": purpose}).scalar() else None

    def forgotten(self, users: Collection[str]) -> set[str]:
        """Those of some shoppers who refused a use of what they did and were forgotten since: only their refusal is
        left.
        """
        if not users:
            return set()
        of_hash = {self.refusals.hash_of(user): user for user in users}
        with reading(self._engine) as connection:
            hashes = connection.execute(sa.select(REFUSALS.c.hash).where(REFUSALS.c.hash.in_(list(of_hash))))
            refused = {of_hash[digest] for digest in hashes.scalars()}
            if not refused:
                return refused
            named = connection.execute(sa.select(CONSENT.c.user).where(CONSENT.c.user.in_(list(refused))))
            return refused - set(named.scalars())

    def lately(self, user: str, purpose: str, since: int, most: int) -> list[dict[str, Any]] | None:
        """``item``, ``time``, ``kind``, ``value`` and ``quantity`` of the latest ``most`` events of a shopper from a
        moment on, the oldest first; None where she refused this use of what she does. One moment of the store says
        both.
        """
        with reading(self._engine) as connection:
            if self.refusals.has(connection, user, purpose):
                return None
            found = connection.execute(LATELY, {"user": user, "since": since, "most": most}).mappings()
            return [dict(row) for row in found][::-1]

    def forget(self, user: str) -> dict[str, int]:
        """Delete everything that names a shopper; table → rows that are gone. What she refused stays refused."""

        def work(connection: sa.Connection) -> dict[str, int]:
            return {
                table.name: connection.execute(sa.delete(table).where(table.c.user == user)).rowcount
                for table in HOLD_THE_USER
            }

        return removed(self._engine, work)

    def show(self, user: str) -> dict[str, list[dict[str, Any]]]:
        """Everything of a shopper, by table: what she may ask to see. ``refusals`` outlive forgetting; they hold no
        name.
        """
        with reading(self._engine) as connection:
            refused = [{"purpose": purpose} for purpose in self.refusals.purposes(connection, user)]
            rows = {
                table.name: [
                    _told(dict(r)) for r in connection.execute(sa.select(table).where(table.c.user == user)).mappings()
                ]
                for table in HOLD_THE_USER
            }
        return {**rows, "refusals": refused}

    def expose(self, experiment: str, user: str, arm: str) -> None:
        """Remember that a shopper was answered by an arm of an experiment; the first time is kept."""
        with writing(self._engine) as connection:
            row = {"experiment": experiment, "user": user, "arm": arm, "time": moments.now()}
            connection.execute(insert(connection, EXPOSURES).values(**row).on_conflict_do_nothing())

    def exposed(self, experiment: str) -> list[dict[str, Any]]:
        with reading(self._engine, long=True) as connection:
            asked = sa.select(EXPOSURES).where(EXPOSURES.c.experiment == experiment).order_by(EXPOSURES.c.user)
            return [dict(row) for row in connection.execute(asked).mappings()]


def _told(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row with its moments as people read them."""
    moment = {"time", "received"}
    return {name: moments.from_moment(value).isoformat() if name in moment else value for name, value in row.items()}
