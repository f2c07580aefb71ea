"""Decide how the files of one source write their numbers, dates and ratings, and say what stays open."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Literal

import polars as pl

from tuwen.amounts import Decimal, amounts
from tuwen.data.batch import Part
from tuwen.data.dates import Order, dates, from_numbers
from tuwen.data.decimals import proof_of, thousands_mark
from tuwen.data.dialects import Dialect, Evidence, Kind, evidence_of, kind_of
from tuwen.data.mapping import Plan
from tuwen.data.schema import Table

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
                whole.scale,
            )
        decimal = self._decimal or proof.decimal or self._shops_decimal(own)
        dialect = Dialect(decimal, self._dates or proof.dates, self._dates or proof.short, proof.scale)
        self.notes += [note for note in self._doubts(own, dialect) if note not in self.notes]
        return dialect

    def _is_open(self, own: Evidence) -> bool:
        """Whether a column has numbers of two meanings that its range does not decide."""
        column = self._table.columns[own.column]
        example = own.examples.get("number")
        return example is not None and amounts(pl.Series([example]), None, column.low, column.high)[0][0] is None

    def _shops_decimal(self, own: Evidence) -> Decimal | None:
        """Return the mark of decimals that makes thousands of a column in doubt, if the rest of the shop proves it."""
        if not self._is_open(own):
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

    def _scale_notes(self, name: str, scale: str | None) -> list[str]:
        """Return a note if the ratings of a column name their scale, or several."""
        if scale is None:
            return []
        examples, column = self._evidence()[name].scales.examples, f"{self._name}: '{name}'"
        if scale != "mixed":
            others = sorted(set(examples.values()) - {examples[scale]})
            more = f"; those of another scale, as {others[0]!r}, are left out" if others else ""
            how = f"{_scale_words(scale)}, as {examples[scale]!r}"
            return [f"{column} is rated {how}: the number before it is read{more}"]
        listed = ", ".join(map(repr, sorted(examples.values())[:3]))
        return [
            f"{column} has ratings of several scales, as {listed}: those that name one are left out; write all of them "
            "on one scale in the export, or map each scale to a column of its own"
        ]

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
        if dialect.decimal is None and self._is_open(own):
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
        notes += self._scale_notes(own.column, dialect.scale)
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


def _scale_words(scale: str) -> str:
    return f"of {scale}" if scale.isdigit() else "in percent" if scale == "%" else f"in {scale}"


def _columns_of(part: Part) -> Iterator[tuple[str, pl.Series]]:
    """Every column of a file, batch by batch."""
    for batch in part.batches(part.columns):
        for values in batch.frame:
            yield values.name, values


def _with_dots(text: str) -> bool:
    """Whether a date can be read without knowing its order: dots part days, months and years in this order."""
    return dates(pl.Series([text]))[0][0] is not None
