"""What the latest rows say against the answers of a stack: a level that has moved since most rows were written."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tuwen.training.stack.linear import Truth

NEWEST = 0.1  # share of the rows that are compared
LEAST_ROWS = 50
CLEAR = 3.0  # standard errors


@dataclass(frozen=True)
class Drift:
    """The newest rows' mean of truth − answer, out of fold, and what of it is added to all answers.

    Attributes:
        level: the mean, in units of the target (rate) or as a difference of shares (binary).
        error: its standard error.
        shift: added to answers: of numbers in units of the standardised target, else to log-odds. 0 where the level is
            not clear.
        rows: that were compared.
    """

    level: float
    error: float
    shift: float
    rows: int

    def plain(self) -> dict[str, Any]:
        return asdict(self)


def drift_of(answers: np.ndarray, truth: Truth, times: np.ndarray) -> Drift | None:
    """The drift of answers out of fold; None where there is none to see: classes, no times, or too few rows.

    The shift is shrunk by how unsure the level is (James and Stein, 1961).

    Args:
        answers: f32 [rows, outputs], combined.
        times: f64 [rows]; NaN where a row has none.
    """
    timed = np.flatnonzero(np.isfinite(times))
    count = int(len(timed) * NEWEST)
    if truth.kind == "classify" or count < LEAST_ROWS:
        return None
    newest = timed[np.argsort(times[timed], kind="stable")[-count:]]
    score, value = answers[newest, 0].astype(np.float64), truth.values[newest]
    expected = score if truth.kind == "rate" else 0.5 * (1 + np.tanh(score / 2))
    rest = value - expected
    level, error = float(rest.mean()), float(rest.std() / np.sqrt(count))
    if abs(level) <= CLEAR * error:
        return Drift(level, error, 0.0, count)
    shrunk = level * (1 - (error / level) ** 2)
    # log-odds move a probability by p (1 − p) a unit
    slope = 1.0 if truth.kind == "rate" else float(np.mean(expected * (1 - expected)))
    return Drift(level, error, shrunk / max(slope, 1e-3), count)
