"""Photo search judged: how many of the first hits are of the kind that the photo shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tuwen.apps.search import Question
from tuwen.data.dataset import Dataset
from tuwen.data.examples import first_picture
from tuwen.errors import DataError
from tuwen.evaluation.intervals import interval, resample_weights
from tuwen.files import write_json
from tuwen.index.filters import Condition, column_type, mask
from tuwen.progress import Progress, Silent
from tuwen.workflow.asking import open_search


def judge_photos(
    folder: str | Path,
    dataset: str | Path,
    out: str | Path,
    progress: Progress | None = None,
    *,
    label: str,
    where: Sequence[str],
    depth: int = 10,
    samples: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Ask an index with the photos of some items of a dataset and write ``out/report.json``.

    Args:
        label: column of the items; a hit is right where it is that of the photo's item.
        where: conditions of the items whose photos are asked with; they must not be in the index.
        depth: hits that are judged.

    Raises:
        ConfigError: no such column. DataError: no item with a photo, or one that is in the index.
    """
    progress, opened, searcher = progress or Silent(), Dataset.open(dataset), open_search(folder)
    items = opened.table("items")
    column_type(items, label)
    items = items.filter(pl.Series(mask(items, [Condition.read(text) for text in where]), dtype=pl.Boolean))
    items = items.filter(pl.Series([key is not None for key in first_picture(items, ["images"])], dtype=pl.Boolean))
    if not len(items):
        raise DataError("no item with a photo meets the conditions", where=str(dataset), seen=", ".join(where))
    inside = [item for item in items["item"].to_list() if searcher.index.snapshot.row_of(item) is not None]
    if inside:
        raise DataError("an item that is asked with is in the index", where=str(folder), seen=inside[0])
    right = np.zeros((len(items), depth))
    pairs = zip(items["images"].list.first().to_list(), items[label].to_list(), strict=True)
    with progress.task("photos", len(items)) as bar:
        for at, (key, kind) in enumerate(pairs):
            hits = searcher.search(Question(picture=opened.media.read(key), size=depth))["hits"]
            right[at, : len(hits)] = [hit[label] == kind for hit in hits]
            bar.advance()
    figures = {f"precision@{depth}": right.mean(axis=1), "precision@1": right[:, 0]}
    drawn = list(resample_weights(len(items), samples, seed))
    metrics = {}
    for name, values in figures.items():
        means = np.concatenate([values @ weights / weights.sum(axis=0) for weights in drawn])
        metrics[name] = asdict(interval(float(values.mean()), means))
    report = {
        "task": "photo search",
        "primary": f"precision@{depth}",
        "label": label,
        "photos": len(items),
        "items": len(searcher.index.snapshot),
        "bootstrap": {"samples": samples, "seed": seed, "over": "photos"},
        "metrics": metrics,
        "provenance": {"dataset": opened.hash, "recipe": searcher.index.settings["recipe"], "where": list(where)},
    }
    Path(out).mkdir(parents=True, exist_ok=True)
    write_json(Path(out) / "report.json", report)
    return report
