"""Learning curves: what a training's history holds, measure by measure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tuwen.evaluation.metric_words import METRIC_NAMES
from tuwen.evaluation.metrics import METRICS
from tuwen.evaluation.words import WORDS, Text, label

PARTS = ("train", "validation")


@dataclass(frozen=True)
class Curve:
    """One measure over the epochs.

    Attributes:
        name: in words.
        epochs: their numbers.
        parts: ``train`` and ``validation``, those that were measured → one value an epoch, None where it is missing.
    """

    name: Text
    epochs: list[float]
    parts: dict[str, list[float | None]]


def curves(history: Sequence[Mapping[str, Any]]) -> list[Curve]:
    """The curves of a history, the loss first; none where there are fewer than two epochs.

    A measure is ``train_NAME`` and ``validation_NAME``; a bare metric is the validation part's.
    """
    epochs = [_flat(epoch) for epoch in history]
    measures: dict[str, dict[str, str]] = {}
    for key in dict.fromkeys(key for epoch in epochs for key in epoch):
        part, _, measure = ("validation", "", key) if key in METRICS else key.partition("_")
        if part in PARTS and measure and measure not in ("seconds", "rows"):
            measures.setdefault(measure, {})[part] = key
    if len(epochs) < 2:
        return []
    numbers = [epoch.get("epoch", i + 1) for i, epoch in enumerate(epochs)]
    return [
        Curve(
            label(measure, {**METRIC_NAMES, "loss": WORDS["loss"]}),
            numbers,
            {part: [epoch.get(keys[part]) for epoch in epochs] for part in PARTS if part in keys},
        )
        for measure, keys in sorted(measures.items(), key=lambda item: item[0] != "loss")
    ]


def _flat(epoch: Mapping[str, Any]) -> dict[str, float]:
    """Numbers only; ``{"train": {"loss": 1}}`` becomes ``train_loss``."""
    flat: dict[str, float] = {}
    for key, value in epoch.items():
        if isinstance(value, Mapping):
            flat |= {f"{key}_{inner}": number for inner, number in _flat(value).items()}
        elif isinstance(value, int | float) and not isinstance(value, bool):
            flat[key] = value
    return flat
