"""The second stage by trees: orders what the retrievers found."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import Field

from tuwen.apps.recommend.history import MOST_LEVELS, Array
from tuwen.apps.recommend.lists import Lists
from tuwen.apps.recommend.trees import Trees
from tuwen.errors import MissingExtra, unloadable


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
        _lightgbm()  # what is missing is told before there is work
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
            "max_cat_to_onehot": MOST_LEVELS + 2,  # one category beside all others: what Trees can run
            "verbose": -1,
        }

    def fit(self, lists: Lists) -> None:
        lightgbm = _lightgbm()
        # LightGBM takes no name with a sign of JSON in it, nor one twice
        names = [f"{place}_" + re.sub(r"\W", "_", name) for place, name in enumerate(lists.names)]
        levels = [lists.names.index(name) for name in lists.categories]
        told = {"feature_name": names, "categorical_feature": levels}
        data = lightgbm.Dataset(lists.features, lists.bought, group=lists.sizes, **told)
        self.booster = lightgbm.train(self.options | {"num_threads": 0}, data, self.rounds)
        self.names, self.trees = lists.names, Trees(self.booster)
        self.learned = bool(self.booster.feature_importance("split").sum())

    def text(self) -> str:
        """What was learned, in LightGBM's own words."""
        return str(self.booster.model_to_string())

    def read(self, text: str, names: list[str]) -> None:
        """Take up what :meth:`text` gave; ``names`` are the features' own."""
        self.booster = _lightgbm().Booster(model_str=text)
        self.names, self.trees, self.learned = names, Trees(self.booster), True

    def order(self, features: Array) -> Array:
        return self.trees.predict(features)

    def importance(self) -> dict[str, float]:
        """Feature → its share of what all splits gained."""
        gain = self.booster.feature_importance("gain")
        return dict(zip(self.names, (gain / max(gain.sum(), 1e-9)).tolist(), strict=True))


def _lightgbm() -> Any:
    """Raises MissingExtra and DataError, both with what works without it."""
    instead = "or order without it: 'ranker: linear' in the run"
    try:
        import lightgbm
    except ImportError:
        raise MissingExtra("recommend", "the ranker lambdarank", instead) from None
    except OSError as error:
        raise unloadable("lightgbm", error, instead) from None
    return lightgbm
