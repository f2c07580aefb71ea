"""Vectors and their neighbours by inner product: exact, or approximate (HNSW; Malkov and Yashunin, 2018), by faiss.

Both keep one contract, and both can be read from disk as a memory map that processes share.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tuwen.errors import DataError, MissingExtra

Array = npt.NDArray[Any]
Kind = Literal["auto", "exact", "approximate"]
EXACT_UP_TO = 50_000  # vectors: above, ``auto`` is approximate
NOTHING = -1
LINKS, BUILD_WIDTH = 32, 80
WIDTHS = (
    12,
    16,
    20,
    24,
    32,
    48,
    64,
    80,
    96,
    128,
    160,
    192,
    256,
    384,
    512,
    1024,
)  # of the search, one of which is chosen
RECALL, PROBES, BLUR = 0.99, 256, 0.5  # found of 10 neighbours, asked near so many of the vectors, so far from them
FEW = 0.1  # share of allowed vectors below which looking at each of them is faster, and exact


class Vectors:
    """The vectors of some rows.

    Args:
        index: a faiss index over them, flat or HNSW.
        rows: int64 [vectors], rising: the row of each vector. A row without one is never found.
    """

    def __init__(self, index: Any, rows: Array) -> None:
        self.index, self.rows = index, rows
        self.exact = not hasattr(index, "hnsw")
        self._every = len(rows) > 0 and int(rows[-1]) == len(rows) - 1  # then a vector's number is its row's
        self._flat = index if self.exact else faiss().downcast_index(index.storage)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def width(self) -> int:
        return int(self.index.d)

    @classmethod
    def of(cls, vectors: Array, *, kind: Kind = "auto") -> Vectors:
        """From f32 [rows, width]; a row of zeros has no vector. Neighbours are by inner product: scale them before.

        Raises:
            DataError: a number that is not finite.
        """
        if not np.isfinite(vectors).all():
            raise DataError("a vector holds a number that is not finite")
        rows = np.flatnonzero(vectors.any(axis=1)).astype(np.int64)
        kept = np.ascontiguousarray(vectors[rows], np.float32)
        width = vectors.shape[1]
        if kind == "exact" or (kind == "auto" and len(kept) <= EXACT_UP_TO):
            index = faiss().IndexFlatIP(width)
        else:
            index = faiss().IndexHNSWFlat(width, LINKS, faiss().METRIC_INNER_PRODUCT)
            index.hnsw.efConstruction = BUILD_WIDTH
        index.add(kept)
        made = cls(index, rows)
        if not made.exact and len(kept):
            index.hnsw.efSearch = made._width(kept)
        return made

    def _width(self, vectors: Array) -> int:
        """The narrowest search that finds enough of the true neighbours; faiss keeps it in its file."""
        rng = np.random.default_rng(0)
        probes = vectors[rng.choice(len(vectors), min(PROBES, len(vectors)), replace=False)]
        noise = rng.standard_normal(probes.shape).astype(np.float32)
        size = BLUR * np.linalg.norm(probes, axis=1, keepdims=True) / np.linalg.norm(noise, axis=1, keepdims=True)
        probes = probes + size * noise
        truth = self._flat.search(probes, 10)[1]
        for width in WIDTHS[:-1]:
            found = self.index.search(probes, 10, params=faiss().SearchParametersHNSW(efSearch=width))[1]
            if (
                np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found.tolist(), truth.tolist(), strict=True)])
                >= RECALL
            ):
                return width
        return WIDTHS[-1]

    def save(self, path: Path) -> None:
        faiss().write_index(self.index, str(path))

    @classmethod
    def read(cls, path: Path, rows: Array) -> Vectors:
        """From a file of :meth:`save`, memory-mapped.

        Raises:
            DataError: it cannot be read, or holds another number of vectors than there are rows.
        """
        try:
            index = faiss().read_index(str(path), faiss().IO_FLAG_MMAP_IFC)
        except RuntimeError as error:
            raise DataError("the vectors of an index cannot be read", where=str(path), seen=error) from None
        if index.ntotal != len(rows):
            raise DataError("the vectors of an index are of other rows", where=str(path), seen=index.ntotal)
        return cls(index, rows)

    def nearest(self, queries: Array, count: int, allowed: Array | None = None) -> tuple[Array, Array]:
        """(int64 [queries, count] rows, f32 scores), best first; -1 and -inf where there are fewer.

        Args:
            queries: f32 [queries, width].
            allowed: bool [rows]; only these are found.
        """
        queries = np.ascontiguousarray(queries, np.float32)
        if not len(self.rows):
            return np.full((len(queries), count), NOTHING), np.full((len(queries), count), -np.inf, np.float32)
        kept = None if allowed is None else allowed[self.rows]
        if kept is not None and kept.all():
            kept = None
        scores, found = self._search(queries, min(count, len(self.rows)), kept)
        if self._every and found[0, -1] != NOTHING and len(found) == 1 and found.shape[1] == count:
            return found, scores
        rows = np.where(found == NOTHING, NOTHING, self.rows[found])
        scores[found == NOTHING] = -np.inf
        short = count - rows.shape[1]
        if short:
            rows = np.pad(rows, ((0, 0), (0, short)), constant_values=NOTHING)
            scores = np.pad(scores, ((0, 0), (0, short)), constant_values=-np.inf)
        return rows, scores

    def _search(self, queries: Array, count: int, kept: Array | None) -> tuple[Array, Array]:
        few = kept is not None and kept.mean() < FEW
        index = self._flat if few else self.index
        if kept is None and (self.exact or index.hnsw.efSearch >= 2 * count):
            return index.search(queries, count)
        # the selector must live as long as the search
        selector = None if kept is None else faiss().IDSelectorBitmap(np.packbits(kept, bitorder="little"))
        if self.exact or few:
            options = faiss().SearchParameters(sel=selector)
        else:
            options = faiss().SearchParametersHNSW(efSearch=max(int(self.index.hnsw.efSearch), 2 * count), sel=selector)
        return index.search(queries, count, params=options)

    def take(self, rows: Array) -> Array:
        """The vectors of some rows, f32 [rows, width]; zeros where a row has none."""
        out = np.zeros((len(rows), self.width), np.float32)
        if not len(self.rows):
            return out
        at = np.minimum(np.searchsorted(self.rows, rows), len(self.rows) - 1)
        known = self.rows[at] == rows
        if known.any():
            out[known] = self._flat.reconstruct_batch(at[known])
        return out


def faiss() -> Any:
    """The library.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        import faiss as library
    except ImportError:
        raise MissingExtra("search", "an index of vectors") from None
    return library
