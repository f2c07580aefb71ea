"""How the members of a stack are combined: weights by answers out of fold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tuwen.training.stack.linear import Truth, log_softmax

STEPS = 50  # of the greedy selection: weights are multiples of a fiftieth
MOST_ROWS = 20_000  # that weights are chosen on
SHARPNESS = np.linspace(0.7, 2.0, 27)


@dataclass(frozen=True)
class Combination:
    """Weights [members], their sharpness, the losses f64 [rows] that they leave, and whether one member stands alone
    because the others are worth no more than chance (``single``).
    """

    weights: np.ndarray
    sharpness: float
    losses: np.ndarray
    single: bool


def calibrated(answers: np.ndarray, truth: Truth) -> tuple[np.ndarray, float]:
    """Answers [rows, outputs] over the temperature that fits the truth best (Guo et al., 2017), and that temperature.

    Of classes they are logarithms of probabilities after that. Numbers stay as they are.
    """
    if truth.kind == "rate":
        return answers, 1.0
    candidates = np.geomspace(0.25, 8, 41)
    found = [float((truth.losses(answers / t) * truth.weights).mean()) for t in candidates]
    best = float(candidates[int(np.argmin(found))])
    scaled = answers / best
    return (log_softmax(scaled).astype(np.float32) if truth.kind == "classify" else scaled), best


def combine(answers: np.ndarray, truth: Truth, parts: np.ndarray) -> Combination:
    """Weights on the simplex, chosen greedily (Caruana et al., 2004); one member where the blend is not better by a
    standard error: the simplest of those within one.

    Args:
        answers: calibrated ones out of fold, f32 [rows, members, outputs].
        parts: int [members]: what a member costs; the cheapest is the simplest.
    """
    step = -(-len(answers) // MOST_ROWS)
    some, few = answers[::step], truth.take(np.arange(0, len(answers), step))
    weights = _greedy(some, few)
    sharpness = 1.0
    if truth.kind != "rate":
        blend = _mixed(some, weights)
        losses = [float((few.losses(blend * s) * few.weights).mean()) for s in SHARPNESS]
        sharpness = float(SHARPNESS[int(np.argmin(losses))])
    losses = truth.losses(_mixed(answers, weights) * sharpness) * truth.weights
    for member in np.argsort(parts, kind="stable"):
        alone = truth.losses(answers[:, member]) * truth.weights
        if len(alone) > 1 and (alone - losses).mean() <= (alone - losses).std() / np.sqrt(len(alone)):
            return Combination(np.eye(answers.shape[1])[member], 1.0, alone, True)
    return Combination(weights, sharpness, losses, False)


def _mixed(answers: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return np.asarray(np.tensordot(answers, weights, axes=([1], [0])))


def _greedy(answers: np.ndarray, truth: Truth) -> np.ndarray:
    """Add one member after the other, each time the one that helps most; weights are how often each was added."""
    members = answers.shape[1]
    counts = np.zeros(members)
    total = np.zeros((len(answers), truth.outputs))
    best, best_counts = np.inf, counts.copy()
    for n in range(1, STEPS + 1):
        losses = [
            float((truth.losses((total + answers[:, m]) / n) * truth.weights).mean()) for m in range(members)
        ]
        chosen = int(np.argmin(losses))
        counts[chosen] += 1
        total += answers[:, chosen]
        if losses[chosen] < best - 1e-9:
            best, best_counts = losses[chosen], counts.copy()
    return np.asarray(best_counts / best_counts.sum())
