"""Retrievers and a ranker as one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tuwen.apps.recommend.blend import Blend
from tuwen.apps.recommend.features import Features
from tuwen.apps.recommend.history import Array, Asked, History
from tuwen.apps.recommend.lists import Lists, Ranker
from tuwen.apps.recommend.rules import Rest, Rules
from tuwen.apps.recommend.scores import NOTHING, Retriever, Scores
from tuwen.deadline import check
from tuwen.errors import DataError
from tuwen.progress import Progress, Silent

BLOCK = 256  # shoppers that are answered at once


@dataclass(frozen=True)
class Windows:
    """What a ranker learns from: lists at moments before now, judged by the days after each.

    Attributes:
        horizon: days after a moment that are looked at.
        count: how many moments.
        step: days between them.
        least: days of history that a moment needs.
        negatives: items of a list that were proposed and not bought, drawn at random; the others are left out. Items
            that were bought and not proposed are left out too: with them, a ranker learns that what no retriever
            proposes is good.
        shoppers: at most so many at each moment, drawn at random.
    """

    horizon: float = 28.0
    count: int = 12
    step: float = 28.0
    least: float = 120.0
    negatives: int = 300
    shoppers: int = 500

    def moments(self, history: History) -> list[float]:
        """Latest first."""
        begin = float(history.day[0]) if len(history.day) else history.now
        found = [history.now - self.horizon - self.step * turn for turn in range(self.count)]
        return [moment for moment in found if moment - begin >= self.least]


@dataclass(frozen=True)
class Answer:
    """Items for each asked shopper, best first.

    Attributes:
        items: int64 [asked, count], ``-1`` behind the end.
        scores: f32 [asked, count].
        chances: f32 [asked, count], with which an item that was drawn (``Rules.explore``) stands where it stands; not a
            number elsewhere.
        proposers: int64 [asked, count], which retriever had the item farthest in front; ``-1`` where none proposed it.
    """

    items: Array
    scores: Array
    chances: Array
    proposers: Array


@dataclass
class Recommender:
    """Args:
    retrievers: name → makes one.
    ranker: makes one.
    per: items that each retriever proposes.
    windows: what the ranker learns from.
    seed: of the random items.
    """

    retrievers: Mapping[str, Callable[[], Retriever]]
    ranker: Callable[[], Ranker]
    per: int = 150
    windows: Windows = field(default_factory=Windows)
    seed: int = 0
    blended = False  # whether the ranker learned nothing, and the retrievers' reciprocal rank stands in for it

    def fit(
        self, history: History, progress: Progress | None = None, made: dict[float, Lists] | None = None
    ) -> Recommender:
        """Learn from all that ``history`` knows.

        Args:
            made: lists by moment, of this very recommender and shop, that need not be made again; gets the new ones.
                What a moment's list holds depends on the days up to ``horizon`` after it only.

        Raises:
            DataError: nothing to learn from.
        """
        made = {} if made is None else made
        moments = self.windows.moments(history)
        with (progress or Silent()).task("ranker: lists", len(moments)) as bar:
            for moment in moments:
                if moment not in made:
                    made[moment] = self.lists(history, moment)
                bar.advance(1)
        known = [made[moment] for moment in moments if len(made[moment].sizes)]
        if not any(lists.bought.any() for lists in known):
            raise DataError(
                "there is nothing to learn an order from: nothing that was proposed in the past was then bought",
                seen=f"{len(moments)} moments, {len(known)} with purchases in the {self.windows.horizon:g} days after",
                todo="look for a single late event, which moves all moments; or ask for a shorter horizon, less "
                "history before a moment (windows.least), more moments (windows.count)",
            )
        self.model = self.ranker()
        self.model.fit(Lists.joined(known))
        self.blended = not self.model.learned
        if self.blended:  # the catalogue's own order would be left
            self.model = Blend()
            self.model.fit(Lists.joined(known))
        settled = history.settled()
        self.stage = Stage(self._fitted(settled), Features.at(settled))
        return self

    def _fitted(self, history: History) -> dict[str, Retriever]:
        found = {name: make() for name, make in self.retrievers.items()}
        for retriever in found.values():
            retriever.fit(history)
        return found

    def lists(self, history: History, moment: float) -> Lists:
        """What was known at a moment, and what was bought in the ``horizon`` days after it."""
        known = history.before(moment)
        stage = Stage(self._fitted(known), Features.at(known))
        who, bought = history.buying(moment, moment + self.windows.horizon)
        rng = np.random.default_rng([self.seed, int(moment)])
        if len(who) > self.windows.shoppers:
            drawn = np.sort(rng.choice(len(who), self.windows.shoppers, replace=False))
            who, bought = who[drawn], [bought[one] for one in drawn.tolist()]
        asked = known.asked(who)
        scores = stage.scores(asked)
        row, item = candidates(scores, self.per)
        places = [one * len(history.catalogue) + items for one, items in enumerate(bought)]
        pairs = np.concatenate([*places, np.empty(0, np.int64)])
        hit = np.isin(row * len(history.catalogue) + item, pairs)
        kept = hit | _drawn(row, hit, self.windows.negatives, rng)
        row, item, hit = row[kept], item[kept], hit[kept]
        features, names = stage.features.of(asked, row, item, scores)
        return Lists(features, hit, np.bincount(row, minlength=len(who)), names, tuple(asked.categories))

    def importance(self) -> dict[str, float]:
        """Feature → its share of what the ranker goes by."""
        return self.model.importance()

    def recommend(
        self,
        asked: Asked,
        count: int,
        rules: Rules | None = None,
        keys: Sequence[str] | None = None,
        rest: Rest | None = None,
    ) -> Answer:
        """The best ``count`` items for each shopper.

        Args:
            keys: of the shoppers, by which chance is drawn; none: all draw alike.
            rest: what fills up lists for which too little was proposed; none: they stay short.
        """
        rules = rules or Rules()
        items = np.full((len(asked), count), NOTHING, np.int64)
        values, chances = (np.full((len(asked), count), np.nan, np.float32) for _ in range(2))
        proposers = np.full((len(asked), count), NOTHING, np.int64)
        filled: tuple[Array, ...] = (items, values, chances)
        new = ~self.stage.features.sold
        vectors = next(iter(asked.catalogue.vectors.values()), None)
        for start in range(0, len(asked), BLOCK):
            part = asked.rows(slice(start, start + BLOCK))
            scores = self.stage.scores(part)
            tops = [says.top(self.per) for says in scores.values()]
            row, item = distinct(tops)
            order = self.model.order(self.stage.features.of(part, row, item, scores)[0])
            bounds = np.searchsorted(row, np.arange(len(part) + 1))
            for one in range(len(part)):
                pairs = slice(int(bounds[one]), int(bounds[one + 1]))
                had = part.item[part.begins[one] : part.begins[one + 1]]
                key = "" if keys is None else keys[start + one]
                listed = rules.listed(
                    item[pairs], order[pairs], count, new=new, had=had, vectors=vectors, key=key, rest=rest
                )
                for found, told in zip(filled, listed, strict=True):
                    found[start + one, : len(told)] = told
                proposers[start + one] = proposed_by([top[one] for top in tops], items[start + one])
        return Answer(items, values, chances, proposers)


@dataclass(frozen=True)
class Stage:
    """The first stage at a moment: fitted retrievers, and the features of what they propose."""

    retrievers: dict[str, Retriever]
    features: Features

    def scores(self, asked: Asked) -> dict[str, Scores]:
        scores = {}
        for name, retriever in self.retrievers.items():
            check()
            scores[name] = retriever.score(asked)
        return scores


def candidates(scores: Mapping[str, Scores], per: int) -> tuple[Array, Array]:
    """What any retriever proposes, each item once a shopper: (row int64 [pairs], item int64 [pairs]), in order."""
    return distinct([says.top(per) for says in scores.values()])


def distinct(tops: Sequence[Array]) -> tuple[Array, Array]:
    """:func:`candidates` of lists int64 [asked, per] that were made."""
    proposed = np.sort(np.concatenate(tops, axis=1), axis=1)
    first = np.ones(proposed.shape, bool)
    first[:, 1:] = proposed[:, 1:] != proposed[:, :-1]
    row, place = np.nonzero(first & (proposed != NOTHING))
    return row, proposed[row, place]


def proposed_by(tops: Sequence[Array], items: Array) -> Array:
    """int64 [items]: which of one shopper's lists has an item farthest in front; ``-1`` for none."""
    found, place = np.full(len(items), NOTHING), np.full(len(items), np.iinfo(np.int64).max)
    for number, top in enumerate(tops):
        row, at = np.nonzero((items[:, None] == top[None]) & (items[:, None] != NOTHING))
        better = at < place[row]
        found[row[better]], place[row[better]] = number, at[better]
    return found


def _drawn(row: Array, hit: Array, count: int, rng: np.random.Generator) -> Array:
    """bool [pairs]: of each shopper's pairs that are no hit, at most ``count`` at random."""
    draw = np.where(hit, np.inf, rng.random(len(row)))
    order = np.lexsort((draw, row))
    begin = np.searchsorted(row, np.arange(int(row.max(initial=-1)) + 1))
    place = np.empty(len(row), np.int64)
    place[order] = np.arange(len(row)) - begin[row[order]]
    return (place < count) & ~hit
