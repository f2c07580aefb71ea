"""Write a run of the task rank for a dataset: which events count, over how many days, through which retrievers."""

from __future__ import annotations

from typing import Any

import polars as pl

from tuwen.data.behaviour import SEEN_ONLY, is_return_kind
from tuwen.data.dataset import Dataset
from tuwen.errors import DataError
from tuwen.workflow.composing_predictor import Encoders, has_pictures, is_filled, plain_columns

LEAST_EVENTS = 200
LEAST_DAYS = 14.0
CUTS = 3  # moments at which the lists are judged
HORIZON = 28.0  # days that are judged after each
HISTORY = 4.0  # horizons of history that a moment needs
MOST_EASE = 5000  # items; EASE inverts a matrix of their square
DAY = 86_400_000_000  # microseconds
SHOWN_ONLY = {"impression", "search"}  # kinds of events that say nothing of an item
LIKED = 0.75  # of the range of ratings: 4 of 1 to 5
LEAST_AGAIN = 0.01  # of events that must be of an item the shopper had before, for lists to hold such items


def recommender_run(dataset: Dataset, encoders: Encoders) -> tuple[dict[str, Any], list[str]]:
    """A run that recommends, as RUN.yaml has it, and notes on what it takes for a wish.

    Raises:
        DataError: no events and no reviews that would do as events; too few, or of too few days.
    """
    events, rows, notes = _events(dataset)
    days = _span(rows)
    horizon = min(HORIZON, float(int(days / (CUTS + 1 + 2 * HISTORY)) or 1))
    items = dataset.table("items")
    modalities = _modalities(items, encoders)
    retrievers: dict[str, Any] = {
        "bought lately": {"use": "popularity", "half_life": 30},
        "bought before": "again",
        "bought together": "item-knn",
    }
    if len(items) <= MOST_EASE:
        retrievers["ease"] = "ease"
    if is_filled(items, "category"):
        retrievers["favourite categories"] = {"use": "favourites", "column": "items.category"}
    retrievers |= {f"near by {kind}": {"use": "content", "kind": kind} for kind in modalities}
    facts = [f"items.{name}" for name in plain_columns(items)]
    if "favourite categories" in retrievers and "items.category" not in facts:
        facts.insert(0, "items.category")
    shoppers = plain_columns(dataset.table("users")) if dataset.has("users") else []
    run: dict[str, Any] = {
        "name": "recommendations",
        "task": {"use": "rank", "depth": 20, "horizon": horizon},
        "events": events,
        **({"modalities": modalities} if modalities else {}),
        **({"facts": facts} if facts else {}),
        **({"shoppers": [f"users.{name}" for name in shoppers]} if shoppers else {}),
        "retrievers": retrievers,
        "windows": {"least": min(120.0, HISTORY * horizon), "negatives": 100},
        "rules": {"again": _again(rows)},
        "split": {"use": "rolling", "cuts": CUTS},
    }
    return run, notes


def _modalities(items: pl.DataFrame, encoders: Encoders) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if encoders.picture is not None and has_pictures(items):
        found["picture"] = {"use": "image", "columns": ["items.images"], "encoder": encoders.picture}
    columns = [f"items.{name}" for name in ("title", "description") if is_filled(items, name)]
    if encoders.text is not None and columns:
        found["text"] = {"use": "text", "columns": columns, "encoder": encoders.text}
    return found


def _events(dataset: Dataset) -> tuple[dict[str, Any], pl.DataFrame, list[str]]:
    """The section ``events`` of the run, the rows that it means, and notes."""
    reasons = []
    for read in (_sales, _clicks, _liked):
        try:
            return read(dataset)
        except DataError as error:
            reasons.append(f"{error.what} ({error.seen})" if error.seen else error.what)
    raise DataError(
        "there are no events to learn from",
        seen="; ".join(dict.fromkeys(reasons)),
        allowed=f"{LEAST_EVENTS} or more of known items, with user and time, over {LEAST_DAYS:g} days or more",
        todo="map events in SHOP.yaml, and collect again",
    )


def _sales(dataset: Dataset) -> tuple[dict[str, Any], pl.DataFrame, list[str]]:
    return _of_kinds(dataset, "sales", lambda kind: kind not in SEEN_ONLY, [])


def _clicks(dataset: Dataset) -> tuple[dict[str, Any], pl.DataFrame, list[str]]:
    note = "too few sales: views, clicks and carts count as well"
    return _of_kinds(dataset, "events", lambda kind: kind not in SHOWN_ONLY, [note])


def _of_kinds(dataset: Dataset, name: str, wanted: Any, notes: list[str]) -> Any:
    if not dataset.has("events"):
        raise DataError("the dataset has no events")
    table = dataset.table("events")
    kinds = [one for one in table["kind"].drop_nulls().unique().sort().to_list() if not is_return_kind(one)]
    kinds = [kind for kind in kinds if wanted(kind)]
    rows = _enough(dataset, table.filter(pl.col("kind").is_in(kinds)), name)
    told = ["kind = '{}'".format(kind.replace("'", "''")) for kind in kinds]
    return {"where": " or ".join(told)}, rows, notes


def _liked(dataset: Dataset) -> tuple[dict[str, Any], pl.DataFrame, list[str]]:
    """Reviews with a good rating as events; every review where none has one."""
    if not dataset.has("reviews"):
        raise DataError("the dataset has no reviews")
    table = dataset.table("reviews")
    if "rating" not in table.columns or not table["rating"].is_not_null().any():
        return {"table": "reviews"}, _enough(dataset, table, "reviews"), ["every review counts as a purchase"]
    low, high = (float(one) for one in (table["rating"].min(), table["rating"].max()))  # type: ignore[arg-type]
    least = low + LIKED * (high - low)
    rows = _enough(dataset, table.filter(pl.col("rating") >= least), f"reviews with a rating of {least:g} or more")
    return {"table": "reviews", "where": f"rating >= {least:g}"}, rows, [f"reviews with rating >= {least:g} count"]


def _enough(dataset: Dataset, table: pl.DataFrame, name: str) -> pl.DataFrame:
    """The rows that tell who took which known item and when."""
    missing = [column for column in ("user", "item", "time") if column not in table.columns]
    if missing:
        raise DataError(f"{name} have no {' and '.join(missing)}")
    rows = table.select("user", "item", "time").drop_nulls()
    rows = rows.filter(pl.col("item").is_in(dataset.table("items")["item"].implode()))
    if len(rows) < LEAST_EVENTS:
        raise DataError(f"too few {name}", seen=f"{len(rows):,}")
    if _span(rows) < LEAST_DAYS:
        raise DataError(f"{name} of too few days", seen=f"{_span(rows):.1f}")
    return rows


def _span(rows: pl.DataFrame) -> float:
    """Days from the first to the last."""
    day = rows["time"].cast(pl.Int64).to_numpy() / DAY
    return float(day.max() - day.min()) if len(day) else 0.0


def _again(rows: pl.DataFrame) -> bool:
    """Whether shoppers take the same item more than once."""
    return 1 - rows.select("user", "item").n_unique() / len(rows) >= LEAST_AGAIN
