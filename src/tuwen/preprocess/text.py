"""Text → token ids (or a weighted bag of n-grams)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Self

import numpy as np

from tuwen.preprocess.cleaning import clean
from tuwen.preprocess.modality import Arrays, not_fitted, read_state, write_state
from tuwen.preprocess.spec import ArraySpec
from tuwen.preprocess.words import Vocabulary, characters, padded, words
from tuwen.progress import Progress

Tokens = Literal["word", "character"]

_SPLIT = {"word": words, "character": characters}


class Text:
    """Chinese and English text as ids of words or characters.

    Args:
        tokens: what a token is.
        length: tokens kept of one text.
        vocabulary: how many different ids there may be, padding and unknown included.
        lower: fold upper case.
        min_count: tokens seen less often in the train part are unknown.
        max_characters: a longer text is cut here before anything else is done with it.
    """

    def __init__(
        self,
        *,
        tokens: Tokens = "word",
        length: int = 100,
        vocabulary: int = 20_000,
        lower: bool = True,
        min_count: int = 1,
        max_characters: int = 20_000,
    ) -> None:
        self.options = {
            "tokens": tokens,
            "length": length,
            "vocabulary": vocabulary,
            "lower": lower,
            "min_count": min_count,
            "max_characters": max_characters,
        }
        self.tokens, self.length, self.vocabulary = tokens, length, vocabulary
        self.lower, self.min_count, self.max_characters = lower, min_count, max_characters
        self._words: Vocabulary | None = None

    @property
    def spec(self) -> ArraySpec:
        if self._words is None:
            raise not_fitted("text")
        return ArraySpec("tokens", (self.length,), (len(self._words),))

    def fit(self, values: Sequence[str | None], progress: Progress | None = None) -> None:
        split = _SPLIT[self.tokens]
        self._words = Vocabulary.count((split(t) for t in self._clean(values)), self.vocabulary, self.min_count)

    def encode(self, values: Sequence[str | None]) -> tuple[Arrays, np.ndarray]:
        """``ids`` int32 [rows, length]; present where the text has at least one token."""
        if self._words is None:
            raise not_fitted("text")
        split = _SPLIT[self.tokens]
        rows = [self._words.ids(split(t), self.length) for t in self._clean(values)]
        return {"ids": padded(rows, self.length)}, np.fromiter((len(row) > 0 for row in rows), bool, len(rows))

    def augment(self, arrays: Arrays, rng: np.random.Generator) -> Arrays:
        return arrays

    def save(self, folder: Path) -> None:
        if self._words is None:
            raise not_fitted("text")
        write_state(folder, self, self.options, {"vocabulary": self._words.tokens})

    @classmethod
    def load(cls, folder: Path) -> Self:
        state = read_state(folder)
        text = cls(**state["options"])
        text._words = Vocabulary(state["fitted"]["vocabulary"])
        return text

    def _clean(self, values: Sequence[str | None]) -> list[str]:
        return ["" if t is None else clean(t[: self.max_characters], lower=self.lower) for t in values]
