"""Slips of the keys: near words of what an index holds, for words that no item has."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence

from tuwen.errors import MissingExtra
from tuwen.index.segments import Segment
from tuwen.preprocess.cleaning import HAN
from tuwen.preprocess.terms import is_chinese
from tuwen.preprocess.words import is_word

SHORTEST_CHINESE, LONGEST_CHINESE = 2, 6  # characters that may be a slip of a Chinese word
_CHINESE = re.compile(f"[{HAN}]+")
_CHARACTER = re.compile(f"[{HAN}]")


class Speller:
    """Near words of a vocabulary (optimal string alignment: a letter more, less, other, or two swapped)."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, list[str]]] = {}  # part → first letter → words
        self._chinese: dict[str, dict[str, list[str]]] = {}  # part → character → words that have it

    def near(self, word: str, segments: Sequence[Segment], frequency: Callable[[str], int], most: int) -> list[str]:
        """Words that items have and that ``word`` may be a slip of, the likeliest first.

        Codes (with a digit) are never corrected; of 4 to 7 letters one may be wrong, of more two, in the first letter
        none.

        Raises:
            MissingExtra: the extra ``search`` is not installed.
        """
        if not (word.isalpha() and len(word) >= 4) or is_chinese(word):
            return []
        process, distance_of = _rapidfuzz()
        allowed = 1 if len(word) < 8 else 2
        distances: dict[str, int] = {}
        for segment in segments:
            pool = self._words(segment).get(word[0], [])
            for text, distance, _ in process.extract(word, pool, scorer=distance_of, score_cutoff=allowed, limit=50):
                distances[text] = int(distance)
        living = {text: frequency(text) for text in distances}
        order = sorted((distances[text], -n, text) for text, n in living.items() if n)
        return [text for _, _, text in order[:most]]

    def near_chinese(
        self, word: str, segments: Sequence[Segment], frequency: Callable[[str], int], most: int
    ) -> list[str]:
        """Words that items have and that ``word``, all of it Chinese, may be a slip of: one character other, more or
        less, or two swapped. Those come first that share most of its characters, then those that most items have.

        Of two characters nearly every other word is one apart, so there it takes a word that no other is as near as:
        the only one with both, else the only one. A word of the language is no slip, though no item has it; nor is
        what has a word of items whole in it.

        Raises:
            MissingExtra: the extra ``search`` is not installed.
        """
        if not SHORTEST_CHINESE <= len(word) <= LONGEST_CHINESE or not _CHINESE.fullmatch(word) or is_word(word):
            return []
        process, distance_of = _rapidfuzz()
        found: dict[str, int] = {}
        for segment in segments:
            by_character = self._by_character(segment)
            pool = {
                term
                for character in set(word)
                for term in by_character.get(character, ())
                if abs(len(term) - len(word)) <= 1 and term not in word and _CHINESE.fullmatch(term)
            }
            for text, _, _ in process.extract(word, sorted(pool), scorer=distance_of, score_cutoff=1, limit=None):
                found[text] = frequency(text)
        shared = {text: sum((Counter(text) & Counter(word)).values()) for text in found}
        living = sorted((-shared[text], -n, text) for text, n in found.items() if n)
        if len(word) == SHORTEST_CHINESE and len(living) > 1 and living[0][0] == living[1][0]:
            return []
        return [text for *_, text in living[:most]]

    def holding(self, word: str, segments: Sequence[Segment]) -> set[str]:
        """Words of items that a Chinese word stands in."""
        pools = (self._by_character(segment).get(word[0], ()) for segment in segments)
        return {term for pool in pools for term in pool if word in term}

    def _words(self, segment: Segment) -> dict[str, list[str]]:
        """First letter → the words of a part."""
        if segment.name not in self._known:
            found: dict[str, list[str]] = {}
            for term in segment.words.terms:
                if len(term) >= 3 and term.isalpha():
                    found.setdefault(term[0], []).append(term)
            self._known[segment.name] = found
        return self._known[segment.name]

    def _by_character(self, segment: Segment) -> dict[str, list[str]]:
        """Chinese character → the words of a part that have it, of two characters or more."""
        if segment.name not in self._chinese:
            found: dict[str, list[str]] = {}
            for term in segment.words.terms:
                if len(term) > 1 and not term.isascii():
                    for character in set(_CHARACTER.findall(term)):
                        found.setdefault(character, []).append(term)
            self._chinese[segment.name] = found
        return self._chinese[segment.name]


def _rapidfuzz():  # type: ignore[no-untyped-def]
    try:
        from rapidfuzz import process
        from rapidfuzz.distance import OSA
    except ImportError:
        raise MissingExtra("search", "spelling") from None
    return process, OSA.distance
