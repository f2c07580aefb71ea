"""What a service kept, as files that collect reads."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl

from tuwen.store.moments import from_moment
from tuwen.store.store import Store

AT_ONCE = 50_000  # events in memory
EVENTS: dict[str, Any] = {
    "user": pl.String,
    "item": pl.String,
    "time": pl.Datetime("us"),
    "kind": pl.String,
    "quantity": pl.Float64,
    "value": pl.Float64,
    "session": pl.String,
    "position": pl.Int64,
    "query": pl.String,
    "channel": pl.String,
    "propensity": pl.Float64,
}


def export(store: Store, folder: Path) -> tuple[dict[str, str], frozenset[str]]:
    """Write ``events``, ``items`` and ``reviews`` (of feedback) as Parquet; empty ones are not written.

    Returns:
        table → file, and the items that were taken out of the shop.
    """
    tables: dict[str, str] = {}
    events = store.events.all()
    for number, chunk in enumerate(iter(lambda: list(islice(events, AT_ONCE)), [])):
        rows = [{name: _plain(name, row[name]) for name in EVENTS} for row in chunk]
        pl.DataFrame(rows, schema=EVENTS).write_parquet(folder / f"events-{number:05}.parquet")
        tables["events"] = "events-*.parquet"
    live, gone = [], set()
    for item in _items(store):
        if item.live:
            live.append({"item": item.item, **item.columns, "images": list(item.pictures)})
        else:
            gone.add(item.item)
    if live:
        frame = pl.DataFrame(live, infer_schema_length=None, strict=False)
        frame = frame.with_columns(pl.Series("images", [row["images"] for row in live], pl.List(pl.Binary)))
        frame.write_parquet(folder / "items.parquet")
        tables["items"] = "items.parquet"
    said = [
        {
            "review": row["feedback"],
            "user": row["user"],
            "item": row["item"],
            "time": _naive(row["time"]),
            "rating": row["rating"],
            "text": row["text"],
        }
        for row in store.people.said()
    ]
    if said:
        pl.DataFrame(said, infer_schema_length=None).write_parquet(folder / "reviews.parquet")
        tables["reviews"] = "reviews.parquet"
    return tables, frozenset(gone)


def _items(store: Store) -> Iterator[Any]:
    change = 0
    while found := store.items.since(change):
        yield from found
        change = found[-1].change


def _plain(name: str, value: Any) -> Any:
    return _naive(value) if name == "time" else value


def _naive(moment: int) -> datetime:
    return from_moment(moment).replace(tzinfo=None)
