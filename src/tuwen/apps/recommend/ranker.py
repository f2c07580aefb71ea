"""The second stage: orders what the retrievers found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Protocol

import numpy as np
from pydantic import Field

from tuwen.apps.recommend.history import Array
from tuwen.apps.recommend.trees import Trees
from tuwen.errors import MissingExtra


@dataclass(frozen=True)
class Lists:
    """Candidates of shoppers at a moment, and which of them were bought after it.

    Attributes:
        features: f32 [pairs, features].
        bought: bool [pairs].
        sizes: int64 [lists]: how many pairs each shopper has; they stand together.
        names: of the features.
    """

    features: Array
    bought: Array
    sizes: Array
    names: list[str]

    @classmethod
    def joined(cls, parts: list[Lists]) -> Lists:
        return cls(
            np.concatenate([part.features for part in parts]),
            np.concatenate([part.bought for part in parts]),
            np.concatenate([part.sizes for part in parts]),
            parts[0].names,
        )


class Ranker(Protocol):
    names: list[str]

    def fit(self, lists: Lists) -> None: ...

    def order(self, features: Array) -> Array:
        """f32 [pairs]: higher is better."""
        ...

    def importance(self) -> dict[str, float]: ...

    def text(self) -> str: ...

    def read(self, text: str, names: list[str]) -> None: ...


class LambdaRank:
    """Gradient boosted trees that learn the order of a list (Burges, 2010), by LightGBM.

    Args:
        rounds: trees.
        leaves: of a tree.
        smallest_leaf: pairs in the smallest leaf.
        share: of the features and of the pairs that each tree sees.
    """

    def __init__(
        self,
        *,
        rounds: Annotated[int, Field(ge=1, le=10_000)] = 200,
        learning_rate: Annotated[float, Field(gt=0, le=1)] = 0.05,
        leaves: Annotated[int, Field(ge=2, le=1000)] = 15,
        smallest_leaf: Annotated[int, Field(ge=1)] = 100,
        share: Annotated[float, Field(gt=0, le=1)] = 0.5,
        l2: Annotated[float, Field(ge=0)] = 10.0,
        depth: Annotated[int, Field(ge=1, le=1000)] = 50,
        seed: int = 0,
    ) -> None:
        self.rounds = rounds
        self.options: dict[str, Any] = {
            "objective": "lambdarank",
            "learning_rate": learning_rate,
            "num_leaves": leaves,
            "min_data_in_leaf": smallest_leaf,
            "feature_fraction": share,
            "bagging_fraction": min(1.0, share + 0.2),
            "bagging_freq": 1,
            "lambda_l2": l2,
            "lambdarank_truncation_level": depth,
            "seed": seed,
            "deterministic": True,
            "force_row_wise": True,
            "verbose": -1,
        }

    def fit(self, lists: Lists) -> None:
        try:
            import lightgbm
        except ImportError:
            raise MissingExtra("recommend", "the ranker lambdarank") from None
        names = [name.replace(" ", "_").replace(".", "_") for name in lists.names]
        data = lightgbm.Dataset(lists.features, lists.bought, group=lists.sizes, feature_name=names)
        self.learned = lightgbm.train(self.options | {"num_threads": 0}, data, self.rounds)
        self.names, self.trees = lists.names, Trees(self.learned)

    def text(self) -> str:
        """What was learned, in LightGBM's own words."""
        return str(self.learned.model_to_string())

    def read(self, text: str, names: list[str]) -> None:
        """Take up what :meth:`text` gave; ``names`` are the features' own."""
        import lightgbm

        self.learned = lightgbm.Booster(model_str=text)
        self.names, self.trees = names, Trees(self.learned)

    def order(self, features: Array) -> Array:
        return self.trees.predict(features)

    def importance(self) -> dict[str, float]:
        """Feature → its share of what all splits gained."""
        gain = self.learned.feature_importance("gain")
        return dict(zip(self.names, (gain / max(gain.sum(), 1e-9)).tolist(), strict=True))
