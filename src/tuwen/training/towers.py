"""Training of two towers on purchases: sampled softmax over a batch, its bias towards what sells taken out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from tuwen.models.towers import Towers
from tuwen.training.optimiser import schedule

Array = np.ndarray


@dataclass(frozen=True)
class Purchases:
    """What is learned from: each row a purchase and what was known of the shopper just before it.

    Attributes:
        content: f32 [items, any], what tells what an item is.
        id: int64 [items], from 1; 0 where an item has no vector of its own.
        item: int64 [rows], what was bought.
        shopper: int64 [rows].
        day: f64 [rows].
        memories: sparse f32 [rows, items] each: weights of what she bought before; a row sums to 1 or less.
        means: f32 [rows, any] each: ``memory @ content``.
        numbers: f32 [rows, numbers], of the shopper.
    """

    content: Array
    id: Array
    item: Array
    shopper: Array
    day: Array
    memories: tuple[Any, ...]
    means: tuple[Array, ...]
    numbers: Array


@dataclass(frozen=True)
class Schooling:
    """How towers are trained; what the options are stands at the retriever."""

    width: int
    hidden: int
    epochs: int
    batch_size: int
    learning_rate: float
    id_dropout: float
    correction: float
    hard: int
    nearby: float
    weight_decay: float
    seed: int


def fit_towers(known: Purchases, how: Schooling) -> dict[str, Any]:
    """The towers as arrays: ``reading`` and ``items`` f32 [items, width], and the shopper tower's layers.

    In-batch softmax with the logarithm of how often an item turns up in such a batch taken off its logit (Yi et al.,
    2019), and for each row ``hard`` more items that stood high after the last epoch and that shopper never bought.
    A batch is of purchases of the same season, so that what is told apart is taste and not the time of the year.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(how.seed)
        towers = Towers(
            known.content.shape[1],
            int(known.id.max(initial=0)),
            known.numbers.shape[1],
            len(known.memories),
            how.width,
            how.hidden,
        )
        school = _School(known, how, towers)
        for epoch in range(how.epochs):
            school.epoch(epoch)
    return school.arrays()


