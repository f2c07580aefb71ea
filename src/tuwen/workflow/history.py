"""From a rank run and a dataset to what a recommender knows: catalogue, shoppers, events."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import polars as pl

from tuwen.apps.recommend.history import MOST_LEVELS, Catalogue, History, Shoppers
from tuwen.apps.recommend.told import TABLE
from tuwen.apps.recommend.vectors import Reader, Reduction
from tuwen.config import RankRun
from tuwen.data.behaviour import in_order, is_return, returned_at
from tuwen.data.dataset import Dataset
from tuwen.data.examples import examples, where_rows
from tuwen.data.kinds import input_kind, medium_of
from tuwen.data.placeholders import without_placeholders
from tuwen.errors import ConfigError, DataError, did_you_mean
from tuwen.models import ENCODERS
from tuwen.preprocess.frozen import Frozen
from tuwen.progress import Progress
from tuwen.training.inputs import EncodedInput
from tuwen.workflow.preparing import encoder_options, fitted_modality, make_input, raw_values
from tuwen.workflow.rules import need_condition

NEEDED = {"events": ("user", "item", "time", "kind"), "reviews": ("user", "item", "time")}
DAY = 86_400_000_000  # microseconds
RETURNED = "\0returned"  # a column that no shop can have


def history_of(run: RankRun, dataset: Dataset, progress: Progress) -> tuple[History, list[str]]:
    """Everything that the dataset tells, and the keys of the shoppers by position.

    Raises:
        ConfigError: a column that is not there, or of the wrong kind; an encoder that has to be trained first.
        DataError: no events.
    """
    need_condition(run.events.where, run.where("events", "where"))  # before anything is read
    catalogue = _catalogue(run, dataset, progress)
    events = _events(run, dataset)
    users = sorted(set(events["user"].to_list()))
    place_of_item = {key: place for place, key in enumerate(catalogue.items.tolist())}
    place_of_user = {key: place for place, key in enumerate(users)}
    known = events.filter(pl.col("item").is_in(list(place_of_item)))
    if known.is_empty():
        raise DataError("no event is of an item that exists", where=str(dataset.folder))
    day = known["time"].cast(pl.Int64).to_numpy() / DAY
    quantity = known["quantity"].fill_null(1).to_numpy() if "quantity" in known.columns else np.ones(len(known))
    paid = known["value"].cast(pl.Float64).fill_null(float("nan")).to_numpy() if "value" in known.columns else None
    back = np.full(len(known), np.inf)
    if RETURNED in known.columns:
        back = (known[RETURNED].cast(pl.Int64) / DAY).fill_null(np.inf).to_numpy()
    value = np.full(len(known), np.nan) if paid is None else paid / np.maximum(quantity, 1)
    history = History.of(
        catalogue,
        _shoppers(run, dataset, users, known.select("user", "time")),
        np.array([place_of_user[key] for key in known["user"].to_list()], np.int64),
        np.array([place_of_item[key] for key in known["item"].to_list()], np.int64),
        day,
        np.where(value > 0, value, np.nan),
        float(max(day.max(), back[np.isfinite(back)].max(initial=0.0))) + 1.0,
        back if np.isfinite(back).any() else None,
    )
    return history, users


def _events(run: RankRun, dataset: Dataset) -> pl.DataFrame:
    name = run.events.table
    if not dataset.has(name):
        raise ConfigError(
            f"the dataset has no {name}",
            where=run.where("events"),
            seen=str(dataset.folder),
            todo=f"add '{name}' to SHOP.yaml ({', '.join(NEEDED[name])}) and collect again",
        )
    try:
        rows = where_rows(_with_returns(dataset.table(name)), name, run.events.where)
    except ConfigError as error:
        place = run.where("events", "where")
        raise ConfigError(error.what, where=place, seen=error.seen, allowed=error.allowed, todo=error.todo) from None
    rows = rows.filter(~is_return(rows))  # a return sells nothing
    rows = rows.drop_nulls([column for column in ("user", "item", "time") if column in rows.columns])
    lost = [column for column in ("user", "item", "time") if column not in rows.columns]
    if lost:
        todo = f"map {' and '.join(lost)} in SHOP.yaml and collect again"
        raise ConfigError(f"{name} have no {' and '.join(lost)}", where=run.where("events"), todo=todo)
    if rows.is_empty():
        seen = run.events.where or str(dataset.folder)
        raise DataError("no event is left", where=run.where("events"), seen=seen, allowed=_kinds(dataset, name))
    return rows.sort("time", "user", "item")


def _with_returns(table: pl.DataFrame) -> pl.DataFrame:
    """The rows with the moment at which each purchase was given back, by whatever kind of event."""
    if not {"user", "item", "time"} <= set(table.columns) or not is_return(table).any():
        return table
    ordered = in_order(table)
    return ordered.with_columns(returned_at(ordered).alias(RETURNED))


def _kinds(dataset: Dataset, name: str) -> list[str] | str:
    table = dataset.table(name)
    if "kind" not in table.columns:
        return f"rows of {name} that tell user, item and time"
    return [f"kind = '{kind}'" for kind in table["kind"].drop_nulls().unique().sort().to_list()[:10]]


def _catalogue(run: RankRun, dataset: Dataset, progress: Progress) -> Catalogue:
    columns = [column for spec in run.modalities.values() for column in spec.columns]
    launch = [run.launch] if run.launch else []
    frame = examples(dataset, "items", [*columns, *run.facts, *launch, "items.item"])
    categories, numbers = {}, {}
    for column in run.facts:
        series = frame[column]
        if series.dtype.is_numeric():
            numbers[column] = series.cast(pl.Float32).fill_null(float("nan")).to_numpy()
        else:
            categories[column] = _levels(run, column, series)
    read = {name: _vectors(run, name, frame, dataset, progress) for name in run.modalities}
    return Catalogue(
        frame["row"].to_numpy(),
        {name: vectors for name, (vectors, _) in read.items()},
        categories,
        numbers,
        _launch(run, frame[run.launch]) if run.launch else None,
        {name: reader for name, (_, reader) in read.items()},
    )


def _levels(run: RankRun, column: str, series: pl.Series) -> np.ndarray:
    """int32 [items]: levels from 1 in the order of their names, 0 where missing."""
    if series.dtype.is_nested():
        place = run.where("facts", run.facts.index(column))
        raise ConfigError(f"'{column}' is not a category or a number", where=place, seen=series.dtype)
    texts = series.cast(pl.String)
    level = {text: number for number, text in enumerate(sorted(texts.drop_nulls().unique().to_list()), start=1)}
    return np.array([level.get(text, 0) for text in texts.to_list()], np.int32)


def frozen_options(run: RankRun, name: str) -> dict[str, Any]:
    """The complete options of a modality's encoder.

    Raises:
        ConfigError: an encoder that has to be trained first.
    """
    place, use = run.where("modalities", name, "encoder"), run.modalities[name].encoder.use
    options = encoder_options(run, name)
    if not ENCODERS.load(use, place).is_frozen(options):
        raise ConfigError(
            f"the encoder {use} has to be trained before it tells anything",
            where=place,
            allowed="an encoder with weights, frozen: efficientnet-lite0, e5-small, minilm",
        )
    return options


def _vectors(
    run: RankRun, name: str, frame: pl.DataFrame, dataset: Dataset, progress: Progress
) -> tuple[np.ndarray, Reader]:
    """Of the items, f32 [items, width], and of what is asked later."""
    spec = run.modalities[name]
    frozen_options(run, name)
    if input_kind(spec.use) == "image":
        for column in spec.columns:
            frame = without_placeholders(frame, dataset.manifest, column)
    raw = raw_values(spec.use, spec.columns, frame, dataset)
    modality = fitted_modality(run, name, raw, np.arange(len(frame)), dataset, progress)
    if not isinstance(modality, Frozen):
        place = run.where("modalities", name, "pictures")
        raise ConfigError("a recommender reads one picture of an item", where=place, todo="leave 'pictures' out")
    found = make_input(name, modality, raw, dataset, progress)
    assert isinstance(found, EncodedInput)
    vectors, present = found.arrays["vector"][found.index], found.present[found.index]
    reduction = Reduction.of(vectors, present, run.width)
    medium = medium_of(spec.use)
    limits = {} if medium is None else medium.limited(dataset.manifest["media_limits"])
    return reduction.turned(vectors, present), Reader(spec.use, modality, reduction, limits)


def _launch(run: RankRun, series: pl.Series) -> np.ndarray:
    """f64 [items]: a date, a number, or the digits of a key."""
    if series.dtype.is_temporal():
        series = series.cast(pl.Datetime("us")).cast(pl.Int64)
    if series.dtype == pl.String:
        digits = [re.fullmatch(r"\d{1,15}", text or "") for text in series.to_list()]
        if not all(digits):
            odd = next(text for text, found in zip(series.to_list(), digits, strict=True) if not found)
            raise ConfigError(
                f"'{run.launch}' does not order the items",
                where=run.where("launch"),
                seen=odd,
                allowed="a date, a number, or a key of digits only, in every row",
            )
        return np.array([float(found[0]) for found in digits if found])
    if not series.dtype.is_numeric() or series.null_count():
        raise ConfigError(
            f"'{run.launch}' does not order the items",
            where=run.where("launch"),
            seen=f"{series.dtype}, {series.null_count():,} missing",
            allowed="a date or a number in every row",
        )
    return series.cast(pl.Float64).to_numpy()


def _shoppers(run: RankRun, dataset: Dataset, users: list[str], buyers: pl.DataFrame) -> Shoppers:
    """What the table of users tells of those who bought something.

    Args:
        buyers: ``user`` and ``time`` of every event.
    """
    if not run.shoppers:
        return Shoppers(len(users))
    if not dataset.has("users"):
        raise ConfigError("the dataset has no users", where=run.where("shoppers"), todo="leave 'shoppers' out")
    table = dataset.table("users")
    told = pl.DataFrame({"user": users}).join(table, on="user", how="left", maintain_order="left")
    first = buyers.group_by("user").agg(pl.col("time").min())
    numbers, categories, levels = {}, {}, {}
    for place, name in enumerate(run.shoppers):
        column = name.removeprefix(TABLE)
        where, allowed = run.where("shoppers", place), [f"{TABLE}{c}" for c in table.columns if c != "user"]
        if f"{TABLE}{column}" not in allowed:
            todo = did_you_mean(name, allowed)
            raise ConfigError(f"users have no column '{name}'", where=where, allowed=allowed, todo=todo)
        if _is_number(table[column]):
            numbers[f"{TABLE}{column}"] = told[column].cast(pl.Float32).fill_null(float("nan")).to_numpy()
        else:
            found = _categories(name, told.select("user", level=_texts(name, table, column, told, where)), first, where)
            categories[f"{TABLE}{column}"], levels[f"{TABLE}{column}"] = found
    return Shoppers(len(users), numbers, categories, levels)


def _is_readable(series: pl.Series) -> bool:
    return _is_number(series) or series.dtype in (pl.String, pl.Boolean)


def _texts(name: str, table: pl.DataFrame, column: str, told: pl.DataFrame, where: str) -> pl.Series:
    kind = table[column].dtype
    if not _is_readable(table[column]):
        readable = [f"{TABLE}{c}" for c in table.columns if c != "user" and _is_readable(table[c])]
        seen = "a date" if kind.is_temporal() else "a list" if kind.is_nested() else str(kind)
        todo = "give the shop a number instead, such as the days since" if kind.is_temporal() else "leave it out"
        raise ConfigError(
            f"'{name}' is not a number or a category", where=where, seen=seen, allowed=readable, todo=todo
        )
    texts = told[column].cast(pl.String).str.strip_chars()
    return texts.set(texts == "", None)


def _categories(name: str, told: pl.DataFrame, first: pl.DataFrame, where: str) -> tuple[np.ndarray, np.ndarray]:
    """int32 [users], and the names of the levels: those come first that bought first, so that who comes later changes
    nothing of what was known before.
    """
    met = told.join(first, on="user", how="left", maintain_order="left")
    known = met.drop_nulls("level").group_by("level").agg(pl.col("time").min()).sort("time", "level", nulls_last=True)
    if len(known) > MOST_LEVELS:
        raise ConfigError(
            f"'{name}' tells too many kinds of shoppers apart",
            where=where,
            seen=f"{len(known):,} different texts",
            allowed=f"a column of at most {MOST_LEVELS}",
            todo="leave it out, or give the shop's file a coarser column: the region of a postal code",
        )
    number = {text: place for place, text in enumerate(known["level"].to_list(), start=1)}
    levels = np.array([number.get(text, 0) for text in told["level"].to_list()], np.int32)
    return levels, known["level"].to_numpy().astype(np.str_)


def _is_number(series: pl.Series) -> bool:
    """Whether a column holds numbers, or texts that all read as such: exports write many numbers as text."""
    if series.dtype == pl.String:
        told = series.drop_nulls()
        return bool(len(told)) and not told.cast(pl.Float64, strict=False).is_null().any()
    return series.dtype.is_numeric()
