"""JSON lines: one object a line; lines that are none are told apart by their number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl
from pydantic_core import from_json

from tuwen.data.batch import BATCH_ROWS, WIDE, Batch, Unread, kind_of, need_table, need_text, series
from tuwen.data.encoding import MARK, WRONG, decode, readable, without_marks
from tuwen.data.json_names import RepeatedName, need_single_names
from tuwen.errors import DataError


class JsonLinesFile:
    """One JSONL file. A key that some objects lack is missing in their rows.

    Raises:
        DataError: empty, no object in it, or in no encoding that can be told.
    """

    def __init__(self, path: Path, name: str, *, encoding: str | None = None) -> None:
        data = path.read_bytes()
        need_text(data, name)
        decoded = decode(data, encoding, name)
        self.name = name
        self.notes = decoded.notes
        need_table(decoded.data, name)
        end = b"\r" if b"\n" not in decoded.data else b"\n"  # as old Macs end lines
        self._lines = without_marks(decoded.data).split(end)
        self.rows: int | None = len(self._lines)
        self._repeated: dict[int, str] = {}  # line number → which name stands twice
        kinds: dict[str, set[type | str]] = {}
        for number, record, _ in self._records(0, len(self._lines)):
            try:
                need_single_names(self._lines[number - 1], record)
            except RepeatedName as error:
                self._repeated[number] = str(error)
                continue
            for key, value in record.items():
                key_kinds = kinds.setdefault(key, set())
                if (kind := str if type(value) is str else kind_of(value)) is not None:
                    key_kinds.add(kind)
        self.columns = list(kinds)
        self._kinds = {column: frozenset(of) for column, of in kinds.items()}
        self.numbers = frozenset(column for column, of in self._kinds.items() if of <= {int, float, bool, WIDE})
        if not self.columns:
            seen = readable(self._lines[0].decode())[:200]
            raise DataError("no line of the file is a JSON object", where=name, seen=seen, allowed='{"item": "1", ...}')

    def batches(self, columns: Sequence[str]) -> Iterator[Batch]:
        """Strings, numbers, booleans and lists of strings as they are; anything else as JSON text."""
        for start in range(0, len(self._lines), BATCH_ROWS):
            found = list(self._records(start, start + BATCH_ROWS))
            good = [(row, record) for row, record, reason in found if not reason]
            frame = pl.DataFrame(
                [series(column, [record.get(column) for _, record in good], self._kinds[column]) for column in columns]
            )
            rows = pl.Series("row", [row for row, _ in good], pl.Int64)
            unread = [
                Unread(row, reason, readable(self._lines[row - 1].decode())) for row, _, reason in found if reason
            ]
            yield Batch(frame, rows, unread)

    def _records(self, start: int, stop: int) -> Iterator[tuple[int, dict[str, Any], str]]:
        """(line number, object, what is wrong) of every line that is not blank."""
        mark = MARK.encode()
        for number, line in enumerate(self._lines[start:stop], start + 1):
            if not line.strip():
                continue
            if mark in line:
                yield number, {}, WRONG
                continue
            if number in self._repeated:
                yield number, {}, self._repeated[number]
                continue
            try:
                record = from_json(line)
            except ValueError:
                yield number, {}, "not JSON"
                continue
            if isinstance(record, dict):
                yield number, record, ""
            else:
                yield number, {}, "not a JSON object"
