"""How a shop writes the numbers and dates of a column, from all of its values.

``05/03/2024`` and ``1.299`` mean two things each. What the same column holds besides tells which:
``31/12/2024`` proves that days come first, ``12,50`` that a comma stands before decimals. So each
file is read twice: once for counts, which need no memory and know no order of rows, once for values.
A file that proves nothing goes by the others of its source; where those prove nothing either,
SHOP.yaml says it (``dates``, ``decimal``), or a note asks for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import polars as pl

from tuwen.amounts import Decimal, marks
from tuwen.data.batch import Part
from tuwen.data.dates import SERIAL, Order, orders
from tuwen.data.ratings import ScaleCounts
from tuwen.data.schema import Column

Kind = Literal["number", "time", "rating"]

_FIRST_SHORT_YEAR = 10  # 2010
_PLAIN = {  # most numbers of most files: told by their form alone, which is twenty times as fast
    mark: rf"^-?[0-9]+[{mark}](?:[0-9]{{1,2}}|[0-9]{{4,}})$" for mark in (".", ",")
}
_CLEAR = 20  # times as many values on one side: the other side is slips


@dataclass(frozen=True)
class Dialect:
    """How one column is written.

    Attributes:
        decimal: the mark of decimals, or ``mixed`` (:func:`tuwen.amounts.amounts`); None: not known.
        dates: the order of ``05/03/2024``; None: not known.
        short: the same of ``05/03/24``.
        scale: of ratings (:meth:`tuwen.data.ratings.ScaleCounts.scale`); None: not known.
    """

    decimal: Decimal | None = None
    dates: Order | None = None
    short: Order | None = None
    scale: str | None = None

    def or_else(self, other: Dialect) -> Dialect:
        """Return this dialect with unknown fields taken from ``other``."""
        return Dialect(
            self.decimal or other.decimal,
            self.dates or other.dates,
            self.short or other.short,
            self.scale or other.scale,
        )


@dataclass
class Evidence:
    """Counts over all values of one column.

    Attributes:
        marks: of ``.``, ``,``, ``?.`` and ``?,``, as :func:`tuwen.amounts.marks` tells them.
        orders: of ``day-first``, ``month-first`` and ``?``, of years with four digits.
        short: each position of dates with two-digit years → the numbers seen there.
        currencies: how they are written.
        scales: of ratings.
        examples: ``number``, ``date``, ``short`` and ``serial`` → a value of two meanings, and days since 1900.
    """

    column: str
    kind: Kind
    marks: Counter[str] = field(default_factory=Counter)
    orders: Counter[str] = field(default_factory=Counter)
    short: dict[str, set[int]] = field(default_factory=lambda: {"first": set(), "second": set(), "third": set()})
    currencies: set[str] = field(default_factory=set)
    scales: ScaleCounts = field(default_factory=ScaleCounts)
    examples: dict[str, str] = field(default_factory=dict)

    def add(self, values: pl.Series) -> None:
        """Count more values."""
        if values.dtype in (pl.Categorical, pl.Enum):
            values = values.cast(pl.String)
        if values.dtype.is_numeric() and self.kind == "time":
            days = values.cast(pl.Float64).filter(values.is_between(*SERIAL).fill_null(False))
            if len(days):
                self._example("serial", f"{days[0]:g}")
        elif values.dtype == pl.String:
            if self.kind == "rating":
                values = self.scales.add(values)
            if self.kind in ("number", "rating"):
                plain = {mark: values.str.contains(form).fill_null(False) for mark, form in _PLAIN.items()}
                for mark, which in plain.items():
                    self.marks += Counter({mark: int(which.sum())})
                self._add_numbers(_counts(values.filter(~(plain["."] | plain[","])), r"[^0-9\s]"))
            else:
                self._first("serial", _counts(values, r"^\s*[0-9]{5}(?:[.,][0-9]+)?\s*$"))
                self._add_dates(_counts(values, r"^\s*[^0-9０-９]{0,12}[0-9０-９]{1,2}\s?[-/.／．]"))

    def _add_numbers(self, counts: pl.DataFrame) -> None:
        if counts.is_empty():
            return
        read = pl.concat([counts, marks(counts["value"])], how="horizontal")
        for mark, n in read.group_by("mark").agg(pl.col("n").sum()).drop_nulls().iter_rows():
            self.marks[mark] += n
        self.currencies |= set(read["currency"].drop_nulls())
        self._first("number", read.filter(pl.col("mark").str.starts_with("?")))

    def _add_dates(self, counts: pl.DataFrame) -> None:
        if counts.is_empty():
            return
        read = pl.concat([counts, orders(counts["value"])], how="horizontal").drop_nulls("third")
        long, short = read.filter(~pl.col("short")), read.filter(pl.col("short"))
        for order, n in long.group_by("order").agg(pl.col("n").sum()).drop_nulls().iter_rows():
            self.orders[order] += n
        for position, numbers in self.short.items():
            numbers.update(short[position].to_list())
        self._first("date", long.filter(pl.col("order") == "?"))
        self._first("short", short)

    def _first(self, name: str, rows: pl.DataFrame) -> None:
        if not rows.is_empty():
            self._example(name, str(rows["value"].min()))

    def _example(self, name: str, value: str) -> None:
        self.examples[name] = min(value, self.examples.get(name, value))

    def merge(self, other: Evidence) -> None:
        """Add the counts of ``other``."""
        self.marks += other.marks
        self.orders += other.orders
        for position, numbers in other.short.items():
            self.short[position] |= numbers
        self.currencies |= other.currencies
        self.scales.merge(other.scales)
        for name, value in other.examples.items():
            self._example(name, value)

    def dialect(self) -> Dialect:
        """Return the dialect that the counts prove."""
        decimal: Decimal | None = None
        if self.marks["."] or self.marks[","]:
            decimal = _majority(self.marks, ".", ",") or "mixed"  # type: ignore[assignment]
        order: Order | None = _majority(self.orders, "day-first", "month-first")  # type: ignore[assignment]
        return Dialect(decimal, order, order or self._short_order(), self.scales.scale())

    def _short_order(self) -> Order | None:
        """Of years with two digits: the one order in which all are dates, and not dates with the year first too.

        ``24/03/01`` beside ``24/03/02`` is not the 24th of March 2001: what stands first must vary
        more than what would be the year, and no shop's year is before 2010.
        """
        first, second, third = self.short["first"], self.short["second"], self.short["third"]
        if not first or min(*first, *second) < 1 or min(third) < _FIRST_SHORT_YEAR:
            return None
        year_first = max(second) <= 12 and max(third) <= 31 and len(first) < 2 * len(third)
        day_first, month_first = max(*first, 12) <= 31 and max(second) <= 12, max(first) <= 12 and max(second) <= 31
        if year_first or day_first == month_first:
            return None
        return "day-first" if day_first else "month-first"

    @property
    def doubtful(self) -> bool:
        """Whether some values stay ambiguous."""
        dialect = self.dialect()
        return (
            ("number" in self.examples and dialect.decimal in (None, "mixed"))
            or ("date" in self.examples and dialect.dates is None)
            or ("short" in self.examples and dialect.short is None)
            or dialect.scale is not None  # one file of ratings may have another scale than the next
        )


def _counts(values: pl.Series, pattern: str) -> pl.DataFrame:
    """``value`` and ``n``: how often each value that has ``pattern`` in it is there."""
    return values.filter(values.str.contains(pattern).fill_null(False)).alias("value").value_counts(name="n")


def _majority(counts: Counter[str], first: str, other: str) -> str | None:
    if counts[first] >= max(1, _CLEAR * counts[other]):
        return first
    return other if counts[other] >= max(1, _CLEAR * counts[first]) else None


def evidence_of(part: Part, columns: Mapping[str, tuple[str, Kind]]) -> dict[str, Evidence]:
    """What a file says about its columns of numbers and dates.

    Args:
        columns: name → the file's own name for it, and what it holds.
    """
    counts = {name: Evidence(name, kind) for name, (_, kind) in columns.items()}
    open_columns = {n: column for n, (column, kind) in columns.items() if kind == "time" or column not in part.numbers}
    if open_columns:
        for batch in part.batches(list(dict.fromkeys(open_columns.values()))):
            for name, column in open_columns.items():
                counts[name].add(batch.frame[column])
    return counts


def kind_of(column: Column | None) -> Kind | None:
    """What a known column holds, as far as it matters how that is written."""
    if column is None:
        return None
    if column.scaled:
        return "rating"
    return "time" if column.kind == "time" else "number" if column.kind in ("number", "whole") else None
