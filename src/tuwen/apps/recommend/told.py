"""What somebody tells of a shopper when she is asked for: her age, her gender, what the shop calls her."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tuwen.apps.recommend.history import Asked, History
from tuwen.errors import DataError, close_names, did_you_mean

TABLE = "users."
SHOWN = 100  # characters of what was told
LISTED = 10  # categories in a note
COMPARED = 1000  # categories that a slip of the keys is looked for among
MOST = 1e30  # of a number; more is no answer to anything that a shop asks


def told_of(asked: Asked, history: History, about: Mapping[str, Any]) -> Asked:
    """One asked shopper with what is told of her in the place of what was known.

    Args:
        about: column (``users.age``, or ``age``) → a number, or the name of a category; None for not known. A category
            that the recommender has not met counts as not known: :func:`unheard` tells which.

    Raises:
        DataError: a column that the recommender does not read, or twice; or what is no number,
            or one out of range, in one of numbers.
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
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    except OverflowError:  # of a whole number with more digits than there are
        number = math.inf
    if math.isnan(number):
        raise DataError(
            f"'{name}' takes a number",
            where="about",
            seen=_cut(value),
            allowed="a number such as 30",
            todo="leave it out where it is not known",
        )
    if abs(number) > MOST:
        allowed = f"{-MOST:g} to {MOST:g}"
        raise DataError(f"'{name}' is out of range", where="about", seen=_cut(value), allowed=allowed)
    return number


def _cut(value: Any) -> str:
    try:
        return str(value)[:SHOWN]
    except ValueError:  # Python writes no whole number of more than 4,300 digits
        return "…"


def unheard(about: Mapping[str, Any], history: History) -> list[dict[str, str]]:
    """Of what is told, the categories that nobody who bought was of: notes in ``en`` and ``zh``.

    Args:
        about: as :func:`told_of` takes it, and columns that it reads.
    """
    notes = []
    for column, value in about.items():
        name, level = column if column.startswith(TABLE) else TABLE + column, level_of(value)
        levels = history.shoppers.levels.get(name)
        if levels is None or not level:
            continue
        met = history.met({name: np.arange(1, len(levels) + 1)})[name] > 0
        known = levels[met].tolist()
        if level not in known:
            notes.append(_note(name, level, known))
    return notes


def _note(name: str, level: str, known: Sequence[str]) -> dict[str, str]:
    first, more = [one[:SHOWN] for one in known[:LISTED]], len(known) > LISTED
    folded = {one.casefold(): one for one in known[:COMPARED]}
    near = close_names(level[:SHOWN].casefold(), folded)
    meant = did_you_mean(folded[near[0]], [folded[near[0]]]) if near else None
    said = f"您是否要找“{folded[near[0]]}”？" if near else ""
    english = ", ".join(first) + ", …" * more or "nothing"
    return {
        "en": f"nobody had {name} '{level[:SHOWN]}' before, so it tells nothing; known: {english}"
        + (f"; {meant}" if meant else ""),
        "zh": f"此前没有人的 {name} 是“{level[:SHOWN]}”，因此不起作用；已知：{'、'.join(first) + '……' * more or '没有'}"
        + (f"；{said}" if said else ""),
    }
