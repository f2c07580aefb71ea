"""What is bought together."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field
from scipy import linalg, sparse

from tuwen.apps.recommend.history import Array, Asked, History
from tuwen.apps.recommend.popularity import Days
from tuwen.apps.recommend.scores import NOTHING, Dense, Scores, Sparse

MOST_EVENTS = 1000  # of a shopper, the latest: pairs grow with their square
MOST_PAIRS = 8_000_000  # that are looked at together, which bounds the memory


class ItemKnn:
    """Items bought by the same shoppers: cosine of the columns of the purchase matrix, shrunk where it rests on few
    (Deshpande and Karypis, 2004).

    Args:
        neighbours: that are kept of each item.
        shrink: shoppers that have to be alike before half of a cosine is believed.
        half_life: days in which an event of the shopper loses half of its weight; none: all count the same.
    """

    reason = ("chosen by shoppers who chose the same", "选过相同商品的顾客也选")

    def __init__(
        self,
        *,
        neighbours: Annotated[int, Field(ge=1, le=10_000)] = 200,
        shrink: Annotated[float, Field(ge=0)] = 0.0,
        half_life: Days | None = 60.0,
    ) -> None:
        self.neighbours, self.shrink, self.half_life = neighbours, shrink, half_life

    def fit(self, history: History) -> None:
        bought = history.latest(MOST_EVENTS).bought
        buyers, buyers_of = np.asarray(bought.sum(axis=0)).ravel(), bought.T.tocsr()
        work = np.cumsum(buyers_of @ np.diff(bought.indptr))  # at least the pairs of all items up to one
        blocks = np.flatnonzero(np.diff(work // MOST_PAIRS, append=np.inf))
        parts, begin = [sparse.csr_matrix((0, len(buyers)), dtype=np.float32)], 0
        for end in (blocks + 1).tolist():
            together = (buyers_of[begin:end] @ bought).tocsr()
            together.sort_indices()
            row = begin + np.repeat(np.arange(end - begin), np.diff(together.indptr))
            together.data /= np.sqrt(buyers[row] * buyers[together.indices]) * (1 + self.shrink / together.data)
            together.data[row == together.indices] = 0.0
            parts.append(_largest(together, self.neighbours))
            begin = end
        self.alike = sparse.vstack(parts, format="csr", dtype=np.float32)

    def score(self, asked: Asked) -> Scores:
        return Sparse(asked.recent(self.half_life) @ self.alike)


class Ease:
    """A linear model of all items at once, in closed form (Steck, 2019).

    Args:
        regularisation: λ.
        items: how many are modelled, the most bought ones, however many a shop has. Time grows with their cube, memory
            with their square: 1,000 take a moment, 3,000 a second, 10,000 half a minute and 2 GB.
        half_life: as for ``item-knn``.
    """

    reason = ("goes with what you chose", "与您选过的商品相配")

    def __init__(
        self,
        *,
        regularisation: Annotated[float, Field(gt=0)] = 100.0,
        items: Annotated[int, Field(ge=1, le=20_000)] = 3000,
        half_life: Days | None = None,
    ) -> None:
        self.regularisation, self.items, self.half_life = regularisation, items, half_life

    def fit(self, history: History) -> None:
        buyers = np.asarray(history.bought.sum(axis=0)).ravel()
        order = np.argsort(-buyers, kind="stable")[: self.items]
        self.modelled = np.sort(order[buyers[order] > 0])
        self.place = np.full(len(buyers), NOTHING, np.int32)
        self.place[self.modelled] = np.arange(len(self.modelled))
        self.weights = np.zeros((len(self.modelled),) * 2, np.float32)
        if not len(self.modelled):
            return
        bought = history.bought[:, self.modelled]
        gram = (bought.T @ bought).toarray().astype(np.float64)
        gram[np.diag_indices_from(gram)] += self.regularisation
        precision = inverse(gram)
        self.weights = np.ascontiguousarray(-precision / np.diag(precision), np.float32)  # as products read it
        np.fill_diagonal(self.weights, 0.0)

    def score(self, asked: Asked) -> Scores:
        known = asked.recent(self.half_life)
        place = self.place[known.indices]
        kept = place != NOTHING
        begins = np.concatenate([[0], np.cumsum(kept)])[known.indptr]
        own = sparse.csr_matrix((known.data[kept], place[kept], begins), shape=(len(asked), len(self.modelled)))
        return Dense(own @ self.weights, self.modelled, self.place)


def inverse(matrix: Array) -> Array:
    """Of a symmetric positive definite matrix f64 [n, n], which is overwritten. By Cholesky: half the work of LU."""
    factor, failed = linalg.lapack.dpotrf(matrix.T, lower=True, overwrite_a=True)
    found, also = linalg.lapack.dpotri(factor, lower=True, overwrite_c=True)
    assert not failed and not also, "not positive definite"
    found += found.T  # above the diagonal it was zero
    found[np.diag_indices_from(found)] /= 2
    return np.asarray(found)


def _largest(matrix: sparse.csr_matrix, count: int) -> sparse.csr_matrix:
    """The ``count`` largest values of each row, all above zero."""
    kept = matrix.data > 0
    for row in np.flatnonzero(np.diff(matrix.indptr) > count).tolist():
        entries = slice(int(matrix.indptr[row]), int(matrix.indptr[row + 1]))
        values = matrix.data[entries]
        edge = np.partition(values, len(values) - count)[len(values) - count]
        kept[entries] &= values >= edge
        more = np.count_nonzero(kept[entries]) - count
        if more > 0:  # of those on the edge the last give way
            kept[entries.start + np.flatnonzero(values == edge)[-more:]] = False
    begins = np.concatenate([[0], np.cumsum(kept)])[matrix.indptr]
    return sparse.csr_matrix((matrix.data[kept], matrix.indices[kept], begins), shape=matrix.shape)
