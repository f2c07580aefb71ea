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
    for template in _templates():
        parts = parts_of(template, text)
        if parts is not None:
            parts = [_part(index, part, template, language) for index, part in enumerate(parts)]
            return _filled(_of(template, language), parts)
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
def _templates() -> list[str]:
    """Templates with places, those with the most letters of their own first."""
    lengths = [(len(_PLACE.sub("", text)), text) for text in TEXTS if _PLACE.search(text)]
    return [text for _, text in sorted(lengths, reverse=True)]


@cache
def _words(template: str) -> list[str]:
    """What a template has between its places."""
    return _PLACE.split(template)[::2]


def parts_of(template: str, text: str) -> list[str] | None:
    """What stands in the places of a template, each as short as it can be; None where the text is not of it.

    Each of the template's own words is searched from the end of the one before, so the text is read once. A regular
    expression with four places took the fourth power of its length.
    """
    first, *middle, last = _words(template)
    end = len(text) - len(last)
    if not text.startswith(first) or not text.endswith(last) or end < len(first):
        return None
    parts: list[str] = []
    position = len(first)
    for words in middle:
        index = text.find(words, position, end)
        if index < 0:
            return None
        parts.append(text[position:index])
        position = index + len(words)
    return [*parts, text[position:end]]
