"""Cornac (Salah, Truong and Lauw, 2020): VBPR, BPR, EASE, VAECF."""

from __future__ import annotations

from typing import Any

import numpy as np
from cornac.data import Dataset, ImageModality
from cornac.models import BPR, EASE, VAECF, VBPR
from scipy import sparse


def vbpr(known: Any, *, whole: bool = True, **options: Any) -> np.ndarray:
    """``whole``: items that nobody bought are among those that it learns to put lower, and may be listed."""
    counts, who, what = known.compact()
    if whole:
        counts, what = known.counts[who].tocsr(), np.arange(known.items)
    data = _dataset(counts)
    data.item_image = ImageModality(features=known.vectors[what].astype(np.float32))
    return _asked(known, VBPR(verbose=False, seed=0, **options).fit(data), who, what)


def bpr(known: Any, **options: Any) -> np.ndarray:
    counts, who, what = known.compact()
    return _asked(known, BPR(num_threads=1, seed=0, **options).fit(_dataset(counts)), who, what)


def ease(known: Any, **options: Any) -> np.ndarray:
    counts, who, what = known.compact()
    return _asked(known, EASE(verbose=False, seed=0, **options).fit(_dataset(counts)), who, what)


def vaecf(known: Any, *, hidden: int = 20, **options: Any) -> np.ndarray:
    counts, who, what = known.compact()
    model = VAECF(autoencoder_structure=[hidden], verbose=False, seed=0, **options)
    return _asked(known, model.fit(_dataset(counts)), who, what)


def _dataset(counts: sparse.csr_matrix) -> Dataset:
    """Whether somebody bought something counts, not how often."""
    pairs = counts.tocoo()
    people, items = ({place: place for place in range(count)} for count in counts.shape)
    triples = (pairs.row.astype(int), pairs.col.astype(int), np.ones(len(pairs.data)))
    return Dataset(*counts.shape, people, items, triples, seed=0)


def _asked(known: Any, model: Any, who: np.ndarray, what: np.ndarray) -> np.ndarray:
    return known.spread(lambda rows: np.stack([np.ravel(model.score(int(row))) for row in rows]), who, what)
