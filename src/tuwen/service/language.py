"""What a client is told, in the language that it asks for, and in the words of a request instead of a command line.

Errors are raised in English, by floors that know nothing of HTTP. Their texts are templates, and
:mod:`tuwen.service.chinese` holds each of them with its Chinese, and with other English where the words are those of a
terminal.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Literal

from starlette.datastructures import Headers

from tuwen.service.chinese import PHRASES, TEXTS

Language = Literal["en", "zh"]
LONGEST = 1000  # characters of a text that are looked up: longer ones are data
_PLACE = re.compile(r"\{(\d)\}")


def asked_for(headers: Headers) -> Language:
    """``zh`` where ``Accept-Language`` likes it better than English, else ``en``."""
    liked = {"en": 0.0, "zh": 0.0}
    for part in headers.get("accept-language", "").lower()[:500].split(","):
        tag, _, weight = part.partition(";")
        name = tag.strip().partition("-")[0]
        if name in liked:
            liked[name] = max(liked[name], _quality(weight))
    return "zh" if liked["zh"] > liked["en"] else "en"


def _quality(weight: str) -> float:
    found = re.fullmatch(r"\s*q=([01](?:\.\d{1,3})?)\s*", weight)
    return float(found[1]) if found else 1.0 if not weight.strip() else 0.0


def said(text: str, language: Language) -> str:
    """A text in a language; as it is where it is none of the templates: data, or what a plug-in says."""
    if len(text) > LONGEST:
        return text
    if text in TEXTS and not _PLACE.search(text):
        return _of(text, language)
    for pattern, template in _patterns():
        if found := pattern.fullmatch(text):
            return _filled(
                _of(template, language), [_part(i, part, template, language) for i, part in enumerate(found.groups())]
            )
    return text


def _part(place: int, part: str, template: str, language: Language) -> str:
    """What stands in a place. In quotes it is what the client wrote, a column called 'nothing' too, and stays."""
    return part if f"'{{{place}}}'" in template else said(part, language)


def _filled(template: str, parts: Sequence[str]) -> str:
    return _PLACE.sub(lambda place: parts[int(place[1])], template)


def phrase(status: int, english: str, language: Language) -> str:
    """The title of a status."""
    return PHRASES.get(status, english) if language == "zh" else english


def _of(template: str, language: Language) -> str:
    told = TEXTS[template]
    english, chinese = (template, told) if isinstance(told, str) else told
    return chinese if language == "zh" else english


@cache
def _patterns() -> list[tuple[re.Pattern[str], str]]:
    """Templates with places, those with the most letters of their own first."""
    found = [(len(_PLACE.sub("", text)), text) for text in TEXTS if _PLACE.search(text)]
    return [(re.compile(_pattern(text), re.DOTALL), text) for _, text in sorted(found, reverse=True)]


def _pattern(template: str) -> str:
    return "".join("(.*?)" if i % 2 else re.escape(part) for i, part in enumerate(_PLACE.split(template)))
