"""Metrics as functions of row weights.

A metric sees predictions under a batch of row weights and returns one number for each set of weights. Weights of one
give the plain value; the counts of a bootstrap resample give the value on that resample. So one piece of code makes
both the value and its interval, and a thousand resamples are a handful of array operations.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tuwen.errors import DataError, did_you_mean
from tuwen.evaluation.predictions import Array, Predictions, TaskName

SMALLEST = float(np.finfo(np.float64).eps)  # a probability of 0 costs −log of this, as in scikit-learn


class Groups:
    """Rows gathered by an integer, for sums of their weights.

    Args:
        ids: int [rows], each in ``range(size)``.
        size: how many groups; a group may be empty.
        rows: positions of the rows that count; default: all.
    """

    def __init__(self, ids: Array, size: int, rows: Array | None = None) -> None:
        rows = np.arange(len(ids)) if rows is None else rows
        self.size = size
        self._order = rows[np.argsort(ids[rows], kind="stable")]
        self._present, self._starts = np.unique(ids[self._order], return_index=True)

    def sums(self, weights: Array) -> Array:
        """Weights [rows, samples] → sums [size, samples]."""
        sums = np.zeros((self.size, weights.shape[1]))
        if len(self._present):
            sums[self._present] = np.add.reduceat(weights[self._order], self._starts, axis=0)
        return sums


class Scored:
    """Predictions with everything that does not depend on the weights worked out once."""

    def __init__(self, predictions: Predictions) -> None:
        self.predictions = predictions
        self.target = predictions.target
        self.prediction = predictions.prediction
        self.classes = len(predictions.labels)

    @cached_property
    def everything(self) -> Weighted:
        """All rows, each once: [rows, 1]."""
        return Weighted(self, np.ones((len(self.target), 1)))

    @cached_property
    def correct(self) -> Array:
        """f64 [rows]: 1 where the answer is right."""
        return (self.target == self.prediction).astype(np.float64)

    @cached_property
    def by_target(self) -> Groups:
        return Groups(self.target, self.classes)

    @cached_property
    def by_prediction(self) -> Groups:
        return Groups(self.prediction, self.classes)

    @cached_property
    def hits(self) -> Groups:
        return Groups(self.target, self.classes, np.flatnonzero(self.correct))

    @cached_property
    def log_loss(self) -> Array:
        """f64 [rows], nats: −log of the probability given to the truth."""
        given = self.predictions.probabilities[np.arange(len(self.target)), self.target]
        return -np.log(np.clip(given, SMALLEST, 1.0))

    @cached_property
    def brier(self) -> Array:
        """f64 [rows]: squared distance to the truth; for binary of the probability of yes alone (Brier 1950)."""
        probabilities = self.predictions.probabilities
        truth = np.zeros_like(probabilities)
        truth[np.arange(len(self.target)), self.target] = 1.0
        squares = (probabilities - truth) ** 2
        return squares[:, 1] if self.predictions.task == "binary" else squares.sum(axis=1)

    @cached_property
    def error(self) -> Array:
        """f64 [rows]: prediction − target."""
        return self.prediction - self.target

    @cached_property
    def log_error(self) -> Array:
        """f64 [rows]: log(1 + prediction) − log(1 + target); NaN where a target is below 0."""
        if (self.target < 0).any():
            return np.full(len(self.target), np.nan)
        difference: Array = np.log1p(np.maximum(self.prediction, 0.0)) - np.log1p(self.target)
        return difference

    @cached_property
    def by_score(self) -> Groups:
        """Rows of equal probability of yes, in rising order."""
        return _ranked(self.predictions.probabilities[:, 1])

    @cached_property
    def ranks(self) -> tuple[tuple[Groups, Array], tuple[Groups, Array]]:
        """For target and prediction: groups of equal values in rising order, and each row's group."""
        target = np.unique(self.target, return_inverse=True)[1]
        prediction = np.unique(self.prediction, return_inverse=True)[1]
        return (_ranked(self.target), target), (_ranked(self.prediction), prediction)

    @cached_property
    def placements(self) -> tuple[Array, Array, Array]:
        """Placement values of the one-vs-rest ROC curves (DeLong et al. 1988).

        Returns:
            areas f64 [classes], NaN where a class has no row or all rows;
            own f64 [rows]: share of the other classes' rows that score below this row on its own class;
            others f64 [rows, classes]: share of the class's rows that score above this row; 0 for its own class.
        """
        scores = self.predictions.probabilities
        areas, own = np.full(self.classes, np.nan), np.zeros(len(scores))
        others = np.zeros(scores.shape)
        for c in range(self.classes):
            inside = self.target == c
            if not inside.any() or inside.all():
                continue
            members, rest = np.sort(scores[inside, c]), np.sort(scores[~inside, c])
            own[inside] = _share_below(rest, scores[inside, c])
            others[~inside, c] = 1.0 - _share_below(members, scores[~inside, c])
            areas[c] = own[inside].mean()
        return areas, own, others


