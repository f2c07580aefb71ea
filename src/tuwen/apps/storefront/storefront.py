"""Every answer of a running shop, without HTTP."""

from __future__ import annotations

import logging
import time
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from tuwen.apps.recommend.rules import Rules
from tuwen.apps.recommend.shelf import Listed, Recent
from tuwen.apps.recommend.told import named, unheard
from tuwen.apps.search import Question
from tuwen.apps.storefront.answer import Answer
from tuwen.apps.storefront.arrivals import Arrivals
from tuwen.apps.storefront.cards import Cards, NoSuchItem
from tuwen.apps.storefront.changes import Changes
from tuwen.apps.storefront.columns import Columns, jsonable
from tuwen.apps.storefront.experiment import arm_of
from tuwen.apps.storefront.item_predictions import ItemPredictions
from tuwen.apps.storefront.outbox import FULL_DISK, REQUEST_SECONDS, Outbox
from tuwen.apps.storefront.parts import Parts, Recommending
from tuwen.apps.storefront.remembered import Known, Remembered
from tuwen.data.behaviour import standing_events
from tuwen.errors import DataError, InUse, TuwenError
from tuwen.index.segments import Batch
from tuwen.store import Store
from tuwen.store.engine import StoreUnavailable
from tuwen.store.items import StoredItem
from tuwen.store.refusals import PURPOSE
from tuwen.store.version import Trace

log = logging.getLogger("tuwen.serving")
DAY = 86_400_000_000  # microseconds
AWAY = {
    "en": "what is known of this shopper cannot be read just now: this is what anybody gets",
    "zh": "暂时无法读取该顾客的信息：这是任何人都会得到的列表",
}
NEW = {"en": "new in the shop", "zh": "新上架"}
LIVE_EVENTS = 200  # of a shopper, the latest, that are read from the store
SEEN_ONLY = {"impression", "search"}  # kinds of events that tell nothing of what a shopper wants


