"""Find a name that stands twice in one JSON object: parsers keep the last of the two and say nothing.

The names of a text and those of what was parsed are counted, which costs a hundredth of the parsing.
Only where the counts differ the text is parsed again, with every name looked at.
"""

from __future__ import annotations

import json
from typing import Any

_BEFORE_COLON = (b'" :', b'"\t', b'"\r', b'"  ', b'" \t', b'" \n', b'"\n')  # blanks that may part a name and its colon


class RepeatedName(ValueError):
    """A name stands twice.

    Attributes:
        name: which.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"the name '{name[:100]}' stands twice in one object")
        self.name = name


def has_parted_names(text: bytes) -> bool:
    """Whether blanks may stand before a colon, so that names cannot be counted by ``":``."""
    return any(mark in text for mark in _BEFORE_COLON)


def need_single_names(text: bytes, value: Any, *, names: int = 0, parted: bool | None = None) -> None:
    """Refuse a JSON text in which an object has a name twice.

    Args:
        value: what a parser made of it.
        names: of objects around ``value`` that it does not hold.
        parted: what :func:`has_parted_names` says, of the text or of a longer one.

    Raises:
        RepeatedName: it has.
    """
    parted = has_parted_names(text) if parted is None else parted
    if not parted and text.count(b'":') == names + _count(value):
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
