"""Several ways to train on the same data, each trained a few times, judged on the same rows.

Chance enters twice: which rows happen to be in the test part, and which seed a training began with. A resample
therefore draws rows with replacement (with the answers of all seeds to a row held together) and, crossed with that,
seeds with replacement (Owen, 2007, the pigeonhole bootstrap), the same rows and seeds for every cell; a metric is then
the mean over the drawn seeds of its value on the drawn rows. With one seed this is exactly
:mod:`tuwen.evaluation.intervals`, and the interval is about rows alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from tuwen.errors import DataError
from tuwen.evaluation.intervals import Resampled, differences, intervals, resample
from tuwen.evaluation.metrics import with_primary
from tuwen.evaluation.predictions import Array, Predictions, check_same_rows
from tuwen.evaluation.report import plain
from tuwen.evaluation.slices import slice_metrics

HOW = ("half", "all")  # how many rows lose an input


@dataclass(frozen=True)
class Cell:
    """What one combination of settings answered.

    Attributes:
        seeds: predictions for the test rows, one table a seed.
        without: KIND of input → the same with that input taken away from every row.
    """

    seeds: Sequence[Predictions]
    without: Mapping[str, Sequence[Predictions]] = field(default_factory=dict)


@dataclass(frozen=True)
class Bootstrap:
    """How chance is measured: :func:`tuwen.evaluation.intervals.resample`.

    Attributes:
        primary: the metric that decides, where it is not one of every report.
    """

    samples: int = 1000
    confidence: float = 0.95
    seed: int = 0
    groups: Sequence[object] | None = None
    primary: str | None = None


def compare(cells: Mapping[str, Cell], reference: str, bootstrap: Bootstrap) -> dict[str, dict[str, Any]]:
    """Every cell's metrics, its differences to the reference, and what it loses without an input.

    Args:
        cells: NAME → answers; all for the same rows in the same order, with equally many seeds.
        reference: the name of the cell that the others are compared with; where it is not among them, nothing is.

    Returns:
        NAME → strict JSON: ``metrics``: metric → ``value`` (mean over seeds), ``low``, ``high``, ``spread`` (standard
        deviation over seeds, None for one) and ``seeds`` (each seed's value); ``difference``: metric → cell minus
        reference as ``difference``, ``low``, ``high``, ``p`` and ``p_holm``, corrected for the number of cells (None
        where there is no reference); ``missing``: KIND →
        ``half`` and ``all`` → ``metrics``, ``loss`` (without the input minus with it) and ``difference`` (minus the
        reference with the same rows missing).

    Raises:
        DataError: the cells do not hold the same rows, or not equally many seeds.
    """
    _check(cells)
    order = sorted(cells, key=lambda name: name != reference)  # the reference first
    found: dict[str, dict[str, Any]] = {}
    of_reference: Mapping[tuple[str, str], _Drawn] = {}
    for name in order:
        drawn = _drawn(cells[name], bootstrap)
        if name == reference:
            of_reference = drawn
        found[name] = _told(drawn, of_reference, bootstrap)
    others = [found[name] for name in cells if name != reference]
    if reference in cells:
        found[reference]["difference"] = {m: d | {"p_holm": 1.0} for m, d in found[reference]["difference"].items()}
        for metric in found[reference]["difference"]:
            for cell, p in zip(others, holm([c["difference"][metric]["p"] for c in others]), strict=True):
                cell["difference"][metric]["p_holm"] = p
    return {name: found[name] for name in cells}


def holm(p: Sequence[float | None]) -> list[float | None]:
    """p values corrected for how many they are (Holm, 1979): the chance that any of them is a false alarm."""
    known = sorted((value, at) for at, value in enumerate(p) if value is not None)
    found: list[float | None] = [None] * len(p)
    most = 0.0
    for turn, (value, at) in enumerate(known):
        most = max(most, min(1.0, value * (len(known) - turn)))
        found[at] = most
    return found


def over_seeds(drawn: Sequence[Resampled], seed: int) -> Resampled:
    """The mean over seeds; each resample draws the seeds anew, by ``seed`` alone, so that cells stay paired."""
    count = len(drawn)
    names = list(drawn[0].values)
    samples = len(drawn[0].samples[names[0]])
    share = np.random.default_rng([seed, count]).multinomial(count, [1 / count] * count, samples) / count
    mixed = {}
    for name in names:
        each = np.stack([one.samples[name] for one in drawn], axis=1)  # [samples, seeds]
        mixed[name] = (np.where(share > 0, each, 0.0) * share).sum(axis=1)
    return Resampled({name: float(np.mean([one.values[name] for one in drawn])) for name in names}, mixed)


def half_without(whole: Predictions, without: Predictions, kind: str) -> Predictions:
    """The answers where a fixed half of the rows, chosen by a hash of the row's key, has lost an input."""
    gone = pl.Series(lost(whole.frame["row"].to_list(), kind))
    numbered = (p.frame.with_row_index("_at") for p in (whole, without))
    kept, taken = (frame.filter(mask) for frame, mask in zip(numbered, (~gone, gone), strict=True))
    return Predictions(whole.task, pl.concat([kept, taken]).sort("_at").drop("_at"), whole.classes)


def lost(rows: Sequence[str], kind: str) -> Array:
    """bool [rows]: which half loses an input of this kind. It depends on a row's key alone."""
    return np.array([hashlib.blake2b(f"{kind}\0{row}".encode(), digest_size=1).digest()[0] < 128 for row in rows])


# --- One cell -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Drawn:
    """The mean over seeds on all rows and on every resample; and each seed's values on all rows."""

    mean: Resampled
    seeds: list[dict[str, float]]


WHOLE = ("", "")


def _drawn(cell: Cell, bootstrap: Bootstrap) -> dict[tuple[str, str], _Drawn]:
    """(kind, how) → the cell with that input missing; WHOLE is the cell as it is."""
    task, primary = cell.seeds[0].task, bootstrap.primary
    found = {WHOLE: _over(cell.seeds, bootstrap, with_primary(task, primary) if primary else None)}
    names = slice_metrics(task, primary)
    for kind, without in cell.without.items():
        halves = [half_without(whole, gone, kind) for whole, gone in zip(cell.seeds, without, strict=True)]
        found[kind, "half"] = _over(halves, bootstrap, names)
        found[kind, "all"] = _over(without, bootstrap, names)
    return found


def _over(systems: Sequence[Predictions], bootstrap: Bootstrap, names: Sequence[str] | None = None) -> _Drawn:
    how: dict[str, Any] = {"samples": bootstrap.samples, "seed": bootstrap.seed, "groups": bootstrap.groups}
    each = [resample({"": system}, names=names, **how)[""] for system in systems]  # one at a time: they can be large
    return _Drawn(over_seeds(each, bootstrap.seed), [one.values for one in each])


def _told(
    drawn: Mapping[tuple[str, str], _Drawn],
    reference: Mapping[tuple[str, str], _Drawn],
    bootstrap: Bootstrap,
) -> dict[str, Any]:
    whole, confidence = drawn[WHOLE], bootstrap.confidence
    missing: dict[str, dict[str, Any]] = {}
    for key, found in drawn.items():
        if key == WHOLE:
            continue
        names = found.mean.values
        before = Resampled({n: whole.mean.values[n] for n in names}, {n: whole.mean.samples[n] for n in names})
        missing.setdefault(key[0], {})[key[1]] = {
            "metrics": _metrics(found, confidence),
            "loss": _differences(found.mean, before, confidence),
            "difference": _differences(found.mean, reference[key].mean, confidence) if key in reference else None,
        }
    return dict(
        plain(
            {
                "metrics": _metrics(whole, confidence),
                "difference": _differences(whole.mean, reference[WHOLE].mean, confidence) if reference else None,
                "missing": missing,
            }
        )
    )


def _metrics(drawn: _Drawn, confidence: float) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, one in intervals(drawn.mean, confidence).items():
        each = [seed[name] for seed in drawn.seeds]
        spread = float(np.std(each, ddof=1)) if len(each) > 1 else None
        found[name] = {**one.plain(), "spread": spread, "seeds": each}
    return found


def _differences(one: Resampled, other: Resampled, confidence: float) -> dict[str, Any]:
    return {name: found.plain() for name, found in differences(one, other, confidence).items()}


def _check(cells: Mapping[str, Cell]) -> None:
    if not cells:
        raise DataError("there is nothing to compare", seen="no cell")
    every = {f"{name}, seed {i + 1}": system for name, cell in cells.items() for i, system in enumerate(cell.seeds)} | {
        f"{name} without {kind}, seed {i + 1}": system
        for name, cell in cells.items()
        for kind, systems in cell.without.items()
        for i, system in enumerate(systems)
    }
    check_same_rows(every)
    counts = {name: len(cell.seeds) for name, cell in cells.items()}
    if len(set(counts.values())) > 1:
        raise DataError("the cells do not have equally many seeds", seen=counts)
