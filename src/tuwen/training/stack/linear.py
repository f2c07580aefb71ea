"""Linear members: ridge, logistic and multinomial regression over the features of some modalities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from tuwen.training.stack.blocks import Matrix

Kind = Literal["rate", "binary", "classify"]

STEPS = 100  # of L-BFGS, at most
FTOL = 3e-5  # relative; 1e-7 takes twice as long for a loss that differs in the fourth digit


@dataclass(frozen=True)
class Truth:
    """What is predicted, as losses need it.

    Attributes:
        kind: of the task.
        values: f64 [rows] (rate, standardised), 0/1 (binary) or int [rows] (classify).
        outputs: of the task.
        weights: f64 [rows] with mean 1.
    """

    kind: Kind
    values: np.ndarray
    outputs: int
    weights: np.ndarray

    def take(self, rows: np.ndarray) -> Truth:
        return Truth(self.kind, self.values[rows], self.outputs, self.weights[rows])

    def losses(self, scores: np.ndarray) -> np.ndarray:
        """f64 [rows]: squared error or log loss of scores [rows, outputs], without the weights."""
        if self.kind == "rate":
            return np.asarray((scores[:, 0] - self.values) ** 2)
        if self.kind == "binary":
            z = scores[:, 0].astype(np.float64)
            return np.asarray(np.logaddexp(0, z) - self.values * z)
        return np.asarray(-log_softmax(scores)[np.arange(len(scores)), self.values])

    def slopes(self, scores: np.ndarray) -> np.ndarray:
        """Derivative of half the squared error, or of the log loss: [rows, outputs]."""
        if self.kind == "rate":
            return scores - self.values[:, None]
        if self.kind == "binary":
            return np.asarray(0.5 * (1 + np.tanh(scores / 2)) - self.values[:, None])
        slopes = np.exp(log_softmax(scores))
        slopes[np.arange(len(slopes)), self.values] -= 1
        return np.asarray(slopes)


def log_softmax(scores: np.ndarray) -> np.ndarray:
    shifted = scores.astype(np.float64) - scores.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


@dataclass(frozen=True)
class Linear:
    """A fitted linear member: scores = Σ Xₘ Wₘ + b; ``weights`` f64 [features, outputs] each, ``bias`` [outputs]."""

    weights: list[np.ndarray]
    bias: np.ndarray

    def scores(self, matrices: Sequence[Matrix]) -> np.ndarray:
        total = self.bias + sum(
            np.asarray(x @ w.astype(np.float32)) for x, w in zip(matrices, self.weights, strict=True)
        )
        return np.asarray(total, dtype=np.float32)


def fit_linear(
    matrices: Sequence[Matrix], truth: Truth, penalties: Sequence[float], start: Linear | None = None
) -> Linear:
    """The weights for which Σ loss + ½ Σₘ penaltyₘ ‖Wₘ‖² is smallest (half the squared error for numbers).

    Args:
        start: where the search begins; near the end it is short.
    """
    from scipy.optimize import minimize

    sizes = [x.shape[1] for x in matrices]
    roots = [1 / np.sqrt(penalty) for penalty in penalties]  # the search is over W √penalty: alike in all directions
    cuts = np.cumsum([size * truth.outputs for size in sizes])
    weight = truth.weights[:, None]
    transposed = [x.T.tocsr() if hasattr(x, "tocsr") else x.T for x in matrices]

    def unpacked(flat: np.ndarray) -> list[np.ndarray]:
        *parts, bias = np.split(flat, cuts)
        return [
            *(part.reshape(size, truth.outputs) * root for part, size, root in zip(parts, sizes, roots, strict=True)),
            bias,
        ]

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        *weights, bias = unpacked(flat)
        scores = Linear(weights, bias).scores(matrices)
        losses = truth.losses(scores) * truth.weights * (0.5 if truth.kind == "rate" else 1.0)
        slopes = (truth.slopes(scores) * weight).astype(np.float32)
        gradient = [
            np.asarray(t @ slopes, np.float64).ravel() * root for t, root in zip(transposed, roots, strict=True)
        ]
        body = flat[: cuts[-1]]
        value = float(losses.sum() + 0.5 * body @ body)
        return value, np.concatenate([np.concatenate(gradient) + body, slopes.sum(axis=0, dtype=np.float64)])

    began = np.zeros(int(cuts[-1]) + truth.outputs)
    if start is not None:
        began = np.concatenate([*((w / r).ravel() for w, r in zip(start.weights, roots, strict=True)), start.bias])
    options: dict[str, Any] = {"maxiter": STEPS, "ftol": FTOL, "gtol": 1e-5, "maxcor": 10}
    solution = minimize(objective, began, jac=True, method="L-BFGS-B", options=options)
    *weights, bias = unpacked(solution.x)
    return Linear(weights, bias)