class Weighted:
    """Scored predictions under ``weights`` f64 [rows, samples]; every metric is a function of this."""

    def __init__(self, scored: Scored, weights: Array) -> None:
        self.scored = scored
        self.weights = weights
        self.total = weights.sum(axis=0)  # [samples]

    def mean(self, values: Array) -> Array:
        """Weighted mean of ``values`` [rows] → [samples]."""
        return values @ self.weights / self.total

    @cached_property
    def actual(self) -> Array:
        """Rows of each class, [classes, samples]."""
        return self.scored.by_target.sums(self.weights)

    @cached_property
    def predicted(self) -> Array:
        """Answers of each class, [classes, samples]."""
        return self.scored.by_prediction.sums(self.weights)

    @cached_property
    def hits(self) -> Array:
        """Right answers of each class, [classes, samples]."""
        return self.scored.hits.sums(self.weights)

    def macro(self, score: Callable[[Weighted], Array], base: Array) -> Array:
        """Mean of a class score [classes, samples] over the classes that occur as truth or answer on all rows.

        Where a class's ``base`` (its rows, or its answers) is 0 in a resample, it keeps its score on all rows: a third
        of the classes with one row is missing from every resample, and counting them as 0 or dropping them would put
        the interval beside the value. What no resampling can give is the spread of a class with one or two rows: where
        most classes are like that, the interval of a macro average is too narrow.
        """
        everything = self.scored.everything
        occurs = (everything.actual + everything.predicted)[:, 0] > 0  # [classes]
        scores = np.where(base > 0, score(self), score(everything))
        return scores[occurs].mean(axis=0)


def _ranked(values: Array) -> Groups:
    unique, ids = np.unique(values, return_inverse=True)
    return Groups(ids, len(unique))


def _share_below(sorted_values: Array, values: Array) -> Array:
    """For each value, the share of ``sorted_values`` below it, ties counting half."""
    below = np.searchsorted(sorted_values, values, "left") + np.searchsorted(sorted_values, values, "right")
    return below / (2 * len(sorted_values))


def _ratio(numerator: Array, denominator: Array, otherwise: float = 0.0) -> Array:
    return np.divide(numerator, denominator, out=np.full_like(numerator, otherwise), where=denominator > 0)


# --- The metrics --------------------------------------------------------------------------------------------------


def accuracy(w: Weighted) -> Array:
    """Share of right answers."""
    return w.mean(w.scored.correct)


def class_precision(w: Weighted) -> Array:
    """Of the answers "this class", the share that is right, [classes, samples]; 0 where it was never answered."""
    return _ratio(w.hits, w.predicted)


def class_recall(w: Weighted) -> Array:
    """Of the rows of a class, the share that was found, [classes, samples]; 0 where it has no rows."""
    return _ratio(w.hits, w.actual)


def class_f1(w: Weighted) -> Array:
    """Harmonic mean of precision and recall, [classes, samples]."""
    return _ratio(2 * w.hits, w.actual + w.predicted)


