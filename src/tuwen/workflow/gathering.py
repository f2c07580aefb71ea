"""From a run and a dataset to rows with parts and truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from tuwen.config import Run
from tuwen.data import SPLITS
from tuwen.data.dataset import Dataset
from tuwen.data.examples import balanced, content_hash, examples, labelled
from tuwen.data.splits import Split
from tuwen.errors import ConfigError, DataError
from tuwen.models import TASKS

PARTS = ("train", "validation", "test")
UNLABELLED = "unlabelled"  # the train rows whose labels are not used


@dataclass(frozen=True)
class Gathered:
    """The rows of a run.

    Attributes:
        frame: ``row`` and every column the run reads, by qualified name; only rows with truth.
        parts: ``train``, ``validation`` or ``test`` for each row; ``unlabelled`` for a train row that ``rows.labels``
            leaves out.
        split: how they were divided.
        options: the task's complete options; ``options["target"]`` is the column of truth.
        without_truth: how many rows were left out because the target was empty.
    """

    frame: pl.DataFrame
    parts: pl.Series
    split: Split
    options: dict[str, Any]
    without_truth: int

    @property
    def truth(self) -> pl.Series:
        return self.frame[self.options["target"]]

    def rows(self, part: str) -> np.ndarray:
        """Positions of the rows of one part."""
        return np.flatnonzero((self.parts == part).to_numpy())

    def counts(self) -> dict[str, int]:
        found = {part: int((self.parts == part).sum()) for part in (*PARTS, UNLABELLED)}
        return found if found[UNLABELLED] else {part: found[part] for part in PARTS}

    @property
    def fitting(self) -> np.ndarray:
        """Positions of the rows that modalities are fitted on: the train part, with labels or without."""
        return np.flatnonzero(self.parts.is_in(["train", UNLABELLED]).to_numpy())


def task_options(run: Run) -> dict[str, Any]:
    """The task's complete options.

    Raises:
        ConfigError: an option that the task does not know, or a target that is also an input.
    """
    options = TASKS.options(run.task.use, run.task.options, run.where("task"))
    for name, spec in run.modalities.items():
        if options["target"] in spec.columns:
            raise ConfigError(
                f"the modality '{name}' reads '{options['target']}', which is what is to be predicted",
                where=run.where("modalities", name, "columns"),
                todo="take the target out of the inputs",
            )
    return options


def split_of(run: Run) -> Split:
    split: Split = SPLITS.build(run.split.use, run.split.options, where=run.where("split"))
    return split


def gather(run: Run, dataset: Dataset, fold: int = 0) -> Gathered:
    """Read, join, filter, balance and split.

    Raises:
        ConfigError: a column that is not there, a fold that does not exist.
        DataError: no row with truth, or an empty train or test part.
    """
    split, options = split_of(run), task_options(run)
    if not 0 <= fold < split.folds:
        raise ConfigError(
            "there is no such fold", where=run.where("split"), seen=fold, allowed=f"0 to {split.folds - 1}"
        )
    read = [c for spec in run.modalities.values() for c in spec.columns]
    extra = [c for c in ("reviews.item", "reviews.user") if _has(dataset, run.rows.table, c)]
    extra += [run.evaluation.groups] if run.evaluation.groups else []
    frame = examples(
        dataset,
        run.rows.table,
        [*read, options["target"], *split.columns, *content_columns(run), *extra],
        run.rows.where,
    )
    known = frame.filter(pl.col(options["target"]).is_not_null())
    if known.is_empty():
        raise DataError(
            f"'{options['target']}' is empty in every row", where=str(dataset.folder), todo="check task.target"
        )
    without_truth = len(frame) - len(known)
    content = content_hash(known, content_columns(run))
    if run.rows.balance:
        known, content = _balanced(run, known, options, content)
    parts = split.parts(known, content, fold)
    if run.rows.labels < 1:
        parts = _fewer_labels(run, known, options, content, parts)
    gathered = Gathered(known, parts, split, options, without_truth)
    for part in ("train", "test"):
        if not gathered.counts()[part]:
            raise DataError(
                f"the {part} part has no rows",
                where=run.where("split"),
                seen=gathered.counts(),
                todo="change the split",
            )
    return gathered


def content_columns(run: Run) -> list[str]:
    """The text and picture columns of the run; of the rows' own table where it has some (an item's picture is in
    many reviews).
    """
    if run.content is not None:
        return list(run.content)
    columns = [c for spec in run.modalities.values() if spec.use in ("text", "image") for c in spec.columns]
    own = [c for c in columns if c.startswith(f"{run.rows.table}.")]
    return list(dict.fromkeys(own or columns))


def _balanced(
    run: Run, frame: pl.DataFrame, options: dict[str, Any], content: pl.Series
) -> tuple[pl.DataFrame, pl.Series]:
    kept = balanced(frame.with_columns(_content=content), _labels(run, frame, options), content)
    return kept.drop("_content"), kept["_content"].rename("content")


def _fewer_labels(
    run: Run, frame: pl.DataFrame, options: dict[str, Any], content: pl.Series, parts: pl.Series
) -> pl.Series:
    """The parts with ``unlabelled`` for the train rows that the share leaves out."""
    train = np.flatnonzero((parts == "train").to_numpy())
    labels = _labels(run, frame[train], options)
    if run.task.use == "rate":  # numbers, not classes
        labels = pl.repeat("", len(train), eager=True)
    found = parts.to_numpy().astype(object)
    found[train[~labelled(content[train], labels, run.rows.labels)]] = UNLABELLED
    return pl.Series("part", found, dtype=pl.String)


def _labels(run: Run, frame: pl.DataFrame, options: dict[str, Any]) -> pl.Series:
    """The encoded target of every row."""
    target = TASKS.load(run.task.use).fit(frame[options["target"]], options)
    return pl.Series("label", target.encode(frame[options["target"]]))


def _has(dataset: Dataset, table: str, column: str) -> bool:
    owner, _, name = column.partition(".")
    return owner == table and dataset.has(table) and name in dataset.table(table).columns
