"""Bayesian matrix factorisation with side information, by Gibbs sampling.

Every user and every item has a vector whose first number is its bias. A vector is drawn around what the facts of its
owner say (μ + Σ βᵀx, one β for each block of facts, each block with a precision of its own), and the ratings around
bᵤ + bᵢ + uᵀv. Everything is drawn in turn from what is known given the rest, so nothing is to be tuned.

R. Salakhutdinov and A. Mnih, "Bayesian Probabilistic Matrix Factorization using MCMC" (2008); J. Simm et al., "Macau:
Scalable Bayesian Factorization with High-dimensional Side Information" (2015). Who rated what as a fact of a user and
of an item: R. Salakhutdinov, A. Mnih and G. Hinton (2007), SVD++ (Koren, 2008); why that is strong: S. Rendle, L. Zhang
and Y. Koren, "On the Difficulty of Evaluating Baselines" (2019). Ordered answers: J. Albert and S. Chib (1993), with
the cuts of M. Cowles (1996).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from scipy.special import ndtr, ndtri

Array = np.ndarray
LIKE = 2.0  # prior: how many observations the mean of the vectors counts for
FIRST_PRECISION = 10.0  # of β and of the vectors, before anything is drawn


@dataclass(frozen=True)
class Draw:
    """One state of the chain.

    Attributes:
        user, item: vectors f64 [owners, width + 1], the bias first.
        centres: of both sides, μ f64 [width + 1].
        effects: of both sides, β f64 [facts, width + 1] of each block.
        spreads: of both sides, covariance f64 [width + 1, width + 1] around what the facts say.
        cuts: between the ordered answers; None where they are plain numbers.
    """

    user: Array
    item: Array
    centres: tuple[Array, Array]
    effects: tuple[list[Array], list[Array]]
    spreads: tuple[Array, Array]
    cuts: Array | None


class Owners:
    """One side: vectors, what their facts explain of them, and how they spread around that."""

    def __init__(self, blocks: list[Array], count: int, width: int, rng: np.random.Generator) -> None:
        self.rng, self.count = rng, count
        self.turned = [_turned(block) for block in blocks]
        self.effects = [np.zeros((len(size), width)) for _, size, _ in self.turned]
        self.precisions = [FIRST_PRECISION for _ in self.turned]
        self.said = [np.zeros((count, width)) for _ in self.turned]
        self.centre = np.zeros(width)
        self.precision = np.eye(width) * FIRST_PRECISION
        self.vectors = rng.normal(size=(count, width)) * 0.1

    @property
    def expected(self) -> Array:
        return self.centre + sum(self.said, np.zeros_like(self.vectors))

    def draw_vectors(self, pairs: Pairs, others: Array, rest: Array, noise: float) -> None:
        """Vectors given the ``others``' vectors [others, width] and ``rest``, the ratings without their biases, in the
        pairs' order.
        """
        design = others.copy()
        design[:, 0] = 1.0  # what is not the owner's bias is multiplied with the other's vector
        precision = noise * pairs.squares(design) + self.precision
        right = noise * (pairs.weighted(rest) @ design) + self.expected @ self.precision
        lower = torch.linalg.cholesky(torch.from_numpy(precision))
        half = torch.linalg.solve_triangular(lower, torch.from_numpy(right).unsqueeze(2), upper=False)
        half += torch.from_numpy(self.rng.normal(size=half.shape))
        self.vectors = torch.linalg.solve_triangular(lower.mT, half, upper=True).squeeze(2).numpy()

    def draw_rest(self) -> None:
        """Everything else of this side, given the vectors."""
        width = len(self.centre)
        apart = self.vectors - sum(self.said, np.zeros_like(self.vectors))
        mean = apart.mean(axis=0)
        scatter = np.eye(width) + (apart - mean).T @ (apart - mean)
        scatter += self.count * LIKE / (self.count + LIKE) * np.outer(mean, mean)
        self.precision = _wishart(np.linalg.inv(scatter), width + self.count, self.rng)
        lower = np.linalg.cholesky(self.precision)
        jitter = np.linalg.solve(lower.T, self.rng.normal(size=width)) / np.sqrt(self.count + LIKE)
        self.centre = self.count * mean / (self.count + LIKE) + jitter
        inverse = np.linalg.inv(lower)  # rows of noise @ inverse have the covariance of the vectors
        for i, (turned, size, _) in enumerate(self.turned):
            rest = self.vectors - self.expected + self.said[i]
            scale = (size + self.precisions[i])[:, None]
            noise = self.rng.normal(size=(len(size), width)) @ inverse
            self.effects[i] = turned.T @ rest / scale + noise / np.sqrt(scale)
            length = float(np.einsum("dk,kl,dl->", self.effects[i], self.precision, self.effects[i]))
            self.precisions[i] = float(self.rng.gamma((1 + len(size) * width) / 2, 2 / (1 + length)))
            self.said[i] = turned @ self.effects[i]

    def told(self) -> list[Array]:
        """β of each block, by its own facts."""
        return [back @ effect for (_, _, back), effect in zip(self.turned, self.effects, strict=True)]


class Pairs:
    """Who rated what: sums over the ratings of each owner. Twice the same pair is twice a rating."""

    def __init__(self, owner: Array, other: Array, owners: int, others: int) -> None:
        self.order = np.argsort(owner, kind="stable")
        self.columns = other[self.order]
        self.starts = np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=owners))])
        self.shape = (owners, others)
        self.ones = self._matrix(np.ones(len(owner), np.float32))

    def _matrix(self, data: Array) -> sparse.csr_matrix:
        return sparse.csr_matrix((data, self.columns, self.starts), shape=self.shape)

    def weighted(self, values: Array) -> sparse.csr_matrix:
        return self._matrix(values[self.order])

    def squares(self, design: Array) -> Array:
        """Σ x xᵀ over the others of each owner: f64 [owners, width, width]."""
        width = design.shape[1]
        one, two = np.triu_indices(width)
        sums = self.ones @ (design[:, one] * design[:, two]).astype(np.float32)
        found = np.empty((self.shape[0], width, width))
        found[:, one, two] = found[:, two, one] = sums
        return found


class Numbers:
    """Ratings as plain numbers with normal noise."""

    cuts: Array | None = None

    def __init__(self, values: Array, rng: np.random.Generator) -> None:
        self.rng, self.base = rng, float(values.mean())
        self.values = values - self.base
        self.noise = 1.0 / max(float(values.var()), 1e-9)

    def draw(self, answers: Array, warm: bool) -> Array:
        """What is explained, given the answers so far; the noise's precision is drawn on the way."""
        left = float(((self.values - answers) ** 2).sum())
        self.noise = float(self.rng.gamma((1 + len(answers)) / 2, 2 / (1 + left)))
        return self.values


