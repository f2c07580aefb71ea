"""What is given on average, by whom, and to what."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field
from torch import Tensor

from tuwen.models.raters.rater import Asked, Rater, Ratings, Tick

ROUNDS = 200
CLOSE = 1e-7

Strength = Annotated[float, Field(ge=0)]


class Biases(Rater):
    """mean + bᵤ + bᵢ: how generous a user is and how well an item is liked, pulled towards zero where there are few
    ratings (Koren, 2010, "Factor in the Neighbors"). A new user or item has none.

    Args:
        user: ratings of the mean that are added to a user's own.
        item: the same for an item.
    """

    mean: Tensor
    of_user: Tensor
    of_item: Tensor

    def __init__(self, *, user: Strength = 5.0, item: Strength = 3.0) -> None:
        super().__init__()
        self.strength = user, item

    def fit(self, ratings: Ratings, rng: np.random.Generator, tick: Tick) -> None:
        mean, user, item = biases_of(ratings, *self.strength)
        self.keep(mean=np.array(mean), of_user=user, of_item=item)
        tick(1)

    def forward(self, asked: Asked) -> Tensor:
        return self.mean + self.of_user[asked.user] + self.of_item[asked.item]


def biases_of(ratings: Ratings, user: float, item: float) -> tuple[float, np.ndarray, np.ndarray]:
    """(mean, bᵤ f64 [users + 1], bᵢ f64 [items + 1]) that make Σ (r − mean − bᵤ − bᵢ)² + user Σ bᵤ² + item Σ bᵢ²
    smallest, by turns; place 0, the unknown one, is 0.
    """
    mean = float(ratings.value.mean())
    rest = ratings.value - mean
    of_user, of_item = np.zeros(ratings.users + 1), np.zeros(ratings.items + 1)
    many_user = np.bincount(ratings.user, minlength=len(of_user)) + user
    many_item = np.bincount(ratings.item, minlength=len(of_item)) + item
    for _ in range(ROUNDS):
        before = of_user
        of_item = _means(ratings.item, rest - of_user[ratings.user], many_item)
        of_user = _means(ratings.user, rest - of_item[ratings.item], many_user)
        if np.abs(of_user - before).max() < CLOSE:
            break
    return mean, of_user, of_item


def _means(ids: np.ndarray, values: np.ndarray, many: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.bincount(ids, values, len(many)) / np.maximum(many, 1e-9)
    found[0] = 0.0
    return found
