"""Text → the terms that a search compares: one way for items and for what people type. Chinese and English alike.

A term is a word of :func:`tuwen.preprocess.words.words` after :func:`~tuwen.preprocess.cleaning.clean` (NFKC, lower
case). English plurals lose their ending. Chinese is cut for search: beside 连衣裙 stand 连衣 and 衣裙. Product codes
stay whole, and stand beside their parts: ``WH-1000XM4`` gives ``wh``, ``1000xm4`` and ``wh1000xm4``.
"""

from __future__ import annotations

import re
from functools import lru_cache

from tuwen.preprocess.cleaning import HAN, clean
from tuwen.preprocess.words import words

LONGEST = 64  # characters of a term: what is longer is no word
_HAN = re.compile(f"[{HAN}]")
# of letters and digits, joined; looked for once a run of them, because from each of its letters takes its square
_CODE = re.compile(r"(?<![a-z0-9])[a-z0-9]++(?:[-_./][a-z0-9]+)+")
_DIGIT = re.compile(r"\d")
_SIZE = re.compile(r"(\d)\s+(gb|tb|mb|mm|cm|kg|ml|mah|inch|hz|mhz|ghz|dpi|mp|w|v|g|m|l)\b")  # 16 GB and 16gb are one

# words that say nothing about what is looked for
_ENGLISH = """a an and are as at be but by do for from had has have i if in into is it its me my no not of on or our so
such that the their them then there these they this to was we what which who will with you your"""
_CHINESE = "的 了 和 是 在 我 有 也 都 就 要 与 及 或 之 吗 呢 吧 啊 把 被 给 一个 这个 那个 我要 想要"
STOP_WORDS = frozenset(_ENGLISH.split() + _CHINESE.split())


def terms(text: str | None) -> list[str]:
    """The terms of a text in their order, what a word is made of before the word."""
    return [term for whole, parts in asked(text) for term in (*parts, whole)]


def asked(text: str | None) -> list[tuple[str, tuple[str, ...]]]:
    """The words of a text and the terms that each is made of, if there are any: (``连衣裙``, (``连衣``, ``衣裙``))."""
    if not text:
        return []
    cleaned = _SIZE.sub(r"\1\2", clean(text))
    found: list[tuple[str, tuple[str, ...]]] = []
    end = 0
    for code in _CODE.finditer(cleaned):
        if _DIGIT.search(code[0]):  # not plug-in, not and/or
            found += map(_forms, words(cleaned[end : code.start()]))
            parts = tuple(word[:LONGEST] for word in words(code[0]))
            # points stay: 3.5mm is not 35mm
            found.append((re.sub(r"[-_/]", "", code[0])[:LONGEST], parts))
            end = code.end()
    return found + list(map(_forms, words(cleaned[end:])))


@lru_cache(maxsize=200_000)
def _forms(word: str) -> tuple[str, tuple[str, ...]]:
    if not _HAN.search(word):
        return stem(word.replace("’", "'").removesuffix("'s"))[:LONGEST], ()
    word = word[:LONGEST]
    if len(word) < 3:
        return word, ()
    from rjieba import cut_for_search

    parts = dict.fromkeys(part for part in cut_for_search(word) if len(part) > 1)
    parts.pop(word, None)
    return word, tuple(parts)


def stem(word: str) -> str:
    """An English word without its plural ending (the S-stemmer of Harman, 1991); all else as it is."""
    if len(word) > 3 and word.isascii() and word.isalpha():
        if word.endswith("ies") and not word.endswith(("eies", "aies")):
            return word[:-3] + "y"
        if word.endswith(("ches", "shes", "sses", "xes")):
            return word[:-2]
        if word.endswith("es") and not word.endswith(("aes", "ees", "oes")):
            return word[:-1]
        if word.endswith("s") and not word.endswith(("us", "ss")):
            return word[:-1]
    return word


def is_chinese(term: str) -> bool:
    """Whether a term has a Chinese character."""
    return _HAN.search(term) is not None
