"""The words in a dataset's pictures: each picture is read once, and its lines are kept in the dataset."""

from __future__ import annotations

from collections.abc import Sequence

from tuwen.data.dataset import Dataset
from tuwen.deadline import check
from tuwen.preprocess.ocr import Line, LineCache, Reader
from tuwen.progress import Progress

FOLDER = "picture_text"  # of a dataset


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
