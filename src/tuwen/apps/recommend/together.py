"""What is bought together."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field
from scipy import linalg, sparse

from tuwen.apps.recommend.history import Asked, History
from tuwen.apps.recommend.popularity import Days
from tuwen.apps.recommend.scores import Dense, Scores, Sparse


class ItemKnn:
    """Items bought by the same shoppers: cosine of the columns of the purchase matrix, shrunk where it rests on few
    (Deshpande and Karypis, 2004).

    Args:
        neighbours: that are kept of each item.
        shrink: shoppers that have to be alike before half of a cosine is believed.
        half_life: days in which an event of the shopper loses half of its weight; none: all count the same.
    """

    def __init__(
        self,
        *,
        neighbours: Annotated[int, Field(ge=1, le=10_000)] = 200,
        shrink: Annotated[float, Field(ge=0)] = 0.0,
        half_life: Days | None = 60.0,
    ) -> None:
        self.neighbours, self.shrink, self.half_life = neighbours, shrink, half_life

    def fit(self, history: History) -> None:
        together = (history.bought.T @ history.bought).tocoo()
        buyers = np.asarray(history.bought.sum(axis=0)).ravel()
        kept = together.row != together.col
        row, col, count = together.row[kept], together.col[kept], together.data[kept]
        alike = count / np.sqrt(buyers[row] * buyers[col]) * count / (count + self.shrink)
        found = sparse.csr_matrix((alike, (row, col)), shape=together.shape)
        self.alike = _largest(found, self.neighbours)

    def score(self, asked: Asked) -> Scores:
        return Sparse(asked.recent(self.half_life) @ self.alike)


class Ease:
    """A linear model of all items at once, in closed form (Steck, 2019).

    Args:
        regularisation: λ.
        items: how many are modelled, the most bought ones. Time grows with their cube: 1,000 take a moment, 3,000
            a second, 10,000 half a minute.
        half_life: as for ``item-knn``.
    """

    def __init__(
        self,
        *,
        regularisation: Annotated[float, Field(gt=0)] = 100.0,
        items: Annotated[int, Field(ge=1, le=50_000)] = 3000,
        half_life: Days | None = None,
    ) -> None:
        self.regularisation, self.items, self.half_life = regularisation, items, half_life

    def fit(self, history: History) -> None:
        buyers = np.asarray(history.bought.sum(axis=0)).ravel()
        order = np.argsort(-buyers, kind="stable")[: self.items]
        self.modelled = np.sort(order[buyers[order] > 0])
        self.weights = np.zeros((len(self.modelled),) * 2, np.float32)
        if not len(self.modelled):
            return
        bought = history.bought[:, self.modelled]
        gram = (bought.T @ bought).toarray().astype(np.float64)
        gram[np.diag_indices_from(gram)] += self.regularisation
        precision = linalg.inv(gram, overwrite_a=True, check_finite=False)
        self.weights = (-precision / np.diag(precision)).astype(np.float32)
        np.fill_diagonal(self.weights, 0.0)

    def score(self, asked: Asked) -> Scores:
        found = np.zeros((len(asked), len(asked.catalogue)), np.float32)
        found[:, self.modelled] = asked.recent(self.half_life)[:, self.modelled] @ self.weights
        return Dense(found)


def _largest(matrix: sparse.csr_matrix, count: int) -> sparse.csr_matrix:
    """The ``count`` largest values of each row."""
    matrix = matrix.tocsr()
    for begin, end in zip(matrix.indptr[:-1], matrix.indptr[1:], strict=True):
        if end - begin > count:
            values = matrix.data[begin:end]
            values[np.argpartition(-values, count)[count:]] = 0.0
    matrix.eliminate_zeros()
    return matrix
