"""The tree of a condition: literals, columns and calls, and the functions and types that a condition may name."""

from __future__ import annotations

from dataclasses import dataclass

COMPARISONS = ("=", "!=", "<", "<=", ">", ">=")
TYPES = {
    "integer": ("int", "integer", "bigint", "smallint"),
    "number": ("float", "double", "real", "decimal", "numeric"),
    "text": ("text", "varchar", "char", "string"),
    "boolean": ("boolean", "bool"),
    "date": ("date",),
    "timestamp": ("timestamp", "datetime"),
}
PARTS = ("year", "quarter", "month", "week", "day", "hour", "minute", "second")
FUNCTIONS: dict[str, tuple[int, int]] = {  # name → fewest and most arguments
    **dict.fromkeys(("lower", "upper", "trim", "ltrim", "rtrim", "abs", "floor", "ceil", "sign"), (1, 1)),
    **dict.fromkeys(("length", "array_length"), (1, 1)),
    **dict.fromkeys(PARTS, (1, 1)),
    **dict.fromkeys(("left", "right", "starts_with", "ends_with", "array_contains", "mod", "nullif"), (2, 2)),
    "round": (1, 2),
    "substr": (2, 3),
    "replace": (3, 3),
    **dict.fromkeys(("coalesce", "concat", "greatest", "least"), (1, 20)),
}
ALIASES = {"len": "length", "char_length": "length", "ceiling": "ceil", "substring": "substr", "ifnull": "coalesce"}


@dataclass(frozen=True)
class Literal:
    """A value as it is written. ``kind`` is ``date`` or ``timestamp`` where that word stands before a text."""

    value: bool | int | float | str | None
    kind: str = ""
    height: int = 1


@dataclass(frozen=True)
class Column:
    name: str
    height: int = 1


@dataclass(frozen=True)
class Call:
    """A function or an operator, by its name in lower case, and what it is applied to."""

    name: str
    arguments: tuple[Node, ...]
    height: int


Node = Literal | Column | Call


def columns(node: Node) -> list[str]:
    """Return the columns of a condition, each once, in order."""
    names: dict[str, None] = {}
    waiting: list[Node] = [node]
    while waiting:
        part = waiting.pop()
        if isinstance(part, Column):
            names[part.name] = None
        elif isinstance(part, Call):
            waiting += reversed(part.arguments)
    return list(names)
