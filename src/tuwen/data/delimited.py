"""CSV and its kin: any separator, any encoding, ragged rows told apart from good ones."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO, StringIO
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import polars as pl
import pyarrow as pa
from pyarrow import csv as arrow_csv

from tuwen.config.shop import can_separate
from tuwen.data.batch import BATCH_ROWS, Batch, Unread, need_table, need_text
from tuwen.data.encoding import MARK, WRONG, decode, other_encoding, readable, without_marks
from tuwen.data.escapes import has_escapes, hide_escapes, show_escapes, written_escapes
from tuwen.data.header import find_header, renamed_note, unique_names
from tuwen.data.ragged import HEADER, MANY, TOTAL, no_rows, often_spaced, repair, without_open_quotes
from tuwen.errors import DataError

Escape = Literal["backslash", "quote"]

_MOST = 2**30  # bytes Arrow parses at once; a row must fit in
_HEAD = 2**20  # bytes looked at for the header
_SAMPLE = 50  # rows looked at for what rows have in common
_SEP = re.compile(rb'"?sep=(.)"?(?:\r\n|\r|\n)')  # how spreadsheets announce their separator


@dataclass
class _Parsed:
    """Every cell as a string, the number of each row, the other rows, and the numbers of the short ones."""

    frame: pl.DataFrame
    rows: pl.Series
    unread: list[Unread]
    short: list[int]


class DelimitedFile:
    """One CSV file, decoded and parsed as a whole.

    Args:
        names: what its columns may be called; a header below other lines is known by them.
        skip: lines above the header; None: found out.
        escape: how a quote inside quotes is written: ``backslash`` or ``quote`` (doubled); None: found out.

    Raises:
        DataError: empty, without a header, or in no encoding that can be told.
    """

    def __init__(
        self,
        path: Path,
        name: str,
        *,
        encoding: str | None = None,
        separator: str | None = None,
        names: Collection[str] = (),
        skip: int | None = None,
        escape: Escape | None = None,
    ) -> None:
        data = path.read_bytes()
        need_text(data, name)
        decoded = decode(data, encoding, name)
        self.name, self.numbers = name, frozenset[str]()
        self.notes = list(decoded.notes)
        data = without_marks(decoded.data)
        announced = _SEP.match(data)
        if announced is not None and separator is None:
            separator, data = announced.group(1).decode("latin-1"), data[announced.end() :]
            separator = separator if can_separate(separator) else None
        if separator is not None and not can_separate(separator):
            allowed = "one ASCII character that is no quote, backslash, letter or digit"
            raise DataError("this cannot separate cells", where=name, seen=repr(separator), allowed=allowed)
        need_table(data, name)
        head = data[:_HEAD].decode("utf-8", "ignore")
        header = find_header(head, names, separator=separator, skip=skip, where=name)
        self._separator, self._header = header.separator, header.cells
        self.columns, renamed = unique_names(header.cells)
        self.notes += renamed_note(name, renamed)
        if MARK in "".join(self.columns):
            seen = readable(self._separator.join(self.columns))
            todo = other_encoding(encoding) if encoding else "save it anew"
            raise DataError(f"the header is not in {decoded.encoding}", where=name, seen=seen, todo=todo)
        if head[: header.start].strip() and skip is None:
            self.notes.append(f"{name}: the header is taken from line {header.line}; the lines above it are left out")
        parsed = self._read(data[len(head[: header.start].encode()) :], escape)
        self._take(parsed)

    def batches(self, columns: Sequence[str]) -> Iterator[Batch]:
        """Every cell as a string, an empty one as null."""
        frame, rows, unread = self._frame.select(columns), self._rows, list(self._unread)
        marked = frame.select(pl.any_horizontal(pl.all().str.contains(MARK, literal=True).fill_null(False))).to_series()
        if marked.any():
            texts = frame.filter(marked).select(pl.concat_str(pl.all(), separator=" ", ignore_nulls=True)).to_series()
            unread += [Unread(row, WRONG, readable(text)) for row, text in zip(rows.filter(marked), texts, strict=True)]
            frame, rows = frame.filter(~marked), rows.filter(~marked)
        for start in range(0, max(1, frame.height), BATCH_ROWS):
            part = slice(start, start + BATCH_ROWS)
            yield Batch(frame[part], rows[part], unread)
            unread = []

    def _read(self, data: bytes, escape: Escape | None) -> _Parsed:
        """The rows, with backslashes as escapes where SHOP.yaml says so or more rows can be read that way."""
        if escape == "backslash":
            return self._escaped(data)
        parsed = self._parse(data)
        if escape is None and parsed.unread and has_escapes(data, self._separator):
            escaped = self._escaped(data)
            if len(escaped.unread) < len(parsed.unread):
                self.notes.append(f"{self.name}: quotes are read as escaped by a backslash")
                return escaped
        return parsed

    def _escaped(self, data: bytes) -> _Parsed:
        parsed = self._parse(hide_escapes(data, self._separator))
        parsed.frame = show_escapes(parsed.frame, self._separator)
        parsed.unread = [row._replace(text=written_escapes(row.text, self._separator)) for row in parsed.unread]
        return parsed

    def _take(self, parsed: _Parsed) -> None:
        """Keep the rows that are some, and the columns that are named or hold anything."""
        again, totals = no_rows(parsed.frame, self._header)
        for which, reason in ((again, HEADER), (totals & ~again, TOTAL)):
            texts = parsed.frame.filter(which).select(_line(self._separator)).to_series()
            numbers = parsed.rows.filter(which)
            parsed.unread += [Unread(n, reason, readable(text)) for n, text in zip(numbers, texts, strict=True)]
        is_data = ~(again | totals)
        self._frame, self._rows = parsed.frame.filter(is_data), parsed.rows.filter(is_data)
        self._unread = sorted(parsed.unread)
        self.rows: int | None = len(self._rows) + len(self._unread)
        if parsed.short:
            count = f"{len(parsed.short):,} rows have" if len(parsed.short) > 1 else "1 row has"
            first = f"the first: row {min(parsed.short)}"
            self.notes.append(f"{self.name}: {count} fewer cells than the header; the missing ones are empty; {first}")
        nameless = {c for c, h in zip(self.columns, self._header, strict=True) if not h}
        empty = {c for c in nameless if self._frame[c].null_count() == self._frame.height}
        if self._frame.height and len(empty) < len(self.columns):
            self.columns = [c for c in self.columns if c not in empty]

    def _parse(self, data: bytes) -> _Parsed:
        """All good rows, their numbers, and the others."""
        width = len(self.columns)
        extra = [f"{MARK}{i}" for i in range(self._extra(data))]
        data, open_lines = without_open_quotes(data, self._separator, width + len(extra))
        frame, bad = self._table(data, [*self.columns, *extra])
        total = frame.height + len(bad) - 1
        headless = bool(bad) and bad[0].number == 1  # the header has no cells for the extra columns
        frame, bad = (frame, bad[1:]) if headless else (frame[1:], bad)
        fixed = repair(
            bad, open_lines, self._separator, width, spaced=bool(bad) and often_spaced(frame[self.columns[0]])
        )
        bad_rows = {row.number - 1 for row in bad}
        rows = pl.int_range(1, total + 1, dtype=pl.Int64, eager=True).alias("row")
        rows = rows.filter(~rows.is_in(list(bad_rows))) if bad_rows else rows
        if extra:
            over = frame.select(pl.any_horizontal(pl.col(extra).is_not_null())).to_series()
            texts = frame.filter(over).select(_line(self._separator)).to_series()
            numbers = rows.filter(over)
            fixed.unread += [Unread(n, MANY, readable(text)) for n, text in zip(numbers, texts, strict=True)]
            frame, rows = frame.filter(~over).drop(extra), rows.filter(~over)
        if fixed.rows:
            schema = dict.fromkeys(self.columns, pl.String)
            more = pl.DataFrame([cells for _, cells in fixed.rows], schema=schema, orient="row")
            numbers = pl.Series("row", [number for number, _ in fixed.rows], pl.Int64)
            frame, rows = pl.concat([frame, more]), pl.concat([rows, numbers])
            order = rows.arg_sort()
            frame, rows = frame[order], rows[order]
        return _Parsed(frame, rows, fixed.unread, fixed.short)

    def _extra(self, data: bytes) -> int:
        """Cells beyond the header that most rows have, all empty: each row ends in a separator too many."""
        head = data[:_HEAD].decode("utf-8", "ignore")
        try:
            rows = csv.reader(StringIO(head, newline=""), delimiter=self._separator)
            sample = [row for row in islice(rows, 1, _SAMPLE + 1) if row]
        except csv.Error:
            return 0
        width = len(self.columns)
        length, count = Counter(map(len, sample)).most_common(1)[0] if sample else (0, 0)
        plain = all(not any(row[width:]) for row in sample if len(row) == length)
        return length - width if length > width and count * 2 > len(sample) and plain else 0

    def _table(self, data: bytes, columns: list[str]) -> tuple[pl.DataFrame, list[Any]]:
        """Rows with the right number of cells, and Arrow's ``InvalidRow`` for each of the others."""
        bad: list[Any] = []

        def skip(row: Any) -> str:
            bad.append(row)
            return "skip"

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


def _line(separator: str) -> pl.Expr:
    """A row as text."""
    return pl.concat_str(pl.all().fill_null(""), separator=separator)
