"""Which rows train, which validate, which test. Leak-free by default; a random draw must be asked for by name.

A splitter's ``parts`` gives one of ``train``, ``validation``, ``test`` for every row. ``content`` is a hash of the
row's normalised content (:func:`tuwen.data.examples.content_hash`): rows with equal content always land together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import date
from typing import Protocol

import numpy as np
import polars as pl

from tuwen.errors import ConfigError, DataError, did_you_mean


class Split(Protocol):
    """How rows are divided.

    Attributes:
        folds: how many trainings one run is; more than 1 for cross-validation.
        label: one line for the report.
        columns: qualified columns it reads beside the content.
        stable: whether a row's side depends on that row alone. Where it does not, other data divides the same rows
            otherwise, and a bundle would be tested on what it was trained on.
        validates: whether it means some rows to validate.
    """

    folds: int
    label: str
    columns: tuple[str, ...]
    stable: bool
    validates: bool

    def parts(self, frame: pl.DataFrame, content: pl.Series, fold: int = 0) -> pl.Series: ...


class Hash:
    """Share of the hash space: stable when rows are added, and duplicates stay on one side."""

    folds = 1
    stable = True
    columns: tuple[str, ...] = ()

    def __init__(self, *, test: float = 0.2, validation: float = 0.1, salt: str = "") -> None:
        _shares(test, validation)
        self.test, self.validation, self.salt = test, validation, salt
        self.validates = validation > 0
        self.label = f"by content hash, {test:.0%} test: duplicates stay on one side"

    def parts(self, frame: pl.DataFrame, content: pl.Series, fold: int = 0) -> pl.Series:
        place = unit_interval(content, self.salt)
        return _three(place < self.test, validation_rows(content, self.validation))


class Random:
    """A random draw of rows. Near-duplicates and the future leak into training; the report says so."""

    folds = 1
    stable = False
    columns: tuple[str, ...] = ()

    def __init__(self, *, test: float = 0.2, validation: float = 0.1, seed: int = 0) -> None:
        _shares(test, validation)
        self.test, self.validation, self.seed = test, validation, seed
        self.validates = validation > 0
        self.label = f"random rows, {test:.0%} test: may leak duplicates and the future"

    def parts(self, frame: pl.DataFrame, content: pl.Series, fold: int = 0) -> pl.Series:
        draw = np.random.default_rng(self.seed).random((2, len(frame)))
        return _three(draw[0] < self.test, draw[1] < self.validation)


class Column:
    """As a column says: ``test`` and ``validation`` list its values for those parts; all others train.

    Without ``validation`` values a share of the training rows, chosen by content hash, validates. With ``each`` every
    value of ``test`` is a fold of its own, tested while all other rows train.
    """

    stable = True

    def __init__(
        self,
        *,
        column: str,
        test: list[str | int],
        validation: list[str | int] | None = None,
        validation_share: float = 0.1,
        each: bool = False,
    ) -> None:
        _shares(0.0, validation_share)
        if each and len(test) < 2:
            raise ConfigError("split.each needs several values of test", seen=test, todo="each: false")
        self.column, self.columns = column, (column,)
        self.test = [str(v) for v in test]
        self.validation = [str(v) for v in validation or []]
        self.validation_share = validation_share
        self.validates = bool(self.validation) or validation_share > 0
        self.each, self.folds = each, len(self.test) if each else 1
        self.label = f"{column} in {', '.join(self.test)} is test" + (", one value a fold" if each else "")

    def unknown(self, frame: pl.DataFrame) -> Iterator[tuple[str, int, str]]:
        """Values of ``test`` and ``validation`` that no row has: the option, the position in it, and the value."""
        known = set(_column(frame, self.column).cast(pl.String).unique().to_list())
        for option, values in (("test", self.test), ("validation", self.validation)):
            for position, value in enumerate(values):
                if value not in known:
                    yield option, position, value

    def parts(self, frame: pl.DataFrame, content: pl.Series, fold: int = 0) -> pl.Series:
        values = _column(frame, self.column).cast(pl.String)
        tested = [self.test[fold]] if self.each else self.test
        test = values.is_in(tested).fill_null(False).to_numpy()
        if self.validation:
            return _three(test, values.is_in(self.validation).fill_null(False).to_numpy())
        return _three(test, validation_rows(content, self.validation_share))


class Time:
    """One global cut: everything from the cut on is test. Rows without a time train.

    ``cut`` is an ISO date; without it, the cut leaves about ``test`` of the rows behind it. Validation is the last
    ``validation`` share before the cut.
    """

    folds = 1

    def __init__(
        self, *, column: str = "reviews.time", cut: str | date | None = None, test: float = 0.2, validation: float = 0.1
    ) -> None:
        _shares(test, validation)
        self.column, self.columns = column, (column,)
        if isinstance(cut, date):  # how YAML reads a date without quotes
            cut = cut.isoformat()
        self.cut, self.test, self.validation = cut, test, validation
        self.stable, self.validates = cut is not None, validation > 0
        self.label = f"global time cut on {column}" + (f" at {cut}" if cut else f", last {test:.0%} test")

    def parts(self, frame: pl.DataFrame, content: pl.Series, fold: int = 0) -> pl.Series:
        times = _column(frame, self.column)
        if not times.dtype.is_temporal():
            raise DataError(f"'{self.column}' is not a time", seen=times.dtype, todo="split: {use: hash}")
        stamps = times.cast(pl.Datetime("us")).cast(pl.Int64)
        known = np.sort(stamps.drop_nulls().to_numpy())
        if not known.size:
            raise DataError(f"'{self.column}' is empty in every row", todo="split: {use: hash}")
        cut = self._cut(known)
        before = known[known < cut]
        late = before[int(len(before) * (1 - self.validation))] if self.validation and before.size else cut
        values = stamps.fill_null(np.iinfo(np.int64).min).to_numpy()
        return _three(values >= cut, values >= late)

    def _cut(self, known: np.ndarray) -> int:
        if self.cut is None:
            return int(known[min(int(len(known) * (1 - self.test)), len(known) - 1)])
        try:
            return int(np.datetime64(self.cut).astype("datetime64[us]").astype(np.int64))
        except ValueError:
            raise ConfigError(
                "split.cut is not a date", seen=self.cut, allowed="2020-06-14 or 2020-06-14T12:00"
            ) from None


class Folds:
    """k folds: every row is test exactly once. Equal content shares a fold; classes are spread evenly when
    ``stratify`` names one.
    """

    stable = False

    def __init__(self, *, folds: int = 5, stratify: str | None = None, validation: float = 0.1) -> None:
        if folds < 2:
            raise ConfigError("split.folds must be 2 or more", seen=folds)
        _shares(0.0, validation)
        self.folds, self.stratify, self.validation = folds, stratify, validation
        self.validates = validation > 0
        self.columns = (stratify,) if stratify else ()
        self.label = f"{folds} folds by content hash: every row is test once, duplicates stay on one side"

    def parts(self, frame: pl.DataFrame, content: pl.Series, fold: int = 0) -> pl.Series:
        rows = pl.DataFrame({"content": content, "place": unit_interval(content, "folds")})
        label = (
            _column(frame, self.stratify).cast(pl.String) if self.stratify else pl.repeat("", len(frame), eager=True)
        )
        groups = (
            rows.with_columns(label=label)
            .group_by("content")
            .agg(pl.col("label").min(), pl.col("place").first())
            .sort("label", "place", "content")
            .with_row_index("turn")
            .with_columns(fold=pl.col("turn") % self.folds)
        )
        found = rows.join(groups.select("content", "fold"), on="content", how="left", maintain_order="left")["fold"]
        return _three((found == fold).to_numpy(), validation_rows(content, self.validation))


def validation_rows(content: pl.Series, share: float) -> np.ndarray:
    """bool [rows]: the share of the hash space that validates, independent of the test draw."""
    return unit_interval(content, "validation") < share


def unit_interval(content: pl.Series, salt: str) -> np.ndarray:
    """f64 [rows] in [0, 1): a uniform, salted, platform-independent hash of each value."""
    unique = content.unique()
    digest = [hashlib.blake2b(f"{salt}\0{v}".encode(), digest_size=8).digest() for v in unique.to_list()]
    place = np.array([int.from_bytes(d, "big") for d in digest], dtype=np.uint64) / 2.0**64
    lookup = pl.DataFrame({"content": unique, "place": place})
    frame = pl.DataFrame({"content": content})
    return frame.join(lookup, on="content", how="left", maintain_order="left")["place"].to_numpy()


def _three(test: np.ndarray, validation: np.ndarray) -> pl.Series:
    return pl.Series("part", np.where(test, "test", np.where(validation, "validation", "train")))


def _column(frame: pl.DataFrame, name: str) -> pl.Series:
    if name not in frame.columns:
        raise ConfigError(
            f"the split reads a column that is not there: '{name}'",
            allowed=frame.columns,
            todo=did_you_mean(name, frame.columns),
        )
    return frame[name]


def _shares(test: float, validation: float) -> None:
    if not (0 <= test < 1 and 0 <= validation < 1 and test + validation < 1):
        raise ConfigError(
            "split shares must be between 0 and 1 and leave something to train on",
            seen=f"test {test}, validation {validation}",
        )
