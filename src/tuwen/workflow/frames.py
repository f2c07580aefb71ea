"""A model of a data frame: three lines of Python, without a shop's files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import yaml

from tuwen.bundle.bundle import Bundle
from tuwen.data.dataset import Dataset
from tuwen.errors import DataError
from tuwen.files import make_folder
from tuwen.progress import Progress
from tuwen.workflow.composing import MINUTES, compose, write_composed
from tuwen.workflow.steps import collect
from tuwen.workflow.training import train

PICTURE = r"(?i)\.(jpe?g|png|webp|gif|bmp|tiff?)$"


def fit(
    data: Any,
    target: str,
    out: str | Path = "bundle",
    *,
    root: str | Path = ".",
    minutes: float = MINUTES,
    replace: bool = False,
    progress: Progress | None = None,
) -> Bundle:
    """Train a model that predicts a column from all others, and open it.

    Example::

        bundle = workflow.fit(frame, target="rating")
        bundle.predict([{"text": "Arrived broken."}])

    Args:
        data: a polars or pandas frame, one row an example, or a dataset (or its folder). Columns of strings that end
            as names of picture files do, and columns of bytes, are pictures.
        target: the column to predict; of a dataset ``reviews.rating``.
        out: the bundle's folder. A frame is collected into ``OUT.dataset`` first; the run is written to ``OUT.yaml``.
        root: what paths of pictures are relative to.
        minutes: that reading texts and pictures may take.
        replace: train over another bundle in ``out``.

    Raises:
        ConfigError: no such column.
        DataError: a target that cannot be predicted, or a frame without rows.
    """
    out = Path(out)
    dataset = data if isinstance(data, Dataset) else _opened(data, target, out, Path(root), progress)
    composition = compose(dataset, target, minutes=minutes)
    path = write_composed(composition, out, replace=replace)
    return Bundle.open(train(path, dataset, out, progress=progress, replace=replace))


def _opened(data: Any, target: str, out: Path, root: Path, progress: Progress | None) -> Dataset:
    if isinstance(data, str | Path):
        return Dataset.open(data)
    frame = data if isinstance(data, pl.DataFrame) else pl.from_pandas(data)
    if frame.is_empty():
        raise DataError("the frame has no rows", seen="0 rows")
    return _collected(frame, target, out, root, progress)


def _collected(frame: pl.DataFrame, target: str, out: Path, root: Path, progress: Progress | None) -> Dataset:
    """The frame as the items of a dataset beside the bundle."""
    folder = out.with_name(f"{out.name}.frame")
    make_folder(folder)
    pictures = [name for name in frame.columns if name != target and _is_picture(frame[name])]
    if "item" not in frame.columns:
        frame = frame.with_row_index("item")
    frame.write_parquet(folder / "items.parquet")
    columns: dict[str, Any] = {"images": pictures} if pictures and pictures != ["images"] else {}
    shop = {
        "name": "frame",
        "items": {"source": "items.parquet", **({"columns": columns} if columns else {})},
        "media": {"root": str(root.resolve())},
    }
    (folder / "SHOP.yaml").write_text(yaml.safe_dump(shop, allow_unicode=True, sort_keys=False), encoding="utf-8")
    collect(folder / "SHOP.yaml", out.with_name(f"{out.name}.dataset"), progress=progress)
    return Dataset.open(out.with_name(f"{out.name}.dataset"))


def _is_picture(column: pl.Series) -> bool:
    values = column.drop_nulls()
    if values.dtype == pl.List:
        values = values.explode().drop_nulls()
    if values.dtype == pl.Binary:
        return not values.is_empty()
    return values.dtype == pl.String and not values.is_empty() and bool(values.str.contains(PICTURE).all())
