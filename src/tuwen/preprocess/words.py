"""Tokens that need no trained model: words and characters, and the vocabulary that numbers them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

from tuwen.preprocess.cleaning import EMOJI, FLAG, HAN

UNKNOWN = 1
FIRST = 2  # the first id that stands for a token; 0 is padding

_HAN = re.compile(f"[{HAN}]")
_PIECE = re.compile(f"[{HAN}]+|[^\\W{HAN}]+(?:['’][^\\W{HAN}]+)*|{FLAG}|[{EMOJI}]")


def words(text: str) -> list[str]:
    """The words of a cleaned text: Chinese cut by rjieba, ``\\w+`` elsewhere, emoji one by one; no punctuation."""
    pieces: list[str] = _PIECE.findall(text)
    if not _HAN.search(text):
        return pieces
    from rjieba import cut

    out: list[str] = []
    for piece in pieces:
        if len(piece) > 1 and _HAN.match(piece):
            out += cut(piece)
        else:
            out.append(piece)
    return out


def is_word(text: str) -> bool:
    """Whether the dictionary has this Chinese text as one word of several characters."""
    from rjieba import cut

    return len(text) > 1 and list(cut(text, False)) == [text]


def characters(text: str) -> list[str]:
    """Every character of a cleaned text, the single spaces between words included (so English words stay apart)."""
    return list(text)


SPLIT: dict[str, Callable[[str], list[str]]] = {"word": words, "character": characters}


class Vocabulary:
    """Words or characters and their ids: 0 is padding, 1 every unknown token, then the most frequent token first."""

    def __init__(self, kind: Literal["word", "character"], tokens: Sequence[str]) -> None:
        self.split, self.tokens = SPLIT[kind], list(tokens)
        self._ids = {token: i for i, token in enumerate(self.tokens, FIRST)}

    @property
    def size(self) -> int:
        return len(self.tokens) + FIRST

    @classmethod
    def fit(cls, kind: Literal["word", "character"], texts: Iterable[str], size: int, min_count: int) -> Vocabulary:
        """The ``size - 2`` most frequent tokens seen at least ``min_count`` times; equal counts in code point order."""
        split = SPLIT[kind]
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(split(text))
        kept = sorted((-n, token) for token, n in counts.items() if n >= min_count)
        return cls(kind, [token for _, token in kept[: max(size - FIRST, 0)]])

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Every token of every text, as ids."""
        get, split = self._ids.get, self.split
        return [[get(token, UNKNOWN) for token in split(text)] for text in texts]

    def plain(self) -> dict[str, Any]:
        return {"vocabulary": self.tokens}