class _School:
    def __init__(self, known: Purchases, how: Schooling, towers: Towers) -> None:
        self.known, self.how, self.towers = known, how, towers
        self.optimiser = torch.optim.AdamW(towers.parameters(), lr=how.learning_rate, weight_decay=how.weight_decay)
        steps = how.epochs * -(-len(known.item) // how.batch_size)
        self.rate = torch.optim.lr_scheduler.LambdaLR(self.optimiser, schedule("linear", 0.05, steps))
        bought = np.unique(np.stack([known.shopper, known.item]), axis=1)
        self.had = bought[0] * len(known.id) + bought[1]  # sorted

    def epoch(self, epoch: int) -> None:
        known, how = self.known, self.how
        rng = np.random.default_rng([how.seed, epoch])
        mined = self._mined(rng) if how.hard and epoch else None
        order = np.argsort(known.day + how.nearby * rng.random(len(known.day)), kind="stable")
        batches = [order[start : start + how.batch_size] for start in range(0, len(order), how.batch_size)]
        for place in rng.permutation(len(batches)).tolist():
            rows = batches[place]
            if len(rows) > 1:
                self._step(rows, None if mined is None else mined[rows], rng)

    def _step(self, rows: Array, mined: Array | None, rng: np.random.Generator) -> None:
        known, towers = self.known, self.towers
        item = known.item[rows]
        shoppers = self._shoppers(rows, rng)
        positive = towers.items(self._reading(item, rng))
        logits = shoppers @ positive.T * towers.scale.exp()
        logits = logits - self.how.correction * torch.from_numpy(_frequency(item))
        same = torch.from_numpy((item[:, None] == item) & ~np.eye(len(item), dtype=bool))
        logits = logits.masked_fill(same, -torch.inf)
        if mined is not None:
            distinct, place = np.unique(mined, return_inverse=True)
            found = towers.items(self._reading(distinct, rng))[torch.from_numpy(place.reshape(mined.shape))]
            hard = torch.einsum("rw,rhw->rh", shoppers, found) * towers.scale.exp()
            logits = torch.cat([logits, hard], dim=1)
        loss = F.cross_entropy(logits, torch.arange(len(item)))
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        self.rate.step()

    def _reading(self, items: Array, rng: np.random.Generator | None) -> torch.Tensor:
        content, ids = torch.from_numpy(self.known.content[items]), torch.from_numpy(self._ids(items, rng))
        return self.towers.reading(content, ids)

    def _ids(self, items: Array, rng: np.random.Generator | None) -> Array:
        ids = self.known.id[items]
        return ids if rng is None else np.where(rng.random(len(ids)) < self.how.id_dropout, 0, ids)

    def _shoppers(self, rows: Array, rng: np.random.Generator | None) -> torch.Tensor:
        """The shopper tower of rows; a mean of readings is the reading of a mean."""
        known, towers = self.known, self.towers
        means = []
        for memory, content in zip(known.memories, known.means, strict=True):
            part = memory[rows]
            ids = torch.from_numpy(self._ids(part.indices, rng))
            own = F.embedding_bag(
                ids,
                towers.id.weight,
                torch.from_numpy(part.indptr[:-1].astype(np.int64)),
                per_sample_weights=torch.from_numpy(part.data),
                mode="sum",
            )
            means.append(towers.content(torch.from_numpy(content[rows])) + own)
        return towers.shoppers(torch.stack(means, dim=1), torch.from_numpy(known.numbers[rows]))

    @torch.no_grad()
    def _mined(self, rng: np.random.Generator) -> Array:
        """int64 [rows, hard]: for each row, items that stand high for its shopper at one of her moments, among some
        that are drawn anew every epoch.
        """
        known, size = self.known, len(self.known.id)
        among = np.sort(rng.choice(size, min(AMONG, size), replace=False))
        items = self.towers.items(self._reading(among, None))
        shuffled = rng.permutation(len(known.shopper))
        who, first = np.unique(known.shopper[shuffled], return_index=True)
        of_row = np.searchsorted(who, known.shopper)
        pool = min(POOL, len(among))
        high = np.empty((len(who), pool), np.int64)
        for start in range(0, len(who), 512):
            rows = shuffled[first[start : start + 512]]
            scores = (self._shoppers(rows, None) @ items.T).numpy()
            best = among[np.argpartition(-scores, pool - 1, axis=1)[:, :pool]]
            had = np.isin(known.shopper[rows][:, None] * size + best, self.had)
            best[had] = rng.integers(0, size, int(had.sum()))  # what she bought is no negative
            high[start : start + 512] = best
        drawn = rng.integers(0, pool, (len(known.item), self.how.hard))
        return high[of_row[:, None], drawn]

    @torch.no_grad()
    def arrays(self) -> dict[str, Any]:
        reading = self._reading(np.arange(len(self.known.id)), None)
        items = self.towers.items(reading)
        layers: Any = self.towers.shopper_layers
        first, last = layers[0], layers[2]
        return {
            "reading": reading.numpy(),
            "items": items.numpy(),
            "mix": self.towers.mix.detach().numpy(),
            "layers": {
                "first": first.weight.detach().numpy().T.copy(),
                "first_bias": first.bias.detach().numpy(),
                "last": last.weight.detach().numpy().T.copy(),
                "last_bias": last.bias.detach().numpy(),
            },
        }


AMONG = 2000  # items, of which hard negatives are looked for at once
POOL = 20  # of them that stand highest for a shopper, of which her hard negatives are drawn


def _frequency(item: Array) -> Array:
    """f32 [rows]: the logarithm of the share of the batch that each row's item makes."""
    _, place, count = np.unique(item, return_inverse=True, return_counts=True)
    found: Array = np.log(count[place] / len(item)).astype(np.float32)
    return found
