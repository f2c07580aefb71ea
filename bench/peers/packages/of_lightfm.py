"""LightFM (Kula, 2015) with the items' columns as features, from lightfm-next: the original no longer builds."""

from __future__ import annotations

from typing import Any

import numpy as np
from lightfm import LightFM
from scipy import sparse


def warp(known: Any, *, epochs: int = 20, features: bool = True, whole: bool = False, **options: Any) -> np.ndarray:
    """``whole``: items that nobody bought are known by their columns, and may be listed."""
    counts, who, what = known.compact()
    if whole:
        counts, what = known.counts[who].tocsr(), np.arange(known.items)
    pairs = counts.tocoo()
    told = _features(known, what) if features else None
    model = LightFM(loss="warp", random_state=0, **options)
    bought = sparse.coo_matrix((np.ones(len(pairs.data), np.float32), (pairs.row, pairs.col)), counts.shape)
    model.fit(bought, item_features=told, epochs=epochs, num_threads=1)
    bias, items = model.get_item_representations(told)
    _, users = model.get_user_representations()
    return known.spread(lambda rows: users[rows] @ items.T + bias, who, what)


def _features(known: Any, what: np.ndarray) -> sparse.csr_matrix:
    """One column an item and one a level of each fact, f32 [items, features]; rows add up to 1."""
    blocks = [sparse.identity(len(what), np.float32, "csr")]
    for levels in known.facts[what].T:
        there = np.flatnonzero(levels)
        ones = np.ones(len(there), np.float32)
        blocks.append(sparse.csr_matrix((ones, (there, levels[there] - 1)), (len(what), int(levels.max(initial=1)))))
    found = sparse.hstack(blocks, format="csr")
    return sparse.csr_matrix(found.multiply(1.0 / found.sum(axis=1))).astype(np.float32)
