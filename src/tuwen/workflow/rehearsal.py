"""The run's network built without data and without memory: what its options refuse is told before anything is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl
import torch
from torch import nn

from tuwen.config import Run
from tuwen.errors import TuwenError
from tuwen.models import ENCODERS, TASKS
from tuwen.models.assemble import Part, assemble
from tuwen.models.transfer import Pretrained
from tuwen.preprocess.modality import Modality
from tuwen.preprocess.spec import ArraySpec
from tuwen.workflow.preparing import built_modality, encoder_options

VECTOR = ArraySpec("vector", (64,))  # stands for what a pretrained network gives; its weights are not read here


def expected(modality: Modality) -> ArraySpec | None:
    """The arrays that a modality will give, as far as they are known before it is fitted; None where they are not."""
    if hasattr(modality, "sketch"):
        sketch: ArraySpec = modality.sketch
        return sketch
    try:
        return modality.spec
    except TuwenError:
        return None


def rehearse(run: Run, options: dict[str, Any]) -> None:
    """Refuse options that do not go together: :func:`rehearsed`, without what it builds."""
    rehearsed(run, options)


def rehearsed(run: Run, options: dict[str, Any], specs: Mapping[str, ArraySpec] | None = None) -> nn.Module | None:
    """Encoders, fusion and head on torch's meta device, where parameters have shapes and no numbers; None where a
    modality's arrays are not known before it is fitted.

    Args:
        options: the complete ones of the task.
        specs: arrays of modalities that are known better than before ``fit``.

    Raises:
        ConfigError: options that do not go together, with file and line.
    """
    encoders = {}
    for name in run.modalities:
        spec = (specs or {}).get(name) or _read(run, name)
        if spec is None:
            return None
        place = run.where("modalities", name, "encoder")
        encoders[name] = (Part(run.modalities[name].encoder.use, encoder_options(run, name), place), spec)
    target = TASKS.load(run.task.use).fit(_two_answers(options), options)
    fusion = Part(run.fusion.use, run.fusion.options, run.where("fusion"))
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        return assemble(encoders, fusion, Part(run.task.use, run.task.options, run.where("task")), target)


def _read(run: Run, name: str) -> ArraySpec | None:
    encoder = ENCODERS.load(run.modalities[name].encoder.use)
    return VECTOR if issubclass(encoder, Pretrained) else expected(built_modality(run, name))


def _two_answers(options: dict[str, Any]) -> pl.Series:
    """The least truth that any task can be fitted to."""
    if (equals := options.get("equals")) is not None:
        return pl.Series([equals, f"not {equals}"])
    least = options.get("at_least")
    return pl.Series([0.0, 1.0] if least is None else [least - 1.0, least])
