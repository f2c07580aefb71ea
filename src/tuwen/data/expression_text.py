"""A condition as a person would write it, and the kinds of its values in the words of a message."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from tuwen.data.expression_tree import COMPARISONS, Column, Literal, Node

_PREFIXED = {"not": "NOT ({})", "negative": "-{}", "is null": "{} IS NULL"}
_INFIX = (*COMPARISONS, "is", "+", "-", "*", "/", "%", "||", "and", "or", "like", "ilike")


def kind_of_type(dtype: pl.DataType) -> str:
    """Return the kind of a type, in the words of a message."""
    if dtype.is_numeric():
        return "a number"
    if isinstance(dtype, pl.String | pl.Categorical | pl.Enum):
        return "a text"
    if isinstance(dtype, pl.Date | pl.Datetime):
        return "a date"
    kinds = ((pl.Boolean, "a boolean"), (pl.List, "a list"), (pl.Duration, "a length of time"), (pl.Null, "missing"))
    return next((kind for each, kind in kinds if isinstance(dtype, each)), "a value of another kind")


def text_of(node: Node) -> str:
    """Return a part of a condition as it could be written."""
    if isinstance(node, Column):
        return node.name
    if isinstance(node, Literal):
        if isinstance(node.value, str):
            return f"{node.kind.upper()} ".lstrip() + "'" + node.value.replace("'", "''") + "'"
        return "NULL" if node.value is None else str(node.value).upper()
    return call_text(node.name, [text_of(argument) for argument in node.arguments])


def call_text(name: str, arguments: Sequence[str]) -> str:
    """Return a call of a function or an operator as it could be written."""
    if name.startswith("cast "):
        return f"CAST({arguments[0]} AS {name.removeprefix('cast ')})"
    if name in _PREFIXED:
        return _PREFIXED[name].format(arguments[0])
    if name == "in":
        return f"{arguments[0]} IN ({', '.join(arguments[1:])})"
    if name in _INFIX:
        sign = "IS NOT DISTINCT FROM" if name == "is" else name.upper()
        return f" {sign} ".join(arguments)
    return f"{name}({', '.join(arguments)})"
