"""What is known at a moment: the catalogue, and who bought what before it.

Everything that retrievers and rankers learn comes through :class:`History`, and :meth:`History.before` is the only way
to an earlier one. So what happens after a moment cannot reach a model of that moment. (:meth:`History.only` leaves out
events in the midst of time, for splits that are told to be leaky.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import polars as pl
from scipy import sparse

from tuwen.apps.recommend.neighbours import neighbours
from tuwen.data.behaviour import crawlers
from tuwen.errors import DataError

Array = np.ndarray
MOST_LEVELS = 256  # of a category of shoppers: each has a line of numbers for every item


class Reads(Protocol):
    """Puts a new picture or text where the items' own vectors stand."""

    @property
    def use(self) -> str:
        """``image`` or ``text``."""
        ...

    def read(self, value: str | bytes) -> Array | None:
        """f32 [width], of length 1; None where it says nothing."""
        ...

    def save(self, folder: Path) -> None: ...


@dataclass(frozen=True)
class Catalogue:
    """The items of a shop, by position.

    Attributes:
        items: their keys, str [items].
        vectors: kind (``picture``, ``text``) → f32 [items, width], of length 1; zeros where an item has none.
        categories: column → int32 [items], 0 where missing.
        numbers: column → f32 [items], not a number where missing.
        launch: f64 [items] or None, in the order in which items come to the shop: a date, or a number that is counted
            up. Known before an item is first sold.
        readers: kind → what a new picture or text becomes such a vector by.
    """

    items: Array
    vectors: Mapping[str, Array] = field(default_factory=dict)
    categories: Mapping[str, Array] = field(default_factory=dict)
    numbers: Mapping[str, Array] = field(default_factory=dict)
    launch: Array | None = None
    readers: Mapping[str, Reads] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.items)

    def alike(self, kind: str) -> sparse.csr_matrix:
        """How much alike an item and its neighbours are, f32 [items, items]; empty where there is no such vector."""
        if kind not in self.vectors:
            return sparse.csr_matrix((len(self), len(self)), dtype=np.float32)
        if kind not in self._alike:
            self._alike[kind] = neighbours(self.vectors[kind])
        return self._alike[kind]

    @cached_property
    def _alike(self) -> dict[str, sparse.csr_matrix]:
        return {}

    @cached_property
    def launch_order(self) -> Array:
        """Place of each item in the order in which they come to the shop, f64 [items] from 0 to 1; all the same where
        the catalogue does not tell.
        """
        if self.launch is None:
            return np.full(len(self), 0.5)
        order = np.empty(len(self))
        order[np.argsort(self.launch, kind="stable")] = np.arange(len(self))
        return order / max(1, len(self) - 1)

    @cached_property
    def levels(self) -> tuple[Array, Array]:
        """All categories as one: int32 [items, columns], each column's levels behind those of the columns before it;
        and where each column begins, int64 [columns + 1].
        """
        counts = [int(level.max(initial=0)) + 1 for level in self.categories.values()]
        begins = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        parts = [level + begin for level, begin in zip(self.categories.values(), begins[:-1].tolist(), strict=True)]
        return np.stack([np.zeros(len(self)), *parts], axis=1)[:, 1:].astype(np.int32), begins

    def without(self, part: str) -> Catalogue:
        """The same catalogue without one kind of vector, or without its ``launch``."""
        if part == "launch":
            return replace(self, launch=None)
        return replace(self, vectors={name: v for name, v in self.vectors.items() if name != part})


@dataclass(frozen=True)
class Shoppers:
    """What is known of shoppers beside what they do.

    Attributes:
        numbers: column (``users.age``) → f32 [shoppers], not a number where missing.
        categories: column (``users.gender``) → int32 [shoppers], 0 where missing.
        levels: column → str [levels], their names; the first one's number is 1.
    """

    count: int
    numbers: Mapping[str, Array] = field(default_factory=dict)
    categories: Mapping[str, Array] = field(default_factory=dict)
    levels: Mapping[str, Array] = field(default_factory=dict)


