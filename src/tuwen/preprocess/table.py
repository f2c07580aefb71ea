"""Columns of numbers, categories, lists and dates → two arrays."""

from __future__ import annotations

import re
from dataclasses import asdict
from itertools import combinations
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl

from tuwen.data.dialects import Dialect, Evidence, Kind
from tuwen.data.values import numbers as read_numbers
from tuwen.data.values import times as read_times
from tuwen.errors import DataError
from tuwen.preprocess.modality import Arrays, not_fitted, read_state, write_state
from tuwen.preprocess.spec import ArraySpec
from tuwen.progress import Progress
from tuwen.registry import Count

MOST_DATES = 6  # of which the days between every two are numbers: 15 pairs
CLIP = 5.0  # standard deviations; one absurd price must not drown the rest of the row


class Table:
    """A data frame → ``numbers`` and ``categories``.

    Columns that no option names are sorted by their type: numbers, dates, everything else a category.

    Args:
        numbers: columns to standardise (z-score clipped to ±5; missing → 0 and a 1 in a column of its own). Mean and
            deviation are those of the values between the 1st and the 99th percentile.
        categories: columns to number (0 is missing or unknown).
        dates: columns to turn into year, and sine and cosine of the place in the year, the week and the day. Strings
            and numbers are read as collect reads them (:func:`tuwen.data.values.times`). Of two to six dates the days
            between every two are numbers too: whether a parcel came late is in neither of its dates alone.
        lists: columns of several categories in one cell, joined by ``separator``; one 0/1 number each.
        separator: between the categories of one cell.
        min_count: categories seen less often in the train part are unknown.
        widest: how many categories of a list column get their number, the most frequent ones.
    """

    def __init__(
        self,
        *,
        numbers: list[str] | None = None,
        categories: list[str] | None = None,
        dates: list[str] | None = None,
        lists: list[str] | None = None,
        separator: str = "|",
        min_count: Count = 1,
        widest: Count = 200,
    ) -> None:
        self.options: dict[str, Any] = {
            "numbers": numbers,
            "categories": categories,
            "dates": dates,
            "lists": lists,
            "separator": separator,
            "min_count": min_count,
            "widest": widest,
        }
        self.separator, self.min_count, self.widest = separator, min_count, widest
        self._fitted: dict[str, Any] | None = None

    @property
    def fitted(self) -> dict[str, Any]:
        if self._fitted is None:
            raise not_fitted("table")
        return self._fitted

    @property
    def dialects(self) -> dict[str, Dialect]:
        """Column → how the train part wrote its numbers or dates, where that was texts and told it."""
        return {name: Dialect(**fields) for name, fields in self.fitted.get("dialects", {}).items()}

    @property
    def _pairs(self) -> list[tuple[str, str, float, float]]:
        """Two date columns and the mean and deviation of the days between them; none in a state of before."""
        return [(first, second, mean, deviation) for first, second, mean, deviation in self.fitted.get("days", ())]

    @property
    def kinds(self) -> dict[str, str]:
        """Column → number, date, category or list: what a person who asks should be asked for."""
        words = {"numbers": "number", "dates": "date", "categories": "category", "lists": "list"}
        return {column: word for kind, word in words.items() for column in self.fitted[kind]}

    @property
    def sketch(self) -> ArraySpec:
        """:attr:`spec` as far as it is known before ``fit``, with one number and one category of two."""
        return ArraySpec("table", (1, 1), (2,))

    @property
    def spec(self) -> ArraySpec:
        f = self.fitted
        n = (
            2 * (len(f["numbers"]) + len(self._pairs))
            + 7 * len(f["dates"])
            + sum(len(names) for names in f["lists"].values())
        )
        sizes = tuple(len(names) + 1 for names in f["categories"].values())
        return ArraySpec("table", (n, len(sizes)), sizes)

    def fit(self, values: pl.DataFrame, progress: Progress | None = None) -> None:
        kinds = self._kinds(values)
        spoken = {
            **{name: _dialect(values[name], "number") for name in kinds["numbers"]},
            **{name: _dialect(values[name], "time") for name in kinds["dates"]},
        }
        scale = {name: _scale(_finite(values[name], spoken[name])) for name in kinds["numbers"]}
        times = {name: _time(values[name], spoken[name]) for name in kinds["dates"]}
        pairs = combinations(kinds["dates"], 2) if len(times) <= MOST_DATES else ()
        self._fitted = {
            "dialects": {name: asdict(dialect) for name, dialect in spoken.items() if dialect != Dialect()},
            "numbers": scale,
            "dates": kinds["dates"],
            "days": [[first, second, *_scale(_days(times[first], times[second]))] for first, second in pairs],
            "categories": {name: _names(_text(values[name]), self.min_count) for name in kinds["categories"]},
            "lists": {name: self._list_names(values[name]) for name in kinds["lists"]},
        }

    def encode(self, values: pl.DataFrame) -> tuple[Arrays, np.ndarray]:
        """``numbers`` f32 [rows, n], ``categories`` int32 [rows, m]; absent only where every column is missing."""
        f, dialects = self.fitted, self.dialects
        self._check(values, [*f["numbers"], *f["dates"], *f["lists"], *f["categories"]])
        rows = values.height
        columns: list[np.ndarray] = []
        seen = np.zeros(rows, bool)
        for name, (mean, deviation) in f["numbers"].items():
            columns += _standard(_finite(values[name], dialects.get(name, Dialect())), mean, deviation)
            seen |= ~columns[-1]
        times = {name: _time(values[name], dialects.get(name, Dialect())) for name in f["dates"]}
        for time in times.values():
            columns += _date_parts(time)
            seen |= time.is_not_null().to_numpy()
        for first, second, mean, deviation in self._pairs:
            columns += _standard(_days(times[first], times[second]), mean, deviation)
        for name, names in f["lists"].items():
            cells = self._cells(values[name])
            columns += [cells.list.contains(one).fill_null(False).to_numpy() for one in names]
            seen |= cells.is_not_null().to_numpy()
        ids = np.zeros((rows, len(f["categories"])), np.int32)
        for i, (name, names) in enumerate(f["categories"].items()):
            text = _text(values[name])
            ids[:, i] = text.replace_strict(_numbered(names), default=0, return_dtype=pl.Int32)
            seen |= text.is_not_null().to_numpy()
        numbers = np.stack(columns, axis=1).astype(np.float32) if columns else np.zeros((rows, 0), np.float32)
        numbers[~seen] = 0
        return {"numbers": numbers, "categories": ids}, seen

    def augment(self, arrays: Arrays, rng: np.random.Generator) -> Arrays:
        return arrays

    def save(self, folder: Path) -> None:
        write_state(folder, self, self.options, self.fitted)

    @classmethod
    def load(cls, folder: Path) -> Self:
        state = read_state(folder)
        table = cls(**state["options"])
        table._fitted = state["fitted"]
        return table

    def _kinds(self, values: pl.DataFrame) -> dict[str, list[str]]:
        kinds = {kind: list(self.options[kind] or []) for kind in ("numbers", "categories", "dates", "lists")}
        named = [name for names in kinds.values() for name in names]
        self._check(values, named)
        for name, dtype in values.schema.items():
            if name in named:
                continue
            if dtype.is_numeric():
                kinds["numbers"].append(name)
            elif dtype in (pl.Date, pl.Datetime):
                kinds["dates"].append(name)
            elif isinstance(dtype, pl.List):
                kinds["lists"].append(name)
            else:
                kinds["categories"].append(name)
        return kinds

    def _check(self, values: pl.DataFrame, names: list[str]) -> None:
        missing = [name for name in names if name not in values.columns]
        if missing:
            raise DataError(f"the table has no column '{missing[0]}'", allowed=values.columns)

    def _list_names(self, column: pl.Series) -> list[str]:
        return _names(self._cells(column).explode(), self.min_count, self.widest)

    def _cells(self, column: pl.Series) -> pl.Series:
        if not isinstance(column.dtype, pl.List):
            column = _text(column).str.split(self.separator)
        one = pl.element().str.strip_chars()
        return column.cast(pl.List(pl.String)).list.eval(one.filter(one != ""))


