"""Several rankings of the same rows made one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
ABSENT = -1


def reciprocal_rank(places: Sequence[Array], weights: Sequence[float], *, constant: float = 60.0) -> Array:
    """f64 [rows]: the sum of weight / (constant + place) (Cormack, Clarke and Büttcher, 2009).

    Args:
        places: of each ranking int [rows], from 0; -1 where a ranking does not hold the row.
        weights: of the rankings.
        constant: the larger, the less the first places count.
    """
    total = np.zeros(len(places[0]), np.float64)
    for place, weight in zip(places, weights, strict=True):
        total += np.where(place == ABSENT, 0.0, weight / (constant + 1.0 + place))
    return total


def weighted(scores: Sequence[Array], weights: Sequence[float]) -> Array:
    """f64 [rows]: the weighted sum of scores, each brought to 0 to 1 over the rows; one without spread is 0."""
    total = np.zeros(len(scores[0]), np.float64)
    for score, weight in zip(scores, weights, strict=True):
        low, high = float(score.min(initial=np.inf)), float(score.max(initial=-np.inf))
        if high > low:
            total += weight * (score - low) / (high - low)
    return total


def places_of(scores: Array, ties: Array) -> Array:
    """int64 [rows]: the place of every row by its score, from 0; -1 where the score is 0 or below.

    Args:
        ties: uint64 [rows], different for different rows; decides between equal scores.
    """
    order = best_first(scores, ties)
    place = np.empty(len(scores), np.int64)
    place[order] = np.arange(len(order))
    place[scores <= 0] = ABSENT
    return place


def best_first(scores: Array, ties: Array) -> Array:
    """int64 [rows]: positions by falling score, equal scores by rising ``ties``."""
    order: Array = np.lexsort((ties, -scores))
    return order
