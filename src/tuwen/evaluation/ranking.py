"""Ranked lists of items beside what shoppers then chose: one number a list, and their means with intervals.

Every figure is over full rankings (Krichene and Rendle, 2020: sampled ones change the order of systems). Relevance is
yes or no. A list without anything relevant has no figure: shoppers who choose nothing are not asked about.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tuwen.errors import DataError
from tuwen.evaluation.intervals import Resampled, resample_weights
from tuwen.evaluation.predictions import Array

NOTHING = -1  # an item's place behind the end of a list that is shorter than asked


@dataclass(frozen=True)
class Chosen:
    """What each asked shopper chose, as rows of one sparse matrix.

    Attributes:
        items: int64 [choices], positions in the catalogue, shopper after shopper, each item once a shopper.
        begins: int64 [shoppers + 1]: a shopper's items are ``items[begins[i]:begins[i + 1]]``.
    """

    items: Array
    begins: Array

    @classmethod
    def of(cls, each: Sequence[Sequence[int] | Array]) -> Chosen:
        """From one sequence of items a shopper; repeats count once.

        Raises:
            DataError: a shopper who chose nothing.
        """
        distinct = [np.unique(np.asarray(items, np.int64)) for items in each]
        if any(not len(items) for items in distinct):
            raise DataError("a shopper who chose nothing cannot judge a list", todo="leave such shoppers out")
        begins = np.concatenate([[0], np.cumsum([len(items) for items in distinct])]).astype(np.int64)
        return cls(np.concatenate([*distinct, np.empty(0, np.int64)]), begins)

    def __len__(self) -> int:
        return len(self.begins) - 1

    @property
    def counts(self) -> Array:
        """int64 [shoppers]."""
        counts: Array = np.diff(self.begins)
        return counts

    def among(self, kept: Array) -> Array:
        """How many of each shopper's items are ``kept`` (bool [catalogue]): int64 [shoppers]."""
        shoppers = np.repeat(np.arange(len(self)), self.counts)
        return np.bincount(shoppers[kept[self.items]], minlength=len(self))

    def hits(self, lists: Array) -> Array:
        """Which listed items were chosen: bool [shoppers, depth]."""
        span = int(max(self.items.max(initial=0), lists.max(initial=0))) + 1
        shoppers = np.arange(len(self))
        known = np.repeat(shoppers, self.counts) * span + self.items
        asked = np.where(lists == NOTHING, -1, shoppers[:, None] * span + lists)
        return np.isin(asked, known)


def figures(lists: Array, chosen: Chosen, depth: int, slices: Mapping[str, Array] | None = None) -> dict[str, Array]:
    """One number a shopper and metric, f64 [shoppers]; not a number where a metric is not defined for a shopper.

    ``recall@k``: share of the chosen items that are listed. ``ndcg@k``: discounted by log₂(1 + place), beside the best
    possible list (Järvelin and Kekäläinen, 2002). ``map@k``: mean precision at the hits, over min(k, chosen).
    ``mrr@k``: 1 / place of the first hit. ``hit@k``: whether there is one. ``precision@k``: share of k.

    Args:
        lists: int64 [shoppers, ≥ depth], best first, no item twice, ``-1`` behind the end of a short one.
        chosen: what each of these shoppers chose.
        depth: k.
        slices: name → bool [catalogue]; ``NAME_recall@k`` is the recall among the chosen items of that kind.

    Raises:
        DataError: other shoppers in the lists than in ``chosen``, lists shorter than ``depth``, or an item twice.
    """
    _check(lists, chosen, depth)
    lists = lists[:, :depth]
    hits = chosen.hits(lists)
    possible = np.minimum(chosen.counts, depth)
    discount = 1.0 / np.log2(np.arange(2, depth + 2))
    best = np.concatenate([[0.0], np.cumsum(discount)])[possible]
    precision = np.cumsum(hits, axis=1) / np.arange(1, depth + 1)
    first = np.where(hits.any(axis=1), hits.argmax(axis=1) + 1.0, np.inf)
    found = {
        "ndcg": hits @ discount / best,
        "recall": hits.sum(axis=1) / chosen.counts,
        "map": (precision * hits).sum(axis=1) / possible,
        "mrr": 1.0 / first,
        "hit": hits.any(axis=1).astype(float),
        "precision": hits.mean(axis=1),
    }
    for name, kept in (slices or {}).items():
        there = chosen.among(kept)
        listed = (hits & kept[lists]).sum(axis=1)  # a hit is never behind the end, where kept[-1] stands for nothing
        found[f"{name}_recall"] = np.where(there > 0, listed / np.maximum(there, 1), np.nan)
    return {f"{name}@{depth}": values for name, values in found.items()}


