"""Find rows in which no cell holds anything, as spreadsheets leave them below a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import polars as pl

from tuwen.data.batch import Batch


def blank_rows(frame: pl.DataFrame) -> pl.Series:
    """Whether every cell of a row is missing, empty or blank, for each row.

    >>> blank_rows(pl.DataFrame({"item": ["1", " ", None], "price": [None, "", None]})).to_list()
    [False, True, True]
    """
    blank = pl.repeat(True, frame.height, dtype=pl.Boolean, eager=True)
    for values in frame:
        if not blank.any():
            break
        blank = blank & _blank(values)
    return blank


class BlankRows:
    """Leave the blank rows of a table out, and count them.

    Attributes:
        count: those of all batches so far.
    """

    def __init__(self) -> None:
        self.count = 0

    def left_out(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """The batches without their blank rows; the other rows have the numbers that they had."""
        for batch in batches:
            blank = blank_rows(batch.frame)
            self.count += int(blank.sum())
            yield Batch(batch.frame.filter(~blank), batch.rows.filter(~blank), batch.unread)

    def notes(self, name: str) -> list[str]:
        """Return one note about all blank rows of the table ``name``, or none."""
        if not self.count:
            return []
        rows = f"{self.count:,} blank rows are" if self.count > 1 else "1 blank row is"
        return [f"{name}: {rows} left out"]


def _blank(values: pl.Series) -> pl.Series:
    if values.dtype in (pl.Categorical, pl.Enum):
        values = values.cast(pl.String)
    empty = values.is_null()
    if isinstance(values.dtype, pl.Struct):
        return empty | blank_rows(values.struct.unnest())
    if values.dtype == pl.String:
        return empty | (values.str.strip_chars() == "").fill_null(True)
    if values.dtype == pl.Binary:
        return empty | (values.bin.size() == 0).fill_null(True)
    if values.dtype.is_float():
        return empty | values.is_nan().fill_null(True)
    if isinstance(values.dtype, pl.List):
        cells = values.list.drop_nulls()
        if values.dtype.inner == pl.String:
            cells = values.list.eval(pl.element().filter(pl.element().str.strip_chars() != ""))
        return empty | (cells.list.len() == 0).fill_null(True)
    return empty
