"""An order that nothing has to be learned for: what several retrievers put high comes first."""

from __future__ import annotations

import json
from typing import Annotated

import numpy as np
from pydantic import Field

from tuwen.apps.recommend.history import Array
from tuwen.apps.recommend.lists import Lists

SAYS = "retriever "  # what the names of their features begin with
KNOTS = 1000  # scores of a retriever that are remembered


class Blend:
    """Reciprocal rank (Cormack, Clarke and Buettcher, 2009) of what the retrievers say, all alike. The rank of a score
    is the place that such a score took in the mean list of the past, so an item's worth depends on that item alone.

    Args:
        softness: added to a rank; the higher, the less the first places stand out.
    """

    learned = True

    def __init__(self, *, softness: Annotated[float, Field(ge=0)] = 60.0) -> None:
        self.softness = softness

    def fit(self, lists: Lists) -> None:
        self.names = lists.names
        self.known: dict[str, tuple[Array, Array]] = {}
        count = max(1, int((lists.sizes > 0).sum()))
        for place, name in enumerate(self.names):
            if name.startswith(SAYS):
                scores = lists.features[:, place]
                score, times = np.unique(scores[scores > 0], return_counts=True)
                above = (times.sum() - np.cumsum(times)) / count  # in the mean list
                kept = np.unique(np.linspace(0, max(0, len(score) - 1), KNOTS).astype(int))[: len(score)]
                self.known[name] = score[kept].astype(float), 1.0 + above[kept]

    def order(self, features: Array) -> Array:
        total = np.zeros(len(features))
        for place, name in enumerate(self.names):
            score, rank = self.known.get(name, (np.empty(0), np.empty(0)))
            if len(score):
                says = features[:, place].astype(float)
                total += np.where(says > 0, 1.0 / (self.softness + np.interp(says, score, rank)), 0.0)
        return total.astype(np.float32)

    def importance(self) -> dict[str, float]:
        """Feature → its share: the same for all retrievers that ever said something."""
        heard = {name for name, (score, _) in self.known.items() if len(score)}
        return {name: (1.0 / len(heard) if name in heard else 0.0) for name in self.names}

    def text(self) -> str:
        return json.dumps({name: [score.tolist(), rank.tolist()] for name, (score, rank) in self.known.items()})

    def read(self, text: str, names: list[str]) -> None:
        self.names = names
        self.known = {name: (np.array(score), np.array(rank)) for name, (score, rank) in json.loads(text).items()}
