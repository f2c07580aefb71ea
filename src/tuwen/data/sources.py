"""A shop's files, in batches: every column as the file has it, and the rows that could not be read at all."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from tuwen.errors import DataError

BATCH_BYTES = 64 * 2**20
BATCH_ROWS = 65_536


@dataclass
class Batch:
    """Some rows of a source.

    Attributes:
        frame: the columns as the source has them.
        rows: the number of each row in its file, from 1.
        unread: rows that are no rows: number, reason, what stood there.
    """

    frame: pl.DataFrame
    rows: pl.Series
    unread: list[tuple[int, str, str]] = field(default_factory=list)


class ParquetFile:
    """One Parquet file."""

    def __init__(self, path: Path, name: str) -> None:
        self.path, self.name = path, name
        try:
            with pq.ParquetFile(path) as file:
                self.columns: list[str] = file.schema_arrow.names
                meta = file.metadata
                self.rows: int = meta.num_rows
                size = sum(meta.row_group(i).total_byte_size for i in range(meta.num_row_groups))
        except Exception as error:
            raise DataError("not a readable Parquet file", where=name, seen=error) from None
        self._batch = max(1, min(BATCH_ROWS, BATCH_BYTES * max(1, self.rows) // max(1, size)))

    def fingerprint(self) -> str:
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def batches(self, columns: list[str]) -> Iterator[Batch]:
        start = 1
        with pq.ParquetFile(self.path) as file:
            for part in file.iter_batches(self._batch, columns=columns):
                frame = pl.DataFrame(pl.from_arrow(part))
                yield Batch(frame, pl.int_range(start, start + frame.height, eager=True))
                start += frame.height
