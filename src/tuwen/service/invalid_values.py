"""What is wrong with a value of a request, in our own words: where it stands, what was sent, what is allowed."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from tuwen.errors import DataError, did_you_mean

LONGEST = 80  # characters of what was sent
ROUTES_TODO = "/openapi.json tells what each route takes"
Fields = Mapping[str, FieldInfo]

_WHOLE, _NUMBER = ("the value is not a whole number", "a whole number"), ("the value is not a number", "a number")
_OBJECT = ("the value is not an object", 'an object, as in {"NAME": "VALUE"}')
_SWITCH = ("the value is not true or false", "true, false")
_TIME = ("the value is not a time", "2026-01-31T20:05Z")
_HALF = ("the text holds half of a character", "UTF-8 text")
_RANGE = "the number is out of range"
# kind of error, as pydantic names it → what is wrong, what is allowed; braces take the limits that it reports
SENTENCES: dict[str, tuple[str, str]] = {
    "missing": ("a field is missing", "a value for this field"),
    "unknown_field": ("there is no such field", "{fields}"),
    "json_invalid": ("the body is not JSON", "JSON, in UTF-8"),
    "nothing": ("this is a program's word for nothing, and no key", "a key"),
    "number": ("the number can have a point or a comma for decimals", "a number with a point for decimals: 2.5"),
    "plain": ("the value is not a text or a number", "text or a number"),
    "time_range": ("the time is before 1990 or more than a day ahead", "from 1990 to a day ahead"),
    "model_type": _OBJECT,
    "model_attributes_type": _OBJECT,
    "dict_type": _OBJECT,
    "list_type": ("the value is not a list", 'a list, as in ["VALUE"]'),
    "string_type": ("the value is not a text", "a text"),
    "string_unicode": _HALF,
    "bool_type": _SWITCH,
    "bool_parsing": _SWITCH,
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_parsing_size": _WHOLE,
    "int_from_float": _WHOLE,
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "finite_number": ("the value is not a finite number", "a finite number"),
    "greater_than_equal": (_RANGE, "at least {ge}"),
    "greater_than": (_RANGE, "more than {gt}"),
    "less_than_equal": (_RANGE, "at most {le}"),
    "less_than": (_RANGE, "less than {lt}"),
    "datetime_type": _TIME,
    "datetime_parsing": _TIME,
    "datetime_from_date_parsing": _TIME,
    "datetime_object_invalid": _TIME,
    "string_too_short": ("the text is too short", "at least {min_length} characters"),
    "string_too_long": ("the text is too long", "up to {max_length} characters"),
    "too_short": ("there are too few entries", "at least {min_length} entries"),
    "too_long": ("there are too many entries", "at most {max_length} entries"),
    "literal_error": ("there is no such choice", "{expected}"),
    "string_pattern_mismatch": ("the text has characters that are not allowed here", "{pattern}"),
}
OTHER = ("the value cannot be used", "what /openapi.json says of this field")
PATTERNS = {
    r"^[^\x00-\x1f\x7f]+$": "a text without line ends and control characters",
    r"^[\w-]+$": "letters, digits, _ and -",
    r"^[\w][\w. -]*$": "letters, digits, blanks, dots, _ and -; a letter or a digit first",
}
_PLACE = re.compile(r"\{(\w+)\}")
_ONE = {"at least 1 characters": "at least 1 character", "at least 1 entries": "at least 1 entry"}


def invalid_value(error: Mapping[str, Any], fields: Fields, before: Sequence[object] = ()) -> DataError:
    """What pydantic reports of one value, as an error of our own.

    Args:
        error: one of ``ValidationError.errors()``.
        fields: by name, what the first step of the error's place may be.
        before: the steps of the place that come before that one.
    """
    kind, steps = error["type"], [*before, *error["loc"]]
    if kind == "json_invalid":
        what, allowed = SENTENCES[kind]
        return DataError(what, where="body", seen=_position(error), allowed=allowed, todo=ROUTES_TODO)
    if kind == "missing" and steps == ["body"]:
        return DataError("the request has no body", where="body", allowed=_OBJECT[1], todo=ROUTES_TODO)
    if kind == "unknown_field":
        name, known = error["ctx"]["name"], error["ctx"]["fields"]
        near = did_you_mean(name, known.split(", "))
        what = SENTENCES[kind][0]
        return DataError(
            what, where=place_in([*steps, name]), seen=as_sent(name), allowed=known, todo=near or ROUTES_TODO
        )
    is_text = kind == "too_long" and isinstance(error.get("input"), str)
    what, allowed = SENTENCES.get("string_too_long" if is_text else kind, OTHER)
    limits = _context(error)
    allowed = _range(kind, error["loc"], fields) or _PLACE.sub(lambda place: limits.get(place[1], place[0]), allowed)
    seen = None if kind == "missing" else _seen(error)
    return DataError(what, where=place_in(steps), seen=seen, allowed=_ONE.get(allowed, allowed), todo=ROUTES_TODO)


def _context(error: Mapping[str, Any]) -> dict[str, str]:
    """The limits that pydantic reports, as a person reads them."""
    limits = {name: _number(value) for name, value in error.get("ctx", {}).items()}
    if "pattern" in limits:
        limits["pattern"] = PATTERNS.get(limits["pattern"], limits["pattern"])
    if "expected" in limits:
        limits["expected"] = ", ".join(re.findall(r"'([^']*)'", limits["expected"])) or limits["expected"]
    return limits


def _number(value: object) -> str:
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def _seen(error: Mapping[str, Any]) -> str | None:
    value, count = error.get("input"), error.get("ctx", {}).get("actual_length")
    if isinstance(value, str) and error["type"].endswith("too_long"):
        return f"{len(value)} characters"
    if count is not None:
        return "1 entry" if count == 1 else f"{count} entries"
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    return None if isinstance(value, bytes) else as_sent(value)


def _position(error: Mapping[str, Any]) -> str | None:
    """Where a body stops being JSON: FastAPI counts characters, pydantic lines."""
    place = re.search(r"at line (\d+) column (\d+)", str(error.get("ctx", {}).get("error", "")))
    if place:
        return f"a slip in line {place[1]}, column {place[2]}"
    position = error["loc"][-1] if error["loc"] else None
    return f"a slip at character {position}" if isinstance(position, int) else None


def _range(kind: str, steps: Sequence[object], fields: Fields) -> str | None:
    """Both ends of the numbers that a field takes, where it has both."""
    if not kind.startswith(("int_", "float_", "finite_", "greater_", "less_")):
        return None
    field = _field_at(steps, fields)
    limits = {} if field is None else dict(_bounds(field))
    if field is None or limits.keys() != {"ge", "le"}:
        return None
    noun = "a whole number" if int in _types(field.annotation) else "a number"
    return f"{noun} from {_number(limits['ge'])} to {_number(limits['le'])}"


def _field_at(steps: Sequence[object], fields: Fields) -> FieldInfo | None:
    field: FieldInfo | None = None
    for step in steps:
        if isinstance(step, int):  # an element of a list
            continue
        field = fields.get(str(step))
        if field is None:
            return None
        fields = {
            n: f for one in _types(field.annotation) if issubclass(one, BaseModel) for n, f in one.model_fields.items()
        }
    return field


def _bounds(field: FieldInfo) -> Iterator[tuple[str, float]]:
    """The ends of the numbers that a field takes, wherever its annotation has them."""
    for entry in (*field.metadata, *_metadata(field.annotation)):
        if isinstance(entry, FieldInfo):
            yield from _bounds(entry)
            continue
        for name in ("ge", "le"):
            value = getattr(entry, name, None)
            if value is not None:
                yield name, value


def _metadata(annotation: Any) -> Iterator[Any]:
    """What stands beside the types of an annotation."""
    yield from getattr(annotation, "__metadata__", ())
    for inner in get_args(annotation):
        yield from _metadata(inner)


def _types(annotation: Any) -> set[type]:
    """All classes that an annotation names."""
    if inspect.isclass(annotation) and not get_args(annotation):
        return {annotation}
    return {found for inner in get_args(annotation) for found in _types(inner)}


def place_in(steps: Iterable[object]) -> str:
    """A place in a request: names that were sent too, and no more of each than a person reads."""
    names = [text if len(text) <= LONGEST else f"{text[:LONGEST]}…" for text in map(str, steps)]
    return _whole_characters(".".join(names))


def as_sent(value: object) -> str:
    """A value of a request as JSON, and no more of it than a person reads."""
    text = _whole_characters(json.dumps(value, ensure_ascii=False, default=str))
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _whole_characters(text: str) -> str:
    """``text`` with a mark for each half of a character: a program that cuts a text inside an emoji sends one."""
    return text.encode(errors="replace").decode()
