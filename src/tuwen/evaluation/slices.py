"""Where is it good and where is it not: metrics by slice, and the rows it got most wrong."""

from __future__ import annotations

from typing import Any

import numpy as np

from tuwen.evaluation.intervals import differences, intervals, resample
from tuwen.evaluation.predictions import Array, Predictions, TaskName

SLICE_METRICS: dict[TaskName, tuple[str, ...]] = {
    "rate": ("rmse", "mae"),
    "binary": ("accuracy", "f1", "auc"),
    "classify": ("accuracy", "macro_f1"),
}
MOST_VALUES = 20


def slices(
    model: Predictions,
    baseline: Predictions | None = None,
    *,
    samples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    groups: Array | None = None,
    primary: str | None = None,
) -> dict[str, list[dict[str, Any]]]:
    """For each ``slice_NAME`` column: its values, most rows first, with counts, metrics and intervals.

    Args:
        model, baseline: on the same rows; the slices are the model's.
        groups: as in :func:`~tuwen.evaluation.intervals.resample`.
        primary: the metric that decides, where it is not one of every slice.

    Returns:
        NAME → list of ``value``, ``rows``, ``share``, ``metrics``, and where there is a baseline ``baseline`` (its
        metrics) and ``comparison``. Values beyond the twentieth are left out: the shares then add up to less than 1.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    drawing = {"samples": samples, "seed": seed, "names": slice_metrics(model.task, primary)}
    for column in model.slices:
        counts = model.frame[column].value_counts(name="rows").sort(["rows", column], descending=[True, False])
        found[column.removeprefix("slice_")] = [
            _one(model, baseline, column, value, confidence, groups, drawing)
            for value in counts[column].head(MOST_VALUES).to_list()
        ]
    return found


def slice_metrics(task: TaskName, primary: str | None = None) -> tuple[str, ...]:
    """The metrics of a part of the rows: the primary one, and those of every part."""
    return tuple(dict.fromkeys([*([primary] if primary else []), *SLICE_METRICS[task]]))


def _one(
    model: Predictions,
    baseline: Predictions | None,
    column: str,
    value: str,
    confidence: float,
    groups: Array | None,
    drawing: dict[str, Any],
) -> dict[str, Any]:
    inside = (model.frame[column] == value).to_numpy()
    systems = {"model": model.take(inside)}
    if baseline is not None:
        systems["baseline"] = baseline.take(inside)
    drawn = resample(systems, groups=None if groups is None else groups[inside].tolist(), **drawing)
    rows = int(inside.sum())
    plain = {name: {m: i.plain() for m, i in intervals(r, confidence).items()} for name, r in drawn.items()}
    answer = {"value": value, "rows": rows, "share": rows / len(model), "metrics": plain["model"]}
    if baseline is not None:
        compared = differences(drawn["model"], drawn["baseline"], confidence)
        answer |= {"baseline": plain["baseline"], "comparison": {m: d.plain() for m, d in compared.items()}}
    return answer


def worst(predictions: Predictions, count: int = 12) -> list[dict[str, Any]]:
    """The rows with the highest loss, worst first: −log of the truth's probability, or the absolute error for rate.

    Rows that were answered correctly are left out. Each has ``row``, ``target``, ``prediction``, ``loss``, the
    probabilities given to the answer (``probability``) and to the truth (``target_probability``), and its ``slices``.
    """
    target, prediction = predictions.target, predictions.prediction
    if predictions.task == "rate":
        loss = np.abs(prediction - target)
    else:
        rows = np.arange(len(predictions))
        given, answered = predictions.probabilities[rows, target], predictions.probabilities[rows, prediction]
        loss = np.where(target == prediction, -1.0, -np.log(np.clip(given, np.finfo(np.float64).eps, 1.0)))
    order = np.argsort(-loss, kind="stable")[:count]
    found = []
    for i in (int(i) for i in order if loss[i] > 0):
        one = {"row": predictions.frame["row"][i], "loss": float(loss[i])}
        if predictions.task == "rate":
            one |= {"target": float(target[i]), "prediction": float(prediction[i])}
        else:
            one |= {"target": predictions.labels[target[i]], "prediction": predictions.labels[prediction[i]]}
            one |= {"probability": float(answered[i]), "target_probability": float(given[i])}
        one["slices"] = {name.removeprefix("slice_"): predictions.frame[name][i] for name in predictions.slices}
        found.append(one)
    return found
