"""The four tables: their keys, their known columns, and what a value of each kind may be."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

TEXT_LIMIT = 100_000  # characters kept of a title, description or review
KEY_LIMIT = 512  # characters

Kind = Literal["id", "text", "number", "whole", "time", "media"]


@dataclass(frozen=True)
class Column:
    """One known column.

    Attributes:
        kind: id (str, stripped, at most KEY_LIMIT), text (str, cut at TEXT_LIMIT), number (f64), whole (i64), time
            (naive UTC datetime[us]) or media (list of media keys; which kind of media, :mod:`tuwen.data.kinds` says).
        low, high: the range of a number.
        scaled: whether values may name their scale, ``4/5`` (:mod:`tuwen.data.ratings`).
    """

    kind: Kind
    low: float = float("-inf")
    high: float = float("inf")
    scaled: bool = False


@dataclass(frozen=True)
class Table:
    """One table.

    Attributes:
        key: the columns that name a row; no row lacks one.
        columns: all known columns in their order.
        needed: what a row is worth nothing with a wrong value in. It may be missing, but a value that cannot be read
            rejects the row; in any other column beside the key it only empties the cell.
    """

    key: tuple[str, ...]
    columns: dict[str, Column] = field(default_factory=dict)
    needed: tuple[str, ...] = ()


TEXT, ID, TIME, MEDIA = Column("text"), Column("id"), Column("time"), Column("media")
MONEY = 1e12

TABLES = {
    "items": Table(
        ("item",),
        {
            "item": ID,
            "title": TEXT,
            "description": TEXT,
            "category": TEXT,
            "brand": TEXT,
            "price": Column("number", 0, MONEY),
            "images": MEDIA,
            "sounds": MEDIA,
            "shapes": MEDIA,
        },
    ),
    "users": Table(("user",), {"user": ID}),
    "reviews": Table(
        ("review",),
        {
            "review": ID,
            "user": ID,
            "item": ID,
            "time": TIME,
            "rating": Column("number", -1e6, 1e6, scaled=True),
            "title": TEXT,
            "text": TEXT,
            "images": MEDIA,
            "sounds": MEDIA,
            "shapes": MEDIA,
        },
        ("rating",),
    ),
    "events": Table(
        ("user", "item", "time", "kind"),
        {
            "user": ID,
            "item": ID,
            "time": TIME,
            "kind": ID,
            "quantity": Column("number", -1e9, 1e9),
            "value": Column("number", -MONEY, MONEY),
            "session": ID,
            "position": Column("whole", 0, 1e9),
            "query": TEXT,
            "channel": TEXT,
            "propensity": Column("number", 0, 1),
        },
    ),
}
SPOKEN = {"items": ("title", "description"), "reviews": ("title", "text")}  # the columns a language is told from


def with_rating_range(table: Table, low: float, high: float) -> Table:
    """The same table with another range for ``rating``."""
    return replace(table, columns={**table.columns, "rating": replace(table.columns["rating"], low=low, high=high)})
