"""Single items into an index that stands, and out of it, at once and while others search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from tuwen.config import Shop
from tuwen.data.collect import collect
from tuwen.data.dataset import Dataset
from tuwen.errors import ConfigError, DataError
from tuwen.index.filters import Condition, mask
from tuwen.index.store import Index
from tuwen.private import scratch
from tuwen.progress import Progress, Silent
from tuwen.workflow.indexing import batch_of, derived_columns, encoders_of, items_of

Rows = Sequence[Mapping[str, Any]]


def update_index(
    folder: str | Path,
    add: str | Path | Rows | None = None,
    *,
    remove: Sequence[str] = (),
    shop: str | Path | None = None,
    rebuild: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Add items to an index and remove some; found, or not found any more, by every process from its next question on.

    Items are read by collect's own rules, and encoded by what the index keeps. One whose key is there already takes the
    place of the old one. The next :func:`~tuwen.workflow.indexing.index` of a dataset makes the index what the dataset
    says, so what is to stay must be in the next export too.

    Args:
        add: a file as collect reads it (CSV, JSONL, Parquet), or rows with its columns: ``item``, ``title``, …;
            ``images`` are paths relative to the file, URLs, or bytes.
        remove: keys of items.
        shop: SHOP.yaml, where the file has the shop's own names of columns; pictures are looked for as it says.
        rebuild: make one part of all afterwards; done anyway where it is due.

    Returns:
        ``added`` and ``removed`` (how many), ``replaced`` (of those added), ``unknown`` (keys to be removed that were
        not there), ``left_out`` (items that the conditions of the index do not allow), ``rejected`` (rows that are no
        good, with column and reason), ``notes`` (values left empty, pictures that cannot be read), ``items``.

    Raises:
        DataError: no good row, or a value of another type than the index holds. ConfigError: nothing to do.
        InUse: another process has been writing for longer than ten seconds.
    """
    index, progress = Index(folder), progress or Silent()
    if add is None and not remove and not rebuild:
        raise ConfigError("nothing to do", where=str(folder), allowed="items to add, to remove, or a rebuild")
    if "" in remove:
        raise ConfigError("an item's key is never empty", where="--remove", seen="''", allowed="keys of items")
    told: dict[str, Any] = {"added": 0, "replaced": 0, "left_out": 0, "rejected": [], "notes": []}
    if add is not None:
        told |= _added(index, add, shop, progress)
    unknown = [item for item in dict.fromkeys(remove) if index.snapshot.row_of(item) is None]
    told |= {"removed": index.remove(remove) if remove else 0, "unknown": unknown}
    if rebuild or index.worn:
        with progress.task("index: parts made one", None):
            index.rebuild()
    return told | {"items": len(index.snapshot)}


def _added(index: Index, add: str | Path | Rows, shop: str | Path | None, progress: Progress) -> dict[str, Any]:
    with scratch("update") as folder:
        collect(_shop_of(add, shop, folder), folder / "dataset", progress=progress)
        dataset = Dataset.open(folder / "dataset")
        notes = [*dataset.manifest["warnings"], *_unread(dataset)]
        columns = ("file", "row", "item", "column", "reason")
        rejected = dataset.rejected()
        rejected = rejected.select(name for name in columns if name in rejected.columns)
        table = fitting(items_of(dataset), index)
        conditions = Condition.read_all(index.settings["recipe"]["where"])
        kept = table.filter(pl.Series(mask(table, conditions), dtype=pl.Boolean))
        replaced = sum(index.snapshot.row_of(item) is not None for item in kept["item"])
        if len(kept):
            index.add(batch_of(kept, dataset, index.settings, encoders_of(index), progress))
    return {
        "added": len(kept),
        "replaced": replaced,
        "left_out": len(table) - len(kept),
        "rejected": rejected.to_dicts(),
        "notes": notes,
    }


def _unread(dataset: Dataset) -> list[str]:
    """The pictures that cannot be used, each with its place and reason."""
    found = pl.read_parquet(dataset.folder / "quarantine.parquet")
    rows = found.select("place", "reference", "reason").rows()
    return [f"{place}: picture {reference}: {reason}" for place, reference, reason in rows]


def _shop_of(add: str | Path | Rows, shop: str | Path | None, folder: Path) -> Shop:
    """A shop of nothing but these items."""
    if isinstance(add, str | Path):
        source, root = Path(add).resolve(), Path(add).resolve().parent
    else:
        source, root = folder / "items.parquet", Path.cwd()
        _as_table(add).write_parquet(source)
    if shop is not None:
        given = Shop.read(shop)
        if given.items is None:
            raise ConfigError("the shop names no items", where=str(shop))
        items = given.items.model_copy(update={"source": str(source), "format": None, "query": None})
        return given.model_copy(update={"items": items, "users": None, "reviews": None, "events": None})
    text = folder / "SHOP.yaml"
    text.write_text(f"name: added\nroot: {_quoted(root)}\nitems: {{source: {_quoted(source)}}}\n", encoding="utf-8")
    return Shop.read(text)


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"


def _as_table(rows: Rows) -> pl.DataFrame:
    try:
        return pl.DataFrame([dict(row) for row in rows], infer_schema_length=None)
    except (pl.exceptions.PolarsError, TypeError, ValueError) as error:
        raise DataError("these rows make no table", seen=error, allowed="rows of one type a column") from None


def fitting(table: pl.DataFrame, index: Index) -> pl.DataFrame:
    """The items with the columns that the index knows, in its types; what it knows of their popularity stays.

    Raises:
        DataError: a value that cannot be brought to the type of its column.
    """
    known = index.snapshot.table
    made = derived_columns(index.settings)
    missing = [name for name in known.columns if name not in table.columns and name not in made]
    table = table.with_columns(pl.lit(None, known.schema[name]).alias(name) for name in missing)
    for name, dtype in known.schema.items():
        if name not in table.columns or table.schema[name] == dtype:
            continue
        cast = table[name].cast(dtype, strict=False)
        lost = table.filter(cast.is_null() & table[name].is_not_null())
        if len(lost):
            raise DataError(
                f"the index holds another type in '{name}'",
                where=f"item {lost['item'][0]}",
                seen=str(lost[name][0])[:100],
                allowed=str(dtype),
            )
        table = table.with_columns(cast.alias(name))
    rows = [index.snapshot.last_row_of(item) for item in table["item"]]  # also of one that was taken out and comes back
    counts = [0 if row is None else known["_popularity"][row] for row in rows]
    return table.with_columns(pl.Series("_popularity", counts, dtype=pl.Int64))
