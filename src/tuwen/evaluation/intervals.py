"""Bootstrap intervals and paired comparisons (Efron and Tibshirani 1993).

A resample is a draw of rows with replacement, kept as counts. All systems see the same resamples, so that a difference
is measured on the same rows. The same seed gives the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from tuwen.errors import DataError
from tuwen.evaluation.metrics import Scored, Weighted, metrics_of
from tuwen.evaluation.predictions import Array, Predictions, check_same_rows

CELLS = 2_000_000  # rows × resamples that are held at once: 16 MB of float64


@dataclass(frozen=True)
class Interval:
    """A value and its percentile interval; None where it is not defined."""

    value: float | None
    low: float | None
    high: float | None

    def plain(self) -> dict[str, float | None]:
        return asdict(self)


@dataclass(frozen=True)
class Difference:
    """One system minus another on the same rows, with its interval and two-sided p."""

    difference: float | None
    low: float | None
    high: float | None
    p: float | None

    def plain(self) -> dict[str, float | None]:
        return asdict(self)


@dataclass(frozen=True)
class Resampled:
    """The metrics of one system: ``values`` on all rows, ``samples`` f64 [samples] on each resample."""

    values: dict[str, float]
    samples: dict[str, Array]


def resample_weights(rows: int, samples: int, seed: int, groups: Sequence[object] | None = None) -> Iterator[Array]:
    """Row counts of bootstrap resamples, in blocks f64 [rows, some samples].

    Args:
        rows: how many rows there are.
        samples: how many resamples in all.
        seed: of the draw.
        groups: one value for each row (a user); whole groups are drawn, so that rows which belong together stay so.
    """
    ids = np.arange(rows) if groups is None else _group_ids(groups, rows)
    units = int(ids.max()) + 1
    rng = np.random.default_rng(seed)
    block = max(1, CELLS // rows)
    for start in range(0, samples, block):
        counts = np.empty((min(block, samples - start), units))
        for sample in counts:
            sample[:] = np.bincount(rng.integers(0, units, units), minlength=units)
        yield np.ascontiguousarray(counts.T)[ids] if groups is not None else np.ascontiguousarray(counts.T)


def resample(
    systems: Mapping[str, Predictions],
    *,
    samples: int = 1000,
    seed: int = 0,
    groups: Sequence[object] | None = None,
    names: Iterable[str] | None = None,
) -> dict[str, Resampled]:
    """Every metric of every system on all rows and on the same resamples.

    Raises:
        DataError: the systems do not hold the same rows; an unknown metric; ``groups`` of another length.
    """
    check_same_rows(systems)
    first = next(iter(systems.values()))
    metrics = metrics_of(first.task, names)
    scored = {name: Scored(system) for name, system in systems.items()}
    values = {name: {m.name: float(m.measure(s.everything)[0]) for m in metrics} for name, s in scored.items()}
    drawn: dict[str, dict[str, list[Array]]] = {name: {m.name: [] for m in metrics} for name in systems}
    for weights in resample_weights(len(first), samples, seed, groups):
        for name, system in scored.items():
            weighted = Weighted(system, weights)
            for metric in metrics:
                drawn[name][metric.name].append(metric.measure(weighted))
    return {
        name: Resampled(values[name], {metric: np.concatenate(blocks) for metric, blocks in drawn[name].items()})
        for name in systems
    }


def interval(value: float, samples: Array, confidence: float = 0.95) -> Interval:
    """The percentile interval; resamples on which the metric is not defined are left out, at most half of them.

    Its ends are the k-th smallest and the k-th largest, k the whole part of (samples + 1) (1 − confidence) / 2 (Davison
    and Hinkley, 1997, section 5.2), as in the p of :func:`differences`, so that both say the same. Where k would be 0
    they are the smallest and the largest, which is too narrow.
    """
    defined = samples[np.isfinite(samples)]
    if not math.isfinite(value):
        return Interval(None, None, None)
    if len(defined) * 2 < len(samples) or not len(defined):
        return Interval(float(value), None, None)
    place = max(1, math.floor((len(defined) + 1) * _tail(confidence) + 1e-9)) - 1  # 1e-9: 40 × 0.025 is a whole 1
    low, high = np.partition(defined, (place, len(defined) - 1 - place))[[place, -1 - place]]
    return Interval(float(value), float(low), float(high))


def intervals(resampled: Resampled, confidence: float = 0.95) -> dict[str, Interval]:
    """Metric → value and interval."""
    return {name: interval(value, resampled.samples[name], confidence) for name, value in resampled.values.items()}


def differences(model: Resampled, other: Resampled, confidence: float = 0.95) -> dict[str, Difference]:
    """Metric → ``model`` minus ``other``, both from one call of :func:`resample`.

    p is twice the smaller share of resamples on either side of zero (ties count on both), with one added to both counts
    (Davison and Hinkley, 1997, section 4.2); never below 2 / (samples + 1). It is at most 1 − confidence exactly where
    the interval leaves out zero, unless there are too few resamples for either: 39 are needed for 95 %.
    """
    return {name: _difference(name, model, other, confidence) for name in model.values}


def _difference(name: str, model: Resampled, other: Resampled, confidence: float) -> Difference:
    value = model.values[name] - other.values[name]
    drawn = model.samples[name] - other.samples[name]
    inside = interval(value, drawn, confidence)
    if inside.value is None or inside.low is None:
        return Difference(inside.value, None, None, None)
    drawn = drawn[np.isfinite(drawn)]
    tail = min(int((drawn <= 0).sum()), int((drawn >= 0).sum()))
    return Difference(inside.value, inside.low, inside.high, min(1.0, 2 * (tail + 1) / (len(drawn) + 1)))


def _tail(confidence: float) -> float:
    """The share that an interval leaves out on either side."""
    if not 0.0 < confidence < 1.0:
        raise DataError("the confidence is not between 0 and 1", seen=confidence, allowed="for example 0.95")
    return (1 - confidence) / 2


def _group_ids(groups: Sequence[object], rows: int) -> Array:
    if len(groups) != rows:
        raise DataError("the groups do not fit the rows", seen=f"{len(groups)} groups, {rows} rows")
    place: dict[object, int] = {}
    return np.array([place.setdefault(group, len(place)) for group in groups], dtype=np.int64)
