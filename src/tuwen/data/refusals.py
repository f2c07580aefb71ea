"""Leave out rows of shoppers who refused learning, and count them without names."""

from __future__ import annotations

import json
from typing import Protocol

import polars as pl

from tuwen.data.gather import Sheet

OF_SHOPPERS = ("users", "reviews", "events")


class Refusals(Protocol):
    """Shoppers from whom nothing may be learned. No name can be read from it."""

    @property
    def state(self) -> str:
        """Equal for equal refusals, empty for none."""
        ...

    def __contains__(self, user: object) -> bool: ...


def leave_out(sheet: Sheet, name: str, refusals: Refusals) -> None:
    """Take the rows of these shoppers out of a table, the rejected ones too, and note how many they were."""
    if "user" in sheet.frame.columns:
        users = sheet.frame["user"].drop_nulls().unique().to_list()
        refused = [user for user in users if user in refusals]
        remaining = sheet.frame.filter(~pl.col("user").is_in(refused) | pl.col("user").is_null())
        rows = sheet.frame.height - remaining.height
        sheet.frame = remaining
        if rows:
            sheet.notes.append(f"{name}: {rows:,} rows are left out, of shoppers who refused recommendations")
    if sheet.rejected.height:
        named = [_names(record, refusals) for record in sheet.rejected["record"].to_list()]
        sheet.rejected = sheet.rejected.filter(~pl.Series(named, dtype=pl.Boolean))


def _names(record: str | None, refusals: Refusals) -> bool:
    """Whether a rejected row, as JSON, holds the key of one of them in any column."""
    try:
        row = json.loads(record or "{}")
    except ValueError:
        return False
    return isinstance(row, dict) and any(str(value) in refusals for value in row.values())
