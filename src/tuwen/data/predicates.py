"""The tree of a condition → which rows of a table meet it. A missing value is unknown, as in SQL: no row for that."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from functools import reduce
from operator import and_, or_
from typing import Any

import polars as pl

from tuwen.data.expression_text import call_text, kind_of_type, text_of
from tuwen.data.expression_tree import PARTS, Call, Column, Literal, Node, columns
from tuwen.errors import ConfigError, did_you_mean

_LITERAL_TYPES: dict[type, pl.DataType] = {
    int: pl.Int64(),
    float: pl.Float64(),
    str: pl.String(),
    bool: pl.Boolean(),
    type(None): pl.Null(),
}
_TYPES: dict[str, Any] = {
    "integer": pl.Int64,
    "number": pl.Float64,
    "text": pl.String,
    "boolean": pl.Boolean,
    "date": pl.Date,
    "timestamp": pl.Datetime("us"),
}


_EVALUATION_ERRORS = (pl.exceptions.PolarsError, TypeError, OverflowError)
_NO_NUMBERS = ("nan", "inf", "infinity")  # other languages have these
_EXAMPLE_DATE = "'2025-06-01'"


def _quotient(a: pl.Expr, b: pl.Expr) -> pl.Expr:
    """Missing where ``b`` is 0, as SQLite and MySQL have it; polars has infinity there, which no shop sold."""
    return a / pl.when(b != 0).then(b)


def _number(a: pl.Expr) -> pl.Expr:
    """As a number. A text like 'inf' or 'nan' is none: missing."""
    number = a.cast(pl.Float64)
    return pl.when(number.is_finite()).then(number)


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
    "/": _quotient,
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


def rows_that_meet(
    frame: pl.DataFrame, condition: Node, names: Mapping[str, str], where: str = "rows.where"
) -> pl.DataFrame:
    """Return the rows of a frame that meet a condition.

    Args:
        names: name in the condition → column of the frame.
        where: the option of the run file that holds the condition, for messages.

    Raises:
        ConfigError: it names another column, compares what cannot be compared, or is a value and not a condition.
    """
    builder = _Builder(frame, names, where)
    try:
        predicate = builder.expression(condition)
        if builder.type_of(predicate) != pl.Boolean:
            raise builder.refusal("this is a value, not a condition", builder.described(condition))
        mask = frame.select(predicate.alias("mask")).to_series()
    except _EVALUATION_ERRORS:
        part = builder.failing_part(condition) or condition
        raise builder.refusal("this is not a condition over these columns", builder.described(part)) from None
    if len(mask) != len(frame):  # a condition on constants alone has one value
        return frame if mask[0] else frame.clear()
    return frame.filter(mask)


class _Builder:
    def __init__(self, frame: pl.DataFrame, names: Mapping[str, str], where: str) -> None:
        self.names, self.where = names, where
        self.schema = frame.schema
        self.empty = frame.clear().lazy()

    def refusal(self, what: str, seen: str, todo: str | None = None) -> ConfigError:
        return ConfigError(what, where=self.where, seen=seen, allowed=list(self.names), todo=todo)

    def type_of(self, expression: pl.Expr) -> pl.DataType:
        return self.empty.select(expression.alias("value")).collect_schema()["value"]

    def node_type(self, node: Node, expression: pl.Expr) -> pl.DataType:
        """Return the type of a node. That of a literal or a column takes no plan of polars."""
        if isinstance(node, Column):
            return self.schema[self.names[node.name]]
        if isinstance(node, Literal) and not node.kind:
            return _LITERAL_TYPES[type(node.value)]
        return self.type_of(expression)

    def described(self, node: Node) -> str:
        """Return a part of the condition as text, with the kinds of its columns."""
        names = columns(node)[:5]
        kinds = [f"{name} is {kind_of_type(self.schema[self.names[name]])}" for name in names if name in self.names]
        return f"{text_of(node)[:100]}" + (f", where {', '.join(kinds)}" if kinds else "")

    def failing_part(self, node: Node) -> Node | None:
        """Return the innermost part that the types of the columns do not allow. None if the types allow all."""
        for argument in node.arguments if isinstance(node, Call) else ():
            if (part := self.failing_part(argument)) is not None:
                return part
        try:
            self.empty.select(self.expression(node).alias("value")).collect()  # a plan alone checks few types
        except _EVALUATION_ERRORS:
            return node
        return None

    def expression(self, node: Node) -> pl.Expr:
        if isinstance(node, Literal):
            return pl.lit(_dated(node.value, node.kind == "date") if node.kind else node.value)
        if isinstance(node, Column):
            if node.name not in self.names:
                hint = "a missing value is NULL: value IS NULL" if node.name.lower() in _NO_NUMBERS else None
                hint = hint or "a text stands in single quotes: '{}'".format(node.name[:100].replace("'", "''"))
                todo = "; ".join(filter(None, (did_you_mean(node.name, self.names), hint)))
                raise self.refusal("this is not a condition over these columns", node.name[:100], todo)
            return pl.col(self.names[node.name])
        if node.name in ("=", "!=", "<", "<=", ">", ">=", "is"):
            return _OPERATORS[node.name](*self.alike(node))
        if node.name == "in":
            return self.membership(node)
        if node.name in ("like", "ilike"):
            return self.expression(node.arguments[0]).str.contains(_regex(node))
        if node.name in ("nullif", "coalesce", "greatest", "least"):
            return _FUNCTIONS[node.name](*self.alike(node))
        if node.name == "case":
            return self.case(node)
        parts = [self.expression(argument) for argument in node.arguments]
        if node.name in ("and", "or"):
            return _balanced(parts, and_ if node.name == "and" else or_)
        if node.name in _OPERATORS:
            return _OPERATORS[node.name](*parts)
        return self.function(node, parts)

    def function(self, node: Call, parts: list[pl.Expr]) -> pl.Expr:
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
        if node.name == "cast number":
            return _number(parts[0])
        if node.name.startswith("cast "):
            return parts[0].cast(_TYPES[node.name.removeprefix("cast ")])
        return _FUNCTIONS[node.name](*parts)

    def alike(self, node: Call) -> list[pl.Expr]:
        """Return the values that a call compares. A text compared with a date is read as a date.

        Raises:
            ConfigError: they are of different kinds, which polars would compare by their bits or not at all.
        """
        nodes = node.arguments
        parts = [self.expression(argument) for argument in nodes]
        types = [self.node_type(argument, part) for argument, part in zip(nodes, parts, strict=True)]
        if any(isinstance(kind, pl.Date | pl.Datetime) for kind in types):
            for i, argument in enumerate(nodes):
                if isinstance(argument, Literal) and isinstance(argument.value, str):
                    day = argument.kind == "date" or (not argument.kind and len(argument.value) == 10)
                    value = _dated(argument.value, day)
                    parts[i], types[i] = pl.lit(value), self.type_of(pl.lit(value))
            self.check_zones(node, types)
        kinds = list(dict.fromkeys(kind_of_type(kind) for kind in types if kind != pl.Null))
        if len(kinds) > 1 and set(kinds) != {"a number", "a boolean"}:
            raise self.different_kinds(node, types, kinds)
        return parts

    def check_zones(self, node: Call, types: Sequence[pl.DataType]) -> None:
        zoned = [isinstance(kind, pl.Datetime) and kind.time_zone is not None for kind in types]
        constant = [isinstance(argument, Literal) for argument in node.arguments]
        dated = [isinstance(kind, pl.Date | pl.Datetime) for kind in types]
        sides = list(zip(zoned, constant, dated, strict=True))
        if any(zone and written for zone, written, _ in sides) and any(
            date and not zone and not written for zone, written, date in sides
        ):
            what = "a time with a zone cannot be compared with a column of times without one"
            allowed = "a time without a zone, as in: '2025-06-01', '2025-06-01 12:30:00'"
            raise ConfigError(what, where=self.where, seen=text_of(node)[:200], allowed=allowed)

    def different_kinds(self, node: Call, types: Sequence[pl.DataType], kinds: Sequence[str]) -> ConfigError:
        for argument in node.arguments:
            if (part := self.failing_part(argument)) is not None:
                return self.refusal("this is not a condition over these columns", self.described(part))
        what = f"{kinds[0]} cannot be compared with {kinds[1]}"
        if "a date" in kinds and "a number" in kinds and node.name != "case":
            written = [
                text_of(argument)
                if kind_of_type(kind) == "a date" and not isinstance(argument, Literal)
                else _EXAMPLE_DATE
                for argument, kind in zip(node.arguments, types, strict=True)
            ]
            return ConfigError(
                "a date cannot be compared with a number",
                where=self.where,
                seen=text_of(node)[:200],
                allowed="a date in single quotes",
                todo=f"write {call_text(node.name, list(dict.fromkeys(written)))[:200]}",
            )
        allowed = "values of one kind: numbers, texts in single quotes, or dates in single quotes"
        return ConfigError(what, where=self.where, seen=self.described(node), allowed=allowed)

    def case(self, node: Call) -> pl.Expr:
        tests, branches = node.arguments[:-1:2], (*node.arguments[1:-1:2], node.arguments[-1])
        *values, value = self.alike(Call("case", branches, node.height))
        for test, branch in zip(reversed(tests), reversed(values), strict=True):
            value = pl.when(self.expression(test)).then(branch).otherwise(value)
        return value

    def membership(self, node: Call) -> pl.Expr:
        """Is it one of these? Unknown where it is none and one of these is missing."""
        subject, *parts = self.alike(node)
        missing = [isinstance(one, Literal) and one.value is None for one in node.arguments[1:]]
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
