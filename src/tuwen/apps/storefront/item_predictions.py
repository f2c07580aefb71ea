"""What the predictor says of an item without a review: by its own words and pictures, kept until the item changes."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from typing import Any

from tuwen.apps.storefront.cards import Cards
from tuwen.apps.storefront.changes import Changes
from tuwen.bundle.bundle import Bundle
from tuwen.errors import TuwenError

log = logging.getLogger("tuwen.serving")
MOST = 20_000  # items whose answers are kept
MOST_PICTURES = 4  # of an item, that the predictor looks at
MEDIA = ("images", "sounds", "shapes")


class ItemPredictions:
    """Args:
    predictor: None for none.
    """

    def __init__(self, predictor: Bundle | None, cards: Cards, changes: Changes) -> None:
        self._predictor = predictor if predictor is not None and speaks_of_items(predictor) else None
        self._cards, self._changes = cards, changes
        self._answers: OrderedDict[str, tuple[int, dict[str, Any] | None]] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, item: str) -> dict[str, Any] | None:
        """Return the answer for an item: ``prediction`` and what else the task says; None where there is none.

        Columns of the review, of its shopper and its time count as absent.

        Raises:
            NoSuchItem: it is not in the shop.
        """
        card = self._cards.full(item)
        if self._predictor is None:
            return None
        changed = self._changes.items.get(item)
        change = 0 if changed is None else changed.change
        with self._lock:
            known = self._answers.get(item)
            if known is not None and known[0] == change:
                self._answers.move_to_end(item)
                return known[1]
        answer = self._answer(self._predictor, item, card)
        with self._lock:
            self._answers[item] = change, answer
            while len(self._answers) > MOST:
                self._answers.popitem(last=False)
        return answer

    def _answer(self, predictor: Bundle, item: str, card: dict[str, Any]) -> dict[str, Any] | None:
        row = {one["column"]: self._value(one["column"], item, card) for one in predictor.inputs}
        if all(value is None for value in row.values()):
            return None
        try:
            return predictor.predict([row])[0]
        except TuwenError as error:  # the page of the item has more to show
            log.warning("an item could not be predicted: %s: %s", item, error)
            return None

    def _value(self, column: str, item: str, card: dict[str, Any]) -> Any:
        table, _, name = column.partition(".")
        if table != "items":
            return None
        if name == "images":
            count = min(card["pictures"], MOST_PICTURES)
            return [self._cards.picture(item, place) for place in range(count)] or None
        return None if name in MEDIA else card.get(name)


def speaks_of_items(predictor: Bundle) -> bool:
    """Whether an answer without a review is one: it rates, and reads the item too; or it reads nothing but the item."""
    tables = {one["column"].partition(".")[0] for one in predictor.inputs}
    return tables == {"items"} or ("items" in tables and predictor.manifest["task"] == "rate")
