"""CSV and its kin: any separator, any encoding, ragged rows told apart from good ones."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from pyarrow import csv as arrow_csv

from tuwen.data.batch import BATCH_ROWS, Batch, Unread, need_table
from tuwen.data.encoding import MARK, WRONG, decode, other_encoding, readable
from tuwen.errors import DataError

SEPARATORS = ",;\t|"
_MOST = 2**30  # bytes Arrow parses at once; a row must fit in
_LONGEST = 2**22  # bytes a row with quotes may have
_END = "\ufdd1"  # ends the number of a line, as MARK begins it
_LINE_END = re.compile(rb"[\r\n]")


class DelimitedFile:
    """One CSV file, decoded as a whole.

    Raises:
        DataError: empty, without a header, a column named twice, or in no encoding that can be told.
    """

    def __init__(self, path: Path, name: str, *, encoding: str | None = None, separator: str | None = None) -> None:
        decoded = decode(path.read_bytes(), encoding, name)
        self.name = name
        self.rows: int | None = None
        self.notes = decoded.notes
        self._data = decoded.data
        if self._data.startswith(b"sep=") and separator is None:  # how spreadsheets announce their separator
            separator, self._data = self._data[4:5].decode(), self._data.partition(b"\n")[2]
        if separator is not None and not separator.isascii():
            raise DataError("a separator is one ASCII character", where=name, seen=separator)
        need_table(self._data, name)
        head = self._data[: 2**20].decode("utf-8", "ignore")
        self._separator = separator or _separator(head)
        rows = csv.reader(StringIO(head, newline=""), delimiter=self._separator)
        try:
            header = next(row for row in rows if row)
        except (csv.Error, StopIteration) as error:
            raise DataError("the header cannot be read", where=f"{name}:1", seen=error) from None
        self.columns = [c.strip() or f"column_{i}" for i, c in enumerate(header, 1)]
        if MARK in "".join(self.columns):
            seen = readable(self._separator.join(self.columns))
            todo = other_encoding(encoding) if encoding else "save it anew"
            raise DataError(f"the header is not in {decoded.encoding}", where=name, seen=seen, todo=todo)
        twice = [column for column, count in Counter(self.columns).items() if count > 1]
        if twice:
            raise DataError(f"the header has '{twice[0]}' twice", where=f"{name}:1", todo="rename one of them")

    def batches(self, columns: Sequence[str]) -> Iterator[Batch]:
        """Every cell as a string, an empty one as null."""
        frame, rows, unread = self._parse()
        frame = frame.select(columns)
        marked = frame.select(pl.any_horizontal(pl.all().str.contains(MARK, literal=True).fill_null(False))).to_series()
        if marked.any():
            texts = frame.filter(marked).select(pl.concat_str(pl.all(), separator=" ", ignore_nulls=True)).to_series()
            unread += [Unread(row, WRONG, readable(text)) for row, text in zip(rows.filter(marked), texts, strict=True)]
            frame, rows = frame.filter(~marked), rows.filter(~marked)
        for start in range(0, max(1, frame.height), BATCH_ROWS):
            part = slice(start, start + BATCH_ROWS)
            yield Batch(frame[part], rows[part], unread)
            unread = []

    def _parse(self) -> tuple[pl.DataFrame, pl.Series, list[Unread]]:
        """All good rows, their numbers, and the others."""
        data, open_lines = _without_open_quotes(self._data, self._separator, len(self.columns))
        frame, bad = self._table(data)
        frame, total = frame[1:], frame.height - 1 + len(bad)
        unread = [_ragged(row, open_lines) for row in bad]
        good = np.ones(total, dtype=bool)
        good[[row.row - 1 for row in unread]] = False
        return frame, pl.Series("row", np.flatnonzero(good) + 1, pl.Int64), unread

    def _table(self, data: bytes) -> tuple[pl.DataFrame, list[Any]]:
        """Rows with the right number of cells, and Arrow's ``InvalidRow`` for each of the others."""
        bad: list[Any] = []

        def skip(row: Any) -> str:
            bad.append(row)
            return "skip"

        columns = list(self.columns)
        try:
            table = arrow_csv.read_csv(
                BytesIO(data),
                read_options=arrow_csv.ReadOptions(
                    use_threads=False,
                    block_size=min(len(data) + 1, _MOST),
                    column_names=columns,
                ),
                parse_options=arrow_csv.ParseOptions(
                    delimiter=self._separator, newlines_in_values=True, invalid_row_handler=skip
                ),
                convert_options=arrow_csv.ConvertOptions(
                    column_types=dict.fromkeys(columns, pa.large_string()),
                    null_values=[""],
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=True,
                ),
            )
        except pa.ArrowInvalid as error:
            raise DataError("the file cannot be read as CSV", where=self.name, seen=error) from None
        return pl.DataFrame(pl.from_arrow(table)), bad


def _ragged(row: Any, open_lines: list[str]) -> Unread:
    """Arrow's invalid row, counted without the header."""
    if row.text.startswith(MARK) and _END in row.text:
        line = open_lines[int(row.text[1 : row.text.index(_END)])]
        return Unread(row.number - 1, "a quote is not closed", readable(line))
    few = "too few cells" if row.actual_columns < row.expected_columns else "too many cells"
    return Unread(row.number - 1, few, readable(row.text))


def _without_open_quotes(data: bytes, separator: str, columns: int) -> tuple[bytes, list[str]]:
    """``data`` with every line that opens a quote and does not close it well replaced by one that names it.

    A parser would let such a quote swallow the lines after it, up to the next quote; so only its own line is given up.
    The line put in its place has one cell too many, which is how it comes back with its row number.
    """
    if b'"' not in data:
        return data, []
    sep = re.escape(separator.encode())
    cell = rb'(?:"(?:[^"]++|"")*+"|[^"\r\n' + sep + rb"][^\r\n" + sep + rb"]*+|)"
    record = re.compile(cell + rb"(?:" + sep + cell + rb")*+(?=[\r\n]|\Z)")
    kept: list[bytes] = []
    lines: list[str] = []
    done = at = 0  # ends of what is copied, of what is read
    while (quote := data.find(b'"', at)) >= 0:
        start = max(data.rfind(b"\n", at, quote), data.rfind(b"\r", at, quote), -1 if at == 0 else at) + 1
        whole = record.match(data, start, start + _LONGEST)
        if whole is not None and (whole.end() == len(data) or whole.end() < start + _LONGEST):
            at = whole.end()
            continue
        found = _LINE_END.search(data, quote)
        end = len(data) if found is None else found.start()
        kept += [data[done:start], f"{MARK}{len(lines)}{_END}".encode() + separator.encode() * columns]
        lines.append(data[start:end].decode())
        done = at = end
    return b"".join([*kept, data[done:]]), lines


def _separator(head: str) -> str:
    """The separator that the header line has most of outside quotes; a comma where there is none."""
    line = re.sub(r'"[^"]*"', "", next((line for line in head.splitlines() if line.strip()), ""))
    return max(SEPARATORS, key=lambda s: (line.count(s), s == ","))
