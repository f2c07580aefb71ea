"""What a ranker sees of a shopper and an item: numbers, all of them known at the moment of asking.

Three groups: of the item (how it sells, how new it is, what its kind does), of the shopper, and of the two together
(what the retrievers say, how alike the item is to what was bought, its categories and price beside the shopper's own,
and how much more shoppers of her own category buy of the item's).
What is not known is not a number.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import numpy as np

from tuwen.apps.recommend.content import frontier
from tuwen.apps.recommend.history import Array, Asked, History
from tuwen.apps.recommend.popularity import lift
from tuwen.apps.recommend.scores import Scores

HALF_LIVES = (7, 30, 120)  # days, of an item's demand
MEMORY = 60.0  # days in which a shopper's event loses half of its weight
LATEST = 50  # events of a shopper that an item's content is held against
AROUND = 51  # items in launch order that are an item's neighbourhood
YEAR, SEASON = 365.0, 28.0  # days
GROUP = 20.0  # purchases of the shop that the habits of a category of shoppers start from


class Features:
    """The features at one moment; everything in it is an array by name.

    Attributes:
        names: of the items' features.
        of_items: f32 [items, features].
        shares: f64 [all levels of all categories], how everybody's purchases divide over each category's.
        usual_price: what is paid for an item in the mean.
        sold: bool [items], whether an item was bought before that moment.
        groups: column of shoppers → f32 [its levels + 1, all levels of all categories], the logarithm of how much more
            a category of shoppers buys of a category of items than all do; 0 where nothing is known.
    """

    def __init__(
        self,
        names: list[str],
        of_items: Array,
        shares: Array,
        usual_price: float,
        sold: Array,
        groups: Mapping[str, Array],
    ) -> None:
        self.names, self.of_items, self.shares, self.usual_price, self.sold = names, of_items, shares, usual_price, sold
        self.groups = groups

    @classmethod
    def at(cls, history: History) -> Self:
        """What was known then."""
        demand = history.demand(30.0)
        level, begins = history.catalogue.levels
        usual = np.bincount(level.ravel(), np.repeat(demand, level.shape[1]), minlength=int(begins[-1]))
        shares = usual / max(float(demand.sum()), 1e-9)
        found = _of_items(history)
        of_items = np.empty((len(history.catalogue), len(found)), np.float32)
        for place, values in enumerate(found.values()):
            of_items[:, place] = values
        return cls(list(found), of_items, shares, _mean(history.value), history.sold, _groups(history, shares))

    def of(self, asked: Asked, row: Array, item: Array, scores: Mapping[str, Scores]) -> tuple[Array, list[str]]:
        """f32 [pairs, features] of pairs of an asked shopper and an item, and the features' names.

        Args:
            row: int [pairs], in order: the pairs of a shopper stand together.
            item: int [pairs].
            scores: what each retriever says.
        """
        found = {name: values[row] for name, values in self._of_shoppers(asked).items()}
        found |= {f"retriever {name}": says.at(row, item) for name, says in scores.items()}
        found |= {"price gap": self._price_gap(asked, row, item)} | _likeness(asked, row, item)
        found |= self._of_groups(asked, row, item)
        habits = [f"habit {column}" for column in asked.catalogue.categories]
        names = [*self.names, *habits, *found]
        stacked = np.empty((len(row), len(names)), np.float32)
        begin = len(self.names) + len(habits)
        stacked[:, : len(self.names)] = self.of_items[item]
        stacked[:, len(self.names) : begin] = self._habits(asked, row, item)
        for place, values in enumerate(found.values(), start=begin):
            stacked[:, place] = values
        return stacked, names

    def _of_shoppers(self, asked: Asked) -> dict[str, Array]:
        count = np.diff(asked.begins).astype(np.float32)
        latest = np.full(len(asked), np.nan)
        np.fmin.at(latest, asked.row, asked.age)
        weight = np.bincount(asked.row, 0.5 ** (asked.age / MEMORY), len(asked))
        told = {name: np.where(level > 0, level, np.nan) for name, level in asked.categories.items()}
        return {"events": count, "days since": latest, "recent events": weight, **asked.numbers, **told}

    def _habits(self, asked: Asked, row: Array, item: Array) -> Array:
        """How much more a shopper buys of an item's kind than others do, by each category: f32 [pairs, categories]."""
        level, _ = asked.catalogue.levels
        shares = np.log(np.maximum(lift(asked, level[asked.item], self.shares, MEMORY), 1e-4))
        return np.asarray(shares[row[:, None], level[item]])

    def _of_groups(self, asked: Asked, row: Array, item: Array) -> dict[str, Array]:
        """The same of all shoppers of her category: what is known of one who bought nothing yet."""
        level, _ = asked.catalogue.levels
        found = {}
        for name, lifts in self.groups.items():
            own = asked.categories[name][row]
            for place, column in enumerate(asked.catalogue.categories):
                found[f"group {name} {column}"] = lifts[own, level[item, place]]
        return found

    def _price_gap(self, asked: Asked, row: Array, item: Array) -> Array:
        known = np.isfinite(asked.value)
        paid = np.bincount(asked.row[known], asked.value[known], len(asked))
        own = paid / np.maximum(np.bincount(asked.row[known], minlength=len(asked)), 1)
        own = np.where(own > 0, own, self.usual_price)
        price = self.of_items[item, self.names.index("price")]
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.log(price) - np.log(own)[row])