def binary_auc(w: Weighted) -> Array:
    """Chance that a yes scores above a no, ties half; NaN where one of the two is absent."""
    everyone = w.scored.by_score.sums(w.weights)  # [scores, samples], rising
    yes = w.scored.by_score.sums(w.weights * w.scored.target[:, None])
    no = everyone - yes
    pairs = (yes * (np.cumsum(no, axis=0) - no / 2)).sum(axis=0)
    return _ratio(pairs, yes.sum(axis=0) * no.sum(axis=0), np.nan)


def macro_auc(w: Weighted) -> Array:
    """Mean one-vs-rest AUC over the classes that have rows.

    Exact for equal weights. On a resample it is the first-order (Hájek) expansion in the placement values of DeLong
    et al. (1988): what it leaves out is of order 1/rows, and it turns a sort for each class and resample into one
    matrix product.
    """
    areas, own, others = w.scored.placements
    inside = w.scored.by_target.sums(w.weights * own[:, None])  # [classes, samples]
    outside = others.T @ w.weights
    rest = w.total - w.actual
    usable = np.isfinite(areas)
    if not usable.any():
        return np.full(len(w.total), np.nan)
    each = _ratio(inside, w.actual) + _ratio(outside, rest) - areas[:, None]
    each = np.where((w.actual > 0) & (rest > 0), each, areas[:, None])  # a class that the resample misses
    return np.clip(each[usable], 0.0, 1.0).mean(axis=0)


def log_loss(w: Weighted) -> Array:
    """Mean −log of the probability given to the truth, nats."""
    return w.mean(w.scored.log_loss)


def brier(w: Weighted) -> Array:
    """Mean squared distance between probabilities and truth (Brier 1950)."""
    return w.mean(w.scored.brier)


def rmse(w: Weighted) -> Array:
    """Root of the mean squared error, in the target's unit."""
    return np.sqrt(w.mean(w.scored.error**2))


def rmsle(w: Weighted) -> Array:
    """Root of the mean squared difference of log(1 + y); NaN where a target is below 0.

    A prediction below 0 counts as 0. For small errors it is about the typical error as a share of 1 + y.
    """
    return np.sqrt(w.mean(w.scored.log_error**2))


def mae(w: Weighted) -> Array:
    """Mean absolute error, in the target's unit."""
    return w.mean(np.abs(w.scored.error))


def r2(w: Weighted) -> Array:
    """Share of the target's variance that is explained; NaN where the target does not vary."""
    centred = w.scored.target - w.scored.target.mean()
    variance = w.mean(centred**2) - w.mean(centred) ** 2
    variance = np.where(variance > 1e-12 * max(1e-300, float(np.mean(centred**2))), variance, 0.0)
    return 1.0 - _ratio(w.mean(w.scored.error**2), variance, np.nan)


def spearman(w: Weighted) -> Array:
    """Correlation of the ranks of target and prediction, ties at their middle rank; NaN where one does not vary."""
    ranks = []
    for groups, ids in w.scored.ranks:
        sums = groups.sums(w.weights)
        middle = np.cumsum(sums, axis=0) - sums / 2 - w.total / 2  # [values, samples], mean 0
        ranks.append(middle[ids])
    (target, prediction), weights = ranks, w.weights
    spread = (weights * target**2).sum(axis=0) * (weights * prediction**2).sum(axis=0)
    return _ratio((weights * target * prediction).sum(axis=0), np.sqrt(spread), np.nan)


# --- The registry -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Metric:
    """One metric: its name in report.json, where it applies, which way is better, and how it is measured.

    Attributes:
        default: whether every report of its tasks has it.
    """

    name: str
    tasks: tuple[TaskName, ...]
    greater_is_better: bool
    percent: bool
    measure: Callable[[Weighted], Array]
    default: bool = True


