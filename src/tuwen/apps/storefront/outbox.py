"""Changes of items on their way from the store into the index.

An item and its words in the index stand in two places, and no transaction holds both. So the store's table of items is
the log: every change gets the next number in the transaction that writes it. The index writes down in the file that
makes a change count (``index.json``) up to which number it is. What lies between the two is the outbox. Any process
may empty it, at any time and any number of times: changes are taken in the order of their numbers, the latest of an
item counts, and a process that finds the index further than it thought begins again from there.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tuwen.apps.storefront.parts import Parts
from tuwen.deadline import Interrupted
from tuwen.errors import InUse, TuwenError
from tuwen.index.segments import Batch
from tuwen.index.store import Index
from tuwen.store import Store
from tuwen.store.engine import StoreUnavailable
from tuwen.store.items import StoredItem

log = logging.getLogger("tuwen.serving")
FULL_DISK = "the disk is full"  # as tuwen.files.room_on_disk says it
STEP = 20  # changes that are read from the store at once
REQUEST_SECONDS = 1.0  # that a request waits for another process that writes to the index; its watcher waits longer


class Outbox:
    """Args:
    parts: of which the index follows the store.
    store: None for none.
    """

    def __init__(self, parts: Parts, store: Store | None) -> None:
        self._parts, self._store = parts, store
        self._lock = threading.Lock()
        self.fault: str | None = None  # why the last attempt to empty it failed

    @property
    def _index(self) -> Index | None:
        return None if self._parts.searcher is None or self._store is None else self._parts.searcher.index

    def _log(self, index: Index) -> dict[str, Any]:
        """How far the index is with this store; another store's numbers say nothing."""
        assert self._store is not None
        written = index.log
        if written.get("store") != self._store.number or written["change"] > self._store.items.latest():
            return {"store": self._store.number, "change": 0, "left": {}}  # also of a store that an older copy replaced
        return {**written, "left": dict(written["left"])}

    @property
    def change(self) -> int:
        """The number of the last change that the index has taken in; what came later is still on its way."""
        index = self._index
        if index is None or self._store is None or index.log.get("store") != self._store.number:
            return 0
        return int(index.log["change"])

    @property
    def left(self) -> dict[str, str]:
        """Item → why it could not be encoded. The other items are in the index."""
        index = self._index
        return dict(index.log.get("left", {})) if index is not None and self.change else {}

    def backlog(self) -> int:
        """Return how many items have changes that the index lacks.

        Raises:
            StoreUnavailable: the store is away.
        """
        if self._index is None or self._store is None:
            return 0
        return self._store.items.count_after(self.change)

    def oldest(self) -> int | None:
        """Return the moment of the oldest change that the index lacks.

        Raises:
            StoreUnavailable: the store is away.
        """
        if self._index is None or self._store is None:
            return None
        return self._store.items.oldest_after(self.change)

    def empty(
        self, ready: Mapping[int, Batch] | None = None, *, wait: float | None = None, again: bool = False
    ) -> None:
        """Take every change of the store into the index.

        Args:
            ready: number of a change → its item, encoded already.
            wait: seconds for another process that writes to the index.
            again: whether items that could not be encoded are tried once more.

        Raises:
            InUse: another process writes for longer than that.
            StoreUnavailable: the store is away.
            DataError: the disk is full, or the index is damaged. What is left is taken in by the next call.
        """
        index = self._index
        if index is None or self._store is None:
            return
        with self._turn(index, wait):
            try:
                index.refresh()
                if again:
                    for item in self._log(index)["left"]:
                        stored = self._store.items.get(item)
                        if stored is not None:
                            self._take(index, [stored], ready or {}, wait, change=None)
                while rows := self._store.items.since(self._log(index)["change"], most=STEP):
                    for group in _groups(rows):
                        if not self._take(index, group, ready or {}, wait, change=group[-1].change):
                            break  # another process took them in: from where the index is now
                index.mend()
                self.fault = None
            except TuwenError as error:
                self.fault = error.what
                raise

    @contextmanager
    def _turn(self, index: Index, wait: float | None) -> Iterator[None]:
        """One thread of this process at a time; who may not wait does not wait for one that waits."""
        if not self._lock.acquire(timeout=-1 if wait is None else wait):
            raise InUse("another run is writing to this folder", where=str(index.folder))
        try:
            yield
        finally:
            self._lock.release()

    def _take(
        self, index: Index, group: list[StoredItem], ready: Mapping[int, Batch], wait: float | None, change: int | None
    ) -> bool:
        """One item that is live, or several that were taken out; false where the index is not where it was.

        Args:
            change: the number that the index is at from then on; None where it stays.
        """
        before = index.log
        after = self._log(index)
        add: Batch | None = None
        for stored in group:
            after["left"].pop(stored.item, None)
        if group[0].live:
            add, reason = self._encoded(group[0], ready)
            if reason is not None:
                after["left"][group[0].item] = reason
        gone = [stored.item for stored in group if not stored.live]
        if change is not None:
            after["change"] = change
        try:
            return index.follow(before, after, add=add, remove=gone, wait=wait)
        except (InUse, Interrupted, OSError):
            raise
        except Exception as error:
            if add is None or (isinstance(error, TuwenError) and error.what == FULL_DISK):
                raise
            if group[0].change in ready:  # it was encoded for an index that was made anew meanwhile
                return self._take(index, group, {}, wait, change)
            after["left"][group[0].item] = _reason(group[0], error)
        return index.follow(before, after, wait=wait)

    def _encoded(self, stored: StoredItem, ready: Mapping[int, Batch]) -> tuple[Batch | None, str | None]:
        """Encode an item. Returns the reason instead if that fails, so that other items still enter the index."""
        if self._parts.shelve is None:
            return None, None
        encoded = ready.get(stored.change)
        if encoded is not None and self.fault is None:  # after a fault it is encoded for the index as it is now
            return encoded, None
        try:
            return self._parts.shelve(stored.item, stored.columns, stored.pictures), None
        except (StoreUnavailable, InUse, Interrupted):  # it is not the item
            raise
        except Exception as error:  # of an encoder, a library's or a plug-in's
            return None, _reason(stored, error)


def _reason(stored: StoredItem, error: Exception) -> str:
    """Log why an item cannot be encoded, and return the reason."""
    unforeseen = not isinstance(error, TuwenError)
    log.error("an item could not be brought in: %s: %s", stored.item, error, exc_info=unforeseen)
    return error.what if isinstance(error, TuwenError) else type(error).__name__


def _groups(rows: list[StoredItem]) -> list[list[StoredItem]]:
    """Items in the order of their changes: each live one by itself, neighbours that were taken out together."""
    groups: list[list[StoredItem]] = []
    for stored in rows:
        if groups and not stored.live and not groups[-1][0].live:
            groups[-1].append(stored)
        else:
            groups.append([stored])
    return groups
