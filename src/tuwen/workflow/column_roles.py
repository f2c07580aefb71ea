"""What a column is to a run: a text, a category, a number, or nothing to learn from."""

from __future__ import annotations

from typing import Literal

import numpy as np
import polars as pl

Role = Literal["text", "category", "number", "date", "list", "media", "none"]

MEDIA_COLUMNS = ("images",)
SAMPLE = 2000  # values that are looked at
LONG = 12.0  # characters on average from which distinct strings are a text
MOST_LEVELS = 2000
REPEATED = 3.0  # rows a level of a category, on average
CLEAN = 0.995  # of the rows, from which a column is said to give the target away


def role_of(column: pl.Series, *, key: bool) -> Role:
    """The role of a column.

    Args:
        key: whether it names the rows.
    """
    if column.name in MEDIA_COLUMNS and isinstance(column.dtype, pl.List):
        return "media" if column.list.len().sum() else "none"
    values = column.drop_nulls()
    if key or column.name in ("review", "user", "item", "time") or values.is_empty():
        return "none"
    if isinstance(values.dtype, pl.List):
        return "list" if column.name not in ("sounds", "shapes") else "none"
    if values.n_unique() < 2:
        return "none"
    if values.dtype.is_numeric() or values.dtype == pl.Boolean:
        return "number"
    if values.dtype.is_temporal():
        return "date"
    return _role_of_strings(values.cast(pl.String))


def _role_of_strings(values: pl.Series) -> Role:
    distinct = values.n_unique()
    repeated = len(values) >= REPEATED * distinct and distinct <= MOST_LEVELS
    sample = values.head(SAMPLE)
    length = float(sample.str.len_chars().mean() or 0)  # type: ignore[arg-type]
    letters = float(sample.str.contains(r"\p{L}").mean() or 0)  # type: ignore[arg-type]
    spaced = float(sample.str.contains(r"\s|\p{Han}{4}").mean() or 0)  # type: ignore[arg-type]
    if repeated and length < 4 * LONG:
        return "category"
    if letters > 0.5 and (spaced > 0.5 or length >= 2 * LONG):
        return "text"
    return "none"


def gives_away(column: pl.Series, truth: pl.Series) -> str | None:
    """Why a column is the target in other words; None where it is not.

    Each value of it goes with one value of the target, and its values come more than once, so that this is no chance;
    or, of numbers, both rise together without exception.
    """
    pair = pl.DataFrame({"column": column, "truth": truth}).drop_nulls()
    if pair.height < 20 or isinstance(pair["column"].dtype, pl.List):
        return None
    if pair["column"].dtype.is_numeric() and pair["truth"].dtype.is_numeric():
        ranks = np.stack([pair[name].rank().to_numpy() for name in ("column", "truth")])
        if abs(float(np.corrcoef(ranks)[0, 1])) > CLEAN:
            return "it rises and falls with the target"
    levels = pair["column"].n_unique()
    classes = pair["truth"].n_unique()
    if pair.height < REPEATED * levels or classes < 2 or levels < 2:
        return None
    most = pair.group_by("column", "truth").len().group_by("column").agg(pl.col("len").max())["len"].sum()
    usual = pair["truth"].value_counts()["count"].max()
    share = most / pair.height
    if share >= CLEAN and usual / pair.height < CLEAN:  # type: ignore[operator]
        return f"{100 * share:.1f} % of its values tell the target exactly"
    return None
