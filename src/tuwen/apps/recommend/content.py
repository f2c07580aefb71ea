"""Items by what they are: they need not have been bought by anybody."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from tuwen.apps.recommend.history import Asked, Catalogue, History
from tuwen.apps.recommend.popularity import Days, level_shares
from tuwen.apps.recommend.scores import Dense, Scores, Sparse

SHARPNESS = 3  # the power of a cosine: near things count, far ones hardly


class Content:
    """The nearest neighbours of what a shopper bought, in one kind of vector.

    Args:
        kind: of vector, ``picture`` or ``text``.
        half_life: days in which an event loses half of its weight.
    """

    def __init__(self, *, kind: str = "picture", half_life: Days = 30.0) -> None:
        self.kind, self.half_life = kind, half_life

    def fit(self, history: History) -> None:
        self.alike = alike(history.catalogue, self.kind)

    def score(self, asked: Asked) -> Scores:
        return Sparse(asked.recent(self.half_life) @ self.alike)


def alike(catalogue: Catalogue, kind: str) -> sparse.csr_matrix:
    """How much alike an item and its neighbours are, f32 [items, items]; empty where there is no such vector."""
    size = len(catalogue)
    if kind not in catalogue.vectors:
        return sparse.csr_matrix((size, size), dtype=np.float32)
    places, cosines = catalogue.neighbours[kind]
    row = np.repeat(np.arange(size), places.shape[1])
    found = sparse.csr_matrix((cosines.ravel() ** SHARPNESS, (row, places.ravel())), shape=(size, size))
    found.eliminate_zeros()
    return found


class Newcomers:
    """Items that nobody bought yet, by the shopper's share of their category and by how close they are to those that
    came last, in the order in which items come to the shop.

    Args:
        column: of the item.
        memory: days in which a shopper's own purchase loses half of its weight.
        recent: days; what was first sold in them shows how far the shop has come.
    """

    def __init__(self, *, column: str = "items.category", memory: Days = 90.0, recent: Days = 28.0) -> None:
        self.column, self.memory, self.recent = column, memory, recent

    def fit(self, history: History) -> None:
        size = len(history.catalogue)
        self.level = history.catalogue.categories.get(self.column, np.zeros(size, np.int32))
        demand = history.demand(self.memory)
        self.usual = np.bincount(self.level, demand, minlength=int(self.level.max(initial=0)) + 1)
        share = self.usual / max(float(self.usual.sum()), 1e-9)
        self.worth = np.where(history.sold, 0.0, nearness(history, self.recent) * share[self.level])

    def score(self, asked: Asked) -> Scores:
        shares = level_shares(asked, self.level, self.usual, self.memory)
        return Dense((shares[:, self.level] * self.worth).astype(np.float32))


def launch_order(catalogue: Catalogue) -> np.ndarray:
    """Place of each item in the order in which they come to the shop, f64 [items] from 0 to 1; all the same where the
    catalogue does not tell.
    """
    if catalogue.launch is None:
        return np.full(len(catalogue), 0.5)
    order = np.argsort(np.argsort(catalogue.launch, kind="stable"), kind="stable")
    return np.asarray(order / max(1, len(catalogue) - 1))


def frontier(history: History, recent: float) -> float:
    """How far the shop has come: the median place of the items first sold in the last ``recent`` days."""
    place = launch_order(history.catalogue)
    new = history.now - history.first <= recent
    return float(np.median(place[new])) if new.any() else float(np.median(place))


def nearness(history: History, recent: float) -> np.ndarray:
    """f64 [items] in (0, 1]: 1 at the frontier, half at a twentieth of the catalogue away from it."""
    away = np.abs(launch_order(history.catalogue) - frontier(history, recent))
    return np.asarray(0.5 ** (away / 0.05))