def _text(column: pl.Series) -> pl.Series:
    """As stripped strings; empty is missing."""
    text = column.cast(pl.String).str.strip_chars()
    return text.set(text == "", None)


def _counts(column: pl.Series) -> pl.DataFrame:
    """``value`` and ``n``, the most frequent first, equal ones in alphabetical order."""
    counts = column.rename("value").drop_nulls().value_counts(name="n")
    return counts.sort("n", "value", descending=[True, False])


def _names(column: pl.Series, min_count: int, most: int | None = None) -> list[str]:
    names: list[str] = _counts(column).filter(pl.col("n") >= min_count)["value"][:most].to_list()
    return names


def _numbered(names: list[str]) -> dict[str, int]:
    """Category → its number from 1. ``7`` and ``7.0`` are one: a column of floats was learned, a whole number asked."""
    numbers = {name: i for i, name in enumerate(names, 1)}
    whole = {name.removesuffix(".0"): i for name, i in numbers.items() if re.fullmatch(r"-?\d+(?:\.0)?", name)}
    return {**{f"{name}.0": i for name, i in whole.items()}, **whole, **numbers}


_POINT = Dialect(decimal=".")  # where the train part tells nothing


def _dialect(column: pl.Series, kind: Kind) -> Dialect:
    """How the train part writes a column of texts that are numbers or dates."""
    evidence = Evidence(column.name, kind)
    evidence.add(column)
    return evidence.dialect()


