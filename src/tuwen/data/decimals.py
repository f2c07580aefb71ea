"""Find the decimal mark that the rest of a shop proves, for a column that proves none.

``1.299`` beside ``999`` may be thousands. Where other columns write ``12,50``, it is: a comma stands
before the shop's decimals. The other way round proves nothing, since programs write ``4.5`` in every
country.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

import polars as pl

from tuwen.amounts import marks

_CLEAR = 20  # times as many values on one side: the other side is slips


class Proof(NamedTuple):
    """A decimal mark, and a value of another column that proves it."""

    mark: Literal[".", ","]
    column: str
    value: str


def thousands_mark(doubts: Mapping[str, int]) -> Literal[".", ","] | None:
    """Return the decimal mark with which all ambiguous values of a column are thousands; None if there is no such.

    Args:
        doubts: counts as in :class:`tuwen.data.dialects.Evidence`.
    """
    point, comma = doubts.get("?.", 0) > 0, doubts.get("?,", 0) > 0
    return None if point == comma else "," if point else "."


def proof_of(mark: Literal[".", ","], columns: Iterable[tuple[str, pl.Series]]) -> Proof | None:
    """Return a value that proves ``mark``, if the columns together do.

    Args:
        columns: names and values of whatever columns there are; only texts count.
    """
    counts: Counter[str] = Counter()
    first: tuple[str, str] | None = None
    for name, values in columns:
        if values.dtype != pl.String:
            continue
        numeric = values.filter(values.str.contains(r"^[^\n]{0,20}[0-9][.,][^\n]{0,20}$").fill_null(False))
        read = marks(numeric)["mark"]
        counts.update(read.drop_nulls().to_list())
        proving = numeric.filter((read == mark).fill_null(False))
        if first is None and len(proving):
            first = (name, str(proving[0]))
    other = "." if mark == "," else ","
    if first is None or counts[mark] < _CLEAR * counts[other]:
        return None
    return Proof(mark, *first)
