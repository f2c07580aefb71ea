"""The words in a dataset's pictures: each picture is read once, and its lines are kept in the dataset."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from tuwen.apps.picture_words import BOXES, PICTURE_TEXT, columns_of
from tuwen.data.dataset import Dataset
from tuwen.deadline import check
from tuwen.files import publish, room_on_disk
from tuwen.preprocess.ocr import Line, LineCache, Reader
from tuwen.progress import Progress

FOLDER = "picture_text"  # of a dataset
PICTURES = 4  # of an item that an index reads


def lines_of(
    name: str, keys: Sequence[str], reader: Reader, dataset: Dataset, progress: Progress
) -> dict[str, list[Line]]:
    """Key of a picture of the dataset → the lines in it; what was read before is not read again.

    Args:
        name: what asks for it, for the progress.
    """

    def read(key: str) -> list[Line]:
        check()
        return reader.read(dataset.media.read(key))

    cache = LineCache(dataset.folder / FOLDER / reader.fingerprint)
    with progress.task(f"{name}: words in pictures", len(set(keys))) as bar:
        return cache.fetch(keys, read, bar.advance)


def reader_of(encoders: Path) -> Reader:
    """The reader that an index keeps in its folder of encoders; that of the wheel where it keeps none yet."""
    folder = encoders / PICTURE_TEXT
    return Reader.load(folder) if folder.exists() else Reader()


def keep_reader(reader: Reader, encoders: Path) -> None:
    """Copy a reader into an index, whole or not at all, so that what is added later is read alike."""
    folder = encoders / PICTURE_TEXT
    if folder.exists():
        return
    half = folder.with_name(f".{folder.name}.half")
    shutil.rmtree(half, ignore_errors=True)
    with room_on_disk(encoders.parent):
        half.mkdir(parents=True)
        reader.save(half)
        publish(half, folder)


def with_picture_text(table: pl.DataFrame, dataset: Dataset, reader: Reader, progress: Progress) -> pl.DataFrame:
    """Items with the words in their first pictures, ``picture_text``, and where those stand, ``_picture_boxes``."""
    cells = table["images"].to_list() if "images" in table.columns else [None] * len(table)
    keys = [list(cell or ())[:PICTURES] for cell in cells]
    lines = lines_of("index", [key for row in keys for key in row], reader, dataset, progress)
    return with_lines(table, [[lines[key] for key in row] for row in keys])


def with_lines(table: pl.DataFrame, lines: Sequence[Sequence[Sequence[Line]]]) -> pl.DataFrame:
    """The two columns, given the lines of each picture of each item."""
    rows = [columns_of(pictures) for pictures in lines]
    names = (PICTURE_TEXT, BOXES)
    return table.with_columns(pl.Series(n, [row[at] for row in rows], dtype=pl.String) for at, n in enumerate(names))