class Storefront:
    """One revision of a home, and the store that goes on while revisions change.

    Args:
        parts: what was promoted.
        store: what shoppers did and what items came since; None for none.
    """

    def __init__(self, parts: Parts, store: Store | None = None) -> None:
        self.parts, self.store = parts, store
        self.changes = Changes(store)
        self.cards = Cards(parts, store, self.changes)
        self.columns = Columns(parts.dataset)
        self._predictions = ItemPredictions(parts.predictor, self.cards, self.changes)
        self._lists = Remembered()
        self._arrived = 0
        self._unread: dict[str, str] = {}  # item of the store → why it could not be read for lists
        self.outbox = Outbox(parts, store)
        if parts.searcher is not None:
            parts.searcher.hidden = self._leaving
        self._arrivals = None if parts.recommender is None else Arrivals(parts.recommender.shelf)

    # --- Recommend --------------------------------------------------------------------------------------------

    def recommend(
        self, user: str | None, clicked: Sequence[str] = (), count: int = 20, about: Mapping[str, Any] | None = None
    ) -> Answer:
        """What a shopper may want next: by what the bundle knows of her, what she did since, and what she clicked just
        now. One whom nobody knows gets what somebody without a past gets; so does everybody while the store is away,
        for it alone knows who refused.

        Args:
            clicked: items that she looked at just now, the latest last; those that are not known are left out.
            about: what is told of her: ``{"users.age": 30}``; see :func:`tuwen.apps.recommend.told.told_of`.

        Raises:
            DataError: ``about`` names what no recommender reads.
        """
        known = self.remembered(user, clicked, count, about)
        if known is not None:
            return known
        lists = self._lists  # others take its place when an item comes while the list is made
        version, change, trace = self.changes.look(), self.changes.change, self._trace(user)
        made = self._recommended(user, clicked, count, self._read(about or {}))
        if trace is not None and (self.store is None or self.store.version.cheap):
            lists.put(_asked(user, clicked, count, about), Known(made, version, change, trace, time.monotonic()))
        return made

    def remembered(
        self, user: str | None, clicked: Sequence[str] = (), count: int = 20, about: Mapping[str, Any] | None = None
    ) -> Answer | None:
        """What :meth:`recommend` would answer, where it is known already: microseconds, so no thread is needed."""
        if self.store is not None and not self.store.version.cheap:
            return None
        asked, version = _asked(user, clicked, count, about), self.changes.look()
        lists = self._lists
        known = lists.get(asked)
        if known is None or known.change != self.changes.change:
            return None
        if known.version != version:
            if known.trace != self._trace(user):
                return None
            lists.still(asked, known, version)
        found: Answer = known.answer
        return found

    def _trace(self, user: str | None) -> Trace | None:
        """None while the store is away: nothing is remembered then."""
        try:
            return () if user is None or self.store is None else self.store.version.of(user, LIVE_EVENTS)
        except StoreUnavailable:
            return None

    def _read(self, about: Mapping[str, Any]) -> dict[str, Any]:
        """By the names of columns. In an experiment what one recommender reads the other may not, and who asks cannot
        know which of them answers.
        """
        first, other = self.parts.need_recommender(), self.parts.other
        both = first.shelf.told + ([] if other is None else other.shelf.told)
        return named(about, list(dict.fromkeys(both)))

    def _recommended(self, user: str | None, clicked: Sequence[str], count: int, about: Mapping[str, Any]) -> Answer:
        found, arm = self._recommender(user)
        recent: list[Recent] = []
        notes: list[dict[str, str]] = []
        if user is not None and self.store is not None:
            try:
                lately = self._lately(self.store, user, found)
            except StoreUnavailable:  # nobody can tell whether she refused
                lately, notes = None, [AWAY]
            if lately is None:  # she said no: what is known of her has no part in it
                user, about, (found, arm) = None, {}, self._recommender(None)
            else:
                recent = lately
        recent += [Recent(item, 0.0, None) for item in clicked]
        told = {name: value for name, value in about.items() if name in found.shelf.told}
        listed = self._shown(found.shelf.for_live(user, recent, count, self._rules(found), told))
        if arm is not None and user is not None and self.store is not None:
            self.store.people.expose(self.parts.experiment["name"], user, arm)
        notes += unheard(told, found.shelf.history)
        return Answer(self._with_arrivals(listed, user, recent, count), self.parts.revision, arm, notes)

    def _with_arrivals(
        self, listed: list[dict[str, Any]], user: str | None, recent: list[Recent], count: int
    ) -> list[dict[str, Any]]:
        """Some places for items that no recommender has learned of yet: in an experiment the same for both."""
        first = self.parts.recommender
        if not self._arrivals or first is None:
            return listed
        places = self._arrivals.places(count, first.rules.newcomers)
        new = self._arrivals.best(first.shelf.taste(user, recent), len(places))  # whose vectors they have
        kept = listed[: count - len(new)]
        for place, (item, score) in zip(places, new, strict=False):
            kept.insert(place, {**self.cards.briefs([item])[0], "score": round(score, 6), "reason": NEW})
        return kept

    def similar(self, item: str, count: int = 20, by: str | None = None) -> Answer:
        """Items that look or read like this one.

        Args:
            by: ``picture`` or ``text``; None for both.
        """
        shelf = self.parts.need_recommender().shelf
        self.cards.need([item])
        most, kinds = count + len(self.gone()), None if by is None else [by]
        if shelf.known(item) is not None:
            listed = shelf.similar(item, most, kinds)
        else:
            vectors = {} if self._arrivals is None else self._arrivals.vectors_of(item)
            listed = shelf.alike({k: v for k, v in vectors.items() if by in (None, k)}, most)
        return Answer(self._shown(self._still_there(listed)[:count]), self.parts.revision)

    def goes_with(self, items: Sequence[str], count: int = 20) -> Answer:
        """What is bought beside all of these; one that came since the recommender learned was bought beside nothing.

        Raises:
            NoSuchItem: one of them is not in the shop.
        """
        shelf = self.parts.need_recommender().shelf
        self.cards.need(items)
        known = [item for item in items if shelf.known(item) is not None]
        listed = shelf.goes_with(known, count + len(self.gone())) if len(known) == len(items) else []
        return Answer(self._shown(self._still_there(listed)[:count]), self.parts.revision)

    def _recommender(self, user: str | None) -> tuple[Recommending, str | None]:
        found, other = self.parts.need_recommender(), self.parts.other
        if other is None or user is None:
            return found, None
        arm = arm_of(self.parts.experiment["name"], user, float(self.parts.experiment["share"]))
        return (other if arm == "b" else found), arm

    def _lately(self, store: Store, user: str, found: Recommending) -> list[Recent] | None:
        """What she did since the bundle was learned, oldest first; None where she refused."""
        events = store.people.lately(user, PURPOSE, _after(found.last_day), LIVE_EVENTS)
        if events is None:
            return None
        now = time.time_ns() // 1000
        return [
            Recent(event["item"], max(0.0, (now - event["time"]) / DAY), event["value"])
            for event in standing_events(events)
            if event["kind"] not in SEEN_ONLY
        ]

    def _rules(self, found: Recommending) -> Rules:
        """Those of the run, and nothing that was taken out of the shop."""
        gone = self.gone()
        places = [place for item in gone if (place := found.shelf.known(item)) is not None]
        if not places:
            return found.rules
        allowed = (
            np.ones(len(found.shelf.catalogue), bool) if found.rules.allowed is None else found.rules.allowed.copy()
        )
        allowed[places] = False
        return replace(found.rules, allowed=allowed)

    def gone(self) -> frozenset[str]:
        """Items that were taken out of the shop."""
        self.changes.look()
        return self.changes.gone

    def _still_there(self, listed: Sequence[Listed]) -> list[Listed]:
        gone = self.gone()
        return [one for one in listed if one.item not in gone]

    def _shown(self, listed: Sequence[Listed]) -> list[dict[str, Any]]:
        shown = self.cards.briefs([one.item for one in listed])
        for card, one in zip(shown, listed, strict=True):
            card["score"] = round(one.score, 6)
            if one.reason[0]:
                card["reason"] = {"en": one.reason[0], "zh": one.reason[1]}
        return shown

    # --- Search -----------------------------------------------------------------------------------------------

    def search(self, question: Question) -> dict[str, Any]:
        """See :meth:`tuwen.apps.search.Searcher.search`; every hit says how many pictures it has.

        Raises:
            NoSuchItem: there is none that hits are to be like.
        """
        searcher = self.parts.need_searcher()
        if question.like is not None:
            self.cards.need([question.like])
        found = searcher.search(question)
        for hit, card in zip(found["hits"], self.cards.briefs([hit["item"] for hit in found["hits"]]), strict=True):
            hit["pictures"] = card["pictures"]
        return {**found, "revision": self.parts.revision}

    # --- Predict ----------------------------------------------------------------------------------------------

    def rating_of(self, item: str) -> dict[str, Any] | None:
        """What the predictor says of an item without a review; see :class:`ItemPredictions`."""
        return self._predictions.of(item)

    # --- Items ------------------------------------------------------------------------------------------------

    def as_it_stands(self, item: str) -> tuple[dict[str, Any], list[bytes]]:
        """The columns and pictures of an item; nothing where it is new, or was taken out."""
        try:
            card = self.cards.full(item)
        except NoSuchItem:
            return {}, []
        known = {name: jsonable(value) for name, value in card.items() if name in self.columns.kinds}
        return known, [self.cards.picture(item, place) for place in range(card["pictures"])]

    def remove(self, store: Store, item: str) -> tuple[int, bool]:
        """Take an item out of the store, the lists and the index. Of one that was taken out before nothing changes, and
        the index is tried again.

        Returns:
            The number of the change, and whether it waits for the index; search does not find it in any case.

        Raises:
            NoSuchItem: it never was in the shop.
        """
        stored = store.items.get(item)
        if stored is None or stored.live:
            self.cards.full(item)
            change = store.items.remove(item)
        else:
            change = stored.change
        if self._arrivals is not None:
            self._arrivals.drop(item)
        self._lists = Remembered()
        settled = self._settled({})
        if not settled and self.outbox.fault == FULL_DISK and store.give_up_reserve():
            settled = self._settled({})
        return change, not settled

    def put(
        self, store: Store, item: str, columns: Mapping[str, Any], pictures: Sequence[bytes]
    ) -> tuple[int, bool, bool]:
        """Write an item into the store, the index and among the recommended: into none where it cannot be encoded.

        Returns:
            The number of the change, whether search finds the item now, and whether the change waits for the index.

        Raises:
            TuwenError: it cannot be encoded, or not be written.
        """
        batch = None if self.parts.shelve is None else self.parts.shelve(item, columns, pictures)
        vectors = None if self._arrivals is None else self._arrivals.read(item, columns, pictures)
        change = store.items.put(item, columns, pictures)
        if self._arrivals is not None and vectors is not None:
            self._arrivals.take(item, vectors)
        self._lists = Remembered()
        self._unread.pop(item, None)
        settled = self._settled({} if batch is None else {change: batch})
        return change, self._finds(item), not settled

    def _settled(self, ready: Mapping[int, Batch]) -> bool:
        """Whether the index took in everything; what it could not is in the outbox, and nothing of it is lost."""
        try:
            self.outbox.empty(ready, wait=REQUEST_SECONDS)
        except (TuwenError, OSError) as error:
            log.warning("the index could not be changed, a later look does it: %s", error)
            return False
        return True

    def _finds(self, item: str) -> bool:
        return self.parts.searcher is not None and self.parts.searcher.refresh().row_of(item) is not None

    def _leaving(self) -> list[str]:
        """Items that were taken out and that the index still has."""
        change = self.outbox.change
        self.changes.look()
        if change >= self.changes.change:
            return []
        return [item for item in self.changes.gone if self.changes.items[item].change > change]

    @property
    def left(self) -> dict[str, str]:
        """Item of the store → why it could not be brought in."""
        return {**self._unread, **self.outbox.left}

    def _arrive(self, stored: StoredItem) -> None:
        if self._arrivals is None:
            return
        if stored.live:
            vectors = self._arrivals.read(stored.item, stored.columns, stored.pictures)
            if vectors is not None:
                self._arrivals.take(stored.item, vectors)
        else:
            self._arrivals.drop(stored.item)
        self._lists = Remembered()

    def catch_up(self) -> int:
        """Take in what other workers wrote, or what was written before this revision; how many items that were."""
        if self.store is None or self._arrivals is None:
            return 0
        before = self._arrived
        while found := self.store.items.since(self._arrived, most=20):
            for stored in found:
                try:  # one item that cannot be read must not keep a whole shop closed
                    self._arrive(stored)
                    self._unread.pop(stored.item, None)
                except (StoreUnavailable, InUse):  # it is not the item
                    raise
                except Exception as error:  # of an encoder, a library's or a plug-in's
                    unforeseen = not isinstance(error, TuwenError)
                    self._unread[stored.item] = error.what if isinstance(error, TuwenError) else type(error).__name__
                    log.error("an item could not be read: %s: %s", stored.item, error, exc_info=unforeseen)
            self._arrived = found[-1].change
        return self._arrived - before

    # --- Explain ----------------------------------------------------------------------------------------------

    def explain(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The prediction for a row, and what it would be without each kind of input that the row has.

        Returns:
            ``prediction`` and, by modality, ``without``: the prediction where that modality is absent.
        """
        predictor = self.parts.need_predictor()
        columns: dict[str, list[str]] = {}
        for one in predictor.inputs:
            columns.setdefault(one["modality"], []).append(one["column"])
        kinds = [kind for kind, names in columns.items() if any(row.get(name) is not None for name in names)]
        if not kinds:
            raise DataError("the row says nothing", allowed=[one["column"] for one in predictor.inputs])
        rows = [dict(row), *({k: v for k, v in row.items() if k not in columns[kind]} for kind in kinds)]
        rows = [row or {columns[kinds[0]][0]: None} for row in rows]
        answers = predictor.predict(rows)
        return {**answers[0], "without": dict(zip(kinds, answers[1:], strict=True))}


def _asked(
    user: str | None, clicked: Sequence[str], count: int, about: Mapping[str, Any] | None
) -> tuple[Hashable, ...]:
    """By what an answer is remembered; nobody's answer is another's, so true is not "True"."""
    told = sorted((name, type(value).__name__, str(value)) for name, value in (about or {}).items())
    return user, tuple(clicked), count, tuple(told)


def _after(day: str) -> int:
    """The moment at which the day after ``day`` begins."""
    moment = datetime.fromisoformat(day).replace(tzinfo=UTC)
    return int(moment.timestamp() * 1_000_000) + DAY
