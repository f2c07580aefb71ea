"""Find a name that stands twice in one JSON object: parsers keep the last of the two and say nothing.

The names of a text and those of what was parsed are counted, which costs a hundredth of the parsing.
Only where the counts differ the text is parsed again, with every name looked at.
"""

from __future__ import annotations

import json
import re
from typing import Any

_PARTED = re.compile(rb'"[ \t\r\n]++:')  # a name with blanks before its colon


class RepeatedName(ValueError):
    """A name stands twice.

    Attributes:
        name: which.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"the name '{name[:100]}' stands twice in one object")
        self.name = name


def need_single_names(text: bytes, value: Any, *, names: int = 0) -> None:
    """Refuse a JSON text in which an object has a name twice.

    Args:
        value: what a parser made of it.
        names: of objects around ``value`` that it does not hold.

    Raises:
        RepeatedName: it has.
    """
    count = text.count(b'":')  # at least as many as names, but for those with a blank before their colon
    plain = count == text.count(b":") or _PARTED.search(text) is None
    if plain and ((type(value) is dict and count == names + len(value)) or count == names + _count(value)):
        return
    try:
        json.loads(text, object_pairs_hook=_object)
    except RepeatedName:
        raise
    except (ValueError, RecursionError):
        return  # the parser that read it has the last word


def _count(value: Any) -> int:
    """How many names all objects of a parsed value have."""
    if isinstance(value, dict):
        inner = [part for part in value.values() if type(part) is dict or type(part) is list]
        return len(value) + (sum(map(_count, inner)) if inner else 0)
    if isinstance(value, list):
        return sum(_count(part) for part in value if type(part) is dict or type(part) is list)
    return 0


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) < len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise RepeatedName(name)
            seen.add(name)
    return names
