"""Text → a weighted bag of n-grams (TF-IDF; Salton and Buckley, 1988): the strong lexical view of a text."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Self

import numpy as np

from tuwen.preprocess.words import FIRST

Split = Callable[[str], list[str]]


class Bag:
    """The n-grams of the train part, numbered, with their inverse document frequencies.

    Weights are (1 + ln tf) · (ln((1 + n) / (1 + df)) + 1), brought to length 1 a text: scikit-learn's sublinear,
    smoothed TF-IDF. Of a text with more than ``length`` different n-grams the heaviest are kept, after that.

    Args:
        grams: what is counted, most common first; ids start at 2.
        weights: the inverse document frequency of each.
    """

    def __init__(self, grams: Sequence[str], weights: Sequence[float]) -> None:
        self.grams, self.weights = list(grams), np.asarray(weights, np.float32)
        self._places = {gram: i for i, gram in enumerate(self.grams)}

    def __len__(self) -> int:
        return len(self.grams) + FIRST

    @classmethod
    def count(cls, texts: Iterable[Sequence[str]], size: int, min_count: int) -> Self:
        """The ``size - 2`` n-grams in most texts, of those in at least ``min_count``; ties in code point order."""
        found: Counter[str] = Counter()
        rows = 0
        for grams in texts:
            found.update(set(grams))
            rows += 1
        kept = sorted((-n, gram) for gram, n in found.items() if n >= min_count)[: max(size - FIRST, 0)]
        return cls([gram for _, gram in kept], [math.log((1 + rows) / (1 - n)) + 1 for n, _ in kept])

    def arrays(self, texts: Sequence[Sequence[str]], length: int) -> dict[str, np.ndarray]:
        """``ids`` int32 and ``weights`` f32, both [rows, length]."""
        ids = np.zeros((len(texts), length), np.int32)
        weights = np.zeros((len(texts), length), np.float32)
        for row, grams in enumerate(texts):
            counts = Counter(place for gram in grams if (place := self._places.get(gram)) is not None)
            if not counts:
                continue
            places = np.fromiter(counts, np.int64, len(counts))
            heavy = (1 + np.log(np.fromiter(counts.values(), np.float64, len(counts)))) * self.weights[places]
            heavy /= np.sqrt((heavy**2).sum())
            order = np.lexsort((places, -heavy))[:length]
            ids[row, : len(order)] = places[order] + FIRST
            weights[row, : len(order)] = heavy[order]
        return {"ids": ids, "weights": weights}

    def plain(self) -> dict[str, Any]:
        return {"grams": self.grams, "weights": self.weights.astype(float).tolist()}


def grams(tokens: Sequence[str], shortest: int, longest: int, joint: str) -> list[str]:
    """All runs of ``shortest`` to ``longest`` tokens, each joined by ``joint``."""
    out: list[str] = []
    for n in range(shortest, longest + 1):
        out += list(tokens) if n == 1 else [joint.join(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]
    return out