def _groups(history: History, shares: Array) -> dict[str, Array]:
    level, _ = history.catalogue.levels
    if not level.shape[1]:
        return {}
    weight, found = 0.5 ** (history.age / MEMORY), {}
    for name, told in history.shoppers.categories.items():
        own, size = told[history.shopper], len(history.shoppers.levels[name]) + 1
        place = own[:, None].astype(np.int64) * len(shares) + level[history.item]
        counts = np.bincount(place.ravel(), np.repeat(weight, level.shape[1]), size * len(shares))
        total = np.bincount(own, weight, size)[:, None]
        lift = (counts.reshape(size, -1) + GROUP * shares) / (total + GROUP) / np.maximum(shares, 1e-4)
        lift[0] = 1.0  # of those whose category is not told, nothing is told
        found[name] = np.log(np.maximum(lift, 1e-4)).astype(np.float32)
    return found


def _of_items(history: History) -> dict[str, Array]:
    catalogue, now = history.catalogue, history.now
    found = {f"demand {days}": history.demand(days) for days in HALF_LIVES}
    found["demand"] = history.demand(None)
    found["age"] = np.where(history.sold, now - history.first, np.nan)
    found["idle"] = np.where(history.sold, now - history.last, np.nan)
    found |= _launches(history, found["demand 30"])
    for column, level in catalogue.categories.items():
        found[f"trend {column}"] = _share(level, found["demand 30"])
        found[f"last year {column}"] = _share(level, history.demand(None, YEAR, YEAR - SEASON))
    for kind in catalogue.vectors:
        near = catalogue.alike(kind)
        total = np.maximum(np.asarray(near.sum(axis=1)).ravel(), 1e-6)
        found[f"demand of alike {kind}"] = near @ found["demand 30"] / total
    found["price"] = _prices(history)
    found |= {f"item {name}": values for name, values in catalogue.numbers.items()}
    return found


def _launches(history: History, demand: Array) -> dict[str, Array]:
    """Where an item stands in the order of launches, and what became of those beside it."""
    if history.catalogue.launch is None:
        return {}
    place = history.catalogue.launch_order
    order = np.argsort(place, kind="stable")
    new = (history.now - history.first <= SEASON).astype(float)
    around = {"sold": history.sold.astype(float), "new": new, "demand": demand}
    found = {"launch": place - frontier(history, SEASON)}
    for name, values in around.items():
        smooth = np.empty(len(order))
        smooth[order] = _running_mean(values[order], AROUND)
        found[f"launched beside {name}"] = smooth
    return found


def _running_mean(values: Array, width: int) -> Array:
    """The mean of each value and those around it, fewer at both ends."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    begin = np.maximum(np.arange(len(values)) - width // 2, 0)
    end = np.minimum(np.arange(len(values)) + width // 2 + 1, len(values))
    mean: Array = (total[end] - total[begin]) / (end - begin)
    return mean


def _share(level: Array, demand: Array) -> Array:
    """The share of an item's level in all demand, f64 [items]."""
    total = np.bincount(level, demand, minlength=int(level.max(initial=0)) + 1)
    share: Array = (total / max(float(total.sum()), 1e-9))[level]
    return share


def _prices(history: History) -> Array:
    """What an item was sold for in the mean; one that was not, what items of its finest category cost."""
    known = np.isfinite(history.value)
    item, value = history.item[known], history.value[known]
    size = len(history.catalogue)
    count = np.bincount(item, minlength=size)
    with np.errstate(invalid="ignore"):
        price = np.bincount(item, value, size) / count
    levels = history.catalogue.categories
    if not levels:
        return price
    finest = max(levels.values(), key=lambda level: int(level.max(initial=0)))
    totals = np.bincount(finest[item], value, minlength=int(finest.max()) + 1)
    with np.errstate(invalid="ignore"):
        usual = totals / np.bincount(finest[item], minlength=len(totals))
    return np.where(count > 0, price, usual[finest])


def _likeness(asked: Asked, row: Array, item: Array) -> dict[str, Array]:
    """How alike an item is to what the shopper bought: to the mean of it, to the nearest of it, and in sum."""
    bounds = np.searchsorted(row, np.arange(len(asked) + 1))
    found: dict[str, Array] = {}
    for kind, vectors in asked.catalogue.vectors.items():
        mean, nearest, total = (np.full(len(row), np.nan, np.float32) for _ in range(3))
        for one in range(len(asked)):
            end = int(asked.begins[one + 1])
            events = slice(max(int(asked.begins[one]), end - LATEST), end)
            pairs = slice(int(bounds[one]), int(bounds[one + 1]))
            if events.start == events.stop or pairs.start == pairs.stop:
                continue
            cosines = vectors[item[pairs]] @ vectors[asked.item[events]].T  # [pairs, events]
            weight = (0.5 ** (asked.age[events] / MEMORY)).astype(np.float32)
            sharp = np.maximum(cosines, 0.0)
            sharp *= sharp * sharp
            sharp[item[pairs][:, None] == asked.item[events][None]] = 0.0  # the same item again: another feature
            mean[pairs] = cosines @ weight / weight.sum()
            nearest[pairs] = sharp.max(axis=1)
            total[pairs] = sharp @ weight / max(float(weight.sum()), 0.3)
        found |= {f"mean {kind}": mean, f"nearest {kind}": nearest, f"sum {kind}": total}
    return found


def _mean(values: Array) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")
