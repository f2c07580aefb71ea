"""Run in a peer's own environment (NumPy, SciPy and the peer; no tuwen): ``python worker.py PACKAGE JOBS.json``.

Each job names a folder of what was known at a cut, a peer of ``packages/of_PACKAGE.py`` with its options, how many of
the latest days it learns from, and where its lists go: ``NAME.npz`` and, once that is whole, ``NAME.json``. A job that
fails is told there; the others go on.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

NOTHING = -1


class Known:
    """What a peer may know at a cut.

    Attributes:
        shopper, item: int64 [events], positions; ``day``: f64 [events].
        shoppers, items: how many there are.
        asked: int64 [asked], shoppers for whom lists are wanted.
        vectors: f32 [items, width], all kinds side by side.
        facts: int32 [items, columns], levels from 1; 0 is missing.
    """

    def __init__(self, folder: Path, days: float | None = None) -> None:
        with np.load(folder / "known.npz", allow_pickle=False) as file:
            told = {name: file[name] for name in file.files}
        kept = told["day"] >= float(told["now"]) - (np.inf if days is None else days)
        self.shopper, self.item, self.day = (told[name][kept] for name in ("shopper", "item", "day"))
        self.had = sparse.csr_matrix(
            (np.ones(len(kept), np.float32), (told["shopper"], told["item"])),
            (int(told["shoppers"]), int(told["items"])),
        )
        self.shoppers, self.items, self.asked = int(told["shoppers"]), int(told["items"]), told["asked"]
        self.vectors, self.facts, self.depth = told["vectors"], told["facts"], int(told["depth"])

    @property
    def counts(self) -> sparse.csr_matrix:
        """How often whom bought what, f32 [shoppers, items]."""
        ones = np.ones(len(self.item), np.float32)
        found = sparse.csr_matrix((ones, (self.shopper, self.item)), (self.shoppers, self.items))
        found.sum_duplicates()
        return found

    def compact(self) -> tuple[sparse.csr_matrix, np.ndarray, np.ndarray]:
        """``counts`` of those shoppers and items alone that have events; their positions."""
        who, what = np.unique(self.shopper), np.unique(self.item)
        return self.counts[who][:, what].tocsr(), who, what

    def spread(self, score: Callable[[np.ndarray], np.ndarray], who: np.ndarray, what: np.ndarray) -> np.ndarray:
        """f32 [asked, items], minus infinity where a peer says nothing.

        Args:
            score: rows of :meth:`compact` → f32 [rows, what].
        """
        found = np.full((len(self.asked), self.items), -np.inf, np.float32)
        place = np.minimum(np.searchsorted(who, self.asked), len(who) - 1)
        there = np.flatnonzero(who[place] == self.asked)
        if len(there):
            found[there[:, None], what] = score(place[there])
        return found


def lists(known: Known, scores: np.ndarray) -> dict[str, np.ndarray]:
    """``again``: the best of all items; ``new``: of those that a shopper never bought; int64 [asked, depth].

    A shopper of whom a peer knows nothing gets what was bought most in its days, so that no peer loses by that.
    """
    scores = np.where(np.isnan(scores), -np.inf, scores)
    unknown = ~np.isfinite(scores).any(axis=1)
    often = np.bincount(known.item, minlength=known.items).astype(np.float32)
    scores[unknown] = np.where(often > 0, often, -np.inf)
    found = {"again": _best(scores, known.depth)}
    had = known.had[known.asked].tocoo()
    scores[had.row, had.col] = -np.inf
    return found | {"new": _best(scores, known.depth)}


def _best(scores: np.ndarray, depth: int) -> np.ndarray:
    """Equal ones in their own order."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :depth]
    found = np.full((len(scores), depth), NOTHING, np.int64)
    found[:, : order.shape[1]] = np.where(np.isfinite(np.take_along_axis(scores, order, axis=1)), order, NOTHING)
    return found


def work(peers: Any, job: dict[str, Any]) -> dict[str, Any]:
    """One job done; what is told of it."""
    began = time.process_time()
    try:
        known = Known(Path(job["cut"]), job["days"])
        scores = getattr(peers, job["peer"])(known, **job["options"])
        half = Path(job["out"]).with_suffix(".half.npz")
        np.savez(half, **lists(known, np.asarray(scores, np.float32)))
        half.replace(Path(job["out"]).with_suffix(".npz"))
    except Exception as error:  # whatever a foreign package raises is told, and is no reason to stop
        last = traceback.extract_tb(error.__traceback__)[-1]
        said = f"{type(error).__name__}: {error} ({Path(last.filename).name}:{last.lineno})"
        return {"error": said[:500], "seconds": round(time.process_time() - began, 2)}
    return {"error": None, "seconds": round(time.process_time() - began, 2)}


def main() -> None:
    package, jobs = sys.argv[1], json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
    peers = importlib.import_module(f"packages.of_{package}")
    for job in jobs:
        told = work(peers, job)
        out = Path(job["out"])
        half = out.with_suffix(".half.json")
        half.write_text(json.dumps(told), encoding="utf-8")
        half.replace(out.with_suffix(".json"))
        print(f"{out.name}: {told['error'] or 'done'}, {told['seconds']} s", flush=True)


if __name__ == "__main__":
    main()
