"""LensKit (Ekstrand, 2020): EASE, item kNN, implicit matrix factorisation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from lenskit.als import ImplicitMFScorer
from lenskit.data import ItemList, RecQuery, from_interactions_df
from lenskit.knn import EASEScorer, ItemKNNScorer
from lenskit.training import TrainingOptions


def ease(known: Any, **options: Any) -> np.ndarray:
    return _scores(known, EASEScorer(**options))


def item_knn(known: Any, **options: Any) -> np.ndarray:
    return _scores(known, ItemKNNScorer(feedback="implicit", **options))


def implicit_mf(known: Any, **options: Any) -> np.ndarray:
    return _scores(known, ImplicitMFScorer(**options))


def _scores(known: Any, scorer: Any) -> np.ndarray:
    counts, who, what = known.compact()
    pairs = counts.tocoo()
    data = from_interactions_df(pd.DataFrame({"user_id": pairs.row, "item_id": pairs.col}))
    scorer.train(data, TrainingOptions(rng=0, device="cpu"))
    every = ItemList(item_ids=np.arange(len(what)))

    def score(rows: np.ndarray) -> np.ndarray:
        found = np.full((len(rows), len(what)), np.nan, np.float32)
        for place, row in enumerate(rows):
            query = RecQuery(user_id=int(row), user_items=ItemList(item_ids=np.unique(counts[row].indices)))
            said = scorer(query, every)
            found[place, np.asarray(said.ids(), np.int64)] = np.asarray(said.scores(), np.float32)
        return found

    return known.spread(score, who, what)