@dataclass(frozen=True)
class History:
    """All purchases before ``now``, in the order of time.

    Attributes:
        shopper, item: int64 [events], positions.
        day: f64 [events], in days; all below ``now``.
        value: f64 [events], what an item was sold for; not a number where it is not told.
        now: the moment, in days.
        returned: f64 [events], the day on which a purchase was given back, infinite where it was not; None: none was.
            At an earlier moment nobody knows of a later return: :meth:`before` leaves out what was given back by then.
    """

    catalogue: Catalogue
    shoppers: Shoppers
    shopper: Array
    item: Array
    day: Array
    value: Array
    now: float
    returned: Array | None = None

    @classmethod
    def of(
        cls,
        catalogue: Catalogue,
        shoppers: Shoppers,
        shopper: Array,
        item: Array,
        day: Array,
        value: Array,
        now: float,
        returned: Array | None = None,
    ) -> History:
        """From events in any order; those at ``now`` or later are left out.

        Raises:
            DataError: an event of an item or a shopper that does not exist, or without a time.
        """
        for name, places, count in (("item", item, len(catalogue)), ("shopper", shopper, shoppers.count)):
            if len(places) and (int(places.min()) < 0 or int(places.max()) >= count):
                raise DataError(f"an event names a {name} that does not exist", allowed=f"0 to {count - 1}")
        if not np.isfinite(day).all():
            raise DataError("an event has no time", todo="leave such events out")
        order = np.lexsort((item, shopper, day))
        order = order[day[order] < now]
        back = None if returned is None else returned[order]
        return cls(catalogue, shoppers, shopper[order], item[order], day[order], value[order], now, back)

    def before(self, moment: float) -> History:
        """What was known then."""
        end = int(np.searchsorted(self.day, moment, side="left"))
        history = replace(self._at(slice(end)), now=min(moment, self.now))
        return history.settled()

    def settled(self) -> History:
        """Without the purchases that were given back by now."""
        if self.returned is None or not (self.returned < self.now).any():
            return self
        return self._at(self.returned >= self.now)

    def _at(self, events: Any) -> History:
        """Some of the events: a slice, places, or bool [events]."""
        return replace(
            self,
            shopper=self.shopper[events],
            item=self.item[events],
            day=self.day[events],
            value=self.value[events],
            returned=None if self.returned is None else self.returned[events],
        )

    def only(self, kept: Array) -> History:
        """Some of the events (bool [events]), as of the same moment."""
        return self._at(kept)

    def on(self, catalogue: Catalogue) -> History:
        """The same events over another view of the same items."""
        return replace(self, catalogue=catalogue)

    @cached_property
    def age(self) -> Array:
        """Days before now, f64 [events]."""
        age: Array = self.now - self.day
        return age

    @cached_property
    def sold(self) -> Array:
        """Whether an item was bought at all, bool [items]."""
        return np.bincount(self.item, minlength=len(self.catalogue)) > 0

    @cached_property
    def first(self) -> Array:
        """Day of an item's first sale, f64 [items]; infinite where there was none."""
        first = np.full(len(self.catalogue), np.inf)
        first[self.item[::-1]] = self.day[::-1]  # in the order of time, so the first one is written last
        return first

    @cached_property
    def last(self) -> Array:
        """Day of an item's last sale, f64 [items]; minus infinity where there was none."""
        last = np.full(len(self.catalogue), -np.inf)
        last[self.item] = self.day
        return last

    def demand(self, half_life: float | None, since: float | None = None, until: float = 0.0) -> Array:
        """Purchases of each item, f64 [items]; an event loses half its weight in every ``half_life`` days.

        Args:
            since, until: only events at most and at least so many days old.
        """
        weight = np.ones(len(self.age)) if half_life is None else 0.5 ** (self.age / half_life)
        in_window = (self.age > until) & (self.age <= (np.inf if since is None else since)) & ~self._repeats
        return np.bincount(self.item[in_window], weight[in_window], len(self.catalogue))

    @cached_property
    def _repeats(self) -> Array:
        """All but the latest event of each item, of shoppers who did more than a person does; bool [events]."""
        repeats = np.zeros(len(self.item), bool)
        for shopper in _crawlers(self.shopper):
            rows = np.flatnonzero(self.shopper == shopper)
            _, latest = np.unique(self.item[rows][::-1], return_index=True)
            repeats[np.delete(rows, len(rows) - 1 - latest)] = True
        return repeats

    @cached_property
    def bought(self) -> sparse.csr_matrix:
        """Who bought what, f32 [shoppers, items], each pair once."""
        ones = np.ones(len(self.item), np.float32)
        found = sparse.csr_matrix((ones, (self.shopper, self.item)), shape=(self.shoppers.count, len(self.catalogue)))
        found.data[:] = 1.0
        return found

    def buying(self, since: float, until: float) -> tuple[Array, list[Array]]:
        """Shoppers who bought something on the days ``since`` ≤ day < ``until``, and what: each item once."""
        settled = self.settled()
        inside = settled.only((settled.day >= since) & (settled.day < until))
        who = np.unique(inside.shopper)
        return who, inside.items_of(who)

    def items_of(self, who: Array) -> list[Array]:
        """What each of these shoppers bought, each item once."""
        order, begins = self._by_shopper
        return [np.unique(self.item[order[begins[one] : begins[one + 1]]]) for one in who.tolist()]

    def latest(self, count: int) -> History:
        """The last ``count`` events of each shopper."""
        order, begins = self._by_shopper
        if int(np.diff(begins).max(initial=0)) <= count:
            return self
        left = np.arange(len(order)) >= begins[1:][self.shopper[order]] - count
        kept = np.sort(order[left])
        return self._at(kept)

    @cached_property
    def _by_shopper(self) -> tuple[Array, Array]:
        """The events of each shopper in the order of time: places int64 [events], begins int64 [shoppers + 1]."""
        order = np.argsort(self.shopper, kind="stable")
        return order, np.concatenate([[0], np.cumsum(np.bincount(self.shopper, minlength=self.shoppers.count))])

    def met(self, categories: Mapping[str, Array]) -> dict[str, Array]:
        """Categories of shoppers, 0 where nobody of that category bought anything before now: the table also tells of
        those who come later, and a category that came with them is not known yet.

        Args:
            categories: column → int32 [any], levels.
        """
        return {name: np.where(self._met[name][level], level, 0) for name, level in categories.items()}

    @cached_property
    def _met(self) -> dict[str, Array]:
        """Column → bool [levels + 1]."""
        buyers, found = np.unique(self.shopper), {}
        for name, level in self.shoppers.categories.items():
            size = max(len(self.shoppers.levels.get(name, ())), int(level.max(initial=0)))
            found[name] = np.isin(np.arange(size + 1), level[buyers])
        return found

    def asked(self, who: Sequence[int] | Array) -> Asked:
        """These shoppers as a recommender is asked for them: by what they did."""
        who = np.asarray(who, np.int64)
        order, bounds = self._by_shopper
        places = [order[bounds[one] : bounds[one + 1]] for one in who.tolist()]
        events = np.concatenate([*places, np.empty(0, np.int64)]).astype(np.int64)
        begins = np.concatenate([[0], np.cumsum([len(p) for p in places])]).astype(np.int64)
        numbers = {name: values[who] for name, values in self.shoppers.numbers.items()}
        categories = self.met({name: level[who] for name, level in self.shoppers.categories.items()})
        age = self.now - self.day[events]
        return Asked(self.catalogue, begins, self.item[events], age, self.value[events], numbers, categories)


