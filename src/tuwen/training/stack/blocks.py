"""The features of each modality as one matrix, and linear maps of them as projections."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from tuwen.models.stack.projection import Projection
from tuwen.preprocess.spec import ArraySpec
from tuwen.training.batches import Examples, batch_of

Matrix = Any  # np.ndarray f32 or scipy.sparse.csr_matrix f32, [rows, features]

WIDEST_DENSE = 400  # categories of a table that are laid out as zeros and ones; more make a sparse matrix
COMPONENTS = 64  # compact features of a modality, at most
MOST_SPANNING = 3000  # rows of which the spanned space is looked for


@dataclass(frozen=True)
class Block:
    """The features of one modality over all rows.

    Attributes:
        spec: of the modality's arrays.
        matrix: [rows, features]; zeros where the modality is absent.
        present: bool [rows].
        centre, scale: f32 [numbers]: numbers of arrays are (x − centre) · scale in the matrix. Of tables and bags 0, 1.
        basis: where there are fewer rows than features, the matrix holds the rows in the space that they span, and a
            map of the features is basis @ (map of the matrix). Ridge penalties are the same in both.
    """

    spec: ArraySpec
    matrix: Matrix
    present: np.ndarray
    centre: np.ndarray
    scale: np.ndarray
    basis: Matrix | None = None

    @property
    def width(self) -> int:
        return int(self.matrix.shape[1])

    def load(self, projection: Projection, weight: np.ndarray, columns: slice) -> None:
        """Write a map of the matrix, f32 [features, numbers], into some columns of a projection."""
        if self.basis is not None:
            weight = np.asarray(self.basis @ weight)
        weight = weight.astype(np.float32)
        if self.spec.kind == "bag":
            projection.get_buffer("grams")[:, columns] = torch.from_numpy(weight)
            return
        numbers = len(self.centre)
        mapped = weight[:numbers] * self.scale[:, None]
        name = "numbers" if self.spec.kind == "table" else "vector"
        projection.get_buffer(name)[:, columns] = torch.from_numpy(mapped)
        projection.get_buffer("bias")[columns] = torch.from_numpy(-(self.centre @ mapped))
        start = numbers
        for i, size in enumerate(self.spec.sizes if self.spec.kind == "table" else ()):
            projection.get_buffer(f"category{i}")[1:, columns] = torch.from_numpy(weight[start : start + size - 1])
            start += size - 1


def blocks_of(examples: Examples, specs: Mapping[str, ArraySpec], fitting: np.ndarray) -> dict[str, Block]:
    """The block of each modality, its scale fitted on the rows ``fitting``."""
    rows = np.arange(len(examples))
    blocks = {}
    for name in sorted(examples.inputs):
        batch = batch_of(Examples({name: examples.inputs[name]}, examples.targets), rows)
        blocks[name] = _reduced(_block(specs[name], batch.arrays[name], batch.present[name], fitting))
    return blocks


def _reduced(block: Block) -> Block:
    """The same rows in the space that they span, where that is much smaller: X = Z Bᵀ with orthonormal B."""
    rows, features = block.matrix.shape
    if rows > MOST_SPANNING or 2 * rows > features:
        return block
    matrix = block.matrix
    product = matrix @ matrix.T
    values, vectors = np.linalg.eigh(
        np.asarray(product.toarray() if hasattr(product, "toarray") else product, np.float64)
    )
    positive = values > max(values[-1], 0) * 1e-7
    values, vectors = values[positive][::-1], vectors[:, positive][:, ::-1]
    coordinates = (vectors * np.sqrt(values)).astype(np.float32)
    basis = np.asarray(matrix.T @ (vectors / np.sqrt(values)), np.float32)
    return replace(block, matrix=coordinates, basis=basis)


def _block(spec: ArraySpec, arrays: dict[str, np.ndarray], present: np.ndarray, fitting: np.ndarray) -> Block:
    if spec.kind == "bag":
        return Block(
            spec, _bag(arrays, spec.sizes[0], present), present, np.zeros(0, np.float32), np.ones(0, np.float32)
        )
    if spec.kind == "table":
        numbers = len(arrays["numbers"][0]) if len(present) else 0
        matrix = _table(arrays, spec.sizes, present)
        return Block(spec, matrix, present, np.zeros(numbers, np.float32), np.ones(numbers, np.float32))
    vector = arrays["vector"]
    if spec.set_size:
        count = np.maximum(arrays["mask"].sum(axis=1, keepdims=True), 1)
        vector = (vector * arrays["mask"][:, :, None]).sum(axis=1) / count
    sample = vector[fitting[present[fitting]]]
    if not len(sample):
        sample = np.zeros((1, vector.shape[1]), np.float32)
    centre, spread = sample.mean(axis=0), sample.std(axis=0)
    scale = np.where(spread > 1e-6, 1 / np.maximum(spread, 1e-6), 0.0) / np.sqrt(vector.shape[1])
    matrix = ((vector - centre) * scale).astype(np.float32)
    matrix[~present] = 0
    return Block(spec, matrix, present, centre.astype(np.float32), scale.astype(np.float32))


def _bag(arrays: dict[str, np.ndarray], vocabulary: int, present: np.ndarray) -> Matrix:
    from scipy.sparse import csr_matrix

    ids, weights = arrays["ids"], np.where(present[:, None], arrays["weights"], 0).astype(np.float32)
    used = weights != 0
    counts = np.concatenate([[0], np.cumsum(used.sum(axis=1))])
    return csr_matrix((weights[used], ids[used], counts), shape=(len(ids), vocabulary))


def _table(arrays: dict[str, np.ndarray], sizes: tuple[int, ...], present: np.ndarray) -> Matrix:
    """Numbers, then zeros and ones for each category but the unknown one."""
    from scipy import sparse

    rows = np.arange(len(present))
    numbers = np.where(present[:, None], arrays["numbers"], 0).astype(np.float32)
    parts = [sparse.csr_matrix(numbers)]
    for i, size in enumerate(sizes):
        ids = np.where(present, arrays["categories"][:, i], 0)
        named = ids > 0
        ones = np.ones(int(named.sum()), np.float32)
        parts.append(sparse.csr_matrix((ones, (rows[named], ids[named] - 1)), shape=(len(rows), size - 1)))
    matrix = sparse.hstack(parts, format="csr", dtype=np.float32)
    return matrix if sum(sizes) > WIDEST_DENSE else matrix.toarray()


def compact_map(block: Block, fitting: np.ndarray, seed: int) -> np.ndarray:
    """A map f32 [features, k ≤ 64] to compact features: main axes, or the features themselves where they are few."""
    if not block.width:  # a table of one category
        return np.zeros((0, 1), np.float32)
    if block.width <= COMPONENTS:
        return np.eye(block.width, dtype=np.float32)
    from scipy.sparse import issparse
    from scipy.sparse.linalg import svds

    rows = fitting[block.present[fitting]]
    k = min(COMPONENTS, len(rows) - 1, block.width - 1)
    if k < 1:
        return np.zeros((block.width, 1), np.float32)
    if issparse(block.matrix):
        _, _, axes = svds(block.matrix[rows], k=k, rng=seed, solver="arpack")
        axes = axes[::-1]
    else:
        _, vectors = np.linalg.eigh(block.matrix[rows].T @ block.matrix[rows])
        axes = vectors[:, ::-1][:, :k].T
    axes = axes * np.sign(axes[np.arange(k), np.abs(axes).argmax(axis=1)])[:, None]  # the same way round each time
    compact = block.matrix[rows] @ axes.T
    size = float(np.sqrt(np.mean(np.var(compact, axis=0)))) or 1.0
    return np.asarray(axes.T / size, np.float32)
