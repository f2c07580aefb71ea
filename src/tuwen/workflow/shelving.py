"""One item into an index that is being searched, by the encoders that are loaded already: in milliseconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tuwen.apps.encoders import FrozenText, unit
from tuwen.apps.picture_words import PICTURE_TEXT
from tuwen.apps.search import Searcher
from tuwen.index.segments import Batch
from tuwen.preprocess.colours import colour_of_picture, colour_of_texts
from tuwen.preprocess.ocr import Reader
from tuwen.preprocess.terms import terms
from tuwen.preprocess.text import Text
from tuwen.workflow.indexing import COLOUR, TELLING, encoders_of, plain_text
from tuwen.workflow.picture_words import PICTURES, reader_of, with_lines
from tuwen.workflow.spaces import ENCODED, JOINT, PICTURE_SHARE, PREFIXES
from tuwen.workflow.updating import fitting

Array = np.ndarray


class Shelver:
    """What :func:`tuwen.workflow.updating.update_index` does for a file, for one item of a running service.

    Args:
        searcher: open on the index.
    """

    def __init__(self, searcher: Searcher) -> None:
        self.searcher = searcher
        self._reader_in: tuple[Path, Reader] | None = None

    def __call__(self, item: str, columns: Mapping[str, Any], pictures: Sequence[bytes]) -> Batch:
        """Encode an item as it enters the index.

        Args:
            columns: by name, as collect reads them.
            pictures: JPEG bytes, as :func:`tuwen.data.media.normalise` leaves them.

        Raises:
            DataError: a value of another type than the index holds.
        """
        index, settings = self.searcher.index, self.searcher.index.settings
        known = index.snapshot.table.columns
        row = {name: value for name, value in columns.items() if name in known}
        table = fitting(pl.DataFrame([{"item": item, **row, "_content": ""}], infer_schema_length=None), index)
        if COLOUR in settings["derived"]:
            table = table.with_columns(pl.Series(COLOUR, [self._colour(columns, pictures)], dtype=pl.String))
        if PICTURE_TEXT in settings["derived"]:
            table = with_lines(table, [[self._reader.read(picture) for picture in pictures[:PICTURES]]])
        fields = {name: [terms(plain_text(table[name][0]))] for name in settings["fields"]}
        vectors = {space: self._vector(space, columns, pictures)[None] for space in index.snapshot.spaces}
        return Batch(table, fields, vectors)

    def _colour(self, columns: Mapping[str, Any], pictures: Sequence[bytes]) -> str | None:
        told = [str(columns[name]) for name in TELLING if columns.get(name) is not None]
        found = colour_of_texts(told)
        return found if found is not None or not pictures else colour_of_picture(pictures[0])

    def _vector(self, space: str, columns: Mapping[str, Any], pictures: Sequence[bytes]) -> Array:
        """f32 [width], of length 1; zeros where the item has nothing of it."""
        nothing = np.zeros(self.searcher.index.snapshot.spaces[space], np.float32)
        words = " | ".join(str(columns[name]) for name in ENCODED if columns.get(name))
        encoder = self.searcher.matcher.encoders.get(space)
        if encoder is None:
            return nothing
        if space == "text":
            found = self._items.of_text(words) if words else None
        elif space == JOINT:
            of_words = encoder.of_text(words) if words else None
            of_picture = encoder.of_picture(pictures[0]) if pictures else None
            parts = [part for part in (of_words, _scaled(of_picture, of_words)) if part is not None]
            found = unit(np.sum(parts, axis=0)) if parts else None
        else:
            found = encoder.of_picture(pictures[0]) if pictures else None
        return nothing if found is None else found

    @property
    def _reader(self) -> Reader:
        """That of the index, which another process may have made anew meanwhile."""
        folder = encoders_of(self.searcher.index)
        if self._reader_in is None or self._reader_in[0] != folder:
            self._reader_in = folder, reader_of(folder)
        return self._reader_in[1]

    @cached_property
    def _items(self) -> FrozenText:
        """As the items' own words were encoded: some networks want to be told what is an item and what a question. The
        tokeniser and the network are those that the index keeps: the extra that it was made with need not be here.
        """
        asked = self.searcher.matcher.encoders["text"]
        assert isinstance(asked, FrozenText)
        of_item, _ = PREFIXES.get(self.searcher.index.settings["recipe"]["text"], ("", ""))
        question = asked.frozen.modality
        assert isinstance(question, Text)
        return FrozenText(asked.frozen.behind(question.beginning(of_item)), asked.centre)


def _scaled(picture: Array | None, words: Array | None) -> Array | None:
    """A picture counts a quarter beside words, and alone as it is."""
    return picture if picture is None or words is None else PICTURE_SHARE * picture
