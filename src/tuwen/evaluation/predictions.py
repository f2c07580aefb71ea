"""Tables of predictions: the only thing this floor knows of a model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self, get_args

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from tuwen.errors import DataError
from tuwen.files import full_disk, is_full, whole

Array = np.ndarray[Any, Any]
TaskName = Literal["rate", "binary", "classify"]

SUM_TOLERANCE = 1e-3  # probabilities that come from float32 or bfloat16 do not add up to 1 exactly
_METADATA = b"tuwen.predictions"


@dataclass(frozen=True)
class Predictions:
    """What one system answered for every row of the test part, next to the truth.

    Attributes:
        task: ``rate``, ``binary`` or ``classify``.
        frame: ``row`` str (unique), ``target``, ``prediction``; ``probability`` f64 of yes (binary); ``probabilities``
            array[f64] in the order of ``classes`` (classify); ``slice_*`` str. Columns are brought to these types here.
        classes: the names the model can answer (classify); for binary, optionally the names of no and yes.

    Raises:
        DataError: no rows, a missing column, an unknown task, a repeated row, an empty, NaN or infinite value, a
            probability outside 0–1, or an answer that is not one of ``classes``.
    """

    task: TaskName
    frame: pl.DataFrame
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.task not in get_args(TaskName):
            raise DataError("unknown task of the predictions", seen=repr(self.task), allowed=get_args(TaskName))
        object.__setattr__(self, "classes", tuple(map(str, self.classes)))
        if self.frame.is_empty():
            raise DataError(
                "there are no predictions to evaluate", seen="0 rows", todo="check the split and rows.where"
            )
        object.__setattr__(self, "frame", _checked(self.task, self.frame, self.classes))

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def slices(self) -> list[str]:
        """Names of the ``slice_*`` columns."""
        return [name for name in self.frame.columns if name.startswith("slice_")]

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Every class that can stand in the table: ``classes``, then targets the model never learned, sorted."""
        if self.task == "rate":
            return ()
        if self.task == "binary":
            return self.classes or ("0", "1")
        unseen = set(self.frame["target"].unique().to_list()) - set(self.classes)
        return (*self.classes, *sorted(unseen))

    @cached_property
    def target(self) -> Array:
        """f64 [rows] (rate), or positions in ``labels``, int64 [rows]."""
        return self._column("target")

    @cached_property
    def prediction(self) -> Array:
        """f64 [rows] (rate), or positions in ``labels``, int64 [rows]."""
        return self._column("prediction")

    @cached_property
    def probabilities(self) -> Array:
        """f64 [rows, labels], each row adding up to 1; a class the model never learned has probability 0.

        Raises:
            DataError: the task is rate.
        """
        if self.task == "rate":
            raise DataError("a rate has no probabilities", seen="rate", allowed="binary, classify")
        if self.task == "binary":
            yes = self.frame["probability"].to_numpy()
            return np.stack([1.0 - yes, yes], axis=1)
        known = self.frame["probabilities"].to_numpy()  # [rows, classes]
        unseen = np.zeros((len(self), len(self.labels) - len(self.classes)))
        return np.hstack([known / known.sum(axis=1, keepdims=True), unseen])

    def take(self, keep: Array) -> Predictions:
        """The rows where ``keep`` (bool [rows]) is true."""
        return Predictions(self.task, self.frame.filter(pl.Series(keep)), self.classes)

    def write(self, path: str | Path, *, single: bool = False) -> None:
        """Write a Parquet file that :meth:`read` understands; it appears whole or not at all.

        Args:
            single: keep the probabilities of classes as float32, in half the room.
        """
        path = Path(path)
        note = json.dumps({"format": 1, "task": self.task, "classes": self.classes}, ensure_ascii=False)
        narrow = {"probabilities": pl.Array(pl.Float32, len(self.classes))} if single and self.classes else {}
        table = self.frame.cast({c: kind for c, kind in narrow.items() if c in self.frame.columns}).to_arrow()
        table = table.replace_schema_metadata({_METADATA: note.encode()})
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole(path) as file:
                pq.write_table(table, file, compression="zstd")
        except OSError as error:
            if is_full(error):
                raise full_disk(path, error.strerror) from None
            raise DataError("cannot write the predictions", where=str(path), seen=error.strerror or error) from None

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read what :meth:`write` wrote.

        Raises:
            DataError: unreadable, not a table of predictions, or newer than this tuwen.
        """
        try:
            table = pq.read_table(path)
        except (OSError, pa.ArrowException) as error:
            raise DataError("cannot read the predictions", where=str(path), seen=str(error).split("\n")[0]) from None
        note = json.loads((table.schema.metadata or {}).get(_METADATA, b"{}"))
        if note.get("format") != 1:
            raise DataError(
                "not a table of predictions that this tuwen reads",
                where=str(path),
                seen=f"format {note.get('format', 'missing')}",
                allowed="format 1",
                todo="write it with Predictions.write",
            )
        frame = pl.from_arrow(table)
        assert isinstance(frame, pl.DataFrame)
        return cls(note["task"], frame, tuple(note["classes"]))

    def _column(self, name: str) -> Array:
        values = self.frame[name]
        if self.task == "rate":
            return values.to_numpy()
        if self.task == "binary":
            return values.to_numpy().astype(np.int64)
        place = {label: i for i, label in enumerate(self.labels)}
        return np.array([place[label] for label in values.to_list()], dtype=np.int64)


def check_same_rows(systems: Mapping[str, Predictions]) -> None:
    """Systems can be compared only on the same rows, in the same order, against the same truth.

    Raises:
        DataError: they differ in task, classes, rows or targets.
    """
    (first_name, first), *others = systems.items()
    for name, other in others:
        where = f"'{name}' against '{first_name}'"
        todo = "predict with every system on the same test part"
        for word, left, right in (("task", first.task, other.task), ("classes", first.classes, other.classes)):
            if left != right:
                raise DataError(f"the systems differ in their {word}", where=where, seen=right, allowed=str(left))
        if len(first) != len(other):
            seen = f"{len(other)} and {len(first)} rows"
            raise DataError("the systems were not given the same rows", where=where, seen=seen, todo=todo)
        for column in ("row", "target"):
            differs = first.frame[column].ne_missing(other.frame[column]).arg_true()
            if len(differs):
                at = int(differs[0])
                seen = f"{other.frame[column][at]!r} and {first.frame[column][at]!r} in position {at}"
                what = f"the systems do not hold the same {column}s in the same order"
                raise DataError(what, where=where, seen=seen, todo=todo)


# --- Checks -------------------------------------------------------------------------------------------------------


def _checked(task: TaskName, frame: pl.DataFrame, classes: tuple[str, ...]) -> pl.DataFrame:
    needed = ["row", "target", "prediction"]
    needed += {"rate": [], "binary": ["probability"], "classify": ["probabilities"]}[task]
    missing = [name for name in needed if name not in frame.columns]
    if missing:
        where = f"predictions of task {task}"
        raise DataError("a column is missing", where=where, seen=", ".join(frame.columns), allowed=needed)
    frame = frame.with_columns(pl.col("row").cast(pl.String), pl.col("^slice_.*$").cast(pl.String).fill_null("missing"))
    _no_nulls(frame, needed)
    repeated = frame["row"].is_duplicated().arg_true()
    if len(repeated):
        seen = frame["row"][int(repeated[0])]
        raise DataError("a row stands twice in the predictions", where="column 'row'", seen=seen)
    if task == "rate":
        return frame.with_columns(_numbers(frame, "target"), _numbers(frame, "prediction"))
    if task == "binary":
        return _checked_binary(frame, classes)
    return _checked_classify(frame, classes)


def _checked_binary(frame: pl.DataFrame, classes: tuple[str, ...]) -> pl.DataFrame:
    if len(classes) not in (0, 2):
        raise DataError("a binary task has two classes", seen=", ".join(classes), allowed="the names of no and yes")
    answers = []
    for name in ("target", "prediction"):
        values = _numbers(frame, name)
        wrong = (~values.is_in([0.0, 1.0])).arg_true()
        if len(wrong):
            raise _bad(frame, name, int(wrong[0]), "a binary answer is neither 0 nor 1", "0, 1")
        answers.append(values.cast(pl.Int8))
    probability = _numbers(frame, "probability")
    wrong = (~probability.is_between(0.0, 1.0)).arg_true()
    if len(wrong):
        raise _bad(frame, "probability", int(wrong[0]), "a probability is not between 0 and 1", "0 to 1")
    return frame.with_columns(*answers, probability)


def _checked_classify(frame: pl.DataFrame, classes: tuple[str, ...]) -> pl.DataFrame:
    if not classes or len(set(classes)) != len(classes):
        raise DataError("classify needs the names of its classes, each once", seen=", ".join(classes) or "none")
    frame = frame.with_columns(pl.col("target", "prediction").cast(pl.String))
    unknown = (~frame["prediction"].is_in(list(classes))).arg_true()
    if len(unknown):
        raise _bad(frame, "prediction", int(unknown[0]), "an answer is not one of the classes", ", ".join(classes[:20]))
    try:
        columns = frame["probabilities"].cast(pl.Array(pl.Float64, len(classes)))
    except pl.exceptions.PolarsError as error:
        raise DataError(
            "every row needs one probability for each class",
            where="column 'probabilities'",
            seen=str(error).split("\n")[0],
            allowed=f"{len(classes)} numbers a row",
        ) from None
    matrix = columns.to_numpy()
    wrong = ~(np.isfinite(matrix) & (matrix >= 0) & (matrix <= 1 + SUM_TOLERANCE)).all(axis=1)
    wrong |= ~(np.abs(matrix.sum(axis=1) - 1) <= SUM_TOLERANCE * max(1, len(classes) ** 0.5))
    if wrong.any():
        at = int(wrong.argmax())
        raise _bad(frame, "probabilities", at, "the probabilities of a row do not make 1", "each 0 to 1, sum 1")
    return frame.with_columns(columns)


def _numbers(frame: pl.DataFrame, name: str) -> pl.Series:
    try:
        values = frame[name].cast(pl.Float64)
    except pl.exceptions.PolarsError:
        raise DataError(
            f"'{name}' is not a number everywhere", where=f"column '{name}'", seen=frame[name].head(3).to_list()
        ) from None
    wrong = (~values.is_finite()).arg_true()
    if len(wrong):
        raise _bad(frame, name, int(wrong[0]), f"'{name}' is not a finite number", "finite numbers")
    return values


def _no_nulls(frame: pl.DataFrame, names: list[str]) -> None:
    for name in names:
        empty = frame[name].is_null().arg_true()
        if len(empty):
            raise _bad(frame, name, int(empty[0]), f"'{name}' is empty", "a value in every row")


def _bad(frame: pl.DataFrame, column: str, at: int, what: str, allowed: str) -> DataError:
    where = f"row '{frame['row'][at]}', column '{column}'"
    value = frame[column][at]
    seen = value.to_list()[:10] if isinstance(value, pl.Series) else repr(value)
    return DataError(what, where=where, seen=seen, allowed=allowed, todo="check the system that made the predictions")
