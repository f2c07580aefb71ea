"""From a run and a dataset to rows with parts and truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from tuwen.config import Run
from tuwen.data.dataset import Dataset
from tuwen.data.examples import KEYS, balanced, content_hash, examples, labelled
from tuwen.data.kinds import MEDIA, input_kind
from tuwen.data.splits import Split
from tuwen.errors import ConfigError, DataError
from tuwen.preprocess.target import Target, refuse_negative
from tuwen.workflow.contents import is_contrast, with_contents
from tuwen.workflow.rating import KEYS as KEYS_OF_RATERS
from tuwen.workflow.rules import (
    check_columns,
    check_kinds,
    check_settings,
    check_split_values,
    fitted_target,
    placed,
    refuse_unvalidated,
    split_of,
    task_options,
)

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
        content: what makes two rows the same (a hash): such rows stay on one side of every cut.
    """

    frame: pl.DataFrame
    parts: pl.Series
    split: Split
    options: dict[str, Any]
    without_truth: int
    content: pl.Series

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


def gather(run: Run, dataset: Dataset, fold: int = 0, *, learn: bool = True) -> Gathered:
    """Read, join, filter, balance and split.

    Args:
        learn: whether the train part is learned from; then its target must be one that can be.

    Raises:
        ConfigError: a setting that cannot be, a column that is not there, a fold that does not exist, no validation
            part where the run needs one.
        DataError: columns of the wrong kind, no row with truth, or an empty train or test part.
    """
    check_settings(run)
    check_columns(run, dataset)
    split, options = split_of(run), task_options(run)
    if not 0 <= fold < split.folds:
        raise ConfigError(
            "there is no such fold", where=run.where("split"), seen=fold, allowed=f"0 to {split.folds - 1}"
        )
    read = [c for spec in run.modalities.values() for c in spec.columns]
    extra = [c for c in ("reviews.item", "reviews.user") if _has(dataset, run.rows.table, c)]
    extra += [run.evaluation.groups] if run.evaluation.groups else []
    truth = [] if is_contrast(run) else [options["target"]]
    wanted = [*read, *truth, *split.columns, *content_columns(run), *extra]
    try:
        frame = examples(dataset, run.rows.table, wanted, run.rows.where)
    except (ConfigError, DataError) as error:
        raise placed(error, run.where("rows", "where")) from None
    check_kinds(run, frame, dataset)
    if is_contrast(run):
        frame = with_contents(run, frame, options)
    known = frame.filter(pl.col(options["target"]).is_not_null())
    if known.is_empty():
        raise DataError(
            f"'{options['target']}' is empty in every row",
            where=run.where("task", "target"),
            seen=str(dataset.folder),
            todo="choose another target, or collect the shop with it",
        )
    if learn:
        check_split_values(run, split, frame, options["target"])
    _check_scale(run, known, options)
    without_truth = len(frame) - len(known)
    content = content_hash(known, content_columns(run))
    if run.rows.balance:
        known, content = _balanced(run, known, options, content)
    parts = split.parts(known, content, fold)
    if run.rows.labels < 1:
        parts = _fewer_labels(run, known, options, content, parts)
    gathered = Gathered(known, parts, split, options, without_truth, content)
    for part in ("train", "test"):
        if not gathered.counts()[part]:
            raise _empty(run, part, gathered, content)
    if learn:
        target = fitted_target(run, gathered.truth[gathered.rows("train")], options)
        if not _can_validate(gathered, target):
            refuse_unvalidated(run)
    return gathered


def _check_scale(run: Run, known: pl.DataFrame, options: dict[str, Any]) -> None:
    """Refuse a target below 0 on the scale ``log``, with its row and the line of the run."""
    if options.get("scale") == "log":
        try:
            refuse_negative(known[options["target"]], known["row"])
        except DataError as error:
            raise placed(error, run.where("task", "scale")) from None


def _can_validate(gathered: Gathered, target: Target) -> bool:
    """Whether there are rows to validate, of classes that the train part has."""
    truth = gathered.truth[gathered.rows("validation")]
    return len(truth) > 0 and (target.task != "classify" or bool((target.encode(truth) >= 0).any()))


def _empty(run: Run, part: str, gathered: Gathered, content: pl.Series) -> DataError:
    """Why a part has no rows: most often all rows are alike in what decides their side."""
    rows, where = len(gathered.frame), run.where("split")
    if run.split.use not in ("hash", "folds") or content.n_unique() > 1:
        different = content.n_unique()
        counts = ", ".join(f"{name} {count:,}" for name, count in gathered.counts().items())
        seen = f"{counts}; {rows:,} rows of {different:,} different contents"
        return DataError(f"the {part} part has no rows", where=where, seen=seen, todo="change the split, or add rows")
    columns = content_columns(run)
    key = f"{run.rows.table}.{KEYS[run.rows.table]}"
    nothing = gathered.frame.head(1).with_columns(pl.lit(None, pl.String).alias(c) for c in columns)
    empty = bool(columns) and content_hash(nothing, columns)[0] == content[0]
    why = "empty, or without a letter or digit" if empty else "the same (case, spaces and signs do not count)"
    return DataError(
        f"all {rows:,} rows have the same content, so the split puts them on one side and the {part} part has no rows",
        where=where,
        seen=f"{', '.join(columns)}: {why} in every row",
        todo=f"look at these columns in SHOP.yaml; or name what tells the rows apart, as in content: [{key}]; "
        "or split by time",
    )


def content_columns(run: Run) -> list[str]:
    """What decides the side of a row: the text and media columns of the run; of the rows' own table where it has some
    (an item's picture is in many reviews). Of raters it is who rates what: others rated the same item before.
    """
    if run.content is not None:
        return list(run.content)
    if run.raters is not None:
        return list(KEYS_OF_RATERS.values())
    return input_columns(run)


def input_columns(run: Run) -> list[str]:
    """The text and media columns of the run, of the rows' own table where it has some, whatever ``content`` says."""
    columns = [c for spec in run.modalities.values() if input_kind(spec.use) in ("text", *MEDIA) for c in spec.columns]
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
    target = fitted_target(run, frame[options["target"]], options)
    return pl.Series("label", target.encode(frame[options["target"]]))


def _has(dataset: Dataset, table: str, column: str) -> bool:
    owner, _, name = column.partition(".")
    return owner == table and dataset.has(table) and name in dataset.table(table).columns
