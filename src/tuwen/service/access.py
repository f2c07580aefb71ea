"""Who asks: API keys with roles."""

from __future__ import annotations

import hmac
import threading
import time
from http import HTTPStatus
from typing import Literal

from starlette.datastructures import Headers

from tuwen.service.problems import RequestError
from tuwen.store import Store
from tuwen.store.keys import Role, hashed

KNOWN_SECONDS = 2.0  # keys are read again after so long: an ended key opens nothing from then on
Need = Literal["nobody", "shop", "operator"]


class Access:
    """Args:
    store: where the keys are; None where none are asked for.
    required: whether a key is asked for.
    """

    def __init__(self, store: Store | None, *, required: bool) -> None:
        self._store, self._required = store, required
        self._hashes: dict[str, tuple[str, Role]] = {}
        self._read = 0.0
        self._lock = threading.Lock()

    def name(self, headers: Headers, need: Need) -> str | None:
        """The name of the key that asks; None where no key is asked for.

        Raises:
            RequestError: 401 without a key that is known, 403 where its role may not ask this.
        """
        if not self._required or need == "nobody":
            return None
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

    def _found(self, key: str) -> tuple[str, Role] | None:
        digest = hashed(key)
        found = None
        for known, who in self._known().items():  # each is looked at, in constant time: nothing is told by how long
            if hmac.compare_digest(known, digest):
                found = who
        return found

    def _known(self) -> dict[str, tuple[str, Role]]:
        with self._lock:
            if self._store is not None and time.monotonic() - self._read > KNOWN_SECONDS:
                self._hashes, self._read = self._store.keys.hashes(), time.monotonic()
            return self._hashes