class Levels:
    """Ratings as ordered answers: a hidden number with unit noise lies between two cuts."""

    noise = 1.0
    base = 0.0

    def __init__(self, places: Array, count: int, rng: np.random.Generator) -> None:
        """Args: places: int [rows], which of ``count`` levels each rating is."""
        self.rng, self.places = rng, places
        below = np.cumsum(np.bincount(places, minlength=count))[:-1] / len(places)
        self.cuts = 1.3 * ndtri(below)  # the hidden numbers spread wider than their noise
        self.step, self.taken, self.tried = 3.5 / np.sqrt(len(places)), 0, 0

    def draw(self, answers: Array, warm: bool) -> Array:
        self._move(answers)
        if warm and self.tried == 10:  # towards three in ten, and only before anything is kept
            self.step *= 1.3 if self.taken > 4 else 0.75 if self.taken < 2 else 1.0
            self.taken = self.tried = 0
        low, high = self._between(self.cuts)
        under, over = ndtr(low - answers), ndtr(high - answers)
        place = np.clip(under + (over - under) * self.rng.random(len(answers)), 1e-12, 1 - 1e-12)
        found: Array = answers + ndtri(place)
        return found

    def _between(self, cuts: Array) -> tuple[Array, Array]:
        ends = np.concatenate([[-np.inf], cuts, [np.inf]])
        return ends[self.places], ends[self.places + 1]

    def _move(self, answers: Array) -> None:
        """New cuts, or the old ones (Metropolis, the hidden numbers summed out)."""
        gaps = np.log(np.diff(self.cuts))
        moved = gaps + self.rng.normal(size=len(gaps)) * self.step
        first = self.cuts[0] + self.rng.normal() * self.step
        cuts = first + np.concatenate([[0.0], np.cumsum(np.exp(moved))])
        gain = self._fit(cuts, answers) - self._fit(self.cuts, answers) + float((moved - gaps).sum())
        self.tried += 1
        if np.log(self.rng.random()) < gain:
            self.cuts, self.taken = cuts, self.taken + 1

    def _fit(self, cuts: Array, answers: Array) -> float:
        low, high = self._between(cuts)
        return float(np.log(np.maximum(ndtr(high - answers) - ndtr(low - answers), 1e-300)).sum())


