"""Linear maps between two sets of vectors: what frozen encoders can do without any training of a network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tuwen.evaluation.predictions import Array

PENALTIES = (1e-3, 1e-2, 1e-1)  # of the mean variance of a feature
CANONICAL = (32, 64, 128, 256)  # directions that are kept


@dataclass(frozen=True)
class LinearMap:
    """Two matrices into one space, where the cosine tells what belongs together.

    Attributes:
        left, right: f64 [features, width] for the one side and the other.
        centres: the train part's means.
        note: how it was made.
    """

    left: Array
    right: Array
    centres: tuple[Array, Array]
    note: str

    def embed(self, left: Array, right: Array) -> tuple[Array, Array]:
        """Vectors f32 [rows, features] of both sides → embeddings f32 [rows, width] of length 1."""
        return _unit((left - self.centres[0]) @ self.left), _unit((right - self.centres[1]) @ self.right)


def ridge_maps(left: Array, right: Array) -> list[LinearMap]:
    """Ridge regressions of either side on the other, one for each penalty (Hoerl and Kennard, 1970)."""
    x, y, centres = _centred(left, right)
    (xx, yy, xy), found = _moments(x, y), []
    here, there = np.eye(x.shape[1]), np.eye(y.shape[1])
    for penalty in PENALTIES:
        forth = np.linalg.solve(_penalised(xx, penalty), xy)
        back = np.linalg.solve(_penalised(yy, penalty), xy.T)
        found.append(LinearMap(forth, there, centres, f"left to right, penalty {penalty:g}"))
        found.append(LinearMap(here, back, centres, f"right to left, penalty {penalty:g}"))
    return found


def cca_maps(left: Array, right: Array) -> list[LinearMap]:
    """Canonical correlations with a penalty (Hotelling, 1936; Vinod, 1976), for each penalty and width.

    Directions are weighted by the root of their correlation.
    """
    x, y, centres = _centred(left, right)
    (xx, yy, xy), found = _moments(x, y), []
    for penalty in PENALTIES:
        a, b = _inverse_root(_penalised(xx, penalty)), _inverse_root(_penalised(yy, penalty))
        u, correlations, v = np.linalg.svd(a @ xy @ b, full_matrices=False)
        for width in dict.fromkeys(min(width, len(correlations)) for width in CANONICAL):
            weight = np.sqrt(correlations[:width].clip(0.0, 1.0))
            note = f"{width} directions, penalty {penalty:g}"
            found.append(LinearMap(a @ u[:, :width] * weight, b @ v[:width].T * weight, centres, note))
    return found


def _centred(left: Array, right: Array) -> tuple[Array, Array, tuple[Array, Array]]:
    x, y = left.astype(np.float64), right.astype(np.float64)
    centres = x.mean(axis=0), y.mean(axis=0)
    return x - centres[0], y - centres[1], centres


def _moments(x: Array, y: Array) -> tuple[Array, Array, Array]:
    return x.T @ x / len(x), y.T @ y / len(x), x.T @ y / len(x)


def _penalised(moment: Array, penalty: float) -> Array:
    size = len(moment)
    return moment + np.eye(size) * (penalty * float(np.trace(moment)) / size + 1e-12)


def _inverse_root(matrix: Array) -> Array:
    values, vectors = np.linalg.eigh(matrix)
    root: Array = (vectors / np.sqrt(values.clip(min=1e-12))) @ vectors.T
    return root


def _unit(vectors: Array) -> Array:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Array = (vectors / np.where(length > 0, length, 1.0)).astype(np.float32)
    return unit
