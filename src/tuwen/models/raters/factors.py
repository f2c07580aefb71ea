"""Users and items as vectors, learned from ratings, from who rated what, and from what is known of both."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from tuwen.errors import DataError
from tuwen.models.raters.gibbs import Draw, Levels, Numbers, draws
from tuwen.models.raters.rater import SIDES, Asked, Facts, Rater, Ratings, Side, Tick
from tuwen.registry import Count

MOST_LEVELS = 20


class Factors(Rater):
    """Bayesian matrix factorisation: bᵤ + bᵢ + uᵀv, averaged over draws of everything that is not known.

    A vector is expected where the facts of its owner say: the columns and vectors of its modalities, and which items
    a user rated, or which users an item. So a new item is rated by its picture, text and table, and a new user by her
    table, as surely as these foretold the vectors of others. Sampled by Gibbs (Salakhutdinov and Mnih, 2008; Simm et
    al., 2015; Rendle, Zhang and Koren, 2019), so width and pull need no tuning.

    Args:
        width: numbers of a vector.
        answers: numbers: ratings with normal noise; levels: ordered answers whose distances are learned (ordered
            probit), for at most 20 different values.
        samples: draws that are averaged.
        warm_up: draws before these.
        kept: of the samples, evenly, what the bundle keeps: more are steadier and slower to ask.
        implicit: the most rated items (users) of which it counts who (what) rated them; 0: none.
        facts: principal components that are kept of a modality with more numbers.
    """

    levels: Tensor
    cuts: Tensor

    def __init__(
        self,
        *,
        width: Count = 16,
        answers: Literal["numbers", "levels"] = "numbers",
        samples: Count = 120,
        warm_up: Count = 40,
        kept: Count = 40,
        implicit: Annotated[int, Field(ge=0, le=20_000)] = 2000,
        facts: Count = 64,
    ) -> None:
        super().__init__()
        self.width, self.answers, self.samples, self.warm_up = width, answers, samples, warm_up
        self.most, self.implicit, self.facts = kept, implicit, facts

    @property
    def work(self) -> int:
        return self.samples + self.warm_up

    def fit(self, ratings: Ratings, rng: np.random.Generator, tick: Tick) -> None:
        known = ratings.known()
        if not len(known):
            raise DataError("no rating has a user and an item, so there are no factors")
        user, item = known.user - 1, known.item - 1
        counts = ratings.users, ratings.items
        self.keep(range=np.array([known.value.min(), known.value.max()], np.float64))
        blocks = self._facts(ratings)
        shown = [len(found) for found in blocks]
        if self.implicit:
            blocks[0].append(_who_rated(user, item, *counts, self.implicit))
            blocks[1].append(_who_rated(item, user, *counts[::-1], self.implicit))
        truth = self._truth(known.value, rng)
        wanted = set(np.linspace(0, self.samples - 1, min(self.most, self.samples)).round().astype(int).tolist())
        chain = draws(
            user,
            item,
            truth,
            (blocks[0], blocks[1]),
            counts,
            width=self.width,
            samples=self.samples,
            warm_up=self.warm_up,
            rng=rng,
            tick=tick,
        )
        self._remember([draw for i, draw in enumerate(chain) if i in wanted], truth.base, shown)

    def _truth(self, values: np.ndarray, rng: np.random.Generator) -> Numbers | Levels:
        if self.answers == "numbers":
            return Numbers(values, rng)
        levels, places = np.unique(values, return_inverse=True)
        if not 2 <= len(levels) <= MOST_LEVELS:
            raise DataError(
                "factors with 'answers: levels' need a few different values",
                seen=f"{len(levels):,} different ones",
                allowed=f"2 to {MOST_LEVELS}",
                todo="answers: numbers",
            )
        self.keep(levels=levels.astype(np.float64))
        return Levels(places, len(levels), rng)

    def _facts(self, ratings: Ratings) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Facts of users and items as the sampler takes them; how they are made from others' is kept."""
        found: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
        for side, blocks in zip(SIDES, found, strict=True):
            for i, fact in enumerate(ratings.facts[side]):
                there = fact.present[1:].numpy()
                values = fact.values[1:].numpy().astype(np.float64)
                centre = values[there].mean(axis=0) if there.any() else np.zeros(values.shape[1])
                centred = (values - centre) * there[:, None]
                axes = np.eye(values.shape[1])
                if values.shape[1] > self.facts:
                    _, axes = np.linalg.eigh(centred.T @ centred)
                    axes = axes[:, ::-1][:, : self.facts]
                spread = np.sqrt(max(float(((centred @ axes) ** 2).sum()) / max(int(there.sum()), 1), 1e-12))
                self.keep(**{f"{side}_centre_{i}": centre, f"{side}_axes_{i}": axes / spread})
                blocks.append(centred @ axes / spread)
        return found

    def _remember(self, kept: list[Draw], base: float, shown: list[int]) -> None:
        self.keep(base=np.array(base))
        for s, side in enumerate(SIDES):
            vectors = np.stack([getattr(draw, side) for draw in kept])  # [draws, owners, width + 1]
            nobody = np.zeros_like(vectors[:, :1])
            arrays: dict[str, Any] = {
                "vectors": np.concatenate([nobody, vectors], axis=1),
                "expected": np.stack([draw.centres[s] for draw in kept]),
                "spread": np.stack([draw.spreads[s] for draw in kept]),
            }
            for i in range(shown[s]):  # who rated what is not among them: of a new one nothing is known
                arrays[f"effect_{i}"] = np.stack([draw.effects[s][i] for draw in kept])
            self.keep(**{f"{side}_{name}": array for name, array in arrays.items()})
        if kept[0].cuts is not None:
            self.keep(cuts=np.stack([draw.cuts for draw in kept if draw.cuts is not None]))

    def forward(self, asked: Asked) -> Tensor:
        user, item = self._vectors("user", asked.user, asked.facts), self._vectors("item", asked.item, asked.facts)
        score = self.get_buffer("base") + user[..., 0] + item[..., 0] + (user[..., 1:] * item[..., 1:]).sum(dim=2)
        if self.answers == "numbers":
            low, high = self.get_buffer("range")
            return score.clamp(low, high).mean(dim=0)
        doubt = 1.0 + self._doubt("user", asked.user, item) + self._doubt("item", asked.item, user)
        away = (self.cuts.unsqueeze(1) - score.unsqueeze(2)) / doubt.sqrt().unsqueeze(2)
        under = (1.0 + torch.erf(away * 2**-0.5)) / 2 if torch.jit.is_tracing() else torch.special.ndtr(away)
        gaps = self.levels[1:] - self.levels[:-1]
        return (self.levels[-1] - (under * gaps).sum(dim=2)).mean(dim=0)

    def _vectors(self, side: Side, ids: Tensor, facts: Any) -> Tensor:
        """[draws, rows, width + 1]: what was drawn of the known, what its facts say of a new one."""
        said = self.get_buffer(f"{side}_expected").unsqueeze(1)
        for i, fact in enumerate(facts[side]):
            said = said + torch.einsum("rf,dfk->drk", self._read(side, i, fact), self.get_buffer(f"{side}_effect_{i}"))
        return torch.where((ids > 0).view(1, -1, 1), self.get_buffer(f"{side}_vectors")[:, ids], said)

    def _read(self, side: Side, i: int, fact: Facts) -> Tensor:
        centred = (fact.values - self.get_buffer(f"{side}_centre_{i}")) * fact.present.unsqueeze(1)
        found: Tensor = centred @ self.get_buffer(f"{side}_axes_{i}")
        return found

    def _doubt(self, side: Side, ids: Tensor, others: Tensor) -> Tensor:
        """[draws, rows]: the variance of an answer that comes from not knowing the vector of a new one."""
        weight = torch.cat([torch.ones_like(others[..., :1]), others[..., 1:]], dim=2)
        found = torch.einsum("drk,dkl,drl->dr", weight, self.get_buffer(f"{side}_spread"), weight)
        return found * (ids == 0)


def _who_rated(owner: np.ndarray, other: np.ndarray, owners: int, others: int, most: int) -> np.ndarray:
    """f64 [owners, at most ``most``]: 1/√n for each of the n others that rated, or were rated."""
    many = np.bincount(other, minlength=others)
    popular = np.argsort(-many, kind="stable")[:most]
    place = np.full(others, -1)
    place[popular] = np.arange(len(popular))
    kept = place[other] >= 0
    found = np.zeros((owners, len(popular)))
    found[owner[kept], place[other[kept]]] = 1.0
    found /= np.sqrt(np.maximum(found.sum(axis=1, keepdims=True), 1.0))
    return found
