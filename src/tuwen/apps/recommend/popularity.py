"""What sells: for everybody, for shoppers of one kind, and in the categories that a shopper buys."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field
from scipy import sparse

from tuwen.apps.recommend.history import Array, Asked, History
from tuwen.apps.recommend.scores import ByLevel, Grouped, Levels, Scores, firsts

Days = Annotated[float, Field(gt=0, le=100_000)]


class Popularity:
    """How often an item was bought.

    Args:
        half_life: days in which a purchase loses half of its weight; none: all count the same.
    """

    reason = ("bought a lot", "热销商品")

    def __init__(self, *, half_life: Days | None = None) -> None:
        self.half_life = half_life

    def fit(self, history: History) -> None:
        self.demand = history.demand(self.half_life).astype(np.float32)[None]
        self.firsts = firsts(self.demand)

    def score(self, asked: Asked) -> Scores:
        return Grouped(self.demand, self.firsts, np.zeros(len(asked), np.int64))


KIN = 20.0  # purchases of the shop that what a category of shoppers buys starts from


class Segment:
    """How often an item was bought by shoppers alike. In one number (their age): of all shoppers who bought
    something, in as many bins of equal size, those in the shopper's own and, with less weight, the bins beside it. In
    one category (their gender): those of the same one, the fewer they are the more as everybody does. A shopper of whom
    that is not known gets what everybody buys.

    Args:
        column: of the shopper.
        bins: of equal size; of a number.
        spread: how far in bins the neighbours count (the deviation of a normal curve).
        half_life: days.
    """

    reason = ("bought a lot by shoppers like you", "与您相似的顾客常买")

    def __init__(
        self,
        *,
        column: str = "users.age",
        bins: Annotated[int, Field(ge=1, le=100)] = 8,
        spread: Annotated[float, Field(gt=0, le=100)] = 1.0,
        half_life: Days = 30.0,
    ) -> None:
        self.column, self.bins, self.spread, self.half_life = column, bins, spread, half_life

    def fit(self, history: History) -> None:
        if self.column in history.shoppers.categories:
            self.shares = self._of_categories(history).astype(np.float32)  # [levels + 1, items]
            self.firsts = firsts(self.shares)
            return
        told = history.shoppers.numbers.get(self.column, np.full(history.shoppers.count, np.nan))
        buyers = told[np.unique(history.shopper)]  # the table also tells of shoppers who come later
        known = buyers[np.isfinite(buyers)]
        self.edges = np.quantile(known, np.linspace(0, 1, self.bins + 1)[1:-1]) if len(known) else np.zeros(0)
        place = np.searchsorted(self.edges, told[history.shopper])
        kept = np.isfinite(told[history.shopper])
        weight = 0.5 ** (history.age[kept] / self.half_life)
        bins = len(self.edges) + 1
        shape = (bins, len(history.catalogue))
        counts = sparse.csr_matrix((weight, (place[kept], history.item[kept])), shape=shape).toarray()
        near = np.exp(-0.5 * ((np.arange(bins)[:, None] - np.arange(bins)) / self.spread) ** 2)
        shares = near @ counts / near.sum(axis=1, keepdims=True)
        everybody = history.demand(self.half_life) / bins
        self.shares = np.concatenate([shares, everybody[None]]).astype(np.float32)  # [bins + 1, items]
        self.firsts = firsts(self.shares)

    def _of_categories(self, history: History) -> Array:
        size = len(history.shoppers.levels[self.column]) + 1
        level = history.shoppers.categories[self.column][history.shopper]
        weight = 0.5 ** (history.age / self.half_life)
        shape = (size, len(history.catalogue))
        counts = sparse.csr_matrix((weight, (level, history.item)), shape=shape).toarray()
        everybody = counts.sum(axis=0) / max(float(weight.sum()), 1e-9)
        counts[0] = 0.0  # of whom it is not told: what everybody buys
        shares: Array = (counts + KIN * everybody) / (counts.sum(axis=1, keepdims=True) + KIN)
        return shares

    def score(self, asked: Asked) -> Scores:
        if self.column in asked.categories:
            return Grouped(self.shares, self.firsts, asked.categories[self.column])
        told = asked.numbers.get(self.column, np.full(len(asked), np.nan))
        bins = np.where(np.isfinite(told), np.searchsorted(self.edges, told), len(self.shares) - 1)
        return Grouped(self.shares, self.firsts, bins)


class Favourites:
    """What sells in the categories that a shopper buys: the demand of an item times the shopper's share of its
    category.

    Args:
        column: of the item.
        half_life: days, of the demand.
        memory: days in which a shopper's own purchase loses half of its weight.
    """

    reason = ("sells well in categories you like", "您常买的类别中热销")

    def __init__(self, *, column: str = "items.category", half_life: Days = 30.0, memory: Days = 90.0) -> None:
        self.column, self.half_life, self.memory = column, half_life, memory

    def fit(self, history: History) -> None:
        demand = history.demand(self.half_life).astype(np.float32)
        level = history.catalogue.categories.get(self.column, np.zeros(len(history.catalogue), np.int32))
        self.usual = np.bincount(level, demand, minlength=int(level.max(initial=0)) + 1)
        self.levels = vars(Levels.of(level, demand, len(self.usual)))

    def score(self, asked: Asked) -> Scores:
        levels = Levels(**self.levels)
        return ByLevel(level_shares(asked, levels.level, self.usual, self.memory), levels)


PRIOR = 2.0  # purchases of the shop that a shopper's own habits start from


def level_shares(asked: Asked, level: Array, usual: Array, memory: float) -> Array:
    """How a shopper's purchases divide over the levels of a category, beside how everybody's do: f32 [asked, levels],
    1 where a shopper buys a level as often as others. Those who bought little are taken to be like the others.
    """
    return lift(asked, level[asked.item][:, None], usual / max(float(usual.sum()), 1e-9), memory)


def lift(asked: Asked, level: Array, shares: Array, memory: float) -> Array:
    """The same over several categories at once, whose levels stand behind each other: f32 [asked, all levels].

    Args:
        level: int [events, categories], of each event's item.
        shares: f64 [all levels], of everybody's purchases; those of a category add up to 1.
    """
    weight, size = 0.5 ** (asked.age / memory), len(shares)
    place = asked.row[:, None] * size + level
    own = np.bincount(place.ravel(), np.repeat(weight, level.shape[1]), len(asked) * size).reshape(len(asked), size)
    total = np.bincount(asked.row, weight, len(asked))[:, None]
    found = (own + PRIOR * shares) / (total + PRIOR)
    return np.asarray(found / np.maximum(shares, 1e-4), np.float32)
