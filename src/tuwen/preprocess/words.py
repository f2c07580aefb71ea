"""Tokens without a trained model: words and characters, and the vocabulary that numbers them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from tuwen.preprocess.cleaning import EMOJI, FLAG, HAN

PADDING, UNKNOWN = 0, 1
FIRST = 2  # the first id that stands for a token

_HAN = re.compile(f"[{HAN}]")
_PIECE = re.compile(f"[{HAN}]+|[^\\W{HAN}]+(?:['’][^\\W{HAN}]+)*|{FLAG}|[{EMOJI}]")


def words(text: str) -> list[str]:
    """The words of a cleaned text: Chinese cut by rjieba, ``\\w+`` elsewhere, emoji one by one; no punctuation."""
    pieces = _PIECE.findall(text)
    if not _HAN.search(text):
        return pieces
    from rjieba import cut

    out: list[str] = []
    for piece in pieces:
        if _HAN.match(piece):
            out += cut(piece)
        else:
            out.append(piece)
    return out


def characters(text: str) -> list[str]:
    """Every character of a cleaned text, the single spaces between words included (so English words stay apart)."""
    return list(text)


class Vocabulary:
    """Tokens and their ids: 0 is padding, 1 every unknown token, then the most frequent token first."""

    def __init__(self, tokens: Sequence[str]) -> None:
        self.tokens = list(tokens)
        self._ids = {token: i for i, token in enumerate(self.tokens, FIRST)}

    def __len__(self) -> int:
        return len(self.tokens) + FIRST

    @classmethod
    def count(cls, texts: Iterable[Sequence[str]], size: int, min_count: int) -> Vocabulary:
        """The ``size - 2`` most frequent tokens seen at least ``min_count`` times; equal counts in code point order."""
        counts: Counter[str] = Counter()
        for tokens in texts:
            counts.update(tokens)
        kept = sorted((-n, token) for token, n in counts.items() if n >= min_count)
        return cls([token for _, token in kept[: max(size - FIRST, 0)]])

    def ids(self, tokens: Sequence[str], length: int) -> list[int]:
        """The first ``length`` tokens as ids."""
        get = self._ids.get
        return [get(token, UNKNOWN) for token in tokens[:length]]


def padded(rows: Sequence[Sequence[int]], length: int) -> np.ndarray:
    """Lists of ids → int32 [rows, length], zeros at the end."""
    out = np.zeros((len(rows), length), np.int32)
    sizes = np.fromiter((min(len(row), length) for row in rows), np.int64, len(rows))
    mask = np.arange(length) < sizes[:, None]
    out[mask] = np.fromiter((i for row in rows for i in row[:length]), np.int32, int(sizes.sum()))
    return out
