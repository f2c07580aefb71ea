"""How far off a rate's predictions are."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from tuwen.evaluation.predictions import Predictions

FEW_TARGETS = 12
POINTS = 1500
QUANTILES = {"low": 0.05, "quarter": 0.25, "median": 0.5, "three_quarters": 0.75, "high": 0.95}


def regression(predictions: Predictions, seed: int = 0, points: int = POINTS) -> dict[str, Any] | None:
    """What the charts of predicted against actual values and of residuals need; None for the other tasks.

    Returns:
        ``points``: ``[target, prediction]`` of at most ``points`` rows, drawn by ``seed``; ``by_target``: for at most
        twelve different targets (stars) the ``rows`` and the 5, 25, 50, 75 and 95 % quantiles of the predictions at
        each ``target``, else None; ``residuals``: ``edges`` and ``counts`` of prediction − target; ``bias``: its mean.
    """
    if predictions.task != "rate":
        return None
    target, prediction = predictions.target, predictions.prediction
    chosen = np.arange(len(predictions))
    if len(chosen) > points:
        chosen = np.sort(np.random.default_rng(seed).choice(chosen, points, replace=False))
    residuals = prediction - target
    reach = float(np.quantile(np.abs(residuals), 0.995)) or 1.0  # a few absurd rows must not flatten the rest
    counts, edges = np.histogram(np.clip(residuals, -reach, reach), bins=41, range=(-reach, reach))
    return {
        "points": [[_short(target[i]), _short(prediction[i])] for i in chosen],
        "by_target": _by_target(predictions),
        "residuals": {"edges": [_short(edge) for edge in edges], "counts": counts.tolist()},
        "bias": float(residuals.mean()),
    }


def _by_target(predictions: Predictions) -> list[dict[str, Any]] | None:
    quantiles = [pl.col("prediction").quantile(q, "linear").alias(name) for name, q in QUANTILES.items()]
    groups = predictions.frame.group_by("target").agg(pl.len().alias("rows"), *quantiles)
    return groups.sort("target").to_dicts() if len(groups) <= FEW_TARGETS else None


def _short(number: float) -> float:
    return float(f"{number:.4g}")
