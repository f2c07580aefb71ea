"""Ranked lists beside graded judgments: how well a search puts the best items first.

A query is judged on some items only, and what nobody judged counts as not relevant. Where the judged items were chosen
by one kind of search, another kind is paid less than it is worth, because what it alone finds was never looked at. So
``judged@k`` says how much of a list was looked at, and ``condensed_ndcg@k`` (Sakai, 2007) leaves the rest out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tuwen.errors import DataError
from tuwen.evaluation.predictions import Array
from tuwen.evaluation.ranking import NOTHING


@dataclass(frozen=True)
class Judged:
    """Grades of some items a query, as rows of one sparse matrix.

    Attributes:
        items: int64 [judgments], positions in the catalogue, query after query, rising within a query.
        grades: f64 [judgments], 0 is not relevant.
        begins: int64 [queries + 1]: a query's judgments are ``begins[i]:begins[i + 1]``.
    """

    items: Array
    grades: Array
    begins: Array

    @classmethod
    def of(cls, each: Sequence[Mapping[int, float]]) -> Judged:
        """From one mapping item → grade a query.

        Raises:
            DataError: a query without a relevant item, which no list can answer, or a grade below 0.
        """
        if any(not any(grade > 0 for grade in one.values()) for one in each):
            raise DataError("a query without a relevant item cannot judge a list", todo="leave such queries out")
        pairs = [sorted(one.items()) for one in each]
        grades = np.array([grade for one in pairs for _, grade in one], np.float64)
        if (grades < 0).any():
            raise DataError("a grade is below 0", seen=grades.min())
        begins = np.concatenate([[0], np.cumsum([len(one) for one in pairs])]).astype(np.int64)
        return cls(np.array([item for one in pairs for item, _ in one], np.int64), grades, begins)

    def __len__(self) -> int:
        return len(self.begins) - 1

    def of_query(self, query: int) -> tuple[Array, Array]:
        """(items, grades) of one query."""
        span = slice(self.begins[query], self.begins[query + 1])
        return self.items[span], self.grades[span]


def graded_figures(lists: Array, judged: Judged, depth: int) -> dict[str, Array]:
    """One number a query and metric, f64 [queries].

    ``ndcg@k``: the sum of grade / log₂(1 + place), beside that of the best possible list (Järvelin and Kekäläinen,
    2002). ``burges_ndcg@k``: with 2^grade − 1 instead of the grade (Burges et al., 2005). ``condensed_ndcg@k``: ndcg@k
    of the whole list without what was not judged. ``judged@k``: share of the first k (or fewer) items that were judged;
    not a number for an empty list.

    Args:
        lists: int64 [queries, ≥ depth], best first, no item twice, ``-1`` behind the end of a short one.
        judged: of the same queries.
        depth: k.

    Raises:
        DataError: other queries in the lists than in ``judged``, lists shorter than ``depth``, or an item twice.
    """
    if len(lists) != len(judged):
        raise DataError("the lists are of other queries", seen=f"{len(lists)} lists, {len(judged)} queries")
    if lists.shape[1] < depth:
        raise DataError("the lists are too short", seen=f"{lists.shape[1]} items", allowed=f"{depth} or more")
    found = [_of_list(row[row != NOTHING], *judged.of_query(i), depth) for i, row in enumerate(lists)]
    names = ("ndcg", "burges_ndcg", "condensed_ndcg", "judged")
    return {f"{name}@{depth}": np.array([one[i] for one in found], np.float64) for i, name in enumerate(names)}


def _of_list(listed: Array, items: Array, grades: Array, depth: int) -> tuple[float, float, float, float]:
    if len(np.unique(listed)) != len(listed):
        raise DataError("an item stands twice in a list")
    place = np.minimum(np.searchsorted(items, listed), len(items) - 1)
    known = items[place] == listed
    gains = np.where(known, grades[place], 0.0)
    best = np.sort(grades)[::-1]
    return (
        _ndcg(gains, best, depth),
        _ndcg(np.exp2(gains) - 1, np.exp2(best) - 1, depth),
        _ndcg(gains[known], best, depth),
        float(known[:depth].mean()) if len(listed) else float("nan"),
    )


def _ndcg(gains: Array, best: Array, depth: int) -> float:
    discount = 1.0 / np.log2(np.arange(2, depth + 2))
    return float(_gain(gains, discount) / _gain(best, discount))


def _gain(gains: Array, discount: Array) -> float:
    kept = gains[: len(discount)]
    return float(kept @ discount[: len(kept)])