def _metrics() -> Iterable[Metric]:
    both: tuple[TaskName, ...] = ("binary", "classify")
    yield Metric("accuracy", both, True, True, accuracy)
    yield Metric("precision", ("binary",), True, True, lambda w: class_precision(w)[1])
    yield Metric("recall", ("binary",), True, True, lambda w: class_recall(w)[1])
    yield Metric("f1", ("binary",), True, True, lambda w: class_f1(w)[1])
    yield Metric("macro_precision", both, True, True, lambda w: w.macro(class_precision, w.predicted))
    yield Metric("macro_recall", both, True, True, lambda w: w.macro(class_recall, w.actual))
    yield Metric("macro_f1", both, True, True, lambda w: w.macro(class_f1, w.actual))
    yield Metric("micro_f1", both, True, True, accuracy)  # one answer a row: micro precision = recall = F1 = accuracy
    yield Metric("auc", both, True, False, lambda w: (binary_auc if w.scored.classes == 2 else macro_auc)(w))
    yield Metric("log_loss", both, False, False, log_loss)
    yield Metric("brier", both, False, False, brier)
    yield Metric("rmse", ("rate",), False, False, rmse)
    yield Metric("rmsle", ("rate",), False, False, rmsle, default=False)
    yield Metric("mae", ("rate",), False, False, mae)
    yield Metric("r2", ("rate",), True, False, r2)
    yield Metric("spearman", ("rate",), True, False, spearman)
    yield Metric("mean_recall@10", (), True, True, _not_here)  # of a validation part, the mean of all directions


class Metrics(dict[str, Metric]):
    """The metrics by name. Those of retrieval carry what is asked with and what is looked for in their name
    (``picture_to_text_recall@10``), those of lists their depth (``ndcg@20``), so there is no list of them;
    :mod:`tuwen.evaluation.retrieval` and :mod:`tuwen.evaluation.ranking` measure them.
    """

    def __missing__(self, name: str) -> Metric:
        listed = RANKING.fullmatch(name)
        if listed is not None:
            return Metric(name, (), True, listed["measure"] in ("recall", "hit", "precision", "judged"), _not_here)
        found = RETRIEVAL.fullmatch(name)
        if found is None:
            raise KeyError(name)
        return Metric(name, (), found["measure"] != "median_rank", found["measure"].startswith("recall"), _not_here)


RETRIEVAL = re.compile(r"(?P<query>\w(?:(?!_to_)\w)*+)_to_(?P<answer>\w+?)_(?P<measure>recall@\d+|mrr|median_rank)")
RANKING = re.compile(
    r"((?P<kind>cold|warm|tail|burges|condensed)_)?"
    r"(?P<measure>ndcg|recall|map|mrr|hit|precision|novelty|diversity|judged)@(?P<depth>\d+)"
)


def _not_here(w: Weighted) -> Array:
    raise DataError("a metric of lists is not measured on a table of predictions")


METRICS: dict[str, Metric] = Metrics({metric.name: metric for metric in _metrics()})
PRIMARY: dict[TaskName, str] = {"rate": "rmse", "binary": "accuracy", "classify": "accuracy"}


def primary_of(task: TaskName, scale: str = "linear") -> str:
    """The metric that decides; ``scale`` is that of the task rate (:class:`tuwen.preprocess.target.RateTarget`)."""
    return "rmsle" if task == "rate" and scale == "log" else PRIMARY[task]


def with_primary(task: TaskName, primary: str) -> list[str]:
    """The metrics of a report that ``primary`` decides: those of every report of the task, and itself."""
    return list(dict.fromkeys([*(metric.name for metric in metrics_of(task)), primary]))


def metrics_of(task: TaskName, names: Iterable[str] | None = None) -> list[Metric]:
    """The metrics of a task, in reading order; ``names`` picks some of them, default: those of every report.

    Raises:
        DataError: a name that is not a metric of this task.
    """
    known = {metric.name: metric for metric in METRICS.values() if task in metric.tasks}
    if names is None:
        return [metric for metric in known.values() if metric.default]
    names = list(names)
    for name in names:
        if name not in known:
            what = f"'{name}' is not a metric of the task {task}"
            raise DataError(what, allowed=known, todo=did_you_mean(name, known))
    return [known[name] for name in names]


def measure(predictions: Predictions, names: Iterable[str] | None = None) -> dict[str, float]:
    """Metric → value on all rows; NaN where it is not defined (an AUC with one class)."""
    everything = Scored(predictions).everything
    return {metric.name: float(metric.measure(everything)[0]) for metric in metrics_of(predictions.task, names)}
