"""Which items are alike."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from tuwen.index.vectors import Vectors

Array = np.ndarray
NEIGHBOURS = 50  # of an item, that are kept
EXACT_UP_TO = 20_000  # items: above, most of the true neighbours, not all
BLOCK = 1024  # items whose neighbours are looked for at once


def neighbours(vectors: Array) -> sparse.csr_matrix:
    """The most alike others of each item by the third power of their cosine, f32 [items, items]: near things count,
    far ones hardly.

    Args:
        vectors: f32 [items, width], of length 1 or 0.
    """
    size, kept = len(vectors), max(0, min(NEIGHBOURS, len(vectors) - 1))
    search = Vectors.of(vectors, kind="approximate") if size > EXACT_UP_TO else None
    places, cosines = np.zeros((size, kept), np.int32), np.zeros((size, kept), np.float32)
    for start in range(0, size if kept else 0, BLOCK):
        block = slice(start, start + BLOCK)
        found = _most(search, vectors, block, kept) if search else _all(vectors, block, kept)
        places[block], cosines[block] = found
    alike = np.maximum(cosines, 0.0)
    alike *= alike * alike
    shape = (size, size)
    matrix = sparse.csr_matrix((alike.ravel(), places.ravel(), np.arange(size + 1) * kept), shape=shape)
    matrix.eliminate_zeros()
    matrix.sort_indices()
    return matrix


def _all(vectors: Array, block: slice, kept: int) -> tuple[Array, Array]:
    alike = vectors[block] @ vectors.T
    rows = np.arange(len(alike))
    alike[rows, block.start + rows] = -np.inf  # an item is no neighbour of its own
    best = np.argpartition(alike, len(vectors) - kept, axis=1)[:, len(vectors) - kept :]
    return best, alike[rows[:, None], best]


def _most(search: Vectors, vectors: Array, block: slice, kept: int) -> tuple[Array, Array]:
    places, cosines = search.nearest(vectors[block], kept + 1)
    own = places == np.arange(block.start, block.start + len(places))[:, None]
    own[~own.any(axis=1), -1] = True  # where others are as near as an item to itself, the farthest gives way
    places, cosines = (side[~own].reshape(len(places), kept) for side in (places, cosines))
    there = places >= 0
    return np.where(there, places, 0), np.where(there, cosines, 0.0)
