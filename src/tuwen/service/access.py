"""Who asks: API keys with roles. No request waits for the store: a thread reads the keys before they are needed."""

from __future__ import annotations

import hmac
import logging
import threading
import time
import weakref
from http import HTTPStatus
from typing import Literal

from starlette.datastructures import Headers

from tuwen.errors import TuwenError
from tuwen.service.problems import RequestError
from tuwen.store import Store
from tuwen.store.keys import Role, hashed

log = logging.getLogger("tuwen.service")
KNOWN_SECONDS = 2.0  # an ended key opens nothing from then on, while the store is there
STALE_SECONDS = 600.0  # for which the keys that were read last open while the store is away
Need = Literal["nobody", "shop", "operator"]


class Access:
    """Args:
    store: where the keys are; None where none are asked for.
    required: whether a key is asked for.

    Raises:
        StoreUnavailable: the keys cannot be read at the start.
    """

    def __init__(self, store: Store | None, *, required: bool) -> None:
        self._required = required
        self._hashes: dict[str, tuple[str, Role]] = {}
        self._read = time.monotonic()
        if required and store is not None:
            self._hashes = store.keys.hashes()
            threading.Thread(target=_follow, args=(weakref.ref(self), store), name="tuwen-keys", daemon=True).start()

    def name(self, headers: Headers, need: Need) -> str | None:
        """The name of the key that asks; None where no key is asked for.

        Raises:
            RequestError: 401 without a key that is known, 403 where its role may not ask this, 503 where the keys could
                not be read for too long.
        """
        if not self._required or need == "nobody":
            return None
        if time.monotonic() - self._read > STALE_SECONDS:
            raise RequestError(
                HTTPStatus.SERVICE_UNAVAILABLE, "the keys cannot be read", todo="try again when the store answers"
            )
        kind, _, key = headers.get("authorization", "").partition(" ")
        found = self._found(key.strip()) if kind.lower() == "bearer" and key.strip() else None
        if found is None:
            raise RequestError(
                HTTPStatus.UNAUTHORIZED,
                "this service asks for a key",
                where="Authorization header",
                seen="a key that is not known" if key else "no key",
                allowed="Authorization: Bearer KEY",
                todo="tuwen key HOME --name NAME --role shop makes one",
            )
        name, role = found
        if need == "operator" and role != "operator":
            raise RequestError(
                HTTPStatus.FORBIDDEN, "this key may not do that", seen=f"role {role}", allowed="role operator"
            )
        return name

    def take(self, hashes: dict[str, tuple[str, Role]]) -> None:
        """The keys as the store has them now."""
        self._hashes, self._read = hashes, time.monotonic()

    def _found(self, key: str) -> tuple[str, Role] | None:
        digest = hashed(key)
        found = None
        for stored, who in self._hashes.items():  # each is looked at, in constant time: nothing is told by how long
            if hmac.compare_digest(stored, digest):
                found = who
        return found


def _follow(access: weakref.ref[Access], store: Store) -> None:
    """Read the keys again and again, twice within :data:`KNOWN_SECONDS`, while somebody asks by them."""
    while not store.closed.wait(KNOWN_SECONDS / 2) and access() is not None:
        try:
            hashes = store.keys.hashes()
        except TuwenError as error:
            log.warning("the keys cannot be read, those before count: %s", error)
            continue
        if (keys := access()) is not None:
            keys.take(hashes)
        del keys
