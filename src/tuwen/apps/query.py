"""What a person types → what is looked for: words, what they stand for, and what was meant by a slip of the keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tuwen.apps.spelling import Speller
from tuwen.errors import ConfigError
from tuwen.index.segments import Segment
from tuwen.index.words import Alternative, Slot
from tuwen.preprocess.cleaning import clean
from tuwen.preprocess.colours import synonyms as colour_names
from tuwen.preprocess.terms import STOP_WORDS, asked, is_chinese, stem, terms
from tuwen.preprocess.words import is_word

LONGEST = 1000  # characters of a query that are read
FILE_BYTES, MOST_PHRASES = 5_000_000, 100  # of a file of synonyms; of one of its lines
MOST = 24  # words of it that are looked for
MOST_TORN = 5  # words that a wrong character may leave of one
SYNONYM, PARTS, CORRECTED, CONTAINED = 0.9, 0.7, 0.8, 0.6  # what a way to say it is worth beside the word itself
Phrase = tuple[str, ...]


@dataclass(frozen=True)
class Understood:
    """A query as the index is asked it.

    Attributes:
        slots: what is looked for.
        corrected: word → what was taken for it.
        unknown: words that no item has and nothing is near to.
        only_stop_words: whether it says nothing about what is looked for.
        cut: whether only its beginning was read.
    """

    slots: tuple[Slot, ...] = ()
    corrected: Mapping[str, str] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()
    only_stop_words: bool = False
    cut: bool = False


# --- Synonyms -----------------------------------------------------------------------------------------------------


class Synonyms:
    """Words that stand for one another.

    Args:
        ways: phrase (terms) → the phrases that it may also be said by.
    """

    def __init__(self, ways: Mapping[Phrase, Sequence[Phrase]] | None = None) -> None:
        self.ways = dict(ways or {})
        self.longest = max(map(len, self.ways), default=0)

    @classmethod
    def read(cls, path: str | Path) -> Synonyms:
        """From a text file: ``tv, television, 电视`` stand for one another, ``ps4 => playstation 4`` one way only;
        ``#`` begins a remark.

        Raises:
            ConfigError: a line is neither; names it.
        """
        try:
            with Path(path).open("rb") as file:
                data = file.read(FILE_BYTES + 1)
            text = data.decode("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                "the synonyms cannot be read", where=str(path), seen=error, allowed="UTF-8 text"
            ) from None
        if len(data) > FILE_BYTES:
            raise ConfigError(
                "the file of synonyms is too large", where=str(path), allowed=f"up to {FILE_BYTES:,} bytes"
            )
        return cls.of(text, str(path))

    @classmethod
    def of(cls, text: str, where: str = "synonyms") -> Synonyms:
        """From the text of such a file."""
        ways: dict[Phrase, dict[Phrase, None]] = {}
        for number, written in enumerate(text.splitlines(), 1):
            line = written.split("#")[0].strip()
            if not line:
                continue
            if line.count(",") + line.count("，") >= MOST_PHRASES:
                seen, allowed = f"{line[:60]}…", f"up to {MOST_PHRASES}"
                raise ConfigError(
                    "this line has too many synonyms", where=f"{where}:{number}", seen=seen, allowed=allowed
                )
            left, arrow, right = line.partition("=>")
            sources, targets = _phrases(left), _phrases(right) if arrow else _phrases(left)
            if not sources or not targets or (not arrow and len(sources) < 2):
                raise ConfigError(
                    "this line names no synonyms",
                    where=f"{where}:{number}",
                    seen=line[:200],
                    allowed="tv, television, 电视   or   ps4 => playstation 4",
                )
            for source in sources:
                ways.setdefault(source, {}).update((target, None) for target in targets if target != source)
        return cls({source: list(targets) for source, targets in ways.items()})

    def of_phrase(self, phrase: Phrase) -> list[Phrase]:
        return list(self.ways.get(phrase, ()))

    def with_colours(self) -> Synonyms:
        """These, and the names of the colours in both languages: red is 红色."""
        ways = {phrase: list(others) for phrase, others in self.ways.items()}
        for names in map(_phrases, map(",".join, colour_names())):
            for name in names:
                known = ways.setdefault(name, [])
                known += [other for other in names if other != name and other not in known]
        return Synonyms(ways)


def _phrases(text: str) -> list[Phrase]:
    found = [tuple(whole for whole, _ in asked(part)) for part in text.replace("，", ",").split(",")]
    return [phrase for phrase in found if phrase]


# --- Understanding ------------------------------------------------------------------------------------------------


def understand(
    text: str,
    *,
    segments: Sequence[Segment],
    frequency: Callable[[str], int],
    synonyms: Synonyms,
    speller: Speller,
) -> Understood:
    """Read a query.

    Args:
        text: anything that can be typed.
        segments: the parts of the index, for their vocabulary.
        frequency: term → how many items have it.
    """
    cut = len(text) > LONGEST
    found = list(dict.fromkeys(asked(text[:LONGEST])))
    telling = [one for one in found if one[0] not in STOP_WORDS]
    if found and not telling:
        return Understood(only_stop_words=True, cut=cut)
    reading = _Reading(segments, frequency, synonyms, speller, clean(text[:LONGEST]))
    at = 0
    while at < len(telling[:MOST]):
        at += reading.take(telling, at)
    return Understood(tuple(reading.slots), reading.corrected, tuple(reading.unknown), cut=cut or len(telling) > MOST)


class _Reading:
    """The slots of a query, as they are found word by word."""

    def __init__(
        self,
        segments: Sequence[Segment],
        frequency: Callable[[str], int],
        synonyms: Synonyms,
        speller: Speller,
        text: str,
    ) -> None:
        self.segments, self.frequency, self.synonyms, self.speller = segments, frequency, synonyms, speller
        self.text = text
        self.slots: list[Slot] = []
        self.corrected: dict[str, str] = {}
        self.unknown: list[str] = []

    def take(self, words: Sequence[tuple[str, Phrase]], at: int) -> int:
        """Read what stands at ``at``; how many words that was."""
        for size in range(min(self.synonyms.longest, len(words) - at), 1, -1):
            phrase = tuple(whole for whole, _ in words[at : at + size])
            if others := self.synonyms.of_phrase(phrase):
                self.slots.append(self._slot([(phrase, 1.0), *((other, SYNONYM) for other in others)]))
                return size
        whole, parts = words[at]
        if at + 1 < len(words) and self.frequency(joined := whole + words[at + 1][0]):
            single = [((whole,), 1.0), ((words[at + 1][0],), 1.0)]
            self.slots.append(self._slot([((whole, words[at + 1][0]), 1.0), ((joined,), 1.0), *single]))
            return 2
        if size := self._torn(words, at):
            return size
        self._word(whole, parts)
        return 1

    def _torn(self, words: Sequence[tuple[str, Phrase]], at: int) -> int:
        """A Chinese word with a wrong character is cut at it: 连衣群 is 连衣 and 群, which no item has. How many words
        beside each other are one slip; 0 for none.
        """
        for size in range(min(MOST_TORN, len(words) - at), 1, -1):
            joined = "".join(whole for whole, _ in words[at : at + size])
            strange = [whole for whole, parts in words[at : at + size] if not self._answered(whole, parts)]
            if joined not in self.text or not strange or any(map(is_word, strange)):
                continue
            if near := self.speller.near_chinese(joined, self.segments, self.frequency, 3):
                self._taken(joined, [((word,), CORRECTED) for word in near])
                return size
        return 0

    def _ways(self, whole: str, parts: Phrase) -> list[Alternative]:
        ways: list[Alternative] = [((whole,), 1.0)]
        ways += [(other, SYNONYM) for other in self.synonyms.of_phrase((whole,))]
        return ways + ([(parts, PARTS)] if parts else [])

    def _answered(self, whole: str, parts: Phrase) -> bool:
        """Whether an item has the word, or another way to say it."""
        return any(all(map(self.frequency, way)) for way, _ in self._ways(whole, parts))

    def _word(self, whole: str, parts: Phrase) -> None:
        answered, in_parts = self._answered(whole, ()), self._answered(whole, parts)
        near: list[str] = []
        if not answered and not (in_parts and set(whole) <= set("".join(parts))):
            near = self.speller.near_chinese(whole, self.segments, self.frequency, 3)
        if in_parts and not near:
            self.slots.append(self._slot(self._ways(whole, parts)))
            return
        if in_parts:  # 腹发水 is 洗发水, though items have the 发水 in it
            self._taken(whole, [*(((word,), CORRECTED) for word in near), (parts, PARTS)])
            return
        near = near or self.speller.near(whole, self.segments, self.frequency, 3)
        # the stem of a slip may be farther off than the slip: wireles
        near = near or self.speller.near(f"{whole}s", self.segments, self.frequency, 3)
        other = [((word,), CORRECTED) for word in near] or self._split(whole) or self._contained(whole)
        if other:
            self._taken(whole, other)
        else:
            self.unknown.append(whole)

    def _taken(self, word: str, other: Sequence[Alternative]) -> None:
        self.corrected[word] = " ".join(other[0][0])
        self.slots.append(self._slot(other))

    def _split(self, word: str) -> list[Alternative]:
        """``laptopbag`` as ``laptop bag``, where both are words of items: the most even one."""
        if is_chinese(word) or len(word) < 6:
            return []
        cuts = sorted(range(3, len(word) - 2), key=lambda i: abs(2 * i - len(word)))
        halves = ((word[:i], word[i:]) for i in cuts)
        return next(([(pair, CORRECTED)] for pair in halves if all(map(self.frequency, pair))), [])

    def _contained(self, word: str) -> list[Alternative]:
        """Of a Chinese word that no item has: the longest words of items within it, else those that hold it."""
        if not is_chinese(word):
            return []
        within, at = [], 0
        while at < len(word):
            size = next((n for n in range(len(word) - at, 0, -1) if self.frequency(word[at : at + n])), 0)
            within += [word[at : at + size]] if size else []
            at += size or 1
        if within:
            return [(tuple(within), CONTAINED), *(((part,), CONTAINED / 2) for part in within if len(within) > 1)]
        holding = {term: self.frequency(term) for term in self.speller.holding(word, self.segments)}
        order = sorted(holding, key=lambda term: (-holding[term], term))
        return [((term,), CONTAINED) for term in order[:10] if holding[term]]

    def _slot(self, ways: Sequence[Alternative]) -> Slot:
        """Without what no item can answer."""
        kept = tuple(way for way in ways if all(map(self.frequency, way[0])))
        return kept or tuple(ways[:1])


def corrected(text: str, taken: Mapping[str, str]) -> str:
    """A query with the words in it that were taken for others; terms are stems, so it is compared word by word."""
    written = clean(text)
    for word, other in taken.items():
        if is_chinese(word):
            written = written.replace(word, other)
    words = [(part, [whole for whole, _ in asked(part)]) for part in written.split()]
    return " ".join(
        _plural(taken[wholes[0]], part) if len(wholes) == 1 and wholes[0] in taken else part for part, wholes in words
    )


def as_typed(text: str, word: str, taken: str = "") -> tuple[str, str]:
    """A word of a query as it was typed, in small letters, and what was taken for it with the same ending: terms are
    stems, and nobody typed those.
    """
    typed = next((part for part in clean(text).split() if [whole for whole, _ in asked(part)] == [word]), word)
    return typed, _plural(taken, typed)


def _plural(term: str, like: str) -> str:
    """A stem with the ending that the word it is taken for has: sunglass, for sunglases, is sunglasses."""
    if not like.endswith("s") or not term.isascii() or not term.isalpha():
        return term
    from rapidfuzz.distance import OSA  # there, for a word was taken for another

    ways = [term, term + "s", term + "es", term[:-1] + "ies"]
    near = [(OSA.distance(way, like), -len(way), way) for way in ways if way == term or stem(way) == term]
    return min(near)[2]


def held_by(fields: Mapping[str, Any], slots: Sequence[Slot]) -> dict[str, list[str]]:
    """Field → the terms of the query that an item has there; for telling a person why it was found."""
    wanted = {term for slot in slots for way, _ in slot for term in way}
    found = {}
    for name, text in fields.items():
        held = [term for term in dict.fromkeys(terms(str(text) if text is not None else None)) if term in wanted]
        if held:
            found[name] = held
    return found
