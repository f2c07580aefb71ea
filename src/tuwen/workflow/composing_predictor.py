"""The run of ``tuwen build`` that predicts ratings: which columns are texts, pictures and table columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from tuwen.data.dataset import Dataset
from tuwen.data.examples import KEYS
from tuwen.data.schema import TABLES
from tuwen.errors import DataError, MissingExtra
from tuwen.preprocess.weights import find

TARGET = "reviews.rating"
LEAST_ROWS = 50  # ratings; fewer teach nothing, and their test part of ten judges nothing
LEAST_SHARE = 0.02  # of the rows in which a column must have a value to be read
TIMED_SHARE = 0.9  # of the reviews that must tell their time for a split in time
MOST_LEVELS = 1000  # of a category
CATEGORY_SHARE = 0.5  # levels of a category to its rows; above, it is a key or a text
TEXT_CHARACTERS = 20  # mean length from which a column that is no category counts as a text
GIVEN_AWAY = 0.9  # share of the target's variance that another column may explain before it is left out
SECONDS_EACH = 0.02  # of a core, for one text or picture through a pretrained network
OWN_COLUMNS = {"title", "description", "text", "rating", "time", "review", "user", "item"}


@dataclass(frozen=True)
class Encoders:
    """Pretrained encoders that a run may name.

    Attributes:
        text, picture: their names; None where there is none.
    """

    text: str | None = "e5-small"
    picture: str | None = "efficientnet-lite0"


def installed_encoders() -> tuple[Encoders, list[str]]:
    """Those whose weights are installed, and a note for each that is missing."""
    names: dict[str, str | None] = {"text": "e5-small", "picture": "efficientnet-lite0"}
    notes = []
    for kind, name in names.items():
        assert name is not None
        try:
            find(name)
        except MissingExtra as error:
            names[kind] = None
            notes.append(f"without {name}: {error.what}; {error.todo}")
    return Encoders(names["text"], names["picture"]), notes


def within_minutes(dataset: Dataset, encoders: Encoders, minutes: float | None) -> tuple[Encoders, list[str]]:
    """Leave out the encoder of texts where reading all of them would take more than half of the minutes."""
    if minutes is None or encoders.text is None:
        return encoders, []
    texts = sum(
        int(dataset.table(table)[column].drop_nulls().len())
        for table, column in (("items", "title"), ("reviews", "text"))
        if dataset.has(table) and column in dataset.table(table).columns
    )
    seconds = texts * SECONDS_EACH
    if seconds <= minutes * 30:
        return encoders, []
    note = f"without {encoders.text}: {texts:,} texts take it about {seconds / 60:,.0f} of the {minutes:g} minutes"
    return replace(encoders, text=None), [note]


def rating_run(dataset: Dataset, encoders: Encoders) -> tuple[dict[str, Any], list[str]]:
    """A run that predicts the rating of a review, as RUN.yaml has it, and notes on columns that were left out.

    Texts go through n-grams and a pretrained encoder, pictures through a pretrained encoder, other columns through a
    table; the parts are divided by time where the reviews tell it, else by content.

    Raises:
        DataError: no ratings, too few, or all the same; nothing to predict them from.
    """
    reviews = _rated(dataset)
    notes: list[str] = []
    modalities: dict[str, Any] = {}
    for name, table, columns in _texts(dataset):
        modalities |= _text(name, [f"{table}.{column}" for column in columns], encoders.text)
    for name, table in (("picture", "items"), ("review-picture", "reviews")):
        if encoders.picture is not None and _joins(dataset, table) and has_pictures(dataset.table(table)):
            modalities[name] = {
                "use": "image",
                "columns": [f"{table}.images"],
                "encoder": encoders.picture,
            }
    columns, notes = _table(dataset, reviews)
    if columns:
        modalities["table"] = {"use": "table", "columns": columns, "encoder": "table"}
    if not modalities:
        raise DataError("there is nothing to predict ratings from", todo="map text, title or images in SHOP.yaml")
    timed = "time" in reviews.columns and filled_share(reviews["time"]) >= TIMED_SHARE
    in_time = timed and reviews["time"].n_unique() > LEAST_ROWS // 5
    run = {
        "name": "ratings",
        "rows": {"table": "reviews"},
        "modalities": modalities,
        "fusion": "auto",
        "task": {"use": "rate", "target": TARGET},
        "split": {"use": "time", "column": "reviews.time"} if in_time else {"use": "hash"},
    }
    return run, notes


def _rated(dataset: Dataset) -> pl.DataFrame:
    """Reviews that have a rating."""
    reviews = dataset.table("reviews") if dataset.has("reviews") else None
    if reviews is None or "rating" not in reviews.columns:
        raise DataError("there are no ratings", todo="map reviews with a rating in SHOP.yaml, and collect again")
    rated = reviews.filter(pl.col("rating").is_not_null())
    if len(rated) < LEAST_ROWS:
        raise DataError("too few ratings to learn from", seen=f"{len(rated):,}", allowed=f"{LEAST_ROWS} or more")
    if rated["rating"].n_unique() < 2:
        raise DataError("every rating is the same", seen=f"{rated['rating'][0]:g} in {len(rated):,} reviews")
    return rated


def _joins(dataset: Dataset, table: str) -> bool:
    """Whether rows of reviews have columns of a table."""
    if not dataset.has(table):
        return False
    key = KEYS[table]
    reviews = dataset.table("reviews")
    return table == "reviews" or (key in reviews.columns and reviews[key].is_not_null().any())


def _texts(dataset: Dataset) -> Iterator[tuple[str, str, list[str]]]:
    """Name of a modality, its table, its columns."""
    for name, table in (("review", "reviews"), ("item", "items")):
        if _joins(dataset, table) and (columns := text_columns(dataset.table(table), table)):
            yield name, table, columns


def text_columns(frame: pl.DataFrame, table: str) -> list[str]:
    """Titles and descriptions first, then every other column of long texts."""
    own = [name for name in ("title", "description", "text") if is_filled(frame, name)]
    others = [
        name
        for name, kind in frame.schema.items()
        if kind == pl.String
        and name not in OWN_COLUMNS
        and name not in TABLES[table].columns
        and is_filled(frame, name)
    ]
    return own + [name for name in others if not is_category(frame[name]) and _is_long(frame[name])]


def is_filled(frame: pl.DataFrame, name: str) -> bool:
    """Whether a column is there, and has a value in enough rows."""
    return name in frame.columns and filled_share(frame[name]) >= LEAST_SHARE


def filled_share(series: pl.Series) -> float:
    """The share of the rows that have a value; 0 of no rows."""
    return 1 - series.null_count() / len(series) if len(series) else 0.0


def _is_long(series: pl.Series) -> bool:
    mean = series.drop_nulls().str.len_chars().mean()
    return isinstance(mean, float) and mean >= TEXT_CHARACTERS


def is_category(series: pl.Series) -> bool:
    """Whether a column of texts holds categories: a few names that come again and again."""
    levels = series.drop_nulls().n_unique()
    return 2 <= levels <= min(MOST_LEVELS, CATEGORY_SHARE * len(series))


def is_number(series: pl.Series) -> bool:
    """Whether a column holds numbers that differ."""
    return (series.dtype.is_numeric() or series.dtype == pl.Boolean) and series.drop_nulls().n_unique() > 1


def has_pictures(frame: pl.DataFrame) -> bool:
    """Whether any row has one."""
    return "images" in frame.columns and bool(frame["images"].list.len().fill_null(0).sum())


def _text(name: str, columns: list[str], encoder: str | None) -> dict[str, Any]:
    words = {"use": "text", "columns": [*columns], "min_count": 2, "length": 256, "encoder": "ngram"}
    found = {f"{name}-words": words}
    if encoder is not None:
        found[f"{name}-meaning"] = {"use": "text", "columns": columns, "encoder": encoder}
    return found


def plain_columns(frame: pl.DataFrame, *, dates: bool = False) -> list[str]:
    """Columns of numbers and categories, and of dates; no key, no text."""
    kinds: list[Callable[[pl.Series], bool]] = [is_number, lambda one: one.dtype == pl.String and is_category(one)]
    kinds += [lambda one: one.dtype.is_temporal() and one.drop_nulls().n_unique() > 1] if dates else []
    names = [name for name in frame.columns if name not in OWN_COLUMNS and is_filled(frame, name)]
    return [name for name in names if any(is_kind(frame[name]) for is_kind in kinds)]


def _table(dataset: Dataset, reviews: pl.DataFrame) -> tuple[list[str], list[str]]:
    """Columns of the table modality, and notes on those that give the rating away."""
    columns, notes = [], []
    for name in plain_columns(reviews):
        share = explained_share(reviews[name], reviews["rating"])
        if share > GIVEN_AWAY:
            notes.append(f"without reviews.{name}: it tells {share:.0%} of {TARGET}, so it would be known too late")
        else:
            columns.append(f"reviews.{name}")
    for table in ("items", "users"):
        if _joins(dataset, table):
            columns += [f"{table}.{name}" for name in plain_columns(dataset.table(table), dates=table == "items")]
    return columns, notes


def explained_share(column: pl.Series, target: pl.Series) -> float:
    """The share of the target's variance that lies between the values of a column; 0 where these hardly come twice.

    >>> explained_share(pl.Series([1, 1, 2, 2]), pl.Series([5.0, 5.0, 1.0, 1.0]))
    1.0
    """
    frame = pl.DataFrame({"value": column, "target": target}).drop_nulls()
    variance = frame["target"].var(ddof=0) if len(frame) else None
    if not isinstance(variance, float) or variance == 0 or frame["value"].n_unique() > CATEGORY_SHARE * len(frame):
        return 0.0
    within = frame.group_by("value").agg(pl.len(), pl.col("target").var(ddof=0).alias("variance"))
    inside = float((within["len"] * within["variance"]).sum()) / len(frame)
    return max(0.0, 1.0 - inside / variance)
