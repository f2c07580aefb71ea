"""Vectors of encoders made fit for cosines."""

from __future__ import annotations

import numpy as np

from tuwen.apps.recommend.history import Array

FITTED = 4000  # items that the axes are found on


def reduced(vectors: Array, present: Array, width: int) -> Array:
    """Standardised, turned to their main axes and of length 1: f32 [items, ≤ width]; zeros where absent.

    Raw vectors of an encoder share most of their direction, so that their cosines say little; after centring they do.

    Args:
        vectors: f32 [items, any].
        present: bool [items].
        width: axes that are kept (principal components).
    """
    there = vectors[present].astype(np.float32)
    width = min(width, vectors.shape[1], max(1, len(there) - 1))
    found = np.zeros((len(vectors), width), np.float32)
    if not len(there):
        return found
    scaled = (there - there.mean(axis=0)) / (there.std(axis=0) + 1e-6)
    step = -(-len(scaled) // FITTED)
    _, _, axes = np.linalg.svd(scaled[::step], full_matrices=False)
    turned = scaled @ axes[:width].T
    found[present] = turned / np.maximum(np.linalg.norm(turned, axis=1, keepdims=True), 1e-12)
    return found
