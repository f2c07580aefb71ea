"""Examples: the rows a run learns from, with every column it reads joined under its qualified name."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from tuwen.data.expression_tree import columns as condition_columns
from tuwen.data.expressions import parse
from tuwen.data.kinds import COLUMNS, MEDIA, Medium
from tuwen.data.predicates import rows_that_meet
from tuwen.data.splits import unit_interval
from tuwen.errors import ConfigError, DataError, did_you_mean
from tuwen.unicode import nfkc

if TYPE_CHECKING:
    from tuwen.data.dataset import Dataset

KEYS = {"items": "item", "reviews": "review", "users": "user"}
JOINS = {"items": "item", "users": "user"}


def examples(dataset: Dataset, table: str, columns: Iterable[str], where: str | None = None) -> pl.DataFrame:
    """One row per row of ``table``: ``row`` (its key) and each of ``columns`` (``reviews.text``, ``items.title``, …).

    Args:
        where: a condition over the table's columns, as SQL writes it (:mod:`tuwen.data.expressions`): ``rating >= 4``,
            ``"items.brand" = 'x'``.

    Raises:
        ConfigError: a column or table that is not there (with a did-you-mean), or a bad condition.
        DataError: no row is left.
    """
    wanted = list(dict.fromkeys(columns))
    condition = parse(where) if where else None  # before anything is read
    frame = _table(dataset, table, table)
    for name in wanted:
        _split_name(name)
    conditions = condition_columns(condition) if condition else []
    for other in JOINS:
        needed = [c for c in dict.fromkeys([*wanted, *conditions]) if c.startswith(f"{other}.")]
        if other != table and needed:
            frame = _join(frame, dataset, table, other)
    frame = frame.rename({c: f"{table}.{c}" for c in frame.columns if "." not in c})
    for name in wanted:
        if name not in frame.columns:
            raise ConfigError(
                f"the dataset has no column '{name}'",
                where=str(dataset.folder),
                allowed=sorted(frame.columns),
                todo=did_you_mean(name, frame.columns),
            )
    if condition:
        own = {c.removeprefix(f"{table}."): c for c in frame.columns if c.startswith(f"{table}.")}
        frame = rows_that_meet(frame, condition, own | {c: c for c in frame.columns})
    if frame.is_empty():
        raise DataError(
            f"no row of {table} is left" + (f" after where: {where}" if where else ""),
            where=str(dataset.folder),
            todo="loosen rows.where, or look into rejected.parquet",
        )
    return frame.select(pl.col(f"{table}.{KEYS[table]}").cast(pl.String).alias("row"), *wanted)


def joined_text(frame: pl.DataFrame, columns: Sequence[str]) -> list[str | None]:
    """The texts of one modality: its columns joined by " | ", null where all are empty.

    Raises:
        DataError: a column holds lists (pictures, say).
    """
    for name in columns:
        if frame[name].dtype.is_nested():
            raise DataError(
                f"'{name}' is not a column of texts",
                seen=frame[name].dtype,
                todo="use: image for pictures, picture-text for the words in them, audio for sounds, shape for shapes",
            )
    texts = frame.select(pl.col(c).cast(pl.String).str.strip_chars() for c in columns)
    present = [pl.when(pl.col(c).str.len_bytes() > 0).then(pl.col(c)) for c in columns]
    joined = texts.select(pl.concat_str(present, separator=" | ", ignore_nulls=True)).to_series()
    return [text or None for text in joined.to_list()]


def first_picture(frame: pl.DataFrame, columns: Sequence[str]) -> list[str | None]:
    """The media key of each row's first picture over ``columns``, null where there is none.

    Raises:
        DataError: a column holds no pictures.
    """
    return first_medium(frame, columns, MEDIA["image"])


def first_medium(frame: pl.DataFrame, columns: Sequence[str], medium: Medium) -> list[str | None]:
    """The media key of each row's first picture, sound or shape over ``columns``, null where there is none.

    Raises:
        DataError: a column holds none of this kind.
    """
    _need_media(frame, columns, medium)
    lists = [pl.col(c).list.first() for c in columns]
    return frame.select(pl.coalesce(lists)).to_series().to_list()


def all_media(frame: pl.DataFrame, columns: Sequence[str], medium: Medium) -> list[list[str]]:
    """The media keys of each row over ``columns``, in their order.

    Raises:
        DataError: a column holds none of this kind.
    """
    _need_media(frame, columns, medium)
    lists = [pl.col(c).fill_null([]) for c in columns]
    return frame.select(pl.concat_list(lists)).to_series().to_list()


def _need_media(frame: pl.DataFrame, columns: Sequence[str], medium: Medium) -> None:
    for name in columns:
        other = COLUMNS.get(name.partition(".")[2], medium)
        if other is not medium or frame[name].dtype != pl.List(pl.String):
            raise DataError(
                f"'{name}' is not a column of {medium.word}s",
                seen=frame[name].dtype if other is medium else f"{other.word}s",
                todo=f"map it to '{medium.column}' in SHOP.yaml and collect again, or use another modality",
            )


def content_hash(frame: pl.DataFrame, columns: Sequence[str]) -> pl.Series:
    """A hash of each row's normalised content: letters and digits after NFKC and case folding, and picture keys.

    Rows that differ only in case, spacing, punctuation or width hash alike, so a split can keep them together. Rows
    without any content are nothing alike: where others have some, each stands for itself.
    """
    parts = []
    for name in columns:
        series = frame[name]
        if series.dtype == pl.List(pl.String):
            series = series.list.join(" ")
        texts = series.cast(pl.String)
        lookup = {text: normalised(text) for text in texts.unique().to_list() if text}
        parts.append([lookup.get(text, "") if text else "" for text in texts.to_list()])
    keys = [(row,) for row in frame["row"].to_list()]
    rows = list(zip(*parts, strict=True)) if parts else keys
    if any(map(any, rows)):
        rows = [content if any(content) else key for content, key in zip(rows, keys, strict=True)]
    digests = [hashlib.blake2b("\0".join(row).encode("utf-8", "replace"), digest_size=12).hexdigest() for row in rows]
    return pl.Series("content", digests, dtype=pl.String)


_SEPARATORS = re.compile(r"[\W_]+")


def normalised(text: str) -> str:
    """Letters and digits only, NFKC, case folded, single spaces."""
    return _SEPARATORS.sub(" ", nfkc(text).casefold()).strip()


def balanced(frame: pl.DataFrame, labels: pl.Series, content: pl.Series) -> pl.DataFrame:
    """As many rows of every label as the rarest has, chosen by content hash."""
    place = unit_interval(content, "balance")
    marked = frame.with_columns(label=labels.cast(pl.String), place=place, order=pl.int_range(pl.len()))
    smallest = min(marked["label"].value_counts()["count"].to_list())
    kept = marked.sort("place", "row").group_by("label", maintain_order=True).head(smallest).sort("order")
    return kept.drop("label", "place", "order")


def labelled(content: pl.Series, labels: pl.Series, share: float) -> np.ndarray:
    """bool [rows]: ``share`` of the rows of every label, at least one of each, chosen by content hash.

    A smaller share lies inside every larger one.
    """
    place = unit_interval(content, "labels")
    rows = pl.DataFrame({"label": labels.cast(pl.String), "place": place}).with_row_index("row")
    turn = pl.int_range(pl.len()).over("label")
    keep = (share * pl.len().over("label") + 0.5).floor().clip(1)
    ordered = rows.sort("place", "row").with_columns(kept=turn < keep).sort("row")
    return ordered["kept"].to_numpy()


def _join(frame: pl.DataFrame, dataset: Dataset, table: str, other: str) -> pl.DataFrame:
    key = JOINS[other]
    if key not in frame.columns:
        raise ConfigError(
            f"{table} cannot be joined with {other}: it has no column '{key}'",
            where=str(dataset.folder),
            todo=f"map '{key}' in the {table} of SHOP.yaml and collect again",
        )
    right = _table(dataset, other, table)
    right = right.rename({c: f"{other}.{c}" for c in right.columns}).with_columns(
        pl.col(f"{other}.{key}").alias("_key")
    )
    return frame.join(right, left_on=key, right_on="_key", how="left", maintain_order="left")


def _table(dataset: Dataset, name: str, needed_by: str) -> pl.DataFrame:
    if name not in KEYS or not dataset.has(name):
        raise ConfigError(
            f"the dataset has no table '{name}' (needed for rows of {needed_by})",
            where=str(dataset.folder),
            allowed=[t for t in KEYS if dataset.has(t)],
            todo=f"add '{name}' to SHOP.yaml and collect again",
        )
    return dataset.table(name)


def _split_name(name: str) -> None:
    table, dot, column = name.partition(".")
    if not dot or table not in KEYS or not column:
        raise ConfigError(
            f"a column is named TABLE.COLUMN, not '{name}'", allowed="items.title, reviews.text, users.age, …"
        )


def check_condition(where: str) -> None:
    """That ``where`` reads as a condition; its columns are not looked at.

    Raises:
        ConfigError: it does not.
    """
    parse(where)


def where_rows(frame: pl.DataFrame, table: str, where: str | None) -> pl.DataFrame:
    """The rows of a table for which a condition over its columns holds.

    Raises:
        ConfigError: it is not a condition, or names a column that is not there.
    """
    if not where:
        return frame
    names = {column: column for column in frame.columns}
    names = {f"{table}.{column}": column for column in frame.columns} | names
    return rows_that_meet(frame, parse(where), names, "events.where")
