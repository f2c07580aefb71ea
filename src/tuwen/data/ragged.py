"""Repair rows with more or fewer cells than the header, and find lines that are no rows."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import StringIO
from typing import Any

import polars as pl

from tuwen.data.batch import Unread
from tuwen.data.encoding import MARK, readable

END = "\ufdd1"  # ends the number of a line, as MARK begins it
FEW, MANY, OPEN = "too few cells", "too many cells", "a quote is not closed"
HEADER, TOTAL = "the header again", "a total, not a row"
_LONGEST = 2**22  # bytes a row with quotes may have
_LINE_END = re.compile(rb"[\r\n]")
_SPACED = 0.1  # share of rows whose first cell has a space, above which such a cell is nothing odd
_TOTALS = frozenset(
    [
        "total",
        "totals",
        "subtotal",
        "sub-total",
        "grand-total",
        "grandtotal",
        "sum",
        "summe",
        "gesamt",
        "gesamtsumme",
        "zwischensumme",
        "somme",
        "totale",
        "totaal",
        "suma",
        "итого",
        "всего",
        "合计",
        "总计",
        "小计",
        "合計",
        "総計",
        "小計",
        "합계",
    ]
)


@dataclass
class Repaired:
    """Rows of another length than the header.

    Attributes:
        rows: (number, cells) of those that are read all the same.
        unread: the others.
        short: numbers of the rows among ``rows`` whose last cells are missing.
    """

    rows: list[tuple[int, list[str | None]]] = field(default_factory=list)
    unread: list[Unread] = field(default_factory=list)
    short: list[int] = field(default_factory=list)


def repair(bad: Sequence[Any], open_lines: Sequence[str], separator: str, width: int, *, spaced: bool) -> Repaired:
    """What Arrow's ``InvalidRow``s hold, counted without the header.

    Empty cells beyond the header are nothing, and so is a row of nothing but empty cells, however
    many. Missing cells at the end are empty, where the row begins as rows of this file do; else it
    may be the second half of a row that was broken in two, or a remark below the table.

    Args:
        width: columns of the header.
        spaced: whether first cells of whole rows often have spaces in them.
    """
    out = Repaired()
    for row in bad:
        number = row.number - 1
        if row.text.startswith(MARK) and END in row.text:
            line = open_lines[int(row.text[1 : row.text.index(END)])]
            out.unread.append(Unread(number, OPEN, readable(line)))
            continue
        cells = _cells(row.text, separator)
        if cells is None or (len(cells) > width and any(cells[width:])):
            few = row.actual_columns < width
            out.unread.append(Unread(number, FEW if few else MANY, readable(row.text)))
        elif not any(cell and cell.strip() for cell in cells):
            out.rows.append((number, [None] * width))
        elif len(cells) >= width:
            out.rows.append((number, cells[:width]))
        elif _plausible(cells, width, spaced=spaced):
            out.rows.append((number, cells + [None] * (width - len(cells))))
            out.short.append(number)
        else:
            out.unread.append(Unread(number, FEW, readable(row.text)))
            head = out.rows[-1] if out.rows else None
            if head is not None and out.short[-1:] == [head[0]] == [number - 1]:
                _break(out, len(cells), width, separator)
    return out


def _break(out: Repaired, cells: int, width: int, separator: str) -> None:
    """Refuse the short row above one that could not be read, where the two together are one row."""
    number, head = out.rows[-1]
    filled = next(i for i in range(width, 0, -1) if head[i - 1] is not None)
    if filled + cells == width + 1:
        out.rows.pop()
        out.short.pop()
        text = separator.join(cell or "" for cell in head[:filled])
        out.unread.append(Unread(number, FEW, readable(text)))


def often_spaced(first: pl.Series) -> bool:
    """Whether cells of the first column often contain a space."""
    values = first.drop_nulls()
    return len(values) > 0 and float(values.str.strip_chars().str.contains(r"\s").mean() or 0) >= _SPACED  # type: ignore[arg-type]


def _plausible(cells: Sequence[str | None], width: int, *, spaced: bool) -> bool:
    first = (cells[0] or "").strip() if cells else ""
    return bool(first) and (spaced or not re.search(r"\s", first)) and (len(cells) > 1 or width <= 2)


def _cells(text: str, separator: str) -> list[str | None] | None:
    """The cells of one row, None where there is no telling them apart."""
    try:
        rows = list(csv.reader(StringIO(text, newline=""), delimiter=separator))
    except csv.Error:
        return None
    return [cell or None for cell in rows[0]] if len(rows) == 1 else None


def no_rows(frame: pl.DataFrame, header: Sequence[str]) -> tuple[pl.Series, pl.Series]:
    """Find rows that repeat the header, and totals at the end."""
    again = pl.repeat(False, frame.height, dtype=pl.Boolean, eager=True)
    if any(header):
        named = zip(frame.columns, header, strict=True)
        same = pl.all_horizontal(pl.col(c).str.strip_chars() == h for c, h in named if h)
        again = frame.select(same.fill_null(False)).to_series()
    rows: list[int] = []
    for row in range(frame.height - 1, 0, -1):
        cells = frame.row(row)
        if _is_total(cells):
            rows.append(row)
        elif any(cell and cell.strip() for cell in cells):  # blank rows may stand below, above and between
            break
    totals = pl.int_range(frame.height, eager=True).is_in(rows)
    return again, totals


def _is_total(cells: Sequence[str | None]) -> bool:
    first = next((cell for cell in cells if cell and cell.strip()), "")
    word = re.sub(r"\s+", "-", first.strip().rstrip(":：").strip().casefold())
    return word in _TOTALS and None in cells


def without_open_quotes(data: bytes, separator: str, columns: int) -> tuple[bytes, list[str]]:
    """``data`` with every line that opens a quote and does not close it well replaced by one that names it.

    A parser would let such a quote swallow the lines after it, up to the next quote; so only its own line is given up.
    The line put in its place has one cell too many, which is how it comes back with its row number.
    """
    if b'"' not in data:
        return data, []
    sep = re.escape(separator.encode())
    cell = rb'(?:"(?:[^"]++|"")*+"|[^"\r\n' + sep + rb"][^\r\n" + sep + rb"]*+|)"
    record = re.compile(cell + rb"(?:" + sep + cell + rb")*+(?=[\r\n]|\Z)")
    chunks: list[bytes] = []
    lines: list[str] = []
    done = at = 0  # ends of what is copied, of what is read
    while (quote := data.find(b'"', at)) >= 0:
        start = max(data.rfind(b"\n", at, quote), data.rfind(b"\r", at, quote), -1 if at == 0 else at) + 1
        whole = record.match(data, start, start + _LONGEST)
        if whole is not None and (whole.end() == len(data) or whole.end() < start + _LONGEST):
            at = whole.end()
            continue
        line_end = _LINE_END.search(data, quote)
        end = len(data) if line_end is None else line_end.start()
        chunks += [data[done:start], f"{MARK}{len(lines)}{END}".encode() + separator.encode() * columns]
        lines.append(data[start:end].decode())
        done = at = end
    return b"".join([*chunks, data[done:]]), lines
