"""How a shop writes the numbers and dates of a column, from all of its values.

``05/03/2024`` and ``1.299`` mean two things each. What the same column holds besides tells which:
``31/12/2024`` proves that days come first, ``12,50`` that a comma stands before decimals. So each
file is read twice: once for counts, which need no memory and know no order of rows, once for values.
A file that proves nothing goes by the others of its source; where those prove nothing either,
SHOP.yaml says it (``dates``, ``decimal``), or a note asks for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import polars as pl

from tuwen.amounts import Decimal, amounts, marks
from tuwen.data.batch import Part
from tuwen.data.dates import SERIAL, Order, dates, from_numbers, orders
from tuwen.data.decimals import proof_of, thousands_mark
from tuwen.data.mapping import Plan
from tuwen.data.schema import Column, Table

Kind = Literal["number", "time"]

_FIRST_SHORT_YEAR = 10  # 2010
_CLEAR = 20  # times as many values on one side: the other side is slips
_SYNONYMS = {"€": "EUR", "EURO": "EUR", "EUROS": "EUR", "£": "GBP", "US$": "USD", "U$S": "USD", "USD$": "USD"} | {
    **{"RMB": "CNY", "元": "CNY", "人民币": "CNY", "人民幣": "CNY", "CN¥": "CNY", "RMB¥": "CNY", "块": "CNY"},
    **{"₹": "INR", "ZŁ": "PLN", "ZL": "PLN", "KČ": "CZK", "KC": "CZK", "FT": "HUF", "FR": "CHF", "SFR": "CHF"},
    **{"R$": "BRL", "₽": "RUB", "РУБ": "RUB", "円": "JPY", "JP¥": "JPY", "₩": "KRW", "원": "KRW"},
    **{"A$": "AUD", "AU$": "AUD", "C$": "CAD", "CA$": "CAD", "CAD$": "CAD", "NT$": "TWD", "NTD$": "TWD", "HK$": "HKD"},
}
_SHARED = {  # signs of several currencies, and which
    "$": "USD CAD AUD NZD SGD HKD TWD MXN ARS CLP COP UYU",
    "¥": "CNY JPY",
    "KR": "SEK NOK DKK ISK",
    "RS": "INR PKR LKR NPR MUR",
    "₨": "INR PKR LKR NPR MUR",
    "Р": "RUB BYN",
}


@dataclass(frozen=True)
class Dialect:
    """How one column is written.

    Attributes:
        decimal: the mark of decimals, or ``mixed`` (:func:`tuwen.amounts.amounts`); None: not known.
        dates: the order of ``05/03/2024``; None: not known.
        short: the same of ``05/03/24``.
    """

    decimal: Decimal | None = None
    dates: Order | None = None
    short: Order | None = None

    def or_else(self, other: Dialect) -> Dialect:
        """Return this dialect with unknown fields taken from ``other``."""
        return Dialect(self.decimal or other.decimal, self.dates or other.dates, self.short or other.short)


@dataclass
class Evidence:
    """Counts over all values of one column.

    Attributes:
        marks: of ``.``, ``,``, ``?.`` and ``?,``, as :func:`tuwen.amounts.marks` tells them.
        orders: of ``day-first``, ``month-first`` and ``?``, of years with four digits.
        short: each position of dates with two-digit years → the numbers seen there.
        currencies: how they are written.
        examples: ``number``, ``date``, ``short`` and ``serial`` → a value of two meanings, and days since 1900.
    """

    column: str
    kind: Kind
    marks: Counter[str] = field(default_factory=Counter)
    orders: Counter[str] = field(default_factory=Counter)
    short: dict[str, set[int]] = field(default_factory=lambda: {"first": set(), "second": set(), "third": set()})
    currencies: set[str] = field(default_factory=set)
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
            if self.kind == "number":
                self._add_numbers(_counts(values, r"[^0-9\s]"))
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
        for name, value in other.examples.items():
            self._example(name, value)

    def dialect(self) -> Dialect:
        """Return the dialect that the counts prove."""
        decimal: Decimal | None = None
        if self.marks["."] or self.marks[","]:
            decimal = _majority(self.marks, ".", ",") or "mixed"  # type: ignore[assignment]
        order: Order | None = _majority(self.orders, "day-first", "month-first")  # type: ignore[assignment]
        return Dialect(decimal, order, order or self._short_order())

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
    if columns:
        for batch in part.batches(list(dict.fromkeys(column for column, _ in columns.values()))):
            for name, (column, _) in columns.items():
                counts[name].add(batch.frame[column])
    return counts


def kind_of(column: Column | None) -> Kind | None:
    """What a known column holds, as far as it matters how that is written."""
    if column is None:
        return None
    return "time" if column.kind == "time" else "number" if column.kind in ("number", "whole") else None


def _columns(plan: Plan, table: Table) -> dict[str, tuple[str, Kind]]:
    kinds = {name: kind_of(table.columns.get(name)) for name in plan.names}
    return {name: (plan.names[name][0], kind) for name, kind in kinds.items() if kind is not None}


class SourceDialects:
    """The dialects of the columns of one table, file by file.

    Args:
        name: of the table.
        decimal, dates: as SHOP.yaml has them.
        parts: opens every file of the source; called where one file alone leaves a doubt.
        others: opens the files of the shop's other tables, with the table's name; called where the source does.

    Attributes:
        shared: whether the shop's other tables were looked at.
        notes: what a person should know, one sentence each.
    """

    def __init__(
        self,
        name: str,
        table: Table,
        *,
        decimal: Literal[".", ","] | None,
        dates: Order | None,
        parts: Callable[[], Iterable[tuple[Part, Plan]]],
        others: Callable[[], Iterable[tuple[str, Part]]] = tuple,
    ) -> None:
        self.notes: list[str] = []
        self.shared = False
        self._name, self._table, self._parts, self._others = name, table, parts, others
        self._decimal, self._dates = decimal, dates
        self._whole: dict[str, Evidence] | None = None
        self._currencies: dict[str, set[str]] = {}

    def of(self, part: Part, plan: Plan) -> dict[str, Dialect]:
        """How each known column of numbers and dates of one file is written."""
        return {name: self._dialect(own) for name, own in evidence_of(part, _columns(plan, self._table)).items()}

    def _dialect(self, own: Evidence) -> Dialect:
        proof = own.dialect()
        if own.doubtful:
            whole = self._evidence().get(own.column, own).dialect()
            proof = Dialect(
                whole.decimal if proof.decimal is None else proof.decimal,
                proof.dates or whole.dates,
                proof.short or whole.short,
            )
        decimal = self._decimal or proof.decimal or self._shops_decimal(own)
        dialect = Dialect(decimal, self._dates or proof.dates, self._dates or proof.short)
        self.notes += [note for note in self._doubts(own, dialect) if note not in self.notes]
        return dialect

    def _shops_decimal(self, own: Evidence) -> Decimal | None:
        """Return the mark of decimals that makes thousands of a column in doubt, if the rest of the shop proves it."""
        if "number" not in own.examples:
            return None
        mark = thousands_mark(self._evidence().get(own.column, own).marks)
        if mark is None:
            return None
        proof = proof_of(mark, ((column, values) for part, _ in self._parts() for column, values in _columns_of(part)))
        if proof is None:
            self.shared = True
            columns = ((f"{name}.{column}", v) for name, part in self._others() for column, v in _columns_of(part))
            proof = proof_of(mark, columns)
        if proof is None:
            return None
        example = own.examples["number"]
        number = amounts(pl.Series([example]), mark)[0][0]
        note = (
            f"{self._name}: '{own.column}': {example!r} is read as {number:,.10g}, since '{proof.column}' has "
            f"{proof.value!r}; if that is wrong, say decimal: '.' or decimal: ',' in SHOP.yaml"
        )
        self.notes += [] if note in self.notes else [note]
        return mark

    def _evidence(self) -> dict[str, Evidence]:
        """Return the evidence of all files together."""
        if self._whole is None:
            self._whole = {}
            for part, plan in self._parts():
                for name, counts in evidence_of(part, _columns(plan, self._table)).items():
                    self._whole.setdefault(name, Evidence(name, counts.kind)).merge(counts)
        return self._whole

    def _doubts(self, own: Evidence, dialect: Dialect) -> list[str]:
        """Return notes about ambiguous values and values that need a check."""
        notes, column, examples = [], f"{self._name}: '{own.column}'", own.examples
        if "number" in examples and dialect.decimal is None:
            notes.append(
                f"{column} can be read with a point or a comma for decimals, and nothing in it tells which; numbers as "
                f"{examples['number']!r} are left out; say decimal: '.' or decimal: ',' in SHOP.yaml"
            )
        if "number" in examples and dialect.decimal == "mixed":
            notes.append(
                f"{column} has a point for decimals in some rows and a comma in others; what can be either, as "
                f"{examples['number']!r}, is left out; say decimal: '.' or decimal: ',' in SHOP.yaml"
            )
        for kind, order in (("date", dialect.dates), ("short", dialect.short)):
            if kind in examples and order is None and not (kind == "short" and _with_dots(examples[kind])):
                notes.append(
                    f"{column} can be read with the day or the month first, and nothing in it tells which; dates as "
                    f"{examples[kind]!r} are left out; say dates: day-first or dates: month-first in SHOP.yaml"
                )
        if "serial" in examples:
            days = float(examples["serial"].strip().replace(",", "."))
            moment = from_numbers(pl.Series([days]))[0]
            notes += (
                [f"{column} has days since 1900, as spreadsheets count them; {days:g} is {moment}"] if moment else []
            )
        currencies = self._currencies.setdefault(own.column, set())
        currencies |= {_SYNONYMS.get(currency, currency) for currency in own.currencies}
        proven = [c for c in sorted(currencies) if not currencies & set(_SHARED.get(c, "").split())]
        if len(proven) > 1:
            self.notes[:] = [note for note in self.notes if not note.startswith(f"{column} is in several currencies")]
            notes.append(f"{column} is in several currencies ({', '.join(proven)}), which are read as one")
        return notes


def _columns_of(part: Part) -> Iterator[tuple[str, pl.Series]]:
    """Every column of a file, batch by batch."""
    for batch in part.batches(part.columns):
        for values in batch.frame:
            yield values.name, values


def _with_dots(text: str) -> bool:
    """Whether a date can be read without knowing its order: dots part days, months and years in this order."""
    return dates(pl.Series([text]))[0][0] is not None
