"""Raters, fitted, and how they are blended: by their answers to ratings that they had not seen."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass

import numpy as np
import torch

from tuwen.models.raters.ensemble import Raters
from tuwen.models.raters.rater import Rater, Ratings
from tuwen.progress import Progress, Within

ROWS = 2000  # that are asked at once


@dataclass(frozen=True)
class Stacked:
    """What a blend was made of.

    Attributes:
        rmse: of each member on the ratings that it had not seen; empty where there is only one.
        blended: of all of them together, on the same ratings that the weights were learned on; None likewise.
    """

    rmse: dict[str, float]
    blended: float | None
    seconds: float


def fit_raters(raters: Raters, ratings: Ratings, folds: np.ndarray, *, seed: int, progress: Progress) -> Stacked:
    """Fit the members on all ratings, and their weights on answers out of fold (stacking: Wolpert, 1992; weights not
    negative: Breiman, 1996).

    Args:
        folds: int [rows]: the piece in which each rating is answered by raters that learned from the other pieces.

    Raises:
        DataError: a rater cannot learn from such numbers.
    """
    began = time.perf_counter()
    raters.mean.fill_(float(ratings.value.mean()))
    found = np.zeros((len(ratings), len(raters.raters)))
    pieces = np.unique(folds) if len(raters.raters) > 1 else np.array([], np.int64)  # one rater needs no weights
    for piece in pieces.tolist():
        held = np.flatnonzero(folds == piece)
        shown = Within(progress, f"out of fold {piece + 1} of {len(pieces)}")
        rest = ratings.take(np.flatnonzero(folds != piece))
        for m, (name, rater) in enumerate(raters.raters.items()):
            found[held, m] = answers_of(_fitted(rater, name, rest, [seed, m, piece + 1], shown), ratings.take(held))
    for m, (name, rater) in enumerate(raters.raters.items()):
        _learn(rater, name, ratings, [seed, m, 0], progress)
    if not len(pieces):
        raters.weights.fill_(1.0)
        return Stacked({}, None, time.perf_counter() - began)
    from scipy.optimize import nnls  # half a second that every training would wait for

    mean = float(raters.mean)
    weights, _ = nnls(found - mean, ratings.value - mean)
    raters.weights.copy_(torch.from_numpy(weights))
    off = found - ratings.value[:, None]
    blended = mean + (found - mean) @ weights - ratings.value
    rmse = {name: float(np.sqrt(np.mean(off[:, m] ** 2))) for m, name in enumerate(raters.raters)}
    return Stacked(rmse, float(np.sqrt(np.mean(blended**2))), time.perf_counter() - began)


def answers_of(rater: Rater, ratings: Ratings) -> np.ndarray:
    """f32 [rows]."""
    parts = [np.arange(start, min(start + ROWS, len(ratings))) for start in range(0, len(ratings), ROWS)]
    with torch.inference_mode():
        return np.concatenate([rater(ratings.take(part).asked()).numpy() for part in parts])


def _fitted(rater: Rater, name: str, ratings: Ratings, seed: list[int], progress: Progress) -> Rater:
    fresh = copy.deepcopy(rater)
    _learn(fresh, name, ratings, seed, progress)
    return fresh


def _learn(rater: Rater, name: str, ratings: Ratings, seed: list[int], progress: Progress) -> None:
    with progress.task(name, rater.work) as bar:
        rater.fit(ratings, np.random.default_rng(seed), bar.advance)