def draws(
    user: Array,
    item: Array,
    truth: Numbers | Levels,
    blocks: tuple[list[Array], list[Array]],
    counts: tuple[int, int],
    *,
    width: int,
    samples: int,
    warm_up: int,
    rng: np.random.Generator,
    tick: Callable[[int], None],
) -> Iterator[Draw]:
    """``samples`` states of the chain, after ``warm_up`` that are not shown.

    Args:
        user, item: int [rows], from 0.
        blocks: facts of the users and of the items, f64 [owners, facts] each.
    """
    sides = [Owners(blocks[i], counts[i], width + 1, rng) for i in range(2)]
    pairs = [Pairs(user, item, *counts), Pairs(item, user, *counts[::-1])]
    ids = user, item
    for step in range(warm_up + samples):
        values = truth.draw(_answers(sides, ids), step < warm_up)
        for i, own in enumerate(sides):
            others = sides[1 - i].vectors
            own.draw_vectors(pairs[i], others, values - others[ids[1 - i], 0], truth.noise)
            own.draw_rest()
        tick(1)
        if step >= warm_up:
            yield Draw(
                sides[0].vectors,
                sides[1].vectors,
                (sides[0].centre, sides[1].centre),
                (sides[0].told(), sides[1].told()),
                (np.linalg.inv(sides[0].precision), np.linalg.inv(sides[1].precision)),
                None if truth.cuts is None else truth.cuts.copy(),
            )


def _answers(sides: list[Owners], ids: tuple[Array, Array]) -> Array:
    one, two = (side.vectors[rows] for side, rows in zip(sides, ids, strict=True))
    found: Array = one[:, 0] + two[:, 0] + np.einsum("nk,nk->n", one[:, 1:], two[:, 1:])
    return found


def _turned(facts: Array) -> tuple[Array, Array, Array]:
    """Facts X in the axes in which XᵀX is diagonal: (XQ [owners, axes], the diagonal, Q [facts, axes]).

    In them the effects are drawn one by one, whatever their precision.
    """
    if facts.shape[0] < facts.shape[1]:  # at most as many axes as owners
        size, axes = np.linalg.eigh(facts @ facts.T)
        kept = size > 1e-9 * max(float(size.max(initial=0.0)), 1e-30)
        size, axes = size[kept], axes[:, kept]
        return axes * np.sqrt(size), size, facts.T @ axes / np.sqrt(size)
    size, axes = np.linalg.eigh(facts.T @ facts)
    kept = size > 1e-9 * max(float(size.max(initial=0.0)), 1e-30)
    return facts @ axes[:, kept], size[kept], axes[:, kept]


def _wishart(scale: Array, freedom: int, rng: np.random.Generator) -> Array:
    """One draw (Bartlett, 1933)."""
    width = len(scale)
    lower = np.tril(rng.normal(size=(width, width)), -1)
    lower[np.diag_indices(width)] = np.sqrt(rng.chisquare(freedom - np.arange(width)))
    half = np.linalg.cholesky((scale + scale.T) / 2) @ lower
    found: Array = half @ half.T
    return found
