"""Items by what they are: they need not have been bought by anybody."""

from __future__ import annotations

import numpy as np

from tuwen.apps.recommend.history import Asked, History
from tuwen.apps.recommend.popularity import Days, level_shares
from tuwen.apps.recommend.scores import ByLevel, Levels, Scores, Sparse


class Content:
    """The nearest neighbours of what a shopper bought, in one kind of vector.

    Args:
        kind: of vector, ``picture`` or ``text``.
        half_life: days in which an event loses half of its weight.
    """

    def __init__(self, *, kind: str = "picture", half_life: Days = 30.0) -> None:
        self.kind, self.half_life = kind, half_life

    @property
    def reason(self) -> tuple[str, str]:
        """In English and Chinese."""
        kinds = {
            "picture": ("looks like what you chose", "与您选过的外观相似"),
            "text": ("reads like what you chose", "与您选过的描述相似"),
        }
        return kinds.get(self.kind, ("is like what you chose", "与您选过的相似"))

    def fit(self, history: History) -> None:
        self.alike = history.catalogue.alike(self.kind)

    def score(self, asked: Asked) -> Scores:
        return Sparse(asked.recent(self.half_life) @ self.alike)


class Newcomers:
    """Items that nobody bought yet, by the shopper's share of their category and by how close they are to those that
    came last, in the order in which items come to the shop.

    Args:
        column: of the item.
        memory: days in which a shopper's own purchase loses half of its weight.
        recent: days; what was first sold in them shows how far the shop has come.
    """

    reason = ("new in categories you like", "您常买类别的新品")

    def __init__(self, *, column: str = "items.category", memory: Days = 90.0, recent: Days = 28.0) -> None:
        self.column, self.memory, self.recent = column, memory, recent

    def fit(self, history: History) -> None:
        size = len(history.catalogue)
        level = history.catalogue.categories.get(self.column, np.zeros(size, np.int32))
        demand = history.demand(self.memory)
        self.usual = np.bincount(level, demand, minlength=int(level.max(initial=0)) + 1)
        share = self.usual / max(float(self.usual.sum()), 1e-9)
        worth = np.where(history.sold, 0.0, nearness(history, self.recent) * share[level])
        self.levels = vars(Levels.of(level, worth.astype(np.float32), len(self.usual)))

    def score(self, asked: Asked) -> Scores:
        levels = Levels(**self.levels)
        return ByLevel(level_shares(asked, levels.level, self.usual, self.memory), levels)


def frontier(history: History, recent: float) -> float:
    """How far the shop has come: the median place of the items first sold in the last ``recent`` days."""
    place = history.catalogue.launch_order
    new = history.now - history.first <= recent
    return float(np.median(place[new])) if new.any() else float(np.median(place))


def nearness(history: History, recent: float) -> np.ndarray:
    """f64 [items] in (0, 1]: 1 at the frontier, half at a twentieth of the catalogue away from it."""
    away = np.abs(history.catalogue.launch_order - frontier(history, recent))
    return np.asarray(0.5 ** (away / 0.05))
