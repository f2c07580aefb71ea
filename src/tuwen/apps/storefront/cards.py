"""What a person reads and sees of an item, wherever it is kept: the store first, then the dataset, then the index."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property, lru_cache
from itertools import islice
from typing import Any, NoReturn

from tuwen.apps.storefront.changes import Changes
from tuwen.apps.storefront.parts import Parts
from tuwen.errors import DataError, did_you_mean
from tuwen.store import Store
from tuwen.store.engine import StoreUnavailable

SHOWN = ("title", "description", "category", "brand", "price")
BRIEF = ("title", "category", "brand", "price")  # in a list
KEPT = 20_000  # items of the dataset whose brief is kept: some 13 MB (the sample shop's: 645 bytes each)
SPARE = 100  # more than are asked for, where some of them are left out
HIDDEN = {"images", "sounds", "shapes"}


class NoSuchItem(DataError):
    """Nothing is known of an item, or it was taken out of the shop."""


class Cards:
    """Args:
    parts: one revision.
    store: what came since; None for none.
    changes: of the items of the store.
    """

    def __init__(self, parts: Parts, store: Store | None, changes: Changes) -> None:
        self._parts, self._store, self._changes = parts, store, changes
        self._of_dataset = lru_cache(maxsize=KEPT)(self._brief)  # made anew, each costs 6 µs here

    @cached_property
    def _rows(self) -> dict[str, int]:
        if self._parts.dataset is None:
            return {}
        return {key: row for row, key in enumerate(self._parts.dataset.table("items")["item"].to_list())}

    def keys(self) -> list[str]:
        """Items of the dataset, in its order."""
        return list(self._rows)

    def unknown(self, items: Iterable[str]) -> list[str]:
        """Those that are not in the shop: never were, as far as anything that was promoted or told knows, or were taken
        out. Each once, in order of their first place.
        """
        self._changes.look()
        return [item for item in dict.fromkeys(items) if not self._known(item)]

    def _known(self, item: str) -> bool:
        stored, parts = self._changes.items.get(item), self._parts
        if stored is not None:
            return stored.live
        return (
            item in self._rows
            or (parts.recommender is not None and parts.recommender.shelf.known(item) is not None)
            or (parts.searcher is not None and parts.searcher.index.snapshot.row_of(item) is not None)
        )

    def need(self, items: Iterable[str]) -> None:
        """Raises:
        NoSuchItem: one of them is not in the shop.
        """
        for item in self.unknown(items):
            self._none(item)

    def briefs(self, items: Sequence[str]) -> list[dict[str, Any]]:
        """Of each ``item``, what a list shows of it, and how many ``pictures`` it has; the key alone where nothing is
        known.
        """
        self._changes.look()
        changed, rows = self._changes.items, self._rows
        return [dict(self._of_dataset(i)) if i in rows and i not in changed else self._brief(i) for i in items]

    def _brief(self, item: str) -> dict[str, Any]:
        try:
            found = self._found(item)
        except NoSuchItem:
            return {"item": item, "pictures": 0}
        return {"item": item, "pictures": found["pictures"], **{k: found[k] for k in BRIEF if found.get(k) is not None}}

    def full(self, item: str) -> dict[str, Any]:
        """Every column of an item, and how many ``pictures`` it has.

        Raises:
            NoSuchItem: it is not there, or was taken out.
        """
        self._changes.look()
        return self._found(item)

    def _found(self, item: str) -> dict[str, Any]:
        stored = self._changes.items.get(item)
        if stored is not None and stored.live:
            return {"item": item, **stored.columns, "pictures": stored.pictures}
        if stored is None and item in self._rows:
            assert self._parts.dataset is not None
            row = self._parts.dataset.table("items").row(self._rows[item], named=True)
            shown = {name: value for name, value in row.items() if name not in HIDDEN and value is not None}
            return {**shown, "pictures": len(row.get("images") or [])}
        if stored is None and self._parts.searcher is not None:
            now = self._parts.searcher.index.snapshot
            place = now.row_of(item)
            if place is not None:
                row = now.table.row(place, named=True)
                shown = {k: v for k, v in row.items() if not k.startswith("_") and k not in HIDDEN and v is not None}
                return {**shown, "pictures": 0}
        return self._none(item)

    def _none(self, item: str) -> NoReturn:
        todo = did_you_mean(item, list(self._rows)[:50_000])
        if item in self._changes.items:
            todo = "it was taken out of the shop"
        raise NoSuchItem("there is no such item", seen=item[:100], todo=todo)

    def picture_version(self, item: str, place: int = 0) -> str:
        """Another word wherever :meth:`picture` may give other bytes, told without reading them.

        Raises:
            NoSuchItem: no such item, or it has no such picture.
        """
        self._changes.look()
        stored = self._changes.items.get(item)
        if stored is not None and place < stored.pictures:
            return f"{stored.change}-{place}"
        if stored is None and place < len(keys := self._pictures(item)):
            return keys[place]
        raise NoSuchItem("there is no such picture", seen=f"{item[:100]}, picture {place + 1}")

    def _pictures(self, item: str) -> Sequence[str]:
        """Content hashes of the pictures that the dataset has of an item."""
        if self._parts.dataset is None or item not in self._rows:
            return ()
        found: Sequence[str] = self._parts.dataset.table("items").row(self._rows[item], named=True).get("images") or ()
        return found

    def picture(self, item: str, place: int = 0) -> bytes:
        """JPEG bytes.

        Raises:
            NoSuchItem: no such item, or it has no such picture.
        """
        self._changes.look()
        stored = self._store.items.get(item) if self._store is not None and item in self._changes.items else None
        if stored is not None and place < len(stored.pictures):
            return stored.pictures[place]
        if stored is None and self._parts.dataset is not None and place < len(keys := self._pictures(item)):
            return self._parts.dataset.media.read(keys[place])
        raise NoSuchItem("there is no such picture", seen=f"{item[:100]}, picture {place + 1}")

    @cached_property
    def _users(self) -> list[str]:
        dataset = self._parts.dataset
        tables = ("users", "events", "reviews")
        table = next((t for t in tables if dataset is not None and dataset.has(t)), None)
        if dataset is None or table is None:
            return []
        return sorted(dataset.table(table)["user"].drop_nulls().unique().to_list())

    def users(self, begins: str = "", most: int = 20) -> list[str]:
        """Keys of shoppers of the dataset, in their order, whose beginning is ``begins`` in whatever case. Those who
        refused and were forgotten are left out.
        """
        wanted = begins.casefold()
        keys = list(islice((key for key in self._users if key.casefold().startswith(wanted)), most + SPARE))
        hidden = self._forgotten(keys)
        return [key for key in keys if key not in hidden][:most]

    def _forgotten(self, users: Iterable[str | None]) -> set[str]:
        """Shoppers who refused and were forgotten; all of them while the store is away, which alone knows them."""
        keys = {user for user in users if user is not None}
        if self._store is None:
            return set()
        try:
            return self._store.people.forgotten(keys)
        except StoreUnavailable:
            return keys

    def reviews(self, item: str, most: int = 20) -> list[Mapping[str, Any]]:
        """What was said of an item, the latest first: feedback of the service, then reviews of the dataset. Those of
        shoppers who refused and were forgotten are left out.
        """
        told: list[Mapping[str, Any]] = []
        if self._store is not None:
            with suppress(StoreUnavailable):  # what was promoted can be read all the same
                told += [{k: row[k] for k in ("rating", "text")} for row in self._store.people.feedback(item, most)]
        dataset = self._parts.dataset
        if dataset is not None and dataset.has("reviews") and len(told) < most:
            table = dataset.table("reviews")
            names = [name for name in ("rating", "title", "text", "time") if name in table.columns]
            rows = self._reviews.get(item, [])[: most + SPARE]
            users = table["user"][rows].to_list() if "user" in table.columns else [None] * len(rows)
            hidden = self._forgotten(users)
            visible = [row for row, user in zip(rows, users, strict=True) if user not in hidden]
            told += [
                {
                    k: v.isoformat() if k == "time" and v is not None else v
                    for k, v in table.row(r, named=True).items()
                    if k in names
                }
                for r in visible[: most - len(told)]
            ]
        return told

    @cached_property
    def _reviews(self) -> dict[str, list[int]]:
        """Item → rows of the table of reviews, the latest first."""
        assert self._parts.dataset is not None
        table = self._parts.dataset.table("reviews").with_row_index("_row")
        if "time" in table.columns:
            table = table.sort("time", descending=True, nulls_last=True)
        found: dict[str, list[int]] = {}
        for item, row in table.select("item", "_row").iter_rows():
            if item is not None:
                found.setdefault(item, []).append(row)
        return found
