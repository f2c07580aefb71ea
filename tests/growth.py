"""How the time of a function grows with the length of its input, and input that is hard for a regular expression."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

# the standard library has no other name for the parser of its own regular expressions
from re import _constants as kinds  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

ALLOWED = 1.2  # exponent: 1 is linear, 2 the square
FLOOR = 0.002  # seconds below which nothing is told from noise
SIZES = (16, 20, 24, 28, 32, 128, 512, 2048, 8192)  # small ones first: faster growth than the square ends there
REPEATS = (kinds.MAX_REPEAT, kinds.MIN_REPEAT, kinds.POSSESSIVE_REPEAT)
METHODS: dict[str, Callable[[Any, Any], object]] = {
    "match": lambda pattern, text: pattern.match(text),
    "fullmatch": lambda pattern, text: pattern.fullmatch(text),
    "search": lambda pattern, text: pattern.search(text),
    "findall": lambda pattern, text: pattern.findall(text),
    "finditer": lambda pattern, text: sum(1 for _ in pattern.finditer(text)),
    "split": lambda pattern, text: pattern.split(text),
    "sub": lambda pattern, text: pattern.sub(lambda _: text[:1], text),
}


def seconds(work: Callable[[], object], times: int) -> float:
    """The least time of this process that the work took."""
    least = math.inf
    for _ in range(times):
        begin = time.process_time()
        work()
        least = min(least, time.process_time() - begin)
    return least


def growth(work: Callable[[int], Callable[[], object]], sizes: Sequence[int] = SIZES) -> float:
    """The exponent of the growth of the time at n, 2n and 4n; 0 where it stays below :data:`FLOOR`.

    Args:
        work: size → what is to be done with input of that size.
    """
    size = next((size for size in sizes if seconds(work(size), 1) > FLOOR), None)
    if size is None or seconds(work(size), 3) <= FLOOR:
        return 0.0
    if size < 64:  # so much time for so little input
        return math.inf
    while size < sizes[-1] and seconds(work(size), 1) < 10 * FLOOR:
        size *= 2
    least = min(_exponent(work, size) for _ in range(2))
    return least if least <= ALLOWED else min(least, *(_exponent(work, size) for _ in range(3)))


def _exponent(work: Callable[[int], Callable[[], object]], size: int) -> float:
    times = [max(seconds(work(part), 3), 1e-6) for part in (size // 4, size // 2, size)]
    return min(math.log2(times[2] / times[0]) / 2, max(math.log2(b / a) for a, b in pairwise(times)))


def worst(pattern: re.Pattern[Any], method: str) -> tuple[float, str]:
    """The fastest growth of the time over generated input, and that input: (exponent, its shape)."""
    run, worst_case = METHODS[method], (0.0, "")
    for prefix, pump, suffix in attacks(pattern):
        exponent = growth(lambda size, p=prefix, q=pump, s=suffix: _prepared(run, pattern, p, q, s, size))
        worst_case = max(worst_case, (exponent, f"{prefix!r} + {pump!r} * n + {suffix!r}"))
        if exponent > ALLOWED:
            break
    return worst_case


def _prepared(
    run: Callable[[Any, Any], object], pattern: re.Pattern[Any], prefix: str, pump: str, suffix: str, size: int
) -> Callable[[], object]:
    text: str | bytes = prefix + pump * (size // len(pump)) + suffix
    if isinstance(pattern.pattern, bytes):
        text = str(text).encode("latin-1", "replace")
    return lambda: run(pattern, text)


def attacks(pattern: re.Pattern[Any]) -> Iterator[tuple[str, str, str]]:
    """(prefix, what is repeated, suffix): what the parts of the pattern match, whole and begun, again and again."""
    tree = parser.parse(pattern.pattern, pattern.flags & ~re.DEBUG)
    letters = list(dict.fromkeys([*_letters(tree), " ", "a", "1"]))[:14]
    begun = list(dict.fromkeys(text for text in _prefixes(tree) if text))
    pumps = list(dict.fromkeys([*begun[:24], *letters]))
    # the longest text before each part that repeats leads into it; what no part matches makes a whole match fail
    leads = ["", *sorted(set(_before_repeats(tree)), key=len)[-3:]]
    strange = next((letter for letter in "\x00!\n~é" if letter not in letters), "\x00")
    for pump in pumps:
        for lead in leads:
            for end in ("", strange):
                yield lead, pump, end


def _letters(tree: Any) -> Iterator[str]:
    """A few letters of each class and literal of a pattern."""
    for kind, value in tree:
        if kind in (kinds.LITERAL, kinds.NOT_LITERAL, kinds.IN, kinds.ANY):
            yield from _letters_of(kind, value)
        for inner in _inner(kind, value):
            yield from _letters(inner)


def _letters_of(kind: Any, value: Any) -> list[str]:
    if kind is kinds.LITERAL:
        return [chr(value)]
    if kind is kinds.ANY:
        return ["a", "\n"]
    items = [(kind, value)] if kind is kinds.NOT_LITERAL else value
    letters: list[str] = []
    for part, content in items:
        if part is kinds.RANGE:
            letters += [chr(content[0]), chr(content[1])]
        elif part is kinds.LITERAL:
            letters.append(chr(content))
    candidates = [*letters[:4], "a", " ", "\n", "1", "_", "x", "é", "红", '"', ".", "-", "<"]
    test = re.compile(_class(items))
    return [letter for letter in dict.fromkeys(candidates) if test.match(letter)][:4]


def _class(parts: Any) -> str:
    names = {
        kinds.CATEGORY_SPACE: r"\s",
        kinds.CATEGORY_NOT_SPACE: r"\S",
        kinds.CATEGORY_WORD: r"\w",
        kinds.CATEGORY_NOT_WORD: r"\W",
        kinds.CATEGORY_DIGIT: r"\d",
        kinds.CATEGORY_NOT_DIGIT: r"\D",
    }
    text = ""
    for part, content in parts:
        if part is kinds.NEGATE:
            text += "^"
        elif part is kinds.RANGE:
            text += f"{re.escape(chr(content[0]))}-{re.escape(chr(content[1]))}"
        elif part is kinds.CATEGORY:
            text += names[content]
        else:
            text += ("^" if part is kinds.NOT_LITERAL else "") + re.escape(chr(content))
    return f"[{text}]"


def _inner(kind: Any, value: Any) -> list[Any]:
    if kind in REPEATS:
        return [value[2]]
    if kind is kinds.SUBPATTERN:
        return [value[3]]
    if kind is kinds.ATOMIC_GROUP:
        return [value]
    if kind in (kinds.ASSERT, kinds.ASSERT_NOT):
        return [value[1]]
    return list(value[1]) if kind is kinds.BRANCH else []


def example(tree: Any) -> str:
    """A text that the pattern matches, or nearly."""
    text = ""
    for kind, value in tree:
        if kind in (kinds.LITERAL, kinds.NOT_LITERAL, kinds.IN, kinds.ANY):
            text += next(iter(_letters_of(kind, value)), "")
        elif kind in REPEATS:
            text += example(value[2]) * min(max(value[0], 1), 200)
        elif kind not in (kinds.ASSERT, kinds.ASSERT_NOT):
            text += next((example(inner) for inner in _inner(kind, value)), "")
    return text


def _prefixes(tree: Any, lead: str = "") -> Iterator[str]:
    """What each beginning of the pattern, and of each part of it with what stands before, matches."""
    for end in range(1, len(tree) + 1):
        yield lead + example(tree[:end])
    for index, (kind, value) in enumerate(tree):
        for inner in _inner(kind, value):
            yield from _prefixes(inner, lead + example(tree[:index]))


def _before_repeats(tree: Any, lead: str = "") -> Iterator[str]:
    for index, (kind, value) in enumerate(tree):
        before = lead + example(tree[:index])
        if kind in REPEATS and before:
            yield before
        for inner in _inner(kind, value):
            yield from _before_repeats(inner, before)