def _crawlers(shopper: Array) -> Array:
    """Positions of shoppers with so many events that they are no person."""
    return np.array([int(user) for user in crawlers(pl.Series(shopper).cast(pl.String))], np.int64)


@dataclass(frozen=True)
class Asked:
    """Shoppers for whom items are wanted: nothing but their events, oldest first, and what is known of them. A shopper
    whom no model has seen is asked for in the same way.

    Attributes:
        begins: int64 [asked + 1]; a shopper's events are ``item[begins[i]:begins[i + 1]]``.
        item: int64 [events].
        age: f64 [events], days ago.
        value: f64 [events], what was paid.
        numbers: column → f32 [asked].
        categories: column → int32 [asked], 0 where missing or not known.
    """

    catalogue: Catalogue
    begins: Array
    item: Array
    age: Array
    value: Array
    numbers: Mapping[str, Array] = field(default_factory=dict)
    categories: Mapping[str, Array] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.begins) - 1

    @cached_property
    def row(self) -> Array:
        """Which asked shopper an event is of, int64 [events]."""
        return np.repeat(np.arange(len(self)), np.diff(self.begins))

    def recent(self, half_life: float | None, most: float = 1.0) -> sparse.csr_matrix:
        """Events as weights f32 [asked, items]: halved in every ``half_life`` days, and no item above ``most``."""
        if (half_life, most) not in self._recent:
            weight = np.ones(len(self.age)) if half_life is None else 0.5 ** (self.age / half_life)
            shape = (len(self), len(self.catalogue))
            found = sparse.csr_matrix((weight.astype(np.float32), self.item.astype(np.int32), self.begins), shape=shape)
            found.sum_duplicates()
            np.minimum(found.data, most, out=found.data)
            self._recent[half_life, most] = found
        return self._recent[half_life, most]

    @cached_property
    def _recent(self) -> dict[tuple[float | None, float], sparse.csr_matrix]:
        """Several retrievers look back equally far."""
        return {}

    def rows(self, which: slice) -> Asked:
        """Some of the shoppers."""
        begin, end, _ = which.indices(len(self))
        events = slice(int(self.begins[begin]), int(self.begins[end]))
        begins = self.begins[begin : end + 1] - self.begins[begin]
        told = ({name: v[begin:end] for name, v in table.items()} for table in (self.numbers, self.categories))
        return Asked(self.catalogue, begins, self.item[events], self.age[events], self.value[events], *told)
