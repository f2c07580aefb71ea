"""Answers without a model: what the train part's target alone can say."""

from __future__ import annotations

import numpy as np
import polars as pl

from tuwen.errors import DataError
from tuwen.evaluation.predictions import Predictions


def trivial(train: pl.Series, test: Predictions) -> dict[str, Predictions]:
    """The trivial baselines of a task, on the rows of ``test``.

    Args:
        train: targets of the train part, in the form that ``test`` holds them: numbers, 0/1, or class names.
        test: any system's predictions for the test part; only its rows, targets, slices and classes are used.

    Returns:
        ``mean`` and ``median`` for rate, ``majority`` otherwise.

    Raises:
        DataError: no train targets, or (classify) none of the known classes among them.
    """
    if test.task == "rate":
        return {"mean": constant(train, test, "mean"), "median": constant(train, test, "median")}
    return {"majority": majority(train, test)}


def constant(train: pl.Series, test: Predictions, statistic: str = "mean") -> Predictions:
    """The train part's mean (best possible constant for RMSE) or median (best for MAE), for every row."""
    numbers = _known(train).cast(pl.Float64)
    value = float(np.mean(numbers.to_numpy()) if statistic == "mean" else np.median(numbers.to_numpy()))
    return Predictions("rate", _bare(test).with_columns(pl.lit(value).alias("prediction")))


def majority(train: pl.Series, test: Predictions) -> Predictions:
    """The most common class of the train part for every row, with the class shares there as probabilities.

    The shares are the best constant for log loss and Brier score, so this one baseline is trivial in every metric.
    Ties go to the class that comes first.
    """
    known = _known(train)
    if test.task == "binary":
        yes = float(np.mean(known.cast(pl.Float64).to_numpy()))
        answers = (pl.lit(int(yes > 0.5)).alias("prediction"), pl.lit(yes).alias("probability"))
        return Predictions("binary", _bare(test).with_columns(*answers), test.classes)
    names = known.cast(pl.String)
    counts = np.array([int((names == label).sum()) for label in test.classes], dtype=np.float64)
    if not counts.sum():
        seen = names.unique().head(5).to_list()
        raise DataError("no train target is one of the classes", seen=seen, allowed=test.classes[:20])
    shares = np.tile(counts / counts.sum(), (len(test), 1))
    frame = _bare(test).with_columns(
        pl.lit(test.classes[int(counts.argmax())]).alias("prediction"),
        pl.Series("probabilities", shares, dtype=pl.Array(pl.Float64, len(test.classes))),
    )
    return Predictions("classify", frame, test.classes)


def _known(train: pl.Series) -> pl.Series:
    known = train.drop_nulls()
    if known.is_empty():
        raise DataError("the train part has no targets", where=f"column '{train.name}'", seen="0 rows")
    return known


def _bare(test: Predictions) -> pl.DataFrame:
    return test.frame.select("row", "target", *test.slices)
