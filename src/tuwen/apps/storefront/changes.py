"""Items that came, changed or went since the parts were promoted, as this process has seen them."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tuwen.store import Store
from tuwen.store.engine import StoreUnavailable


@dataclass(frozen=True)
class Changed:
    """An item of the store without the bytes of its pictures.

    Attributes:
        live: false where it was taken out.
        pictures: how many.
        change: the number of its last change.
    """

    live: bool
    columns: Mapping[str, Any]
    pictures: int
    change: int


class Changes:
    """Follows the store by the numbers of its changes; where nothing was written a look costs microseconds.

    Args:
        store: None for none.
    """

    def __init__(self, store: Store | None) -> None:
        self._store, self._lock = store, threading.Lock()
        self._seen: int | None = None
        self.change = 0
        self.items: dict[str, Changed] = {}
        self.gone: frozenset[str] = frozenset()

    def look(self) -> int:
        """Take in what is new; returns the store's version (-1 without a store). While the store is away what was seen
        last counts: search and lists go on.
        """
        if self._store is None:
            return -1
        try:
            return self._look(self._store)
        except StoreUnavailable:
            return -1 if self._seen is None else self._seen

    def _look(self, store: Store) -> int:
        version = store.version.now()
        if version == self._seen:
            return version
        with self._lock:
            if store.version.items() > self.change:
                while items := store.items.since(self.change):
                    for one in items:
                        self.items[one.item] = Changed(one.live, one.columns, len(one.pictures), one.change)
                    self.change = items[-1].change
                self.gone = frozenset(item for item, one in self.items.items() if not one.live)
            self._seen = version
        return version
