"""What goes with an item: what is bought beside it, on the same day by the same shopper."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import sparse

from tuwen.apps.recommend.history import Array, History, Shoppers
from tuwen.apps.recommend.scores import best
from tuwen.apps.recommend.together import ItemKnn


def together_in_baskets(history: History, *, neighbours: int = 100, shrink: float = 3.0) -> sparse.csr_matrix:
    """How much items are bought together, f32 [items, items].

    A basket is what one shopper bought on one day. A pair that met once is believed less than one that met often.
    """
    day = np.floor(history.day).astype(np.int64)
    day -= day.min(initial=0)
    baskets, place = np.unique(history.shopper * (day.max(initial=0) + 1) + day, return_inverse=True)
    knn = ItemKnn(neighbours=neighbours, shrink=shrink, half_life=None)
    knn.fit(replace(history, shopper=place, shoppers=Shoppers(len(baskets))))
    return knn.alike


def goes_with(
    alike: sparse.csr_matrix, items: list[int], count: int, allowed: Array | None = None
) -> tuple[Array, Array]:
    """The items that go best with all of ``items`` together, none of themselves: (int64 [≤ count], f32 [≤ count]).

    Args:
        allowed: bool [items], which may be listed; none: all.
    """
    score = np.asarray(alike[items].sum(axis=0)).ravel()
    score[items] = 0.0
    if allowed is not None:
        score[~allowed] = 0.0
    listed = best(score, count)
    listed = listed[listed >= 0]
    return listed, score[listed].astype(np.float32)
