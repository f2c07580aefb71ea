"""Find the header of a delimited file by the column names of the table and SHOP.yaml."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection
from dataclasses import dataclass
from io import StringIO

from tuwen.errors import DataError

SEPARATORS = ",;\t|"
LINES = 50  # lines searched for a header
ENOUGH = 2  # names that prove a header below the first line
_LINE = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True)
class Header:
    """The header record.

    Attributes:
        cells: the names in the file, stripped.
        separator: between the cells.
        start: characters of the file before the header.
        line: the number of its line, from 1.
    """

    cells: list[str]
    separator: str
    start: int
    line: int


def find_header(head: str, names: Collection[str], *, separator: str | None, skip: int | None, where: str) -> Header:
    """Find the first line that names columns.

    That is the first line that is not blank, unless it has none of ``names`` and a line below has
    several: then a title, a date or a filter stands above the table.

    Args:
        head: the beginning of the file.
        names: what the columns may be called.
        separator: None: found out.
        skip: lines above the header, as SHOP.yaml has it; None: found out.

    Raises:
        DataError: there is no record to read, or no more line behind ``skip``.
    """
    lines = _lines(head)
    if skip is not None:
        if skip >= len(lines):
            raise DataError("no line is left below 'skip'", where=where, seen=f"skip: {skip}, {len(lines)} lines")
        lines = lines[skip:]
    first = next((line for line in lines if line[2].strip()), lines[0])
    header = _header(head, first, separator or separator_of(first[2]), where)
    if skip is not None or not names or _score(header.cells, names):
        return header
    best = 0
    for line in lines[: LINES + 1]:
        for sep in [separator] if separator else SEPARATORS:
            cells = [cell.strip() for cell in line[2].replace('"', "").split(sep)]
            score = _score(cells, names)
            if score > best and (score >= ENOUGH or sum(map(bool, cells)) <= ENOUGH):
                best, header = score, _header(head, line, sep, where)
    return header


def separator_of(line: str) -> str:
    """Return the most frequent separator of a line outside quotes. A comma if there is none."""
    line = re.sub(r'"[^"]*"', "", line)
    return max(SEPARATORS, key=lambda s: (line.count(s), s == ","))


def unique_names(cells: list[str]) -> tuple[list[str], list[str]]:
    """Names of columns, each once, and the new names of those that stand twice.

    A name that was there before gets ``_2``, ``_3``, … behind it; one that is empty is called by its place.
    """
    names: list[str] = []
    renamed: list[str] = []
    taken, numbers = set(cells), dict.fromkeys(cells, 1)
    for i, cell in enumerate(cells, 1):
        name = cell or f"column_{i}"
        while not cell and name in taken:
            name += "_"
        if cell and numbers[cell] > 1:
            while (name := f"{cell}_{numbers[cell]}") in taken:
                numbers[cell] += 1
            taken.add(name)
            renamed.append(name)
        numbers[cell] += 1
        names.append(name)
    return names, renamed


def renamed_note(where: str, renamed: list[str]) -> list[str]:
    """Return a note about columns that share a name."""
    if not renamed:
        return []
    listed = ", ".join(f"'{name}'" for name in renamed)
    return [f"{where}: columns share a name; the later ones are read as {listed}"]


def _lines(head: str) -> list[tuple[int, int, str]]:
    """(number, start, text) of every line."""
    lines, start = [], 0
    for number, end in enumerate(_LINE.finditer(head), 1):
        lines.append((number, start, head[start : end.start()]))
        start = end.end()
    if head[start:]:
        lines.append((len(lines) + 1, start, head[start:]))
    return lines or [(1, 0, "")]


def _header(head: str, line: tuple[int, int, str], separator: str, where: str) -> Header:
    number, start, _ = line
    rows = csv.reader(StringIO(head[start:], newline=""), delimiter=separator)
    try:
        cells = next(row for row in rows if row)
    except (csv.Error, StopIteration) as error:
        raise DataError("the header cannot be read", where=f"{where}:{number}", seen=error) from None
    return Header([cell.strip().lstrip("\ufeff") for cell in cells], separator, start, number)


def _score(cells: list[str], names: Collection[str]) -> int:
    return len(set(cells) & set(names))
