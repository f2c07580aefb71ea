"""A linear ranker: needs no trees, and few numbers to learn from."""

from __future__ import annotations

import json
from typing import Annotated

import numpy as np
from pydantic import Field
from scipy import optimize

from tuwen.apps.recommend.history import Array
from tuwen.apps.recommend.lists import Lists
from tuwen.registry import Count

KNOTS = 33  # of the curve that a feature is bent by


class Linear:
    """A sum of weighted features that makes what was bought likely among its list: the conditional logit (McFadden,
    1974), which ListNet (Cao et al., 2007) calls top one.

    Each feature is bent to its place among the values that training saw, -1 to 1, so that neither scale nor outliers
    matter; one that is not known counts as the middle one, and that it is not known has a weight of its own. What is
    the same for a whole list, such as a shopper's category, cannot move its order: a category tells by what its
    shoppers buy (``group …``), and its level is not read.

    Args:
        l2: how many lists have to speak for a weight before half of it is believed, about.
        negatives: of a list that are learned from, drawn at random.
        rounds: of L-BFGS at most.
    """

    def __init__(
        self,
        *,
        l2: Annotated[float, Field(gt=0)] = 10.0,
        negatives: Count = 100,
        rounds: Count = 100,
        seed: int = 0,
    ) -> None:
        self.l2, self.negatives, self.rounds, self.seed = l2, negatives, rounds, seed

    def fit(self, lists: Lists) -> None:
        self.names = lists.names
        hits = np.repeat(np.add.reduceat(lists.bought, _begins(lists.sizes)), lists.sizes[lists.sizes > 0])
        draw = np.random.default_rng(self.seed).random(len(lists.bought))
        share = self.negatives / np.repeat(lists.sizes[lists.sizes > 0], lists.sizes[lists.sizes > 0])
        kept = (hits > 0) & (lists.bought | (draw < share))
        sizes = np.bincount(np.repeat(np.arange(len(lists.sizes)), lists.sizes)[kept], minlength=len(lists.sizes))
        sizes, features, bought = sizes[sizes > 0], lists.features[kept], lists.bought[kept]
        levels = np.isin(lists.names, lists.categories)  # have no order to be bent along
        self.curves = [
            _curve(column[:0] if level else column) for column, level in zip(features.T, levels, strict=True)
        ]
        design = self._design(features)
        begins = _begins(sizes)
        wanted = bought / np.repeat(np.add.reduceat(bought, begins, dtype=float), sizes) if len(sizes) else bought
        self.weights = np.zeros(design.shape[1])
        if len(sizes):
            asked = (design, wanted.astype(np.float32), begins, sizes, self.l2)
            bounds = {"maxiter": self.rounds}
            self.weights = optimize.minimize(_loss, self.weights, asked, "L-BFGS-B", jac=True, options=bounds).x
        self.learned = bool(np.abs(self.weights).max(initial=0.0) > 1e-6)

    def order(self, features: Array) -> Array:
        return np.asarray(self._design(features) @ self.weights, np.float32)

    def importance(self) -> dict[str, float]:
        """Feature → its share of all weights."""
        size = np.abs(self.weights).reshape(2, -1).sum(axis=0)
        return dict(zip(self.names, (size / max(float(size.sum()), 1e-9)).tolist(), strict=True))

    def text(self) -> str:
        curves = [curve.tolist() for curve in self.curves]
        return json.dumps({"curves": curves, "weights": self.weights.tolist()})

    def read(self, text: str, names: list[str]) -> None:
        told = json.loads(text)
        self.names, self.weights = names, np.array(told["weights"])
        self.curves = [np.array(curve, np.float32) for curve in told["curves"]]
        self.learned = True

    def _design(self, features: Array) -> Array:
        """f32 [pairs, 2 × features]: what is known, bent; then what is not known."""
        count = len(self.curves)
        found = np.zeros((len(features), 2 * count), np.float32)
        for place, curve in enumerate(self.curves):
            column = features[:, place]
            known = np.isfinite(column)
            found[known, place] = _bent(column[known], curve)
            found[:, count + place] = ~known
        return found


def _begins(sizes: Array) -> Array:
    sizes = sizes[sizes > 0]
    found: Array = np.cumsum(sizes) - sizes
    return found


def _curve(column: Array) -> Array:
    """Values at even shares of those that are known, each once: f32 [≤ knots]."""
    known = column[np.isfinite(column)]
    if not len(known):
        return np.zeros(0, np.float32)
    return np.unique(np.quantile(known, np.linspace(0, 1, KNOTS), method="nearest")).astype(np.float32)


def _bent(values: Array, curve: Array) -> Array:
    if len(curve) < 2:
        return np.zeros(len(values), np.float32)
    return np.interp(values, curve, np.linspace(-1, 1, len(curve))).astype(np.float32)


def _loss(weights: Array, design: Array, wanted: Array, begins: Array, sizes: Array, l2: float) -> tuple[float, Array]:
    """Minus the log-likelihood of what was bought in its list, and its gradient."""
    score = design @ weights.astype(np.float32)
    score -= np.repeat(np.maximum.reduceat(score, begins), sizes)
    odds = np.exp(score)
    share = odds / np.repeat(np.add.reduceat(odds, begins), sizes)
    loss = -float((wanted * np.log(np.maximum(share, 1e-30))).sum(dtype=float)) + 0.5 * l2 * float(weights @ weights)
    return loss, (design.T @ (share - wanted)).astype(float) + l2 * weights
