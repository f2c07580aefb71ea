"""implicit (Frederickson): ALS (Hu, Koren and Volinsky, 2008), BM25."""

from __future__ import annotations

from typing import Any

import numpy as np
from implicit.als import AlternatingLeastSquares
from implicit.nearest_neighbours import BM25Recommender


def als(known: Any, **options: Any) -> np.ndarray:
    counts, who, what = known.compact()
    model = AlternatingLeastSquares(num_threads=1, random_state=0, **options)
    model.fit(counts, show_progress=False)
    return known.spread(lambda rows: model.user_factors[rows] @ model.item_factors.T, who, what)


def bm25(known: Any, **options: Any) -> np.ndarray:
    counts, who, what = known.compact()
    model = BM25Recommender(num_threads=1, **options)
    model.fit(counts, show_progress=False)
    return known.spread(lambda rows: _positive((counts[rows] @ model.similarity).toarray()), who, what)


def _positive(scores: np.ndarray) -> np.ndarray:
    """What no neighbour of the shopper's items says is not listed."""
    return np.where(scores > 0, scores, -np.inf)
