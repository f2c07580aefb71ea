"""Which class is taken for which."""

from __future__ import annotations

from typing import Any

import numpy as np

from tuwen.evaluation.metrics import Scored, class_f1, class_precision, class_recall
from tuwen.evaluation.predictions import Predictions


def confusion(predictions: Predictions) -> dict[str, Any] | None:
    """Counts of (truth, answer), and each class's own metrics; None for rate.

    Returns:
        ``labels``; ``cells``: ``[truth, answer, rows]`` for every pair that occurs, positions in ``labels`` (131
        classes make 17,161 pairs, of which few occur); ``classes``: for each label ``rows``, ``answers``,
        ``precision``, ``recall``, ``f1``.
    """
    if predictions.task == "rate":
        return None
    labels = predictions.labels
    pairs, counts = np.unique(predictions.target * len(labels) + predictions.prediction, return_counts=True)
    cells = [[int(p) // len(labels), int(p) % len(labels), int(n)] for p, n in zip(pairs, counts, strict=True)]
    weighted = Scored(predictions).everything
    precision, recall, f1 = (score(weighted)[:, 0] for score in (class_precision, class_recall, class_f1))
    classes = [
        {
            "label": label,
            "rows": int(weighted.actual[i, 0]),
            "answers": int(weighted.predicted[i, 0]),
            "precision": float(precision[i]),
            "recall": float(recall[i]),
            "f1": float(f1[i]),
        }
        for i, label in enumerate(labels)
    ]
    return {"labels": list(labels), "cells": cells, "classes": classes}
