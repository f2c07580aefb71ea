"""Linear maps between two sets of vectors: what frozen encoders can do without any training of a network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tuwen.evaluation.predictions import Array

PENALTIES = (1e-3, 1e-2, 1e-1, 1.0)  # of the mean variance of a feature
CANONICAL = (64, 128, 256, 512)  # directions that are kept


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


def linear_maps(left: Array, right: Array) -> dict[str, list[LinearMap]]:
    """``ridge`` and ``cca`` → one map for each setting.

    Args:
        left, right: f32 [rows, features]; row i of the one belongs to row i of the other.
    """
    centres = left.mean(axis=0, dtype=np.float64), right.mean(axis=0, dtype=np.float64)
    x, y = left - centres[0], right - centres[1]
    across = x.T @ y / len(x)
    here, there = _Spread.of(x), _Spread.of(y)
    return {"ridge": _ridge(here, there, across, centres), "cca": _cca(here, there, across, centres)}


@dataclass(frozen=True)
class _Spread:
    """The second moments of one side by their eigenvectors: powers of them, with any penalty, are a product away."""

    values: Array
    vectors: Array

    @classmethod
    def of(cls, centred: Array) -> _Spread:
        return cls(*np.linalg.eigh(centred.T @ centred / len(centred)))

    def power(self, exponent: float, penalty: float) -> Array:
        """(moments + penalty × mean variance × I) to a negative power."""
        size = self.values.clip(min=0.0)
        raised: Array = (self.vectors * (size + penalty * size.mean() + 1e-12) ** exponent) @ self.vectors.T
        return raised


def _ridge(here: _Spread, there: _Spread, across: Array, centres: tuple[Array, Array]) -> list[LinearMap]:
    """Ridge regressions of either side on the other (Hoerl and Kennard, 1970)."""
    found = []
    for penalty in PENALTIES:
        forth, back = here.power(-1.0, penalty) @ across, there.power(-1.0, penalty) @ across.T
        found.append(LinearMap(forth, np.eye(len(there.values)), centres, f"left to right, penalty {penalty:g}"))
        found.append(LinearMap(np.eye(len(here.values)), back, centres, f"right to left, penalty {penalty:g}"))
    return found


def _cca(here: _Spread, there: _Spread, across: Array, centres: tuple[Array, Array]) -> list[LinearMap]:
    """Canonical correlations with a penalty (Hotelling, 1936; Vinod, 1976), weighted by the root of the correlation."""
    found = []
    for penalty in PENALTIES:
        a, b = here.power(-0.5, penalty), there.power(-0.5, penalty)
        u, correlations, v = np.linalg.svd(a @ across @ b, full_matrices=False)
        for width in dict.fromkeys(min(width, len(correlations)) for width in CANONICAL):
            weight = np.sqrt(correlations[:width].clip(0.0, 1.0))
            note = f"{width} directions, penalty {penalty:g}"
            found.append(LinearMap(a @ u[:, :width] * weight, b @ v[:width].T * weight, centres, note))
    return found


def _unit(vectors: Array) -> Array:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Array = (vectors / np.where(length > 0, length, 1.0)).astype(np.float32)
    return unit
