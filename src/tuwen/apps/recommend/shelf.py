"""A recommender as a shop asks it: for a shopper, for a session, for an item."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse

from tuwen.apps.recommend.baskets import goes_with, together_in_baskets
from tuwen.apps.recommend.history import Array, Asked, History
from tuwen.apps.recommend.questions import Question, likeness, with_taste
from tuwen.apps.recommend.recommender import Recommender
from tuwen.apps.recommend.rules import FEW_SALES, Rest, Rules
from tuwen.apps.recommend.scores import NOTHING, best
from tuwen.apps.recommend.told import told_of
from tuwen.errors import DataError, did_you_mean

TASTED = 500  # items of a shopper's own list that move the answer to a question
TASTE_DAYS = 30.0  # in which what a shopper chose counts half
DEMAND_DAYS = 30.0  # in which a purchase counts half, where what sells fills a list up
FILLED = ("from the rest of the shop", "来自店内其余商品")  # no retriever proposed it
MOST_EVENTS = 1000  # of a shopper, the latest; older ones change nothing that a list shows


@dataclass(frozen=True)
class Listed:
    """One item of an answer.

    Attributes:
        about: what a person reads of it: its title and category, where the shop has them.
        explored: whether it was drawn by chance (``Rules.explore``).
        probability: with which it stands at this place.
        reason: why it is proposed, in English and Chinese; empty where nothing is to be said.
    """

    item: str
    score: float
    about: dict[str, str] = field(default_factory=dict)
    explored: bool = False
    probability: float = 1.0
    reason: tuple[str, str] = ("", "")


@dataclass(frozen=True)
class Recent:
    """Something a shopper did since the recommender learned.

    Attributes:
        ago: days before now.
        value: what was paid; None where nothing was.
    """

    item: str
    ago: float
    value: float | None


class Shelf:
    """A recommender that was fitted, the events it knows, and the keys of items and shoppers.

    Args:
        recommender: fitted on all of ``history``.
        users: the shoppers' keys, by position.
        baskets: what :func:`~tuwen.apps.recommend.baskets.together_in_baskets` found.
        about: name → str [items], what a person reads of an item.
    """

    def __init__(
        self,
        recommender: Recommender,
        history: History,
        users: Sequence[str],
        baskets: sparse.csr_matrix,
        about: Mapping[str, Array],
    ) -> None:
        self.recommender, self.history, self.users, self.baskets = recommender, history, list(users), baskets
        self.about, self.catalogue = dict(about), history.catalogue
        self.refused: Container[str] = ()  # shoppers whose history has no part in an answer: they said no

    @classmethod
    def of(
        cls, recommender: Recommender, history: History, users: Sequence[str], about: Mapping[str, Array] | None = None
    ) -> Shelf:
        return cls(recommender, history, users, together_in_baskets(history), about or {})

    def __contains__(self, user: str) -> bool:
        """Whether answers go by what is known of this shopper."""
        return self._of(user) is not None

    def position(self, user: str) -> int | None:
        """Where a shopper stands among :attr:`users`; None where she does not."""
        return self._user.get(user)

    def _of(self, user: str | None) -> int | None:
        """The position of a shopper whose history may be used."""
        return None if user is None or user in self.refused else self._user.get(user)

    @cached_property
    def _item(self) -> dict[str, int]:
        return {key: place for place, key in enumerate(self.catalogue.items.tolist())}

    @cached_property
    def _user(self) -> dict[str, int]:
        return {key: place for place, key in enumerate(self.users)}

    # --- Answers ----------------------------------------------------------------------------------------------

    def for_shopper(
        self, user: str, count: int = 20, rules: Rules | None = None, about: Mapping[str, Any] | None = None
    ) -> list[Listed]:
        """What this shopper may buy next. One who is not known gets what a shopper without a past gets.

        Args:
            about: see :meth:`for_session`; it takes the place of what the table told.
        """
        position = self._of(user)
        if position is None:
            return self.for_session([], count, rules, {} if user in self.refused else about)
        queries = told_of(self._latest(self.history.asked([position])), self.history, about or {})
        return self._answered(queries, count, rules, [user])[0]

    def for_session(
        self,
        items: Sequence[str],
        count: int = 20,
        rules: Rules | None = None,
        about: Mapping[str, Any] | None = None,
    ) -> list[Listed]:
        """What somebody may want who just looked at these items, the latest last; nobody need know her.

        Args:
            about: what is known of her: ``{"users.age": 30, "users.gender": "female"}``.

        Raises:
            DataError: an item that does not exist, or ``about`` names what the recommender does not read.
        """
        asked = told_of(self._session(items), self.history, about or {})
        return self._answered(asked, count, rules, ["\n".join(items)])[0]

    def _session(self, items: Sequence[str]) -> Asked:
        places = np.array([self.place(item) for item in items[-MOST_EVENTS:]], np.int64)
        ages = np.arange(len(places), 0, -1) / 86_400  # seconds apart
        unpaid = np.full(len(places), np.nan)
        return replace(self._nobody(), begins=np.array([0, len(places)]), item=places, age=ages, value=unpaid)

    def for_question(
        self,
        question: Question,
        count: int = 20,
        rules: Rules | None = None,
        *,
        user: str | None = None,
        clicked: Sequence[str] = (),
    ) -> list[Listed]:
        """What somebody may want who wrote this or looks at this photo: items like it, and where it is told who asks or
        what she looked at, those of them first that she may buy. An item that is what is shown comes first.

        Args:
            rules: of which ``newcomers`` has no part: every item is as near as it is, whether it sold or not.

        Raises:
            DataError: the question cannot be read, or an item does not exist.
        """
        like = likeness(self.catalogue, question.vectors(self.catalogue))
        rules, had = replace(self.ruled(rules), newcomers=0.0), np.empty(0, np.int64)
        position = self._of(user)
        if position is not None or clicked:
            batch = self._session(clicked) if position is None else self.history.asked([position])
            asked = self._latest(batch)
            had = asked.item
            answer = self.recommender.recommend(asked, min(TASTED, len(self.catalogue)))
            taste = np.full(len(self.catalogue), np.nan, np.float32)
            there = answer.items[0] != NOTHING
            taste[answer.items[0][there]] = answer.scores[0][there]
            like = with_taste(like, taste)
        item = np.flatnonzero(like > -1)
        vectors = next(iter(self.catalogue.vectors.values()))
        found = rules.listed(
            item, like[item], self._count(count), new=~self.history.sold, had=had, vectors=vectors, key=user or ""
        )
        return self._named(*found)

    def for_live(
        self,
        user: str | None,
        recent: Sequence[Recent],
        count: int = 20,
        rules: Rules | None = None,
        about: Mapping[str, Any] | None = None,
    ) -> list[Listed]:
        """What a shopper may want next, by what is known of her (nothing, for one who is not known) and by what she
        did since, oldest first; items that are not known are left out.

        Args:
            about: see :meth:`for_session`; it takes the place of what the table told.
        """
        asked = told_of(self._live(user, recent), self.history, about or {})
        return self._answered(asked, count, rules, [user or ""])[0]

    def taste(self, user: str | None, recent: Sequence[Recent]) -> dict[str, Array]:
        """Kind → f32 [width], of length 1: the mean of the items that a shopper chose, the latest most; zeros where
        nothing is known.
        """
        asked = self._live(user, recent)
        weight = (0.5 ** (asked.age / TASTE_DAYS)).astype(np.float32)
        found = {kind: weight @ vectors[asked.item] for kind, vectors in self.catalogue.vectors.items()}
        return {kind: mean / max(float(np.linalg.norm(mean)), 1e-12) for kind, mean in found.items()}

    def _live(self, user: str | None, recent: Sequence[Recent]) -> Asked:
        position = self._of(user)
        batch = self._nobody() if position is None else self._latest(self.history.asked([position]))
        told = [(place, one) for one in recent if (place := self.known(one.item)) is not None]
        places = np.array([place for place, _ in told], np.int64)
        values = np.array([np.nan if one.value is None else one.value for _, one in told])
        ages = np.array([one.ago for _, one in told])
        asked = replace(
            batch,
            begins=np.array([0, len(batch.item) + len(told)]),
            item=np.concatenate([batch.item, places]),
            age=np.concatenate([batch.age, ages]),
            value=np.concatenate([batch.value, values]),
        )
        return self._latest(asked)

    def _nobody(self) -> Asked:
        """A shopper of whom nothing is known."""
        nothing = np.empty(0)
        numbers = {name: np.array([np.nan], np.float32) for name in self.history.shoppers.numbers}
        categories = {name: np.zeros(1, np.int32) for name in self.history.shoppers.categories}
        return Asked(self.catalogue, np.array([0, 0]), np.empty(0, np.int64), nothing, nothing, numbers, categories)

    @property
    def told(self) -> list[str]:
        """Columns of users that answers go by."""
        return [*self.history.shoppers.numbers, *self.history.shoppers.categories]

    def known(self, item: str) -> int | None:
        """Where an item stands in the catalogue; None where it does not."""
        return self._item.get(item)

    def for_everybody(
        self, count: int = 20, rules: Rules | None = None, block: int = 256
    ) -> Iterable[tuple[str, list[Listed]]]:
        """One list for each known shopper, some at a time."""
        for start in range(0, len(self.users), block):
            asked = self._latest(self.history.asked(range(start, min(start + block, len(self.users)))))
            users = self.users[start : start + block]
            lists = zip(users, self._answered(asked, count, rules, users), strict=True)
            for user, listed in lists:
                yield user, self.for_session([], count, rules) if user in self.refused else listed

    def similar(
        self, item: str, count: int = 20, kinds: Sequence[str] | None = None, rules: Rules | None = None
    ) -> list[Listed]:
        """Items that look or read like this one; by all kinds of vectors that both have, in the mean.

        Args:
            kinds: of vectors (``picture``, ``text``); default: all.
            rules: of which ``allowed`` counts.

        Raises:
            DataError: no such item, or no such kind.
        """
        place = self.place(item)
        total, known = np.zeros(len(self.catalogue), np.float32), np.zeros(len(self.catalogue), np.float32)
        for kind in self.catalogue.vectors if kinds is None else kinds:
            if kind not in self.catalogue.vectors:
                raise DataError(f"there are no vectors of '{kind}'", allowed=list(self.catalogue.vectors))
            vectors = self.catalogue.vectors[kind]
            total += vectors @ vectors[place]
            known += vectors.any(axis=1) & bool(vectors[place].any())
        score = np.where(known > 0, total / np.maximum(known, 1) + 1.0, 0.0)  # above zero also where unlike
        score[place] = 0.0
        if rules is not None and rules.allowed is not None:
            score[~rules.allowed] = 0.0
        found = best(score, count)
        found = found[found != NOTHING]
        return self._named(found, score[found] - 1.0)

    def alike(self, vectors: Mapping[str, Array], count: int = 20) -> list[Listed]:
        """Items by how like they are to vectors that stand where the catalogue's own do; nothing for none.

        Args:
            vectors: kind → f32 [width], of length 1.
        """
        if not vectors:
            return []
        like = likeness(self.catalogue, vectors)
        found = best(like + 1.0, count)
        found = found[found != NOTHING]
        return self._named(found, like[found])

    def goes_with(self, items: Sequence[str], count: int = 20, rules: Rules | None = None) -> list[Listed]:
        """What is bought beside all of these items; nothing where they were never bought beside anything.

        Args:
            rules: of which ``allowed`` counts.

        Raises:
            DataError: an item that does not exist.
        """
        places = [self.place(item) for item in dict.fromkeys(items)]
        allowed = None if rules is None else rules.allowed
        return self._named(*goes_with(self.baskets, places, count, allowed)) if places else []

    def ruled(
        self,
        rules: Rules | None = None,
        *,
        only: Iterable[str] | None = None,
        exclude: Iterable[str] = (),
        boost: Mapping[str, float] | None = None,
    ) -> Rules:
        """Rules with what is to be known of the catalogue, by the items' keys.

        Args:
            only: what may be listed, such as what is in stock; items that the bundle does not know are passed over.
            exclude: what may not; likewise.
            boost: item → added to its score.

        Raises:
            DataError: ``boost`` names an item that does not exist, or ``exclude`` or ``only`` name none that does.
        """
        rules = rules or Rules()
        size = len(self.catalogue)
        allowed = np.ones(size, bool) if rules.allowed is None else rules.allowed.copy()
        if only is not None:
            only = list(only)
            stock = np.isin(self.catalogue.items, np.array(list(only), np.str_))
            if not stock.any():
                item = next(iter(only), None)
                raise DataError(
                    "none of the items that may be listed is known to the bundle",
                    seen=item,
                    allowed=f"keys such as {self.catalogue.items[0]}",
                    todo=None if item is None else did_you_mean(item, self._item),
                )
            allowed &= stock
        exclude = list(exclude)
        hidden = [self._item[item] for item in exclude if item in self._item]
        if exclude and not hidden:
            self.place(exclude[0])
        allowed[hidden] = False
        pushed = np.zeros(size, np.float32) if rules.boost is None else rules.boost.copy()
        for item, push in (boost or {}).items():
            pushed[self.place(item)] += push
        few = np.bincount(self.history.item, minlength=size) < FEW_SALES
        return replace(
            rules, allowed=None if allowed.all() else allowed, boost=pushed if pushed.any() else None, few=few
        )

    def unknown(self, items: Iterable[str]) -> list[str]:
        """Those that are not in the catalogue, each once."""
        return [item for item in dict.fromkeys(items) if item not in self._item]

    def place(self, item: str) -> int:
        """Where an item stands in the catalogue.

        Raises:
            DataError: it does not exist.
        """
        if item not in self._item:
            raise DataError("there is no such item", seen=item, todo=did_you_mean(item, self._item))
        return self._item[item]

    def _latest(self, asked: Asked) -> Asked:
        if len(asked.item) <= MOST_EVENTS:
            return asked
        kept = np.arange(len(asked.item)) >= asked.begins[1:][asked.row] - MOST_EVENTS
        begins = np.concatenate([[0], np.cumsum(np.bincount(asked.row[kept], minlength=len(asked)))])
        return replace(asked, begins=begins, item=asked.item[kept], age=asked.age[kept], value=asked.value[kept])

    def _count(self, count: int) -> int:
        if count < 1:
            raise DataError("a list holds at least one item", seen=count)
        return min(count, len(self.catalogue))

    def _answered(self, asked: Asked, count: int, rules: Rules | None, keys: Sequence[str]) -> list[list[Listed]]:
        if rules is not None and rules.explore and rules.few is None:
            rules = self.ruled(rules)
        answer = self.recommender.recommend(asked, self._count(count), rules, keys, self._rest)
        filled = len(self.recommender.stage.retrievers)  # the place of its reason
        by = np.where(answer.proposers == NOTHING, filled, answer.proposers)
        return [
            self._named(*(values[items != NOTHING] for values in (items, scores, chances, proposers)))
            for items, scores, chances, proposers in zip(answer.items, answer.scores, answer.chances, by, strict=True)
        ]

    @cached_property
    def _rest(self) -> Rest:
        return Rest(self.history.demand(DEMAND_DAYS))

    @cached_property
    def _reasons(self) -> list[tuple[str, str]]:
        """Of each retriever: its own, else its name in the run; then of what fills up; the last one stands for none."""
        retrievers = self.recommender.stage.retrievers
        return [*(getattr(one, "reason", (name, name)) for name, one in retrievers.items()), FILLED, ("", "")]

    def _named(
        self, items: Array, scores: Array, chances: Array | None = None, proposers: Array | None = None
    ) -> list[Listed]:
        chances = np.full(len(items), np.nan) if chances is None else chances
        proposers = np.full(len(items), NOTHING) if proposers is None else proposers
        told = [texts[items].tolist() for texts in self.about.values()]  # all at once: one by one took 8 times as long
        abouts = [dict(zip(self.about, row, strict=True)) for row in zip(*told, strict=True)] or [{} for _ in items]
        rows = zip(
            self.catalogue.items[items].tolist(),
            scores.tolist(),
            abouts,
            (~np.isnan(chances)).tolist(),
            np.where(np.isnan(chances), 1.0, chances).tolist(),
            [self._reasons[proposer] for proposer in proposers.tolist()],
            strict=True,
        )
        return [Listed(*row) for row in rows]