def _finite(column: pl.Series, dialect: Dialect) -> np.ndarray:
    """Numbers as collect reads them, so that a row asked about with ``￥12`` is the row that was learned."""
    read, _ = read_numbers(column, -np.inf, np.inf, dialect=dialect.or_else(_POINT))
    x = read.cast(pl.Float64).to_numpy().astype(np.float64)
    return np.where(np.isfinite(x), x, np.nan)


def _standard(x: np.ndarray, mean: float, deviation: float) -> list[np.ndarray]:
    """z-scores, 0 where missing; and where that is."""
    known = np.isfinite(x)
    with np.errstate(over="ignore", invalid="ignore"):
        standard = np.clip((x - mean) / deviation, -CLIP, CLIP)
    return [np.where(known, standard, 0), ~known]


def _days(first: pl.Series, second: pl.Series) -> np.ndarray:
    """From the first time to the second, f64 [rows]; NaN where one is missing."""
    start, end = (time.cast(pl.Int64).cast(pl.Float64).fill_null(np.nan).to_numpy() for time in (first, second))
    days: np.ndarray = (end - start) / 86_400e6
    return days


def _scale(x: np.ndarray) -> tuple[float, float]:
    """Mean and deviation without the outermost hundredths: one price of 10¹² must not flatten all others."""
    x = x[np.isfinite(x)]
    if x.size == 0:
        return 0.0, 1.0
    with np.errstate(over="ignore", invalid="ignore"):
        inner = np.clip(x, *np.quantile(x, [0.01, 0.99]))
        mean, deviation = float(inner.mean()), float(inner.std()) or float(x.std()) or 1.0
    return (mean, deviation) if np.isfinite([mean, deviation]).all() else (0.0, 1.0)


def _time(column: pl.Series, dialect: Dialect) -> pl.Series:
    """As UTC microseconds without a zone, read as collect reads it; each value by itself, whatever stands beside it."""
    if not isinstance(column.dtype, pl.Date | pl.Datetime):
        return read_times(column, dialect)[0]
    if isinstance(column.dtype, pl.Datetime) and column.dtype.time_zone is not None:
        column = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return column.cast(pl.Datetime("us"), strict=False)


def _date_parts(time: pl.Series) -> list[np.ndarray]:
    """Year (0 at 2000, in tens) and three clocks; zeros where missing."""
    known = time.is_not_null().to_numpy()
    day, hour = time.dt.ordinal_day(), time.dt.hour() + time.dt.minute() / 60
    turns = [(day - 1) / 365.25, (time.dt.weekday() - 1) / 7, hour / 24]
    parts = [((time.dt.year() - 2000 + turns[0]) / 10).fill_null(0).to_numpy()]
    for turn in turns:
        angle = 2 * np.pi * turn.fill_null(0).to_numpy()
        parts += [np.where(known, np.sin(angle), 0), np.where(known, np.cos(angle), 0)]
    return parts
