"""API keys: made once, shown once, kept as a hash.

A key is 256 random bits, so a plain SHA-256 of it cannot be guessed back; what slows guessing of short passwords would
only slow every request.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Any, Literal, get_args

import sqlalchemy as sa

from tuwen.errors import DataError, did_you_mean
from tuwen.store import moments
from tuwen.store.engine import reading, writing
from tuwen.store.tables import KEYS

Role = Literal["shop", "operator"]
ROLES: tuple[Role, ...] = get_args(Role)
PREFIX = "tuwen_"


def hashed(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


class Keys:
    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def make(self, name: str, role: Role) -> str:
        """A new key, which nobody can read again.

        Raises:
            DataError: there is one of that name.
        """
        key = PREFIX + secrets.token_urlsafe(32)
        row = {"name": name, "role": role, "hash": hashed(key), "made": moments.now()}
        try:
            with writing(self._engine) as connection:
                if connection.execute(sa.select(KEYS.c.name).where(KEYS.c.name == name)).first() is not None:
                    raise _Taken
                connection.execute(sa.insert(KEYS).values(**row))
        except _Taken:
            raise DataError("there is a key of that name", seen=name, todo="choose another, or end that one") from None
        return key

    def end(self, name: str) -> None:
        """A key that is ended opens nothing from then on.

        Raises:
            DataError: there is none of that name.
        """
        with writing(self._engine) as connection:
            gone = connection.execute(sa.delete(KEYS).where(KEYS.c.name == name)).rowcount
        if not gone:
            known = [row["name"] for row in self.all()]
            raise DataError("there is no such key", seen=name, allowed=known, todo=did_you_mean(name, known))

    def all(self) -> list[dict[str, Any]]:
        """``name``, ``role`` and ``made`` of each."""
        with reading(self._engine) as connection:
            asked = sa.select(KEYS.c.name, KEYS.c.role, KEYS.c.made).order_by(KEYS.c.made)
            return [dict(row) for row in connection.execute(asked).mappings()]

    def hashes(self) -> dict[str, tuple[str, Role]]:
        """Hash → (name, role). Looking a hash up tells nothing about the key by the time it takes: who does not know
        a key cannot choose its hash.
        """
        with reading(self._engine) as connection:
            return {row.hash: (row.name, row.role) for row in connection.execute(sa.select(KEYS))}


class _Taken(Exception):
    pass
