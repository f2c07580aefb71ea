"""Keys that a spreadsheet took for numbers and rounded: ``4.00638E+12`` was a barcode.

The lost digits cannot be restored: two such keys may be two items. So they are reported.
"""

from __future__ import annotations

import polars as pl

from tuwen.data.schema import Table

ROUNDED = "duplicate key, rounded by a spreadsheet"
_SCIENTIFIC = r"^[1-9](?:[.,][0-9]+)?[eE]\+[0-9]{2}$"
_ZEROS = r"^[1-9][0-9]{5}0{6,}$|^[1-9][0-9]{14}0+$"  # six digits of many, or the fifteen that a spreadsheet keeps
_LONG = 12  # digits from which a number may have been rounded


def rounded(keys: pl.Series) -> pl.Series:
    """Find keys that look rounded.

    Scientific notation proves it. Zeros at the end do where at least half of all long keys have them.
    """
    scientific = keys.str.contains(_SCIENTIFIC).fill_null(False)
    long = keys.str.contains(rf"^[0-9]{{{_LONG},}}$").fill_null(False)
    zeros = keys.str.contains(_ZEROS).fill_null(False)
    return scientific | zeros if 1 < long.sum() <= 2 * zeros.sum() else scientific


def rounded_notes(frame: pl.DataFrame, name: str, table: Table) -> list[str]:
    """A sentence for every column of keys, and of the shop's own texts, with rounded numbers in it.

    Args:
        frame: before duplicate keys are left out.
        name: of the table.
    """
    notes = []
    for column, dtype in frame.schema.items():
        declared = table.columns.get(column)
        if dtype != pl.String or (declared is not None and declared.kind != "id"):
            continue
        which = rounded(frame[column])
        if which.any():
            first = frame[column].filter(which).min()
            notes.append(
                f"{name}: {which.sum():,} values of '{column}' look rounded by a spreadsheet, as {first!r}; their last "
                f"digits are lost, and equal ones may be different; export '{column}' as text"
            )
    return notes
