"""Photo search judged: how many of the first hits are of the kind that the photo shows."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tuwen.apps.search import Question
from tuwen.data.dataset import Dataset
from tuwen.data.examples import first_picture
from tuwen.errors import DataError
from tuwen.index.filters import Condition, column_type, mask
from tuwen.progress import Progress, Silent
from tuwen.workflow.asking import open_search
from tuwen.workflow.search_reports import Shown, written


def judge_photos(
    folder: str | Path,
    dataset: str | Path,
    out: str | Path,
    progress: Progress | None = None,
    *,
    label: str,
    where: Sequence[str],
    depth: int = 10,
    shown: Shown | None = None,
) -> dict[str, Any]:
    """Ask an index with the photos of some items of a dataset and write ``out/report.json`` and ``out/report.html``.

    Args:
        label: column of the items; a hit is right where it is that of the photo's item.
        where: conditions of the items whose photos are asked with; they must not be in the index.
        depth: hits that are judged.
        shown: how the report is drawn.

    Raises:
        ConfigError: no such column. DataError: no item with a photo, or one that is in the index.
    """
    progress, opened, searcher = progress or Silent(), Dataset.open(dataset), open_search(folder)
    items = opened.table("items")
    column_type(items, label)
    items = items.filter(pl.Series(mask(items, Condition.read_all(where)), dtype=pl.Boolean))
    items = items.filter(pl.Series([key is not None for key in first_picture(items, ["images"])], dtype=pl.Boolean))
    if not len(items):
        raise DataError("no item with a photo meets the conditions", where=str(dataset), seen=", ".join(where))
    inside = [item for item in items["item"].to_list() if searcher.index.snapshot.row_of(item) is not None]
    if inside:
        raise DataError("an item that is asked with is in the index", where=str(folder), seen=inside[0])
    began = time.perf_counter()
    right = np.zeros((len(items), depth))
    shares = searcher.index.snapshot.table[label].value_counts(normalize=True)
    share = dict(zip(shares[label].to_list(), shares["proportion"].to_list(), strict=True))
    luck = np.array([share.get(kind, 0.0) for kind in items[label].to_list()])
    chance = {f"precision@{depth}": luck, "precision@1": luck}  # hits drawn at random
    pairs = zip(items["images"].list.first().to_list(), items[label].to_list(), strict=True)
    with progress.task("photos", len(items)) as bar:
        for at, (key, kind) in enumerate(pairs):
            hits = searcher.search(Question(picture=opened.media.read(key), size=depth))["hits"]
            right[at, : len(hits)] = [hit[label] == kind for hit in hits]
            bar.advance()
    return written(
        out,
        {"model": {f"precision@{depth}": right.mean(axis=1), "precision@1": right[:, 0]}, "chance": chance},
        searcher.index,
        shown or Shown(),
        began=began,
        model="model",
        task="photo-search",
        primary=f"precision@{depth}",
        found={"label": label, "where": list(where), "items": len(searcher.index.snapshot)},
        provenance={
            "data_hash": opened.hash,
            "split": f"asked with the photos of {len(items):,} items ({', '.join(where)}) that are not in the index",
        },
    )
