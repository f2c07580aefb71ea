"""Columns that say which rows belong together, and whether the errors of those rows are alike."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import polars as pl

from tuwen.config import Run
from tuwen.data.dataset import Dataset
from tuwen.data.examples import KEYS, content_hash
from tuwen.data.kinds import COLUMNS
from tuwen.evaluation.clusters import Clusters, clustered, errors_of
from tuwen.evaluation.predictions import Predictions
from tuwen.workflow.gathering import Gathered, input_columns

KEY_NAME = re.compile(r"(^|_)(id|ids|key|code|sku|family|group|parent|model|patient|lesion|cluster)$|(编号|编码|款号)$")
OWN_KEYS = ("item", "user")
NO_KEYS = ("brand", "category", "title", "description", "text")  # known columns that say what a row is like
DIFFERENT = 0.1  # share of different values from which a column of another name is a key too
SIZE = 10  # mean rows of one value up to which it is
LONGEST = 60  # characters of a value
SHORT = 40  # letters of a text below which two people write the same
FEW = 30  # contents that are copies, however short they are
CONTENT = "content"  # the name of the group of equal inputs


def group_columns(run: Run, dataset: Dataset, gathered: Gathered) -> dict[str, pl.Series]:
    """TABLE.COLUMN → value of every gathered row, of the key-like columns of the rows' table whose values repeat."""
    table = run.rows.table
    read = {c for spec in run.modalities.values() if spec.use == "text" for c in spec.columns}
    rows = dataset.table(table).with_columns(pl.col(KEYS[table]).cast(pl.String).alias("row"))
    joined = gathered.frame.select("row").join(rows, on="row", how="left", maintain_order="left")
    found = {}
    for column in rows.columns:
        name = f"{table}.{column}"
        if column in (KEYS[table], "row", *NO_KEYS, *COLUMNS) or name == gathered.options["target"] or name in read:
            continue
        if _is_key(column, joined[column]):
            found[name] = joined[column].cast(pl.String)
    return found


def _is_key(name: str, values: pl.Series) -> bool:
    known = values.drop_nulls()
    different = known.n_unique()
    if len(known) < len(values) / 2 or not 2 <= different < len(known):
        return False
    if name in OWN_KEYS or (KEY_NAME.search(name.lower()) and not known.dtype.is_float()):
        return not known.dtype.is_nested() and not known.dtype.is_temporal()
    if known.dtype != pl.String or different < DIFFERENT * len(known) or different * SIZE < len(known):
        return False
    lengths = known.str.len_chars()
    return bool(lengths.max() is not None and int(lengths.max()) <= LONGEST)  # type: ignore[arg-type]


def agreement(groups: pl.Series, truth: pl.Series) -> float:
    """How much of what tells targets apart is gone within groups: 1 where rows of a group have the same target, 0 where
    they are as different as any two rows.
    """
    frame = pl.DataFrame({"group": groups.cast(pl.String), "truth": truth}).drop_nulls("group")
    frame = frame.filter((pl.col("group") != "") & (pl.len().over("group") > 1))
    if len(frame) < 2:
        return 0.0
    if truth.dtype.is_float():
        inside = frame.select((pl.col("truth") - pl.col("truth").mean().over("group")).pow(2).sum()).item()
        free = len(frame) - frame["group"].n_unique()
        whole = truth.var()
        return 1 - (inside / free) / float(whole) if whole else 0.0  # type: ignore[arg-type]
    within = 1 - _pairs(frame.group_by("group", "truth").len()["len"]) / _pairs(frame.group_by("group").len()["len"])
    whole = 1 - _pairs(truth.value_counts()["count"]) / _pairs(pl.Series([len(truth)]))
    return 1 - within / whole if whole else 0.0


def _pairs(counts: pl.Series) -> float:
    """Pairs of rows that have one and the same value."""
    numbers = counts.cast(pl.Float64)
    return float((numbers * (numbers - 1)).sum())


def candidates(run: Run, dataset: Dataset, gathered: Gathered, rows: np.ndarray) -> dict[str, np.ndarray]:
    """What the rows may be grouped by: key-like columns, and equal inputs; int [rows] each.

    A row without a value is a group of its own.
    """
    return {name: _numbered(values) for name, values in _values(run, dataset, gathered, rows).items()}


def _numbered(values: pl.Series) -> np.ndarray:
    own = pl.Series([f"\0{i}" for i in range(len(values))])
    whole = values.cast(pl.String).zip_with(values.is_not_null(), own) if values.null_count() else values
    return whole.rank("dense").to_numpy().astype(np.int64) - 1


def clusters_of(
    run: Run, dataset: Dataset, folds: Sequence[tuple[Gathered, np.ndarray]], predictions: Predictions
) -> tuple[Clusters, list[object]] | None:
    """What the test rows are resampled by where the run does not say it: the column, and one value a row; None where
    their errors are not alike within any.

    Args:
        folds: each fold's rows, and the positions of its test rows, in the order of ``predictions``.
    """
    pooled: dict[str, pl.Series] = {}
    parts = [_values(run, dataset, gathered, rows) for gathered, rows in folds]
    for name in parts[0]:
        pooled[name] = pl.concat([part[name] for part in parts])
    numbered = {name: _numbered(values) for name, values in pooled.items()}
    found = clustered(errors_of(predictions), numbered, run.seed)
    return None if found is None else (found, numbered[found.column].tolist())


def _values(run: Run, dataset: Dataset, gathered: Gathered, rows: np.ndarray) -> dict[str, pl.Series]:
    columns = {name: values[rows] for name, values in group_columns(run, dataset, gathered).items()}
    if inputs := input_columns(run):
        columns[CONTENT] = _contents(gathered.frame[rows], inputs)
    return columns


def _contents(frame: pl.DataFrame, columns: Sequence[str]) -> pl.Series:
    """A hash of each row's content; null where it is so short that many people write it, unless there are few in all.

    Who writes "great" has nothing to do with the others who do; a long text or a picture that comes twice is a copy.
    """
    contents = content_hash(frame, columns)
    if contents.n_unique() <= FEW:
        return contents
    letters = np.zeros(len(frame), np.int64)
    for column in columns:
        of_lists = frame[column].dtype.is_nested()
        lengths = frame[column].list.len() * SHORT if of_lists else frame[column].cast(pl.String).str.len_chars()
        letters += lengths.fill_null(0).to_numpy().astype(np.int64)
    return contents.set(pl.Series(letters < SHORT), None)
