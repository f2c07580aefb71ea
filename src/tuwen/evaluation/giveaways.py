"""Inputs that give the target away: a model of one column, fitted on the train part and judged on other rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from tuwen.evaluation.predictions import Array

PERFECT = 0.99  # accuracy, AUC or R² of one column alone
BETTER = 0.1  # share of the errors of the most common class that such a column may leave
LEAST = 5  # test rows, and test rows that the most common class gets wrong
CONTAINED = 0.95  # share of rows whose text contains their target
BY_CHANCE = 0.5  # share of rows whose text contains another row's target, from which that means nothing


class Giveaway(NamedTuple):
    """How well one column predicts the target."""

    metric: str
    score: float


def giveaway(values: pl.Series, truth: pl.Series, train: Array, test: Array) -> Giveaway | None:
    """How well ``values`` alone predict ``truth`` on the test rows, where that is too well to be true.

    Args:
        values: numbers, dates or texts, null where missing.
        truth: numbers (floating-point) or class names, without nulls.
        train, test: positions of rows.
    """
    if len(test) < LEAST or len(train) < LEAST or values.null_count() == len(values):
        return None
    if truth.dtype.is_float():
        return _of_number(values, truth.to_numpy().astype(np.float64), train, test)
    names, codes = np.unique(truth.cast(pl.String).to_numpy().astype(str), return_inverse=True)
    found = _of_class(values, codes, len(names), train, test)
    if found is None and len(names) == 2:
        found = _of_two(values, codes, train, test)
    return found


def _of_number(values: pl.Series, truth: Array, train: Array, test: Array) -> Giveaway | None:
    total = float(((truth[test] - truth[test].mean()) ** 2).sum())
    if total <= 0:
        return None
    left = min(float(((answers - truth[test]) ** 2).sum()) for answers in _numbers_of(values, truth, train, test))
    score = 1 - left / total
    return Giveaway("R²", score) if score >= PERFECT else None


def _numbers_of(values: pl.Series, truth: Array, train: Array, test: Array) -> list[Array]:
    """Answers of models of one column: the mean at each value, between two values on a line; and one straight line."""
    x = _positions(values)
    if x is None:
        return [_looked_up(values, truth, train, test)]
    there = np.isfinite(x)
    learned = train[there[train]]
    if not len(learned):
        return [np.full(len(test), truth[train].mean())]
    points, index = np.unique(x[learned], return_inverse=True)
    means = np.bincount(index, truth[learned]) / np.bincount(index)
    absent = train[~there[train]]
    other = truth[absent].mean() if len(absent) else truth[train].mean()
    asked = there[test]
    answers = [np.where(asked, np.interp(np.where(asked, x[test], 0), points, means), other)]
    if len(points) > 1:
        centre, spread = x[learned].mean(), x[learned].std()
        slope = np.mean((x[learned] - centre) * (truth[learned] - truth[learned].mean())) / spread**2
        line = truth[learned].mean() + slope * (np.where(asked, x[test], centre) - centre)
        answers.append(np.where(asked, line, other))
    return answers


def _of_class(values: pl.Series, codes: Array, classes: int, train: Array, test: Array) -> Giveaway | None:
    common = np.bincount(codes[train], minlength=classes).argmax()
    missed = int((codes[test] != common).sum())
    if missed < LEAST:
        return None
    x = _positions(values)
    if x is not None:  # numbers: the class of the nearest value in the train part
        points = np.unique(x[train][np.isfinite(x[train])])
        if not len(points):
            return None
        middle = (points[1:] + points[:-1]) / 2
        nearest = np.where(np.isfinite(x), np.searchsorted(middle, np.nan_to_num(x)), -1)
        values = pl.Series(values.name, nearest)
    wrong = int((_voted(values, codes, classes, train, test) != codes[test]).sum())
    score = 1 - wrong / len(test)
    return Giveaway("accuracy", score) if score >= PERFECT and wrong <= BETTER * missed else None


def _of_two(values: pl.Series, codes: Array, train: Array, test: Array) -> Giveaway | None:
    """By AUC, which a rare class does not hide."""
    positives = int(codes[test].sum())
    if min(positives, len(test) - positives) < LEAST:
        return None
    best = 0.0
    for answers in _numbers_of(values, codes.astype(np.float64), train, test):
        ranks = pl.Series(answers).rank("average").to_numpy()
        area = (ranks[codes[test] == 1].sum() - positives * (positives + 1) / 2) / (positives * (len(test) - positives))
        best = max(best, area)
    return Giveaway("AUC", best) if best >= PERFECT else None


def _positions(values: pl.Series) -> Array | None:
    """f64 [rows], NaN where missing, of numbers and dates; None of texts."""
    if values.dtype.is_temporal():
        values = values.cast(pl.Datetime("us")).cast(pl.Int64)
    if not values.dtype.is_numeric():
        return None
    return values.cast(pl.Float64).fill_null(np.nan).to_numpy()


def _looked_up(values: pl.Series, truth: Array, train: Array, test: Array) -> Array:
    """The mean of the train rows with the same text; of all, where there is none."""
    frame = pl.DataFrame({"value": values.cast(pl.String), "truth": truth})
    means = frame[train].group_by("value").agg(pl.col("truth").mean().alias("mean"))
    joined = frame[test].join(means, on="value", how="left", maintain_order="left", nulls_equal=True)
    return joined["mean"].fill_null(float(truth[train].mean())).to_numpy()


def _voted(values: pl.Series, codes: Array, classes: int, train: Array, test: Array) -> Array:
    """The most common class of the train rows with the same value; of all, where there is none."""
    frame = pl.DataFrame({"value": values, "code": codes})
    votes = (
        frame[train]
        .group_by("value", "code")
        .len()
        .sort(["len", "code"], descending=[True, False])
        .group_by("value", maintain_order=True)
        .agg(pl.col("code").first().alias("vote"))
    )
    joined = frame[test].join(votes, on="value", how="left", maintain_order="left", nulls_equal=True)
    return joined["vote"].fill_null(int(np.bincount(codes[train], minlength=classes).argmax())).to_numpy()


def contained(texts: Sequence[str], targets: Sequence[Sequence[str]], seed: int = 0) -> Array | None:
    """bool [rows]: whose text contains one of the spellings of its own target; None where that is no giveaway.

    Args:
        texts: normalised: words with single spaces.
        targets: row by row the spellings of its target, normalised too.
    """
    if len(texts) < LEAST:
        return None
    holds = np.array([_holds(text, some) for text, some in zip(texts, targets, strict=True)])
    if holds.mean() < CONTAINED:
        return None
    other = np.random.default_rng(seed).permutation(len(texts)).tolist()
    by_chance = np.mean([_holds(text, targets[i]) for text, i in zip(texts, other, strict=True)])
    return holds if by_chance < BY_CHANCE else None


def _holds(text: str, spellings: Sequence[str]) -> bool:
    padded = f" {text} "
    return any(one in text if _is_wide(one) else f" {one} " in padded for one in spellings if one)


def _is_wide(text: str) -> bool:
    """Whether it is of letters that stand without spaces between words, as Chinese ones do."""
    return any(ord(letter) > 0x2E80 for letter in text)


def spellings(value: object, normal: Callable[[str], str]) -> list[str]:
    """How a text may write a value: ``4``, ``4.0`` and ``4.00`` of a number, else the name itself."""
    if isinstance(value, float):
        forms = [f"{value:g}", f"{value:.1f}", f"{value:.2f}", f"{value:,.2f}", f"{value:,.0f}"]
        written = [form for form in forms if float(form.replace(",", "")) == value]
    else:
        written = [str(value)]
    return list(dict.fromkeys(form for form in map(normal, written) if form))
