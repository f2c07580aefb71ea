"""``fusion: auto`` where nothing has to be trained before the fusion: a stack in the place of a network."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from tuwen.config import Run
from tuwen.models import ENCODERS, FUSIONS, TASKS
from tuwen.models.stack.projection import STATIC
from tuwen.preprocess.modality import Modality
from tuwen.preprocess.spec import ArraySpec
from tuwen.preprocess.target import Target
from tuwen.progress import Progress
from tuwen.training.batches import Examples
from tuwen.training.stack.fit import Fit, Settings, fit_stack
from tuwen.workflow.preparing import built_modality, encoder_options
from tuwen.workflow.rehearsal import expected


def is_stack(run: Run) -> bool:
    """Whether the run's fusion is ``auto`` and all its modalities give arrays that nothing has to learn to read."""
    if run.fusion.use != "auto" or run.raters is not None or run.gan is not None or run.init is not None:
        return False
    if TASKS.load(run.task.use).replaces_fusion:
        return False
    return all(_is_static(run, name) for name in run.modalities)


def _is_static(run: Run, name: str) -> bool:
    encoder = ENCODERS.load(run.modalities[name].encoder.use)
    if encoder.is_frozen(encoder_options(run, name)):
        return True
    spec: ArraySpec | None = expected(built_modality(run, name))
    return spec is not None and spec.kind in STATIC


def fit_members(
    run: Run,
    modalities: dict[str, Modality],
    target: Target,
    examples: Examples,
    groups: np.ndarray,
    times: np.ndarray | None,
    progress: Progress,
) -> Fit:
    """Fit the stack of a run on these rows.

    Args:
        groups: int [rows]; rows of one group stay on one side of every fold.
        times: f64 [rows], NaN where there is none; None where the run does not split by time.
    """
    options = FUSIONS.options(run.fusion.use, run.fusion.options, run.where("fusion"))
    return fit_stack(
        examples,
        {name: modality.spec for name, modality in modalities.items()},
        target.task,  # type: ignore[arg-type]
        target.outputs,
        groups=groups,
        weights=_weights(run, target, examples.targets),
        times=times,
        settings=Settings(**options),
        seed=run.seed,
        progress=progress,
    )


def _weights(run: Run, target: Target, targets: np.ndarray) -> np.ndarray:
    """f64 [rows]: what the task's loss weighs each row by."""
    task: Any = TASKS.build(run.task.use, run.task.options, 1, target, where=run.where("task"))
    with torch.inference_mode():
        _, weights = task.row_losses(torch.zeros(len(targets), target.outputs), torch.from_numpy(targets))
    return np.asarray(weights.numpy(), np.float64)
