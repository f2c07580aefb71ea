"""Two towers: items and shoppers as vectors of one space, learned from what was bought. Answers without torch."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from pydantic import Field
from scipy import linalg, sparse

from tuwen.apps.recommend.history import Array, Asked, History
from tuwen.apps.recommend.scores import Dense, Scores
from tuwen.errors import MissingExtra
from tuwen.registry import Count, Share

MEMORIES = (14.0, 120.0)  # days in which an event loses half of its weight, of each mean of a shopper's items
LATEST = 50  # events of a shopper that are read
LEVELS = 256  # of a category, that are told apart: those that sell most
BELIEVED = 0.3  # weight of events below which a mean is drawn towards nothing
OWN = 5  # purchases from which an item has a vector of its own


class TwoTower:
    """Items near what a shopper bought, in a space that is learned from purchases: pictures, words, categories, numbers
    and, for items that sell, a vector of their own. An item that nobody bought is placed by its content. In-batch
    softmax with log-popularity correction (Yi et al., 2019) and mined hard negatives.

    Args:
        width: of the vectors.
        epochs: over the purchases.
        id_dropout: share of the times at which an item's own vector is hidden, so that its content has to tell.
        correction: how much of the batch's bias towards what sells is taken out: 1 gives what a shopper buys, 0 what
            she buys more than others.
        hard: negatives of each purchase that stood high for the shopper.
        nearby: days within which the purchases of a batch lie.
        events: that are learned from, the latest.
    """

    needs = ("train", "torch")  # extra and library, for learning alone

    reason = ("fits your taste", "符合您的喜好")

    def __init__(
        self,
        *,
        width: Annotated[int, Field(ge=2, le=1024)] = 64,
        epochs: Annotated[int, Field(ge=1, le=1000)] = 10,
        batch_size: Annotated[int, Field(ge=2, le=65_536)] = 512,
        learning_rate: Annotated[float, Field(gt=0, le=1)] = 2e-3,
        weight_decay: Annotated[float, Field(ge=0)] = 1e-2,
        id_dropout: Share = 0.3,
        correction: Annotated[float, Field(ge=0, le=1)] = 1.0,
        hard: Annotated[int, Field(ge=0, le=1000)] = 1,
        nearby: Annotated[float, Field(ge=0)] = 28.0,
        events: Count = 100_000,
        seed: int = 0,
    ) -> None:
        self.width, self.epochs, self.batch_size, self.learning_rate = width, epochs, batch_size, learning_rate
        self.weight_decay, self.id_dropout, self.correction, self.hard = weight_decay, id_dropout, correction, hard
        self.nearby, self.events, self.seed = nearby, events, seed

    def fit(self, history: History) -> None:
        """Raises MissingExtra where torch is not installed."""
        self.tower: dict[str, Any] = {}
        self.mean: dict[str, float] = {}
        self.deviation: dict[str, float] = {}
        rows, memories, events = contexts(history, self.events)
        if len(rows) < 2:
            return
        try:
            from tuwen.training.towers import Purchases, Schooling, fit_towers
        except ModuleNotFoundError as error:
            if error.name != "torch":
                raise
            raise MissingExtra("train", "the retriever two-tower") from None
        told = content(history)
        counts = np.bincount(history.item, minlength=len(history.catalogue))
        own = np.where(counts >= OWN, np.cumsum(counts >= OWN), 0)
        numbers = {name: values[history.shopper[rows]] for name, values in history.shoppers.numbers.items()}
        self.mean = {name: _finite_mean(values) for name, values in numbers.items()}
        self.deviation = {name: _finite_deviation(values) for name, values in numbers.items()}
        purchases = Purchases(
            told,
            own,
            history.item[rows],
            history.shopper[rows],
            history.day[rows],
            memories,
            tuple(memory @ told for memory in memories),
            self._numbers(numbers, events),
        )
        how = Schooling(
            self.width,
            2 * self.width,
            self.epochs,
            self.batch_size,
            self.learning_rate,
            self.id_dropout,
            self.correction,
            self.hard,
            self.nearby,
            self.weight_decay,
            self.seed,
        )
        self.tower = fit_towers(purchases, how)
        self.tower["known"] = (own > 0) | told.any(axis=1)  # else nothing says what it is

    def score(self, asked: Asked) -> Scores:
        items = self.tower.get("items")
        if items is None:
            return Dense(np.zeros((len(asked), len(asked.catalogue)), np.float32))
        cosine = self.shoppers(asked) @ items.T
        return Dense(np.where(self.tower["known"], cosine + np.float32(1.001), np.float32(0.0)))

    def shoppers(self, asked: Asked) -> Array:
        """f32 [asked, width], of length 1: the shopper tower."""
        kept = np.arange(len(asked.item)) >= asked.begins[1:][asked.row] - LATEST
        row, item, age = asked.row[kept], asked.item[kept], asked.age[kept]
        shape = (len(asked), len(asked.catalogue))
        means = [_memory(row, item, age, half_life, shape) @ self.tower["reading"] for half_life in MEMORIES]
        seen = np.concatenate([*means, self._numbers(asked.numbers, np.bincount(row, minlength=len(asked)))], axis=1)
        layers = self.tower["layers"]
        inner = np.maximum(seen @ layers["first"] + layers["first_bias"], 0.0)
        mixed = sum(weight * mean for weight, mean in zip(self.tower["mix"], means, strict=True))
        found = mixed + inner @ layers["last"] + layers["last_bias"]
        unit: Array = found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
        return unit.astype(np.float32)

    def _numbers(self, told: Any, events: Array) -> Array:
        """f32 [rows, numbers]: how many events are read, and each number of a shopper beside whether it is known."""
        found = [np.log1p(events.astype(np.float32)) / 4]
        for name in self.mean:
            values = np.asarray(told.get(name, np.full(len(events), np.nan)), np.float32)
            known = np.isfinite(values)
            found += [np.where(known, (values - self.mean[name]) / self.deviation[name], 0.0), known]
        return np.stack([np.asarray(one, np.float32) for one in found], axis=1)


def contexts(history: History, events: int) -> tuple[Array, tuple[sparse.csr_matrix, ...], Array]:
    """Purchases to learn from, and what their shoppers bought before them.

    A purchase counts when the shopper had not bought that item before. What lies on the same moment is no part of what
    came before it.

    Returns:
        places in the history int64 [rows]; for each memory weights f32 [rows, items]; events of a row int64 [rows].
    """
    size = len(history.catalogue)
    order = np.argsort(history.shopper, kind="stable")  # by shopper, then by time
    shopper, item, day = history.shopper[order], history.item[order], history.day[order]
    _, first = np.unique(shopper * size + item, return_index=True)
    begin = np.searchsorted(shopper, shopper)
    moment = np.flatnonzero(np.r_[True, (shopper[1:] != shopper[:-1]) | (day[1:] != day[:-1])]) if len(day) else first
    before = moment[np.searchsorted(moment, np.arange(len(day)), side="right") - 1]
    target = np.sort(first)
    latest = np.sort(order[target])[-events:]
    target = target[np.isin(order[target], latest)]
    begins = np.maximum(begin[target], before[target] - LATEST)
    counts = before[target] - begins
    row = np.repeat(np.arange(len(target)), counts)
    place = np.repeat(begins - np.r_[0, np.cumsum(counts)[:-1]], counts) + np.arange(len(row)) if len(row) else row
    age = day[target][row] - day[place]
    shape = (len(target), size)
    memories = tuple(_memory(row, item[place], age, half_life, shape) for half_life in MEMORIES)
    return order[target], memories, counts


def _memory(row: Array, item: Array, age: Array, half_life: float, shape: tuple[int, int]) -> sparse.csr_matrix:
    """Weights f32 of what was bought, in a row at most 1 in sum."""
    weight = (0.5 ** (age / half_life)).astype(np.float32)
    total = np.bincount(row, weight, shape[0]).astype(np.float32)
    return sparse.csr_matrix((weight / (total[row] + BELIEVED), (row, item)), shape=shape, dtype=np.float32)


def content(history: History) -> Array:
    """What an item is, f32 [items, ≤ components]: its vectors, numbers and categories, turned to the main axes of all
    of them together.
    """
    catalogue = history.catalogue
    size = len(catalogue)
    dense = [np.zeros((size, 1), np.float32), *(np.asarray(one, np.float32) for one in catalogue.vectors.values())]
    for values in catalogue.numbers.values():
        known = np.isfinite(values)
        scaled = (values - _finite_mean(values)) / _finite_deviation(values)
        dense.append(np.stack([np.where(known, scaled, 0.0), known], axis=1).astype(np.float32) * SCALE)
    demand = history.demand(None)
    columns = [_levels(level, demand) for level in catalogue.categories.values()]
    every = sparse.hstack([sparse.csr_matrix((size, 0), dtype=np.float32), *columns], format="csr")
    vectors = np.concatenate(dense, axis=1)
    across = every.T @ vectors
    gram = np.block([[vectors.T @ vectors, across.T], [across, (every.T @ every).toarray()]])
    _, axes = linalg.eigh(gram.astype(np.float64))
    axes = axes[:, ::-1][:, :COMPONENTS].astype(np.float32)
    found: Array = vectors @ axes[: vectors.shape[1]] + every @ axes[vectors.shape[1] :]
    return found


def _levels(level: Array, demand: Array) -> sparse.csr_matrix:
    """A category as columns f32 [items, ≤ levels]."""
    sold = np.bincount(level, demand + 1e-3, minlength=int(level.max(initial=0)) + 1)
    sold[0] = 0.0
    kept = np.argsort(-sold, kind="stable")[:LEVELS]
    kept = kept[sold[kept] > 0]
    place = np.full(len(sold), -1)
    place[kept] = np.arange(len(kept))
    there = np.flatnonzero(place[level] >= 0)
    ones = np.full(len(there), SCALE, np.float32)
    return sparse.csr_matrix((ones, (there, place[level][there])), shape=(len(level), len(kept)))


COMPONENTS = 192  # numbers that tell what an item is
SCALE = 0.3  # of a category or a number beside a vector of length 1


def _finite_mean(values: Array) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else 0.0


def _finite_deviation(values: Array) -> float:
    known = values[np.isfinite(values)]
    return float(known.std() or 1.0) if len(known) else 1.0
