"""Find the data of a shopper in promoted parts: rows of the tables, and each recommender's history."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from tuwen.apps.recommend.shelf import Shelf
from tuwen.apps.storefront.columns import jsonable
from tuwen.apps.storefront.parts import Parts
from tuwen.data.dataset import Dataset

TABLES = ("users", "reviews", "events")
Rows = list[dict[str, Any]]


def promoted(parts: Parts, user: str) -> dict[str, Rows]:
    """Part → rows of a shopper: ``dataset.TABLE`` as collect wrote them, ``recommender.history`` and
    ``recommender.columns`` of what a bundle learned from, ``experiment.…`` of the other one.
    """
    rows: dict[str, Rows] = {}
    if parts.dataset is not None:
        for table in TABLES:
            rows[f"dataset.{table}"] = _of_table(parts.dataset, table, user)
    for name, part in (("recommender", parts.recommender), ("experiment", parts.other)):
        if part is not None:
            rows[f"{name}.history"], rows[f"{name}.columns"] = _of_shelf(part.shelf, user)
    return rows


def _of_table(dataset: Dataset, name: str, user: str) -> Rows:
    if not dataset.has(name) or "user" not in dataset.table(name).columns:
        return []
    rows = dataset.table(name).filter(pl.col("user") == user).to_dicts()
    return [{k: jsonable(v) for k, v in row.items() if v is not None} for row in rows]


def _of_shelf(shelf: Shelf, user: str) -> tuple[Rows, Rows]:
    """What she bought, with its day since 1970, and the columns of users that the recommender reads of her."""
    position = shelf.position(user)
    if position is None:
        return [], []
    history, shoppers = shelf.history, shelf.history.shoppers
    events = [
        {
            "item": str(shelf.catalogue.items[history.item[event]]),
            "day": float(history.day[event]),
            **({} if np.isnan(history.value[event]) else {"value": float(history.value[event])}),
        }
        for event in np.flatnonzero(history.shopper == position)
    ]
    numbers = {name: float(column[position]) for name, column in shoppers.numbers.items()}
    levels = {
        name: str(shoppers.levels[name][level - 1])
        for name, column in shoppers.categories.items()
        if (level := int(column[position]))
    }
    return events, [{name: value for name, value in numbers.items() if not np.isnan(value)} | levels]
