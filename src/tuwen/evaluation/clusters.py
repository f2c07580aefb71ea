"""Rows that belong together: by how much their errors are alike, and so by how much intervals over rows are too narrow.

The design effect (Kish 1965) is the variance of a mean over rows of groups, divided by what it would be over rows that
have nothing to do with each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from tuwen.evaluation.predictions import Array, Predictions

LARGE = 1.5  # design effect from which groups are resampled
DRAWS, LARGEST_P = 199, 0.01  # permutations of the rows over the groups, and the p that they must reach
LEAST = 5  # groups


class Clusters(NamedTuple):
    """Groups of rows whose errors are alike."""

    column: str
    groups: int
    effect: float


def design_effect(values: Array, groups: Array) -> float:
    """1 + (size − 1) · intraclass correlation, the size weighted by rows; 1 where every group is one row.

    Args:
        values: f64 [rows], as a row's error.
        groups: int [rows], from 0 on without gaps.
    """
    sizes = np.bincount(groups)
    rows, number = len(values), len(sizes)
    if number < 2 or number == rows:
        return 1.0
    between, within = _mean_squares(values, groups, sizes)
    usual = (rows - (sizes**2).sum() / rows) / (number - 1)
    spread = between + (usual - 1) * within
    correlation = (between - within) / spread if spread > 0 else 0.0
    return float(1 + ((sizes**2).sum() / rows - 1) * max(correlation, 0.0))


def clustered(errors: Sequence[Array], candidates: Mapping[str, Array], seed: int = 0) -> Clusters | None:
    """The candidate with the largest design effect, where that is large and no accident; None where none is.

    Args:
        errors: what is looked at of every row, each f64 [rows]: the error itself, and its square.
        candidates: column → int [rows], from 0 on without gaps.
    """
    found = []
    for column, groups in candidates.items():
        sizes = np.bincount(groups)
        if len(sizes) < LEAST or len(sizes) == len(groups):
            continue
        for values in errors:
            effect = design_effect(values, groups)
            if effect > LARGE and _p(values, groups, sizes, seed) <= LARGEST_P:
                found.append(Clusters(column, len(sizes), effect))
    return max(found, key=lambda one: one.effect, default=None)


def errors_of(predictions: Predictions) -> list[Array]:
    """Of numbers the error and its square, else whether the answer is wrong."""
    if predictions.task == "rate":
        error = predictions.prediction - predictions.target
        return [error, error**2]
    return [(predictions.prediction != predictions.target).astype(np.float64)]


def _mean_squares(values: Array, groups: Array, sizes: Array) -> tuple[float, float]:
    """The mean squares between and within groups of a one-way analysis of variance."""
    rows, number = len(values), len(sizes)
    centred = values - values.mean()
    of_groups = float((np.bincount(groups, centred) ** 2 / sizes).sum())
    return of_groups / (number - 1), max(float((centred**2).sum()) - of_groups, 0.0) / (rows - number)


def _p(values: Array, groups: Array, sizes: Array, seed: int) -> float:
    """The share of permutations whose groups lie as far apart; 1 as soon as there are too many."""
    rng = np.random.default_rng(seed)
    seen = _mean_squares(values, groups, sizes)[0]
    as_far = 0
    for _ in range(DRAWS):
        as_far += _mean_squares(rng.permutation(values), groups, sizes)[0] >= seen
        if as_far + 1 > LARGEST_P * (DRAWS + 1):
            return 1.0
    return (as_far + 1) / (DRAWS + 1)
