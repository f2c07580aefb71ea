"""How the members of a stack are combined: weights by answers out of fold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from tuwen.models.stack.members import Networks
from tuwen.training.stack.linear import Truth, log_softmax
from tuwen.training.stack.networks import out_of_fold
from tuwen.training.stack.rows import Rows
from tuwen.training.stack.trees import Boosted

STEPS = 50  # of the greedy selection: weights are multiples of a fiftieth
MOST_ROWS = 5_000  # that weights and temperatures are chosen on: some dozens of numbers
TEMPERATURES = np.geomspace(0.25, 8, 41)
SHARPNESS = np.linspace(0.7, 2.0, 27)


@dataclass(frozen=True)
class Combination:
    """Weights of the members for one pattern of modalities.

    Attributes:
        weights: f64 [members], on the simplex.
        sharpness: what the blend is multiplied by: members that agree are surer together.
        losses: f64 [rows], weighted, out of fold.
        answers: f32 [rows, outputs], combined, out of fold.
        single: whether one member stands alone because the others are worth no more than chance.
    """

    weights: np.ndarray
    sharpness: float
    losses: np.ndarray
    answers: np.ndarray
    single: bool


@dataclass(frozen=True)
class Fitted:
    """One combination a pattern, and the temperature of each member f64 [members]."""

    patterns: list[list[str]]
    combinations: list[Combination]
    temperatures: np.ndarray


def combine_patterns(
    rows: Rows,
    maps: Mapping[str, np.ndarray],
    networks: list[Networks],
    boosted: Boosted | None,
    patterns: list[list[str]],
    advance: Callable[[int], None],
) -> Fitted:
    """A combination for every pattern; temperatures are those of the first, where everything is there."""
    answers = _Answers(rows, rows.compact(maps), networks, boosted)
    costs = np.array([member.cost for member in rows.members])
    temperatures = np.ones(len(costs))
    combinations: list[Combination] = []
    for pattern in patterns:
        raw = answers.of(pattern)
        if not combinations:
            for m, member in enumerate(rows.members):
                temperatures[m] = temperature_of(raw[:, m], rows.truth)
                losses = rows.truth.losses(scaled(raw[:, m], temperatures[m], rows.truth))
                member.loss = float((losses * rows.truth.weights).mean())
        calibrated = [scaled(raw[:, m], temperature, rows.truth) for m, temperature in enumerate(temperatures)]
        combinations.append(combine(np.stack(calibrated, axis=1), rows.truth, costs))
        advance(1)
    return Fitted(patterns, combinations, temperatures)


@dataclass(frozen=True)
class _Answers:
    """Answers out of fold of every member, for any pattern."""

    rows: Rows
    compact: dict[str, np.ndarray]
    networks: list[Networks]
    boosted: Boosted | None

    def of(self, pattern: Sequence[str]) -> np.ndarray:
        """f32 [rows, members, outputs], with the modalities outside the pattern absent."""
        linear = [self.rows.linear_answers(member, pattern) for member in self.rows.linear]
        compact = {name: x if name in pattern else np.zeros_like(x) for name, x in self.compact.items()}
        fold = torch.from_numpy(self.rows.folds.astype(np.int64))
        inputs = [torch.from_numpy(x) for x in compact.values()]
        answers = [*linear, *(out_of_fold(network, inputs, fold) for network in self.networks)]
        if self.boosted is not None:
            features = self.rows.tree_features(linear, compact)
            answers.append(self.boosted.out_of_fold(features, self.rows.folds))
        return np.stack(answers, axis=1)


def temperature_of(answers: np.ndarray, truth: Truth) -> float:
    """What answers [rows, outputs] are divided by to be right about how sure they are (Guo et al., 2017); 1 of
    numbers.
    """
    if truth.kind == "rate":
        return 1.0
    some = slice(None, None, -(-len(answers) // MOST_ROWS))
    answers, truth = answers[some], truth.take(np.arange(0, len(answers), some.step))
    losses = [float((truth.losses(answers / t) * truth.weights).mean()) for t in TEMPERATURES]
    return float(TEMPERATURES[int(np.argmin(losses))])


def scaled(answers: np.ndarray, temperature: float, truth: Truth) -> np.ndarray:
    """Calibrated answers f32 [rows, outputs]; of classes the logarithms of their probabilities."""
    calm = answers / np.float32(temperature)
    return log_softmax(calm).astype(np.float32) if truth.kind == "classify" else calm


def combine(answers: np.ndarray, truth: Truth, costs: np.ndarray) -> Combination:
    """Weights on the simplex, chosen greedily (Caruana et al., 2004). Where the blend is not better by a standard
    error, one member: the simplest of those within one.

    Args:
        answers: calibrated ones out of fold, f32 [rows, members, outputs].
        costs: int [members]; the cheapest is the simplest.
    """
    step = -(-len(answers) // MOST_ROWS)
    some, few = answers[::step], truth.take(np.arange(0, len(answers), step))
    weights = _greedy(some, few)
    sharpness = 1.0
    if truth.kind != "rate":
        mixed = _mixed(some, weights)
        losses_of = [float((few.losses(mixed * s) * few.weights).mean()) for s in SHARPNESS]
        sharpness = float(SHARPNESS[int(np.argmin(losses_of))])
    blend = _mixed(answers, weights) * sharpness
    losses = truth.losses(blend) * truth.weights
    for member in np.argsort(costs, kind="stable"):
        alone = truth.losses(answers[:, member]) * truth.weights
        if (alone - losses).mean() <= (alone - losses).std() / np.sqrt(len(alone)):
            return Combination(np.eye(answers.shape[1])[member], 1.0, alone, answers[:, member], True)
    return Combination(weights, sharpness, losses, blend, False)


def _mixed(answers: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return np.asarray(np.tensordot(answers, weights, axes=([1], [0])))


def _greedy(answers: np.ndarray, truth: Truth) -> np.ndarray:
    """Add one member after the other, each time the one that helps most; weights are how often each was added."""
    members = answers.shape[1]
    counts = np.zeros(members)
    total = np.zeros((len(answers), truth.outputs))
    best, best_counts = np.inf, counts
    for n in range(1, STEPS + 1):
        losses = [float((truth.losses((total + answers[:, m]) / n) * truth.weights).mean()) for m in range(members)]
        member = int(np.argmin(losses))
        counts = counts + np.eye(members)[member]
        total += answers[:, member]
        if losses[member] < best - 1e-9:
            best, best_counts = losses[member], counts
    return np.asarray(best_counts / best_counts.sum())
