"""Keys of reviews and events → the keys that items and users have, where one file writes them in another way.

A table program turns 1001 into 1001.0 where a column has a gap, a spreadsheet 00123 into 123, and a shop writes ABC-1
here and abc-1 there. Such keys are joined where exactly one item fits and most unknown keys have such a partner.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

LISTED = {"item": "items", "user": "users"}
LEAST_SHARE = 0.5  # of the unknown keys that must find their only partner


@dataclass(frozen=True)
class Join:
    """The result of joining the keys of one column.

    Attributes:
        column: of ``frame``.
        frame: the rows, with the keys of the other table where they were joined.
        rows: that name a key in another way.
        note: for a person; None where every key is there as it stands, or none has a partner.
        joined: whether any key was changed.
    """

    column: str
    frame: pl.DataFrame
    rows: int = 0
    note: str | None = None
    joined: bool = False


def join_keys(name: str, column: str, frame: pl.DataFrame, listed: pl.Series) -> Join:
    """Give the rows of table ``name`` the keys of another table.

    Args:
        column: ``item`` or ``user``.
        listed: the keys of items or users.
    """
    keys = frame.select(pl.col(column).drop_nulls().unique().alias("key"))
    unknown = keys.filter(~pl.col("key").is_in(listed.implode()))
    if unknown.is_empty() or listed.is_empty():
        return Join(column, frame)
    plain = listed.alias("partner").to_frame().with_columns(_common_form("partner"))
    alone = plain.group_by("form").agg(pl.col("partner").first(), pl.len().alias("count")).filter(pl.col("count") == 1)
    pairs = unknown.with_columns(_common_form("key")).join(alone, on="form").sort("key").select("key", "partner")
    if pairs.is_empty():
        return Join(column, frame)
    rows = frame.filter(pl.col(column).is_in(pairs["key"].implode())).height
    example = f"{pairs['key'][0]!r} / {pairs['partner'][0]!r}"
    note = f"{name}: {rows:,} rows write the {column} in another way than {LISTED[column]} does ({example})"
    if len(pairs) < LEAST_SHARE * len(unknown):
        share = f"{len(pairs):,} of {len(unknown):,} unknown keys"
        return Join(column, frame, rows, f"{note}; too few do ({share}) to join them: write them alike")
    partner = dict(pairs.iter_rows())
    return Join(column, frame.with_columns(pl.col(column).replace(partner)), rows, f"{note}: they were joined", True)


def strangers(frames: Mapping[str, pl.DataFrame]) -> list[str]:
    """Warnings about reviews and events of items or users that the shop does not list."""
    warnings = []
    for name in ("reviews", "events"):
        for column, table in LISTED.items():
            if name not in frames or table not in frames or column not in frames[name].columns:
                continue
            values, listed = frames[name][column], frames[table][column]
            unknown = values.filter(~values.is_in(listed.implode()))
            if unknown.is_empty():
                continue
            example = f"{unknown[0]!r} is none of {table}, which begin with {listed[0]!r}" if len(listed) else ""
            if len(unknown) == len(values.drop_nulls()):
                warnings.append(f"{name}: all {len(unknown):,} rows speak of an unknown {column}: {example}")
            else:
                warnings.append(f"{name}: {len(unknown)} rows speak of an unknown {column}")
    return warnings


def _common_form(column: str) -> pl.Expr:
    """The form that all spellings of a key share: no blanks, no case or width, no ``.0``, no leading zeros."""
    form = pl.col(column).str.normalize("NFKC").str.to_lowercase().str.replace_all(r"\s", "")
    return form.str.replace(r"^(\d+)\.0+$", "$1").str.replace(r"^0+(\d+)$", "$1").alias("form")
