"""What a retriever says: how much it would like each item for each asked shopper."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy import sparse

from tuwen.apps.recommend.history import Array, Asked, History

NOTHING = -1  # behind the end of a list that is shorter than asked


class Scores(Protocol):
    def top(self, count: int) -> Array:
        """int64 [asked, count]: the items with the highest scores above zero, best first, ``-1`` behind the end."""
        ...

    def at(self, row: Array, item: Array) -> Array:
        """f32 [pairs]: the scores of pairs of an asked shopper and an item."""
        ...


class Retriever(Protocol):
    """One may have a ``reason``, in English and Chinese: what a shopper reads beside an item that it proposed."""

    def fit(self, history: History) -> None:
        """Learn from what was known at a moment."""
        ...

    def score(self, asked: Asked) -> Scores: ...


class Dense:
    """A number for every shopper and each of some items, zero for the others.

    Args:
        values: f32 [asked, some].
        items: int64 [some], rising; none: all of them.
        place: int32 [items], where an item stands in ``items``, ``-1`` where it does not.
    """

    def __init__(self, values: Array, items: Array | None = None, place: Array | None = None) -> None:
        self.values, self.items, self.place = values, items, place

    def top(self, count: int) -> Array:
        found = np.stack([best(row, count) for row in self.values]) if len(self.values) else _none(count)
        if self.items is None or not len(self.items):
            return found
        return np.where(found == NOTHING, NOTHING, self.items[found])

    def at(self, row: Array, item: Array) -> Array:
        if self.place is None:
            return np.asarray(self.values[row, item])
        place = self.place[item]
        found = np.zeros(len(row), np.float32)
        known = place != NOTHING
        found[known] = self.values[row[known], place[known]]
        return found


class Grouped:
    """The same numbers for all shoppers of a group.

    Args:
        values: f32 [groups, items].
        firsts: int32 [groups, any], the best of each as :func:`firsts` gives them, once for all who ask.
        group: int64 [asked].
    """

    def __init__(self, values: Array, firsts: Array, group: Array) -> None:
        self.values, self.firsts, self.group = values, firsts, group

    def top(self, count: int) -> Array:
        if count > self.firsts.shape[1]:
            return firsts(self.values, count)[self.group].astype(np.int64)
        return self.firsts[self.group, :count].astype(np.int64)

    def at(self, row: Array, item: Array) -> Array:
        return np.asarray(self.values[self.group[row], item])


KEPT = 1000  # of a group's list, longer than most ask for


def firsts(values: Array, count: int = KEPT) -> Array:
    """int32 [groups, ≤ count]: the best items of each group, best first, ``-1`` behind the end."""
    return np.stack([best(row, count) for row in values]).astype(np.int32)


@dataclass(frozen=True)
class Levels:
    """Items by level, the worthiest of each first; what is worth nothing is left out.

    Attributes:
        level: int32 [items].
        worth: f32 [items].
        order: int32 [≤ items].
        begins: int64 [levels + 1]; those of a level are ``order[begins[i]:begins[i + 1]]``.
    """

    level: Array
    worth: Array
    order: Array
    begins: Array

    @classmethod
    def of(cls, level: Array, worth: Array, count: int) -> Levels:
        kept = np.flatnonzero(worth > 0)
        order = kept[np.lexsort((kept, -worth[kept], level[kept]))]
        begins = np.concatenate([[0], np.cumsum(np.bincount(level[kept], minlength=count))])
        return cls(level, worth.astype(np.float32), order.astype(np.int32), begins)


LOOKED_AT = 8  # items of a level at first


class ByLevel:
    """What an item is worth, times what its level is to the shopper.

    Args:
        lift: f32 [asked, levels].
    """

    def __init__(self, lift: Array, levels: Levels) -> None:
        self.lift, self.levels = lift, levels

    def top(self, count: int) -> Array:
        found = [self._best(lift, count) for lift in self.lift]
        return np.stack(found) if found else _none(count)

    def _best(self, lift: Array, count: int) -> Array:
        """The first few of every level tell what an item must be worth; only levels that go on above that are looked
        at as deep as a list is long.
        """
        levels, begins = self.levels, self.levels.begins[:-1]
        sizes = np.diff(self.levels.begins)
        depth = np.minimum(sizes, LOOKED_AT)
        for _ in range(2):
            ends = np.cumsum(depth)
            items = np.sort(levels.order[np.repeat(begins - ends + depth, depth) + np.arange(ends[-1])])
            values = lift[levels.level[items]] * levels.worth[items]
            listed = best(values, count)
            edge = values[listed[-1]] if listed[-1] != NOTHING else 0.0
            more = np.flatnonzero(depth < sizes)
            more = more[lift[more] * levels.worth[levels.order[begins[more] + depth[more] - 1]] >= edge]
            if not len(more):
                break
            depth[more] = np.minimum(sizes[more], count)
        listed[listed != NOTHING] = items[listed[listed != NOTHING]]
        return listed

    def at(self, row: Array, item: Array) -> Array:
        return np.asarray(self.lift[row, self.levels.level[item]] * self.levels.worth[item])


class Sparse:
    """Few items have a number: f32 [asked, items], zero elsewhere."""

    def __init__(self, values: sparse.csr_matrix) -> None:
        self.values = values.tocsr()
        self.values.sort_indices()

    def top(self, count: int) -> Array:
        found = np.full((self.values.shape[0], count), NOTHING, np.int64)
        for row, (begin, end) in enumerate(zip(self.values.indptr[:-1], self.values.indptr[1:], strict=True)):
            listed = best(self.values.data[begin:end], count)
            there = listed[listed != NOTHING]
            found[row, : len(there)] = self.values.indices[begin:end][there]
        return found

    def at(self, row: Array, item: Array) -> Array:
        if not self.values.nnz:
            return np.zeros(len(row), np.float32)
        width = self.values.shape[1]
        rows = np.repeat(np.arange(self.values.shape[0]), np.diff(self.values.indptr))
        known, wanted = rows * width + self.values.indices, row * width + item
        place = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
        return np.where(known[place] == wanted, self.values.data[place], np.float32(0.0))


def best(values: Array, count: int) -> Array:
    """int64 [count]: positions of the highest values above zero, best first, equal ones in their own order."""
    found = np.full(count, NOTHING, np.int64)
    kept = min(count, len(values))
    if kept:
        edge = np.partition(values, len(values) - kept)[len(values) - kept]
        places = np.flatnonzero((values >= edge) & (values > 0))
        places = places[np.argsort(-values[places], kind="stable")][:kept]
        found[: len(places)] = places
    return found


def _none(count: int) -> Array:
    return np.empty((0, count), np.int64)
