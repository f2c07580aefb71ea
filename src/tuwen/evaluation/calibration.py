"""Does a stated probability, or a predicted number, come true?"""

from __future__ import annotations

from typing import Any

import numpy as np

from tuwen.evaluation.predictions import Array, Predictions

BINS = 10


def calibration(predictions: Predictions, bins: int = BINS) -> dict[str, Any]:
    """Reliability bins and expected calibration error (Guo et al. 2017).

    binary: probability of yes against the share of yes. classify: probability of the answer against the share of right
    answers. rate: mean prediction against mean target, in bins of equally many rows.

    Returns:
        ``kind`` (probability, confidence or value); ``bins``: ``low`` and ``high`` edge, ``rows``, mean ``predicted``,
        mean ``observed`` with a 95 % interval ``observed_low``–``observed_high``; ``error``: mean gap between the two,
        weighted by rows, in the target's unit; ``over``: above 0 when the model promises too much: mean probability of
        the answers minus share of right answers, or (rate) mean prediction minus mean target.
    """
    if predictions.task == "rate":
        predicted, observed, kind = predictions.prediction, predictions.target, "value"
        edges = np.unique(np.quantile(predicted, np.linspace(0, 1, bins + 1)))
        over = float(predicted.mean() - observed.mean())
    else:
        probabilities = predictions.probabilities
        edges = np.linspace(0, 1, bins + 1)
        predicted = probabilities[np.arange(len(predictions)), predictions.prediction]
        observed, kind = (predictions.prediction == predictions.target).astype(np.float64), "confidence"
        over = float(predicted.mean() - observed.mean())
        if predictions.task == "binary":
            predicted, observed, kind = probabilities[:, 1], predictions.target.astype(np.float64), "probability"
    rows = _bins(predicted, observed, edges, kind)
    gaps = [row["rows"] * abs(row["predicted"] - row["observed"]) for row in rows]
    return {
        "kind": kind,
        "bins": rows,
        "error": sum(gaps) / len(predictions),
        "over": over,
    }


def _bins(predicted: Array, observed: Array, edges: Array, kind: str) -> list[dict[str, Any]]:
    place = np.clip(np.searchsorted(edges, predicted, "right") - 1, 0, max(0, len(edges) - 2))
    found = []
    for i in np.unique(place):
        inside = place == i
        mean, rows = float(observed[inside].mean()), int(inside.sum())
        low, high = _normal(observed[inside]) if kind == "value" else _wilson(mean, rows)
        found.append(
            {
                "low": float(edges[i]),
                "high": float(edges[min(i + 1, len(edges) - 1)]),
                "rows": rows,
                "predicted": float(predicted[inside].mean()),
                "observed": mean,
                "observed_low": low,
                "observed_high": high,
            }
        )
    return found


def _wilson(share: float, rows: int, z: float = 1.96) -> tuple[float, float]:
    """The score interval of a share (Wilson 1927), which stays within 0–1 at small counts."""
    middle = (share + z**2 / (2 * rows)) / (1 + z**2 / rows)
    half = z / (1 + z**2 / rows) * np.sqrt(share * (1 - share) / rows + z**2 / (4 * rows**2))
    return float(max(0.0, middle - half)), float(min(1.0, middle + half))


def _normal(values: Array, z: float = 1.96) -> tuple[float, float]:
    half = z * float(values.std(ddof=1)) / np.sqrt(len(values)) if len(values) > 1 else 0.0
    return float(values.mean() - half), float(values.mean() + half)
