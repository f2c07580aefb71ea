"""What a ranker learns from, and what a ranker is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from tuwen.apps.recommend.history import Array


@dataclass(frozen=True)
class Lists:
    """Candidates of shoppers at a moment, and which of them were bought after it.

    Attributes:
        features: f32 [pairs, features], not a number where unknown.
        bought: bool [pairs].
        sizes: int64 [lists]: how many pairs each shopper has; they stand together.
        names: of the features.
        categories: those of them whose numbers are levels without an order; the same for all pairs of a list.
    """

    features: Array
    bought: Array
    sizes: Array
    names: list[str]
    categories: tuple[str, ...] = ()

    @classmethod
    def joined(cls, parts: list[Lists]) -> Lists:
        return cls(
            np.concatenate([part.features for part in parts]),
            np.concatenate([part.bought for part in parts]),
            np.concatenate([part.sizes for part in parts]),
            parts[0].names,
            parts[0].categories,
        )


class Ranker(Protocol):
    """Attributes:
    learned: whether :meth:`fit` found anything that tells a bought item from another; else every order is the same.
    """

    names: list[str]
    learned: bool

    def fit(self, lists: Lists) -> None: ...

    def order(self, features: Array) -> Array:
        """f32 [pairs]: higher is better."""
        ...

    def importance(self) -> dict[str, float]:
        """Feature → its share of what the order goes by."""
        ...

    def text(self) -> str: ...

    def read(self, text: str, names: list[str]) -> None:
        """Take up what :meth:`text` gave; ``names`` are the features' own."""
        ...
