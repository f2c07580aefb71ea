"""What a retriever says: how much it would like each item for each asked shopper."""

from __future__ import annotations

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
    def fit(self, history: History) -> None:
        """Learn from what was known at a moment."""
        ...

    def score(self, asked: Asked) -> Scores: ...


class Dense:
    """One number for every shopper and item: f32 [asked, items]."""

    def __init__(self, values: Array) -> None:
        self.values = values

    def top(self, count: int) -> Array:
        return np.stack([best(row, count) for row in self.values]) if len(self.values) else _none(count)

    def at(self, row: Array, item: Array) -> Array:
        found: Array = self.values[row, item]
        return found


class Shared:
    """The same number for every shopper: f32 [items]."""

    def __init__(self, values: Array, asked: int) -> None:
        self.values, self.asked = values.astype(np.float32), asked

    def top(self, count: int) -> Array:
        return np.tile(best(self.values, count), (self.asked, 1))

    def at(self, row: Array, item: Array) -> Array:
        found: Array = self.values[item]
        return found


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
        if not len(row):
            return np.zeros(0, np.float32)
        return np.asarray(self.values[row, item], np.float32).ravel()


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
