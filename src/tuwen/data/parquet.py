"""Parquet files, a few rows at a time, so that pictures in a column never fill the memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import polars as pl
import pyarrow as pa
from pyarrow import parquet

from tuwen.data.batch import BATCH_ROWS, Batch, need_table, numbered
from tuwen.data.header import renamed_note, unique_names
from tuwen.errors import DataError

BATCH_BYTES = 64 * 2**20


class ParquetFile:
    """One Parquet file.

    Raises:
        DataError: it is not one, or it is damaged.
    """

    def __init__(self, path: Path, name: str) -> None:
        self.name, self._path = name, path
        self.notes: list[str] = []
        try:
            with parquet.ParquetFile(path) as file:
                self.columns, renamed = unique_names(file.schema_arrow.names)
                self.notes += renamed_note(name, renamed)
                types = zip(self.columns, file.schema_arrow.types, strict=True)
                self.numbers = frozenset(
                    c for c, kind in types if pa.types.is_integer(kind) or pa.types.is_floating(kind)
                )
                self._all = bool(renamed)  # a name that stands twice cannot be asked for
                meta = file.metadata
                self.rows: int | None = meta.num_rows
                size = sum(meta.row_group(i).total_byte_size for i in range(meta.num_row_groups))
        except (pa.ArrowException, OSError) as error:
            with suppress(OSError), path.open("rb") as start:
                need_table(start.read(4096), name)
            raise DataError("not a readable Parquet file", where=name, seen=error, todo="export it again") from None
        self._batch = max(1, min(BATCH_ROWS, BATCH_BYTES * max(1, meta.num_rows) // max(1, size)))

    def batches(self, columns: Sequence[str]) -> Iterator[Batch]:
        """Columns with the types they have in the file."""
        start = 1
        try:
            with parquet.ParquetFile(self._path) as file:
                for part in file.iter_batches(self._batch, columns=None if self._all else list(columns)):
                    named = part.rename_columns(self.columns) if self._all else part
                    frame = pl.DataFrame(pl.from_arrow(named)).select(columns)
                    yield Batch(frame, numbered(frame.height, start))
                    start += frame.height
        except (pa.ArrowException, OSError) as error:
            place = f"{self.name}, after row {start - 1}"
            raise DataError("the Parquet file is damaged", where=place, seen=error, todo="export it again") from None
