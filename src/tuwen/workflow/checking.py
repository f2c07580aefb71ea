"""Check a run without training it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tuwen.config import Run, Shop
from tuwen.models import ENCODERS, FUSIONS
from tuwen.preprocess import MODALITIES
from tuwen.workflow.gathering import split_of, task_options
from tuwen.workflow.preparing import encoder_options, modality_options


def check(run_yaml: str | Path, overrides: Iterable[str] = ()) -> dict[str, Any]:
    """Every name and option of the run, checked against its component and completed with the defaults.

    Raises:
        ConfigError: with file and line, what is allowed, and what was probably meant.
    """
    run = Run.read(run_yaml, list(overrides))
    if run.shop is not None:
        Shop.read((Path(run_yaml).parent / run.shop).resolve())
    modalities = {}
    for name, spec in run.modalities.items():
        ENCODERS.load(spec.encoder.use, run.where("modalities", name, "encoder"))
        options = MODALITIES.options(spec.use, modality_options(run, name), run.where("modalities", name))
        encoder = {"use": spec.encoder.use, **encoder_options(run, name)}
        modalities[name] = {"use": spec.use, "columns": spec.columns, **options, "encoder": encoder}
    split = split_of(run)
    return run.plain() | {
        "modalities": modalities,
        "fusion": {"use": run.fusion.use, **FUSIONS.options(run.fusion.use, run.fusion.options, run.where("fusion"))},
        "task": {"use": run.task.use, **task_options(run)},
        "split": {"use": run.split.use, "label": split.label, "folds": split.folds, **run.split.options},
    }
