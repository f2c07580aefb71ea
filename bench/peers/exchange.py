"""What a peer is told of a cut, as plain arrays in a folder, and its lists on the way back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from tuwen.apps.recommend.history import Array, Catalogue
from tuwen.errors import DataError
from tuwen.evaluation.ranking import Chosen, figures
from tuwen.workflow.cuts import Held

CLOSED = ".json"  # stands beside lists that are whole


def write_known(folder: Path, held: Held, depth: int) -> Path:
    """``known.npz``: events before the cut, who is asked for, and what the catalogue tells. No purchase after it."""
    folder.mkdir(parents=True, exist_ok=True)
    known, catalogue = held.known, held.known.catalogue
    np.savez(
        folder / "known.npz",
        shopper=known.shopper,
        item=known.item,
        day=known.day,
        now=known.now,
        shoppers=known.shoppers.count,
        items=len(catalogue),
        asked=held.who,
        depth=depth,
        vectors=_vectors(catalogue),
        facts=np.stack([*catalogue.categories.values()], axis=1)
        if catalogue.categories
        else np.zeros((len(catalogue), 0), np.int32),
    )
    return folder


def _vectors(catalogue: Catalogue) -> Array:
    """f32 [items, width], all kinds side by side."""
    return np.concatenate([np.zeros((len(catalogue), 0), np.float32), *catalogue.vectors.values()], axis=1)


def told(out: Path) -> dict[str, Any] | None:
    """What a job said of itself; None where it has not ended."""
    file = out.with_suffix(CLOSED)
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None


def read_lists(out: Path, kind: str, held: Held, depth: int) -> Array:
    """int64 [asked, depth].

    Args:
        kind: ``again``, or ``new``: without what a shopper bought before.

    Raises:
        DataError: the lists are of other shoppers, or name items that do not exist.
    """
    with np.load(out.with_suffix(".npz"), allow_pickle=False) as file:
        lists = file[kind]
    if lists.shape != (len(held.who), depth) or lists.min() < -1 or lists.max() >= len(held.known.catalogue):
        raise DataError(
            "the lists are of other shoppers or items", where=str(out), seen=lists.shape, todo="remove it and go on"
        )
    return lists


def score(lists: list[Array], helds: list[Held], depth: int) -> float:
    """NDCG@depth over the lists of several cuts, pooled."""
    each = [
        figures(one, Chosen.of(held.bought), depth)[f"ndcg@{depth}"] for one, held in zip(lists, helds, strict=True)
    ]
    return float(np.concatenate(each).mean())
