"""What pydantic reports about settings, in plain sentences: what is wrong, what was seen, what is allowed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tuwen.errors import did_you_mean

MOST = 100  # characters of a value that an error quotes

_TEXT = ("must be a text", "a text, in quotes where it looks like a number, a date or yes")
_WHOLE = ("must be a whole number", "a whole number, as in 32")
_NUMBER = ("must be a number", "a number, as in 0.5")
_SWITCH = ("must be true or false", "true, false")
_LIST = ("must be a list", "a list, as in [one, two]")
_SECTION = ("must be a section", "key: value lines")
_NAMED = ("must be a name or a section", "a name, or {{use: NAME, OPTION: VALUE}}")
# kind of slip, as pydantic calls it → what is wrong, what is allowed; braces take the limits that it reports
SENTENCES: dict[str, tuple[str, str | None]] = {
    "missing": ("is missing", None),
    "invalid_key": _TEXT,
    "string_type": _TEXT,
    "string_too_long": ("must be at most {max_length} long", None),
    "string_too_short": ("must be at least {min_length} long", None),
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_parsing_size": _WHOLE,
    "int_from_float": _WHOLE,
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "finite_number": ("must be a finite number", "a number, as in 0.5"),
    "bool_type": _SWITCH,
    "bool_parsing": _SWITCH,
    "list_type": _LIST,
    "tuple_type": _LIST,
    "too_long": ("holds too many values", "{max_length} or fewer"),
    "too_short": ("holds too few values", "{min_length} or more"),
    "dict_type": _SECTION,
    "model_type": _SECTION,
    "model_attributes_type": _SECTION,
    "literal_error": ("is none of the values it may have", "{expected}"),
    "greater_than": ("must be above {gt}", None),
    "greater_than_equal": ("must be at least {ge}", None),
    "less_than": ("must be below {lt}", None),
    "less_than_equal": ("must be at most {le}", None),
}


class Slip(NamedTuple):
    """One mistake in settings.

    Attributes:
        kind: as pydantic calls it.
        place: the keys that lead to it.
        wrong: what is wrong, to stand behind the name of the place.
        seen, allowed, todo: as in :class:`~tuwen.errors.TuwenError`.
    """

    kind: str
    place: tuple[str | int, ...]
    wrong: str
    seen: str | None
    allowed: str | None
    todo: str | None

    @property
    def name(self) -> str:
        return ".".join(map(str, self.place))


def first_slip(errors: Sequence[Any], given: Any) -> Slip:
    """The mistake to tell first.

    Args:
        errors: what ``ValidationError.errors()`` gave.
        given: the settings that were checked.
    """
    # a misspelt key is also a missing one: the slip itself says more
    first = min(errors, key=lambda e: e["type"] != "extra_forbidden")
    place = _written(first, given)
    below = [error for error in errors if _written(error, given)[: len(place)] == place]
    place = max((_written(error, given) for error in below), key=len)  # the nearer to the slip, the better
    here = [error for error in below if _written(error, given) == place]  # one for each kind of value it may have
    said = dict.fromkeys(_sentence(error) for error in here)
    wrong = next(iter(said))[0] if len(said) == 1 else " is of the wrong kind"
    allowed = "; or ".join(allowed for _, allowed in said if allowed)
    todo = next((near for error in here if (near := _meant(error))), None)
    kind = "too_short" if _too_few(here[0]) else here[0]["type"]
    return Slip(kind, place, wrong, _seen(here[0]), allowed or None, todo)


def _sentence(error: Mapping[str, Any]) -> tuple[str, str | None]:
    """What is wrong, and what is allowed."""
    context = error.get("ctx", {})
    if error["type"] == "value_error":  # a check of our own
        return f": {context['error']}", None
    if _too_few(error):
        return " holds too few values", None
    wrong, allowed = SENTENCES.get(error["type"], (None, None))
    if wrong is None:
        return f" cannot be used: {error['msg'][:1].lower()}{error['msg'][1:]}", None
    if context.get("class_name") == "Component":
        wrong, allowed = _NAMED
    limits = {name: _limit(value) for name, value in context.items()}
    return f" {wrong.format(**limits)}", allowed and allowed.format(**limits)


def _limit(value: Any) -> str:
    return f"{value:,.12g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def _too_few(error: Mapping[str, Any]) -> bool:
    """A list that ends too early: pydantic misses the values one by one."""
    return error["type"] == "missing" and isinstance(error["loc"][-1], int)


def _written(error: Mapping[str, Any], given: Any) -> tuple[str | int, ...]:
    """The keys of the place as they stand in the settings, without pydantic's own words for kinds of value."""
    kept: list[str | int] = []
    for part in error["loc"]:
        inside = part < len(given) if isinstance(given, list) and isinstance(part, int) else False
        if inside or (isinstance(given, Mapping) and part in given):
            given = given[part]
            kept.append(part)
    if error["type"] == "missing" and not _too_few(error):
        kept.append(error["loc"][-1])
    return tuple(kept)


def _seen(error: Mapping[str, Any]) -> str | None:
    value = error["input"]
    if isinstance(value, Mapping):
        if error["type"] in ("missing", "value_error"):
            return None
        value = f"a section with {', '.join(map(str, value))}" if value else "an empty section"
    elif value is None or isinstance(value, bool):
        value = {None: "nothing", True: "true", False: "false"}[value]
    else:
        value = repr(value)
    return value if len(value) <= MOST else f"{value[: MOST - 1]}…"


def _meant(error: Mapping[str, Any]) -> str | None:
    """``"did you mean 'adam'?"`` for a near miss of one of a few allowed values."""
    if error["type"] != "literal_error" or not isinstance(error["input"], str):
        return None
    return did_you_mean(error["input"], re.findall(r"'([^']*)'", error["ctx"]["expected"]))
