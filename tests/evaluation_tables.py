"""Small tables of predictions for the tests of the evaluation floor."""

from __future__ import annotations

import numpy as np
import polars as pl

from tuwen.evaluation.predictions import Predictions


def rate(target: object, prediction: object, **columns: object) -> Predictions:
    target = np.asarray(target, dtype=float)
    rows = [f"r{i}" for i in range(len(target))]
    values = {"row": rows, "target": target, "prediction": np.asarray(prediction, dtype=float)}
    return Predictions("rate", pl.DataFrame({**values, **columns}))


def binary(target: object, probability: object, **columns: object) -> Predictions:
    probability = np.asarray(probability, dtype=float)
    values = {
        "row": [f"r{i}" for i in range(len(probability))],
        "target": np.asarray(target).astype(int),
        "prediction": (probability >= 0.5).astype(int),
        "probability": probability,
    }
    return Predictions("binary", pl.DataFrame({**values, **columns}))


def classify(target: object, probabilities: object, names: tuple[str, ...] = (), **columns: object) -> Predictions:
    """``target``: positions in ``names``, which default to the letters a, b, c, …"""
    probabilities = np.asarray(probabilities, dtype=float)
    names = names or tuple("abcdefghijklmnop"[: probabilities.shape[1]])
    values = {
        "row": [f"r{i}" for i in range(len(probabilities))],
        "target": [names[i] for i in np.asarray(target)],
        "prediction": [names[i] for i in probabilities.argmax(axis=1)],
        "probabilities": pl.Series(probabilities),
    }
    return Predictions("classify", pl.DataFrame({**values, **columns}), names)


def drawn_classes(
    rows: int, classes: int, sharp: float, seed: int, names: tuple[str, ...] = (), **columns: object
) -> Predictions:
    """A model that knows its classes the better the larger ``sharp`` is; the truth does not depend on the seed."""
    target = np.random.default_rng(12345).integers(0, classes, rows)
    scores = np.random.default_rng(seed).normal(size=(rows, classes))
    scores[np.arange(rows), target] += sharp
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    return classify(target, probabilities, names or tuple(f"class {i:03d}" for i in range(classes)), **columns)


def drawn_binary(rows: int, sharp: float, seed: int, **columns: object) -> Predictions:
    target = np.random.default_rng(54321).integers(0, 2, rows)
    scores = np.random.default_rng(seed).normal(size=rows) + sharp * (2 * target - 1)
    return binary(target, 1 / (1 + np.exp(-scores)), **columns)


def drawn_rate(rows: int, noise: float, seed: int, **columns: object) -> Predictions:
    target = np.random.default_rng(777).integers(1, 6, rows)
    return rate(target, np.clip(target + np.random.default_rng(seed).normal(0, noise, rows), 1, 5), **columns)
