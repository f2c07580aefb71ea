"""The words in pictures → what a text becomes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field

from tuwen.errors import ConfigError
from tuwen.preprocess.image import Pictures
from tuwen.preprocess.modality import Arrays
from tuwen.preprocess.ngrams import Range
from tuwen.preprocess.ocr import Reader, text_of
from tuwen.preprocess.ocr.networks import STEP
from tuwen.preprocess.ocr.reader import MOST_LINES, SIDE
from tuwen.preprocess.text import LONGEST, Text, Tokens
from tuwen.progress import Progress
from tuwen.registry import Count

Value = bytes | Sequence[bytes] | str | None


class PictureText(Text):
    """The words in pictures, read by PP-OCR and turned into the arrays of a text.

    A value is the bytes of a row's pictures, or what was read of them already (a str). A picture with nothing to read
    is absent, as an empty text is.

    Args:
        pictures: how many of a row's pictures are read, in their order over all its columns.
        side: the longest side, in pixels, of a picture in which lines are looked for; a multiple of 32. Twice the side
            takes four times as long and finds letters of half the size.
        lines: lines read of one picture, the largest first.
        tokens, length, vocabulary, min_count, lower, truncate, word_ngrams, character_ngrams, prefix, model,
            max_characters: of the words, as for ``use: text``.
    """

    def __init__(
        self,
        *,
        pictures: Pictures = 4,
        side: Annotated[int, Field(ge=64, le=960)] = SIDE,
        lines: Annotated[int, Field(ge=1, le=1000)] = MOST_LINES,
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
        super().__init__(
            tokens=tokens,
            length=length,
            vocabulary=vocabulary,
            min_count=min_count,
            lower=lower,
            truncate=truncate,
            word_ngrams=word_ngrams,
            character_ngrams=character_ngrams,
            prefix=prefix,
            model=model,
            max_characters=max_characters,
        )
        if side % STEP:
            raise ConfigError("'side' must be a multiple of 32", seen=side, allowed="320, 640, 960")
        self.pictures, self.side, self.lines = pictures, side, lines

    @property
    def options(self) -> dict[str, Any]:
        return super().options | {"pictures": self.pictures, "side": self.side, "lines": self.lines}

    @cached_property
    def reader(self) -> Reader:
        """What reads pictures.

        Raises:
            MissingExtra: the wheel with its networks is not installed.
        """
        return Reader(side=self.side, most_lines=self.lines)

    def fit(self, values: Sequence[Value], progress: Progress | None = None) -> None:
        """Learn the vocabulary of the words that stand in the pictures."""
        _ = self.reader  # what is missing is told before anything is read
        super().fit(self._texts(values), progress)

    def encode(self, values: Sequence[Value]) -> tuple[Arrays, np.ndarray]:
        """The arrays of :meth:`tuwen.preprocess.text.Text.encode`."""
        self._fitted()
        return super().encode(self._texts(values))

    def read(self, value: Value) -> str | None:
        """The words of one row's pictures, a line of text a line."""
        if value is None or isinstance(value, str):
            return value or None
        pictures = [value] if isinstance(value, bytes) else list(value)
        texts = [text_of(self.reader.read(picture)) for picture in pictures[: self.pictures]]
        return "\n".join(text for text in texts if text) or None

    def _texts(self, values: Sequence[Value]) -> list[str | None]:
        return [self.read(value) for value in values]

    def save(self, folder: Path) -> None:
        """The networks go into ``folder``, each under its sha256."""
        super().save(folder)
        self.reader.save(folder)

    @classmethod
    def load(cls, folder: Path) -> Self:
        loaded = super().load(folder)
        loaded.__dict__["reader"] = Reader.load(folder)
        return loaded
