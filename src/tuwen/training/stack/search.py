"""The penalty of a linear member, chosen out of fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tuwen.training.stack.linear import Linear, fit_linear
from tuwen.training.stack.rows import Rows

PENALTIES = (100.0, 30.0, 10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01)  # of one modality
FACTORS = (10.0, 3.0, 1.0, 0.3, 0.1)  # of several, times what each modality has alone
JUDGED_ROWS = 2000  # out of fold, on which a penalty is chosen


def fit_member(
    rows: Rows, modalities: Sequence[str], penalties: Mapping[str, float]
) -> tuple[list[Linear], Linear, list[float]]:
    """One fit a fold, one of all rows, and the penalty of each modality.

    Each modality keeps the penalty that is best for it alone; of several one factor is sought. So a wide modality and a
    narrow one stand side by side as they are used to.
    """
    grid = PENALTIES if len(modalities) == 1 else FACTORS
    bases = [penalties.get(name, 1.0) for name in modalities]
    search = _Search(rows, modalities, bases)
    best = _descend(search, grid)
    chosen = [base * grid[best] for base in bases]
    folds = search.fits[grid[best]]
    for k in range(len(folds), rows.fold_count):
        folds.append(search.fit(np.flatnonzero(rows.folds != k), grid[best], folds[0]))
    return folds, search.fit(np.arange(rows.count), grid[best], folds[0]), chosen


def _descend(search: _Search, grid: Sequence[float]) -> int:
    """The position of the best factor: from 1 towards whichever side is better, until it gets worse."""
    position = grid.index(1.0)
    losses = {position: search.loss(grid[position], None)}
    for step in (-1, 1):
        at = position
        while 0 <= at + step < len(grid) and at + step not in losses:
            losses[at + step] = search.loss(grid[at + step], grid[at])
            at += step
            if losses[at] > min(losses.values()):
                break
        position = min(losses, key=lambda i: losses[i])
        if position * step > grid.index(1.0) * step:  # it got better on this side: the other one is worse
            break
    return position


class _Search:
    """Fits of one member with several penalties, judged on as many folds as hold enough rows."""

    def __init__(self, rows: Rows, modalities: Sequence[str], bases: list[float]) -> None:
        self.rows, self.modalities, self.bases = rows, modalities, bases
        judged = -(-JUDGED_ROWS * rows.fold_count // rows.count)
        self.folds = range(min(max(judged, 1), rows.fold_count))
        self.fits: dict[float, list[Linear]] = {}

    def fit(self, rows: np.ndarray, factor: float, start: Linear | None) -> Linear:
        matrices = self.rows.matrices(self.modalities, None if len(rows) == self.rows.count else rows)
        return fit_linear(matrices, self.rows.truth.take(rows), [base * factor for base in self.bases], start)

    def loss(self, factor: float, near: float | None) -> float:
        """Of the judged folds together; the search begins at the fits of the factor ``near``."""
        total = 0.0
        self.fits[factor] = []
        for k in self.folds:
            start = None if near is None else self.fits[near][k]
            rest, rows = np.flatnonzero(self.rows.folds != k), np.flatnonzero(self.rows.folds == k)
            linear = self.fit(rest, factor, start)
            truth = self.rows.truth.take(rows)
            total += float(
                (truth.losses(linear.scores(self.rows.matrices(self.modalities, rows))) * truth.weights).sum()
            )
            self.fits[factor].append(linear)
        return total
