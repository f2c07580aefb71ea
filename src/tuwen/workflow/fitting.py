"""Fit: the rows of a run prepared once, and a network trained on them as often as one likes."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from tuwen.config import Run
from tuwen.data.dataset import Dataset
from tuwen.models import TASKS
from tuwen.models.assemble import Part, assemble
from tuwen.models.encoder import Encoder
from tuwen.models.model import Model
from tuwen.preprocess.frozen import Frozen
from tuwen.preprocess.modality import Modality
from tuwen.preprocess.target import Target
from tuwen.progress import Progress
from tuwen.training.batches import Examples
from tuwen.training.inputs import EncodedInput, Input
from tuwen.training.loop import Settings, Trained
from tuwen.training.loop import train as fit
from tuwen.workflow.gathering import Gathered
from tuwen.workflow.preparing import encoder_options, fitted_modality, make_input, raw_values


@dataclass(frozen=True)
class Prepared:
    """What a training starts from.

    Attributes:
        inputs: one a modality, over all rows of ``gathered``.
        seconds: what fitting and encoding took.
    """

    gathered: Gathered
    modalities: dict[str, Modality]
    inputs: dict[str, Input]
    seconds: float


@dataclass(frozen=True)
class Fitted:
    """What a training gives: ``model`` holds the weights of its best epoch."""

    target: Target
    model: Model
    trained: Trained
    cost: dict[str, float]


def prepare(run: Run, gathered: Gathered, dataset: Dataset, progress: Progress) -> Prepared:
    """Fit the run's modalities on the train part and encode all rows."""
    began = time.perf_counter()
    modalities: dict[str, Modality] = {}
    inputs: dict[str, Input] = {}
    for name, spec in run.modalities.items():
        raw = raw_values(spec.use, spec.columns, gathered.frame, dataset)
        modalities[name] = fitted_modality(run, name, raw, gathered.fitting, dataset, progress)
        inputs[name] = make_input(name, modalities[name], raw, dataset, progress)
    return Prepared(gathered, modalities, inputs, time.perf_counter() - began)


def fit_network(run: Run, prepared: Prepared, *, work: Path, fingerprint: str, progress: Progress) -> Fitted:
    """Train the run's network on prepared rows. The test part is not touched.

    Args:
        work: folder for what a stopped training goes on from.
        fingerprint: of everything that the parameters depend on; what lies in ``work`` under another one is not used.
    """
    gathered, modalities = prepared.gathered, prepared.modalities
    task = TASKS.load(run.task.use)
    target: Target = task.fit(gathered.truth[gathered.rows("train")], gathered.options)
    parts = {part: _examples(prepared.inputs, target, gathered, part) for part in ("train", "validation")}
    model = _model(run, modalities, target, parts["train"])
    trained = fit(
        model,
        parts["train"],
        parts["validation"] if len(parts["validation"]) else None,
        Settings(**run.training.model_dump()),
        seed=run.seed,
        score=_score(target),
        augment={n: m.augment for n, m in modalities.items() if run.modalities[n].use == "image" and not _is_vector(m)},
        checkpoint=work / "checkpoint.safetensors",
        fingerprint=fingerprint,
        progress=progress,
    )
    return Fitted(target, model, trained, _cost(model, trained, prepared.seconds))


def _examples(inputs: dict[str, Input], target: Target, gathered: Gathered, part: str) -> Examples:
    rows = gathered.rows(part)
    targets = target.encode(gathered.truth[rows])
    if target.task == "classify":  # a class the train part does not have cannot be scored
        rows, targets = rows[targets >= 0], targets[targets >= 0]
    return Examples({name: source.take(rows) for name, source in inputs.items()}, targets)


def _model(run: Run, modalities: dict[str, Modality], target: Target, training: Examples) -> Model:
    torch.manual_seed(run.seed)
    encoders = {
        name: (
            Part(spec.encoder.use, encoder_options(run, name), run.where("modalities", name, "encoder")),
            modalities[name].spec,
        )
        for name, spec in run.modalities.items()
    }
    fusion = Part(run.fusion.use, run.fusion.options, run.where("fusion"))
    model = assemble(encoders, fusion, Part(run.task.use, run.task.options, run.where("task")), target)
    for name, encoder in model.encoders.items():
        source = training.inputs[name]
        if isinstance(source, EncodedInput) and isinstance(encoder, Encoder):
            seen = np.unique(source.index)
            seen = seen[source.present[seen]]
            encoder.prepare({n: array[seen] for n, array in source.arrays.items()})
    return model


def _score(target: Target) -> Callable[[np.ndarray, np.ndarray], dict[str, float]]:
    def score(outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        if target.task == "rate":
            rmse = float(np.sqrt(np.mean((target.decode(outputs)["prediction"] - targets) ** 2)))
            return {"score": -rmse, "rmse": rmse}
        answers = (outputs[:, 0] > 0) if target.task == "binary" else outputs.argmax(axis=1)
        accuracy = float(np.mean(answers == targets))
        return {"score": accuracy, "accuracy": accuracy}

    return score


def _is_vector(modality: Modality) -> bool:
    return isinstance(modality, Frozen)


def _cost(model: Model, trained: Trained, prepared: float) -> dict[str, float]:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {
        "prepare_seconds": round(prepared, 2),
        "train_seconds": round(trained.seconds, 2),
        "steps": trained.steps,
        "peak_memory_mb": round(peak / 1e6),
        "parameters": sum(p.numel() for p in model.parameters()),
        "trained_parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
    }
