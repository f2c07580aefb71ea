"""The tree of a condition → which rows of a table meet it. A missing value is unknown, as in SQL: no row for that."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from functools import reduce
from operator import and_, or_
from typing import Any

import polars as pl

from tuwen.data.expressions import PARTS, Call, Column, Literal, Node
from tuwen.errors import ConfigError, did_you_mean

_TYPES: dict[str, Any] = {
    "integer": pl.Int64,
    "number": pl.Float64,
    "text": pl.String,
    "boolean": pl.Boolean,
    "date": pl.Date,
    "timestamp": pl.Datetime("us"),
}


def _remainder(a: pl.Expr, b: pl.Expr) -> pl.Expr:
    """With the sign of ``a``, as SQL has it; polars gives it the sign of ``b``."""
    floored = a % b
    return pl.when((floored != 0) & ((floored < 0) != (a < 0))).then(floored - b).otherwise(floored)


_OPERATORS: dict[str, Callable[[pl.Expr, pl.Expr], pl.Expr]] = {
    "=": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "is": lambda a, b: a.eq_missing(b),
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "%": _remainder,
    "||": lambda a, b: a.cast(pl.String) + b.cast(pl.String),
}
_FUNCTIONS: dict[str, Callable[..., pl.Expr]] = {
    "not": lambda a: ~a,
    "negative": lambda a: -a,
    "is null": lambda a: a.is_null(),
    "lower": lambda a: a.str.to_lowercase(),
    "upper": lambda a: a.str.to_uppercase(),
    "trim": lambda a: a.str.strip_chars(),
    "ltrim": lambda a: a.str.strip_chars_start(),
    "rtrim": lambda a: a.str.strip_chars_end(),
    "abs": lambda a: a.abs(),
    "floor": lambda a: a.floor(),
    "ceil": lambda a: a.ceil(),
    "sign": lambda a: a.sign(),
    "array_length": lambda a: a.list.len(),
    "array_contains": lambda a, b: a.list.contains(b),
    "left": lambda a, b: a.str.head(b),
    "right": lambda a, b: a.str.tail(b),
    "starts_with": lambda a, b: a.str.starts_with(b),
    "ends_with": lambda a, b: a.str.ends_with(b),
    "mod": _remainder,
    "nullif": lambda a, b: pl.when(a != b).then(a),
    "replace": lambda a, b, c: a.str.replace_all(b, c, literal=True),
    "coalesce": pl.coalesce,
    "concat": lambda *parts: pl.concat_str([part.cast(pl.String) for part in parts], ignore_nulls=True),
    "greatest": pl.max_horizontal,
    "least": pl.min_horizontal,
}


def rows_that_meet(frame: pl.DataFrame, condition: Node, names: Mapping[str, str]) -> pl.DataFrame:
    """Return the rows of a frame that meet a condition.

    Args:
        names: name in the condition → column of the frame.

    Raises:
        ConfigError: it names another column, compares what cannot be compared, or is a value and not a condition.
    """
    builder = _Builder(frame, names)
    try:
        predicate = builder.expression(condition)
        if builder.type_of(predicate) != pl.Boolean:
            raise builder.refusal("this is a value, not a condition", str(builder.type_of(predicate)))
        return frame.filter(predicate)
    except (pl.exceptions.PolarsError, TypeError, OverflowError) as error:
        lines = str(error).splitlines()
        raise builder.refusal("this is not a condition over these columns", lines[0] if lines else "") from None


class _Builder:
    def __init__(self, frame: pl.DataFrame, names: Mapping[str, str]) -> None:
        self.names = names
        self.empty = frame.clear().lazy()

    def refusal(self, what: str, seen: str, todo: str | None = None) -> ConfigError:
        return ConfigError(what, seen=seen, allowed=list(self.names), todo=todo)

    def type_of(self, expression: pl.Expr) -> pl.DataType:
        return self.empty.select(expression.alias("value")).collect_schema()["value"]

    def expression(self, node: Node) -> pl.Expr:
        if isinstance(node, Literal):
            return pl.lit(_dated(node.value, node.kind == "date") if node.kind else node.value)
        if isinstance(node, Column):
            if node.name not in self.names:
                todo = did_you_mean(node.name, self.names)
                raise self.refusal("this is not a condition over these columns", node.name[:100], todo)
            return pl.col(self.names[node.name])
        if node.name in ("=", "!=", "<", "<=", ">", ">=", "is"):
            return _OPERATORS[node.name](*self.alike(node.arguments))
        if node.name == "in":
            return self.membership(node.arguments)
        if node.name in ("like", "ilike"):
            return self.expression(node.arguments[0]).str.contains(_regex(node))
        parts = [self.expression(argument) for argument in node.arguments]
        if node.name in ("and", "or"):
            return _balanced(parts, and_ if node.name == "and" else or_)
        if node.name in _OPERATORS:
            return _OPERATORS[node.name](*parts)
        return self.function(node, parts)

    def function(self, node: Call, parts: list[pl.Expr]) -> pl.Expr:
        if node.name == "case":
            return _case(parts)
        if node.name == "length":
            nested = isinstance(self.type_of(parts[0]), pl.List)
            return parts[0].list.len() if nested else parts[0].str.len_chars()
        if node.name == "round":
            return parts[0].round(_whole(node, 1, 0, 15) if len(parts) > 1 else 0)
        if node.name == "substr":
            begin, length = _whole(node, 1, 1, 100_000), (_whole(node, 2, 0, 100_000) if len(parts) > 2 else None)
            return parts[0].str.slice(begin - 1, length)
        if node.name in PARTS:
            return getattr(parts[0].dt, node.name)()
        if node.name.startswith("cast "):
            return parts[0].cast(_TYPES[node.name.removeprefix("cast ")])
        return _FUNCTIONS[node.name](*parts)

    def alike(self, nodes: Sequence[Node]) -> list[pl.Expr]:
        """Return both sides of a comparison. A text compared with a date is read as a date."""
        parts = [self.expression(node) for node in nodes]
        texts = [isinstance(node, Literal) and isinstance(node.value, str) and not node.kind for node in nodes]
        if not any(texts) or all(texts):
            return parts
        kinds = [self.type_of(part) for part, text in zip(parts, texts, strict=True) if not text]
        if not any(isinstance(kind, pl.Date | pl.Datetime) for kind in kinds):
            return parts
        return [
            pl.lit(_dated(node.value, len(str(node.value)) == 10)) if text and isinstance(node, Literal) else part
            for node, part, text in zip(nodes, parts, texts, strict=True)
        ]

    def membership(self, nodes: Sequence[Node]) -> pl.Expr:
        """Is it one of these? Unknown where it is none and one of these is missing."""
        subject, *parts = self.alike(nodes)
        missing = [isinstance(node, Literal) and node.value is None for node in nodes[1:]]
        equal = [subject == part for part, absent in zip(parts, missing, strict=True) if not absent]
        if any(missing):
            equal.append(pl.lit(None, pl.Boolean))
        return _balanced(equal, or_)


def _balanced(parts: Sequence[pl.Expr], join: Callable[[Any, Any], Any]) -> pl.Expr:
    """Join terms by one operator, in a tree of logarithmic depth."""
    level = list(parts)
    while len(level) > 1:
        level = [reduce(join, level[i : i + 2]) for i in range(0, len(level), 2)]
    return level[0]


def _case(parts: Sequence[pl.Expr]) -> pl.Expr:
    value = parts[-1]
    for i in range(len(parts) - 3, -1, -2):
        value = pl.when(parts[i]).then(parts[i + 1]).otherwise(value)
    return value


def _regex(node: Call) -> str:
    """The pattern of LIKE: ``%`` is any text, ``_`` one character."""
    pattern = node.arguments[1]
    assert isinstance(pattern, Literal)
    body = re.escape(str(pattern.value)).replace("%", ".*").replace("_", ".")
    return f"(?s{'i' if node.name == 'ilike' else ''})^{body}$"


def _whole(node: Call, index: int, low: int, high: int) -> int:
    argument = node.arguments[index]
    value = argument.value if isinstance(argument, Literal) else None
    if type(value) is not int or not low <= value <= high:
        what = f"argument {index + 1} of {node.name} must be a whole number"
        raise ConfigError(what, seen=str(value), allowed=f"{low:,} to {high:,}")
    return value


def _dated(value: object, day: bool) -> date | datetime:
    text = str(value)
    try:
        if text[4:5] != "-":
            raise ValueError
        return date.fromisoformat(text) if day else datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError("this is not a date", seen=text[:40], allowed="2024-01-31, 2024-01-31 12:30:00") from None
