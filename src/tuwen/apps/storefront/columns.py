"""Which columns the items of a shop have, and how those of a new one are read."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from typing import Any

import polars as pl

from tuwen.bundle.reading import read_rows
from tuwen.data.dataset import Dataset
from tuwen.errors import DataError, did_you_mean


class Columns:
    """Args:
    dataset: whose items; None for none.
    """

    def __init__(self, dataset: Dataset | None) -> None:
        self._dataset = dataset

    @cached_property
    def kinds(self) -> dict[str, str]:
        """Column → kind, of what an item may have."""
        found = dict.fromkeys(("title", "description", "category", "brand"), "text") | {"price": "number"}
        if self._dataset is not None:
            for name, dtype in self._dataset.table("items").schema.items():
                if name not in ("item", "images", "sounds", "shapes"):
                    found.setdefault(name, _kind(dtype))
        return found

    def read(self, columns: Mapping[str, Any]) -> dict[str, Any]:
        """The columns of a new item as collect reads them, and as JSON holds them; empty ones are left out.

        Raises:
            DataError: a column that the shop's items do not have, or a value that cannot be read.
        """
        for name in columns:
            if name not in self.kinds:
                known = list(self.kinds)
                raise DataError(
                    f"items have no column '{name[:100]}'",
                    where="columns",
                    allowed=known,
                    todo=did_you_mean(name, known),
                )
        inputs = [{"column": f"items.{name}", "kind": self.kinds[name], "modality": "item"} for name in columns]
        question = read_rows([{f"items.{name}": value for name, value in columns.items()}], inputs, {})
        if question.unreadable:
            raise question.unreadable[0].error
        read = {name: question.columns["item"][f"items.{name}"][0] for name in columns}
        return {name: jsonable(value) for name, value in read.items() if value is not None}


def _kind(dtype: pl.DataType) -> str:
    if dtype.is_numeric():
        return "number"
    if dtype.is_temporal():
        return "date"
    return "list" if dtype.is_nested() else "text"


def jsonable(value: Any) -> Any:
    """A value of a table as JSON holds it."""
    if isinstance(value, pl.Series):
        return value.to_list()
    return value.isoformat() if isinstance(value, datetime) else value