def _check(lists: Array, chosen: Chosen, depth: int) -> None:
    if len(lists) != len(chosen):
        raise DataError("the lists are of other shoppers", seen=f"{len(lists)} lists, {len(chosen)} shoppers")
    if lists.shape[1] < depth:
        raise DataError("the lists are too short", seen=f"{lists.shape[1]} items", allowed=f"{depth} or more")
    ordered = np.sort(lists[:, :depth], axis=1)
    if ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != NOTHING)).any():
        raise DataError("an item stands twice in a list")


def resampled(
    systems: Mapping[str, Mapping[str, Array]],
    *,
    samples: int = 1000,
    seed: int = 0,
    groups: Sequence[object] | None = None,
) -> dict[str, Resampled]:
    """The mean of every figure of every system, on all lists and on the same bootstrap resamples.

    Args:
        systems: name → what :func:`figures` gave, the same lists in the same order.
        groups: one value a list (the shopper, where each is asked at several times): drawn whole.
    """
    names = list(next(iter(systems.values())))
    rows = len(next(iter(next(iter(systems.values())).values())))
    every = np.ones((rows, 1))
    drawn: dict[str, dict[str, list[Array]]] = {system: {name: [] for name in names} for system in systems}
    for weights in resample_weights(rows, samples, seed, groups):
        for system, found in systems.items():
            for name in names:
                drawn[system][name].append(_mean(found[name], weights))
    return {
        system: Resampled(
            {name: float(_mean(found[name], every)[0]) for name in names},
            {name: np.concatenate(blocks) for name, blocks in drawn[system].items()},
        )
        for system, found in systems.items()
    }


def _mean(values: Array, weights: Array) -> Array:
    """Weighted means over the rows that have a value: f64 [samples]; not a number where none has."""
    known = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        mean: Array = (np.where(known, values, 0.0) @ weights) / (known @ weights)
    return mean


# --- Of the lists as a whole --------------------------------------------------------------------------------------


def coverage(lists: Array, catalogue: int, depth: int) -> float:
    """Share of the catalogue that is listed at least once."""
    listed = np.unique(lists[:, :depth])
    return float((listed != NOTHING).sum() / catalogue)


def novelty(lists: Array, buyers: Array, shoppers: int, depth: int) -> Array:
    """How unknown the listed items are: the mean of −log₂ of the share of shoppers who had them (Vargas and Castells,
    2011), f64 [lists]. An item that nobody had counts as if one shopper had it.
    """
    surprise = -np.log2(np.maximum(buyers, 1) / shoppers)
    return _mean_of_listed(surprise[lists[:, :depth]], lists[:, :depth])


def diversity(lists: Array, vectors: Array, depth: int) -> Array:
    """One minus the mean cosine between the items of a list (Ziegler et al., 2005), f64 [lists]; not a number for one
    item.

    Args:
        vectors: f32 [catalogue, width].
    """
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    there = lists[:, :depth] != NOTHING
    listed = unit[lists[:, :depth]] * there[:, :, None]  # [lists, depth, width]
    count = there.sum(axis=1)
    alike = np.square(listed.sum(axis=1)).sum(axis=1) - np.square(listed).sum(axis=(1, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(count > 1, 1.0 - alike / (count * (count - 1.0)), np.nan)


def _mean_of_listed(values: Array, lists: Array) -> Array:
    there = lists != NOTHING
    with np.errstate(invalid="ignore"):
        return np.where(there, values, 0.0).sum(axis=1) / there.sum(axis=1)
