"""What somebody tells of a shopper when she is asked for: her age, her gender, what the shop calls her."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tuwen.apps.recommend.history import Asked, History
from tuwen.errors import DataError, did_you_mean

TABLE = "users."
MOST = 1e30  # of a number; more is no answer to anything that a shop asks


def told_of(asked: Asked, history: History, about: Mapping[str, Any]) -> Asked:
    """One asked shopper with what is told of her in the place of what was known.

    Args:
        about: column (``users.age``, or ``age``) → a number, or the name of a category; None for not known. A category
            that the recommender has not met counts as not known.

    Raises:
        DataError: a column that the recommender does not read, or twice; or what is no number in one of numbers.
    """
    if not about:
        return asked
    numbers, categories = dict(asked.numbers), dict(asked.categories)
    for name, value in named(about, [*numbers, *categories]).items():
        if name in numbers:
            numbers[name] = np.array([_number(name, value)], np.float32)
        else:
            found = np.flatnonzero(history.shoppers.levels[name] == level_of(value))
            categories[name] = np.array([found[0] + 1 if len(found) else 0], np.int32)
    return replace(asked, numbers=numbers, categories=history.met(categories))


def named(about: Mapping[str, Any], known: Sequence[str]) -> dict[str, Any]:
    """What is told, by the whole names of columns of users.

    Raises:
        DataError: a column is none of those that are known, or is told twice: as ``users.age`` and as ``age``.
    """
    found: dict[str, Any] = {}
    for column, value in about.items():
        name = column if column.startswith(TABLE) else TABLE + column
        if name not in known:
            raise DataError(
                f"the recommender does not read '{column[:100]}'",
                where="about",
                allowed=list(known) or "nothing: its run names no 'shoppers'",
                todo=did_you_mean(name, known),
            )
        if name in found:
            raise DataError(f"'{name}' is given twice", where="about", todo="leave one of them out")
        found[name] = value
    return found


def level_of(value: Any) -> str:
    """The name of a category, as a table of texts has it; empty for none."""
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value).strip()


def _number(name: str, value: Any) -> float:
    if value is None:
        return math.nan
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.inf
    if abs(number) > MOST or isinstance(value, bool):
        raise DataError(f"'{name}' is a number, and this is none", where="about", seen=str(value)[:100])
    return number
