"""Refusals of consent, stored as keyed hashes: a refusal outlives the name of its shopper.

Where a shopper is forgotten every row that names her goes, her word on consent too. Her refusal stays, or the bundle
that still knows her would recommend by it again. It is HMAC-SHA-256 of her key in the shop, with 256 random bits that
the store keeps in its table ``secrets`` (a SQLite file is readable by its owner alone). Without these bits nobody can
test whether a name is among the refusals. The key does not rotate: a hash cannot be made anew without the name, so
another key would turn every refusal into a consent.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection
from functools import cached_property

import sqlalchemy as sa

from tuwen.store.engine import reading
from tuwen.store.events import insert
from tuwen.store.tables import REFUSALS, SECRETS

PURPOSE = "recommend"  # of the consent that recommendations and the next training ask for
REFUSED = sa.select(REFUSALS.c.hash).where(
    REFUSALS.c.hash == sa.bindparam("hash"), REFUSALS.c.purpose == sa.bindparam("purpose")
)


class Refused:
    """The shoppers who refused one purpose: ``user in refused``. No name can be read from it.

    Args:
        hashes: of their keys.
        key: of the hashes.
    """

    def __init__(self, hashes: Collection[str], key: bytes) -> None:
        self._hashes, self._key = frozenset(hashes), key

    def __contains__(self, user: object) -> bool:
        return bool(self._hashes) and isinstance(user, str) and hash_of(user, self._key) in self._hashes

    def __len__(self) -> int:
        return len(self._hashes)

    @cached_property
    def state(self) -> str:
        """Return a text that is equal for equal refusals, and empty for none."""
        return hashlib.sha256(repr(sorted(self._hashes)).encode()).hexdigest() if self._hashes else ""


class Refusals:
    """The table of refusals. It changes in the same transaction as the consent."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    @cached_property
    def _key(self) -> bytes:
        with reading(self._engine) as connection:
            key = connection.execute(sa.select(SECRETS.c.secret).where(SECRETS.c.name == "refusals")).scalar_one()
        return bytes(key)

    def hash_of(self, user: str) -> str:
        return hash_of(user, self._key)

    def write(self, connection: sa.Connection, user: str, purpose: str, *, refused: bool) -> None:
        """Store a refusal, or delete it after a consent."""
        key = {"hash": self.hash_of(user), "purpose": purpose}
        if refused:
            connection.execute(insert(connection, REFUSALS).values(**key).on_conflict_do_nothing())
        else:
            connection.execute(sa.delete(REFUSALS).where(REFUSALS.c.hash == key["hash"], REFUSALS.c.purpose == purpose))

    def has(self, connection: sa.Connection, user: str, purpose: str) -> bool:
        return connection.execute(REFUSED, {"hash": self.hash_of(user), "purpose": purpose}).first() is not None

    def purposes(self, connection: sa.Connection, user: str) -> list[str]:
        """Return the purposes that a shopper refused."""
        rows = sa.select(REFUSALS.c.purpose).where(REFUSALS.c.hash == self.hash_of(user)).order_by(REFUSALS.c.purpose)
        return list(connection.execute(rows).scalars())

    def of(self, purpose: str = PURPOSE) -> Refused:
        """Return the shoppers who refused ``purpose``."""
        with reading(self._engine) as connection:
            hashes = connection.execute(sa.select(REFUSALS.c.hash).where(REFUSALS.c.purpose == purpose)).scalars()
            return Refused(list(hashes), self._key)


def hash_of(user: str, key: bytes) -> str:
    return hmac.new(key, user.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()
