"""Items that came after the recommender learned: recommended by what they look and read like, until the next training.

The ranker knows nothing of them, so they are not mixed into its order: they get places of their own, as newcomers do
(:func:`tuwen.apps.recommend.rules.with_newcomers`).
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tuwen.apps.recommend.questions import Question
from tuwen.apps.recommend.shelf import Shelf
from tuwen.errors import DataError

Array = np.ndarray
SHARE = 0.1  # of the places of a list, at least
MOST = 2000  # that are kept; the latest


class Arrivals:
    """Args:
    shelf: that does not know them.
    """

    def __init__(self, shelf: Shelf) -> None:
        self._shelf, self._lock = shelf, threading.Lock()
        self._vectors: dict[str, dict[str, Array]] = {}

    def __len__(self) -> int:
        return len(self._vectors)

    def read(self, item: str, columns: Mapping[str, Any], pictures: Sequence[bytes]) -> dict[str, Array] | None:
        """Kind → f32 [width] of an item, read as the catalogue's own were; None of one that the recommender knows.

        Raises:
            TuwenError: what reads it cannot be loaded.
        """
        if self._shelf.known(item) is not None:
            return None
        uses = {reader.use for reader in self._shelf.catalogue.readers.values()}
        words = " | ".join(str(columns[name]) for name in ("title", "description") if columns.get(name))
        question = Question(
            words if words and "text" in uses else None, pictures[0] if pictures and "image" in uses else None
        )
        try:
            return question.vectors(self._shelf.catalogue) if question else {}
        except DataError:  # it says nothing: it is new all the same
            return {}

    def take(self, item: str, vectors: Mapping[str, Array]) -> None:
        """Recommend an item by what :meth:`read` gave of it."""
        with self._lock:
            self._vectors.pop(item, None)
            self._vectors[item] = dict(vectors)
            while len(self._vectors) > MOST:
                self._vectors.pop(next(iter(self._vectors)))

    def drop(self, item: str) -> None:
        with self._lock:
            self._vectors.pop(item, None)

    def vectors_of(self, item: str) -> dict[str, Array]:
        """Kind → f32 [width]; nothing where it has none, or is no arrival."""
        return dict(self._vectors.get(item, {}))

    def best(self, taste: Mapping[str, Array], count: int) -> list[tuple[str, float]]:
        """Items and how like a shopper's taste they are, most first; among equal ones the latest first.

        Args:
            taste: of :meth:`tuwen.apps.recommend.shelf.Shelf.taste`.
        """
        with self._lock:
            known = list(self._vectors.items())[::-1]
        liked = [(item, _likeness(vectors, taste)) for item, vectors in known]
        return sorted(liked, key=lambda one: -one[1])[:count]

    def places(self, count: int, share: float) -> list[int]:
        """Which places of a list of ``count`` they take: spread evenly, never the first."""
        number = min(len(self), math.ceil(max(share, SHARE) * count - 1e-9), count - 1)
        return [math.ceil((turn + 1) * count / number) - 1 for turn in range(number)]


def _likeness(vectors: Mapping[str, Array], taste: Mapping[str, Array]) -> float:
    cosines = [float(vector @ taste[kind]) for kind, vector in vectors.items() if kind in taste]
    return sum(cosines) / len(cosines) if cosines else 0.0
