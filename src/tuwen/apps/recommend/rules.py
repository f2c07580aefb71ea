"""What a shop wants of a list beside its order: what may stand in it, what is pushed, room for the new, no monotony."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from tuwen.deadline import check
from tuwen.errors import ConfigError

if TYPE_CHECKING:  # a service without recommendations has no SciPy
    from tuwen.apps.recommend.history import Array

LOOKED_AT = 5  # times the length of a list: the items among which a varied one is chosen


@dataclass(frozen=True)
class Rest:
    """What fills a list up where too little was proposed: any item, what sells first.

    Attributes:
        demand: f64 [items], not below zero.
    """

    demand: Array

    @cached_property
    def order(self) -> Array:
        """int64 [items]"""
        return np.argsort(-self.demand, kind="stable")

    @cached_property
    def _most(self) -> float:
        return max(float(self.demand.max(initial=0.0)), 1e-9)

    def scores(self, items: Array, floor: float) -> Array:
        """f32 [some], in the order of demand and all below ``floor``, the lowest score of what was proposed."""
        return (self.demand[items] / self._most + (floor - 2.0)).astype(np.float32)


@dataclass(frozen=True)
class Rules:
    """Applied to what the ranker ordered, in this order.

    Attributes:
        allowed: bool [items], which may be listed (in stock, not excluded); none: all.
        boost: f32 [items], added to the ranker's scores; none: nothing.
        again: whether what a shopper bought before may be listed.
        newcomers: share of the places of a list that items take which nobody bought before, where there are such
            among the candidates. The ranker alone gives them few, for it knows little of them; and who never shows
            them never learns.
        diversity: 0: the ranker's order alone; towards 1 an item counts less the more it is like one above it (maximal
            marginal relevance, Carbonell and Goldstein, 1998).
        explore: share of the places, spread evenly over the list, that are given to items drawn by chance among the
            candidates that sell little. Who logs the answer with its chances can judge another order by it later
            (off-policy; Li et al., 2010).
        few: bool [items], which sell little; none: those that nobody bought.
        draw: what chance depends on beside the shopper, such as the day: the same gives the same.
    """

    allowed: Array | None = None
    boost: Array | None = None
    again: bool = True
    newcomers: float = 0.0
    diversity: float = 0.0
    explore: float = 0.0
    few: Array | None = None
    draw: str = ""

    def __post_init__(self) -> None:
        for name in ("newcomers", "diversity", "explore"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"'{name}' is a share", seen=getattr(self, name), allowed="0 to 1")

    def listed(
        self,
        item: Array,
        score: Array,
        count: int,
        *,
        new: Array,
        had: Array,
        vectors: Array | None,
        key: str = "",
        rest: Rest | None = None,
    ) -> tuple[Array, Array, Array]:
        """The list of one shopper: items int64 [≤ count], their scores, and the chance f32 with which an item that
        was drawn stands where it stands, not a number elsewhere; best first but for what was drawn.

        Args:
            item: int64 [candidates], distinct.
            score: f32 [candidates], of the ranker.
            new: bool [items], never bought by anybody.
            had: int64, items that this shopper bought.
            vectors: f32 [items, width] of length 1, by which items are alike; none: ``diversity`` has no effect.
            key: the shopper's; chance depends on it and on ``draw``.
            rest: what takes the places that are left, behind all candidates; what is pushed is a candidate too. None:
                the places stay empty.
        """
        floor = float(score.min(initial=0.0))
        if rest is not None and self.boost is not None:
            pushed = np.setdiff1d(np.flatnonzero(self.boost > 0), item)
            item, score = np.concatenate([item, pushed]), np.concatenate([score, rest.scores(pushed, floor)])
        proposed = item
        kept = np.ones(len(item), bool) if self.allowed is None else self.allowed[item]
        if not self.again:
            kept = kept & ~np.isin(item, had)
        item, score = item[kept], score[kept]
        if self.boost is not None:
            score = score + self.boost[item]
        order = np.lexsort((item, -score))
        item, score = item[order], score[order]
        if self.diversity and vectors is not None:
            order = varied(score[: LOOKED_AT * count], vectors[item[: LOOKED_AT * count]], self.diversity, count)
            others = np.setdiff1d(np.arange(len(item)), order)
            order = np.concatenate([order, others])
            item, score = item[order], score[order]
        chosen = with_newcomers(new[item], count, math.ceil(self.newcomers * count - 1e-9))
        listed = self._explored(item, score, chosen, new if self.few is None else self.few, key)
        if rest is None or len(listed[0]) == count:
            return listed
        more, low = self._left(rest, floor, proposed, had)
        added = more[: count - len(listed[0])], low[: count - len(listed[0])]
        unknown = np.full(len(added[0]), np.nan, np.float32)
        first, second, third = (np.concatenate(both) for both in zip(listed, (*added, unknown), strict=True))
        return first, second, third

    def _left(self, rest: Rest, floor: float, proposed: Array, had: Array) -> tuple[Array, Array]:
        """What may be listed and was not proposed, best first, and its scores."""
        free = np.ones(len(rest.demand), bool) if self.allowed is None else self.allowed.copy()
        free[proposed] = False
        if not self.again:
            free[had] = False
        items = rest.order[free[rest.order]]
        score = rest.scores(items, floor)
        if self.boost is None:
            return items, score
        score = score + self.boost[items]
        order = np.argsort(-score, kind="stable")
        return items[order], score[order]

    def _explored(self, item: Array, score: Array, chosen: Array, few: Array, key: str) -> tuple[Array, Array, Array]:
        """Some places of the list are drawn anew: at each, every item of the pool is as likely as the others."""
        length = len(chosen)
        count = math.ceil(self.explore * length - 1e-9)
        pool = np.flatnonzero(few[item])
        while count and len(np.setdiff1d(pool, chosen[: length - count])) < count:
            count -= 1
        chance = np.full(length, np.nan, np.float32)
        if count:
            kept = chosen[: length - count]  # what the ranker put last gives way
            pool = np.setdiff1d(pool, kept)
            places = (np.arange(1, count + 1) * length) // count - 1  # spread evenly, the last one at the end
            seed = hashlib.blake2b(f"{self.draw}\n{key}".encode(), digest_size=8).digest()
            drawn = np.random.default_rng(int.from_bytes(seed, "little")).choice(pool, count, replace=False)
            chosen = np.empty(length, np.int64)
            chosen[places] = drawn
            chosen[np.setdiff1d(np.arange(length), places)] = kept
            chance[places] = 1.0 / len(pool)
        return item[chosen], score[chosen], chance


FEW_SALES = 5  # an item that was bought less often sells little


def with_newcomers(new: Array, count: int, places: int) -> Array:
    """int64 [≤ count]: the first ``count`` of a list, in order, but at least ``places`` of them new where there are so
    many: the last that are not give way.

    Args:
        new: bool [candidates], best first.
    """
    chosen = np.zeros(len(new), bool)
    chosen[np.flatnonzero(new)[:places]] = True
    left = max(0, count - int(chosen.sum()))
    chosen[np.flatnonzero(~chosen)[:left]] = True
    return np.flatnonzero(chosen)[:count]


def varied(score: Array, vectors: Array, diversity: float, count: int) -> Array:
    """int64 [≤ count]: positions, each the best of the rest by its score and by how unlike it is to those before.

    Args:
        score: f32 [candidates]; only their order and spacing count.
        vectors: f32 [candidates, width] of length 1.
    """
    spread = float(score.max(initial=0.0) - score.min(initial=0.0)) or 1.0
    worth = (1 - diversity) * (score - score.min(initial=0.0)) / spread
    nearest = np.zeros(len(score))
    left = np.ones(len(score), bool)
    order = []
    for _ in range(min(count, len(score))):
        check()
        place = int(np.argmax(np.where(left, worth - diversity * nearest, -np.inf)))
        order.append(place)
        left[place] = False
        nearest = np.maximum(nearest, vectors @ vectors[place])
    return np.array(order, np.int64)
