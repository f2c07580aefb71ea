"""Neighbours by inner product: exact is numpy, approximate is nearly so; filters, files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tuwen.errors import DataError
from tuwen.index.vectors import Kind, Vectors


def clustered(rows: int, width: int = 32, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(7).standard_normal((100, width))
    found = centres[rng.integers(0, len(centres), rows)] + 0.4 * rng.standard_normal((rows, width))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def oracle(vectors: np.ndarray, queries: np.ndarray, count: int, allowed: np.ndarray | None = None) -> np.ndarray:
    scores = queries @ vectors.T
    if allowed is not None:
        scores[:, ~allowed] = -np.inf
    return np.argsort(-scores, axis=1, kind="stable")[:, :count]


def overlap(found: np.ndarray, expected: np.ndarray) -> float:
    return float(
        np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(found.tolist(), expected.tolist(), strict=True)])
    )


@pytest.mark.parametrize("share", [1.0, 0.5, 0.02])
def test_exact_is_numpy(share: float) -> None:
    vectors, queries = clustered(3000), clustered(20, seed=1)
    allowed = np.random.default_rng(2).random(3000) < share
    rows, scores = Vectors.of(vectors, kind="exact").nearest(queries, 10, allowed)
    expected = oracle(vectors, queries, 10, allowed)
    assert overlap(rows, expected) == 1.0
    np.testing.assert_allclose(scores, np.take_along_axis(queries @ vectors.T, rows, axis=1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("share", [1.0, 0.5, 0.02])
def test_approximate_finds_99_of_100(share: float) -> None:
    vectors, queries = clustered(5000), clustered(100, seed=1)
    allowed = np.random.default_rng(2).random(5000) < share
    rows, _ = Vectors.of(vectors, kind="approximate").nearest(queries, 10, allowed)
    assert allowed[rows].all()
    assert overlap(rows, oracle(vectors, queries, 10, allowed)) >= 0.99


@pytest.mark.parametrize("kind", ["exact", "approximate"])
def test_a_row_without_a_vector_is_never_found_and_short_answers_are_filled(kind: Kind, tmp_path: Path) -> None:
    vectors = -clustered(6)
    vectors[2] = 0.0
    made = Vectors.of(vectors, kind=kind)
    made.save(tmp_path / "v.faiss")
    for one in (made, Vectors.read(tmp_path / "v.faiss", made.rows)):
        rows, scores = one.nearest(-vectors[:1], 8)
        assert sorted(rows[0].tolist()) == [-1, -1, -1, 0, 1, 3, 4, 5]
        assert np.isneginf(scores[0, 5:]).all()
        np.testing.assert_array_equal(one.take(np.array([5, 2, 0])), vectors[[5, 2, 0]])
        nothing, _ = one.nearest(vectors[:1], 3, np.zeros(6, bool))
        assert (nothing == -1).all()


def test_no_vectors_at_all() -> None:
    empty = Vectors.of(np.zeros((4, 8), np.float32))
    assert (empty.nearest(np.ones((1, 8)), 2)[0] == -1).all()
    assert not empty.take(np.array([1])).any()


def test_numbers_that_are_none_are_refused() -> None:
    with pytest.raises(DataError, match="not finite"):
        Vectors.of(np.array([[1.0, np.nan]], np.float32))


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "v.faiss").write_bytes(b"no index")
    with pytest.raises(DataError, match="cannot be read"):
        Vectors.read(tmp_path / "v.faiss", np.arange(3))
    Vectors.of(clustered(5)).save(tmp_path / "v.faiss")
    with pytest.raises(DataError, match="other rows"):
        Vectors.read(tmp_path / "v.faiss", np.arange(3))
