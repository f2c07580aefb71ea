"""Fit: the rows of a run prepared once, and a network trained on them as often as one likes."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from tuwen.config import Run
from tuwen.data.dataset import Dataset
from tuwen.evaluation.metrics import primary_of
from tuwen.models import TASKS
from tuwen.models.assemble import Part, assemble
from tuwen.models.contrast import ContrastModel
from tuwen.models.encoder import Encoder
from tuwen.models.late import Late
from tuwen.models.model import Model
from tuwen.models.raters.ensemble import Raters
from tuwen.models.stack.stack import Stack
from tuwen.models.tasks import Task
from tuwen.preprocess.frozen import Frozen
from tuwen.preprocess.modality import Modality
from tuwen.preprocess.sets import of_each
from tuwen.preprocess.target import ContrastTarget, RateTarget, Target
from tuwen.progress import Progress, Within
from tuwen.training.batches import Augment, Examples, outputs_of
from tuwen.training.inputs import EncodedInput, Input, SetInput
from tuwen.training.loop import Settings, Trained, Watch, network_of
from tuwen.training.loop import train as fit
from tuwen.training.out_of_fold import Cut, fit_late, fit_late_on, pieces
from tuwen.training.raters import fit_raters
from tuwen.workflow.gathering import Gathered
from tuwen.workflow.generating import Generated, groups_of, with_generator
from tuwen.workflow.preparing import encoder_options, make_input, raw_values
from tuwen.workflow.rating import account, raters_of
from tuwen.workflow.retrieval import contrast_parts, score_of
from tuwen.workflow.rules import refuse_unvalidated
from tuwen.workflow.stacking import fit_members, is_stack
from tuwen.workflow.starting import modality_for, take_over


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
    """What a training gives: ``model`` holds the weights of its best epoch; of ``raters`` what their blend was made of
    (:func:`tuwen.workflow.rating.account`), of a ``stack`` what it tells of its members
    (:class:`tuwen.training.stack.fit.Fit`).
    """

    target: Target
    model: Model | Raters | Stack
    trained: Trained
    cost: dict[str, float]
    generated: Generated | None = None
    raters: dict[str, Any] | None = None
    stack: dict[str, Any] | None = None


def prepare(run: Run, gathered: Gathered, dataset: Dataset, progress: Progress) -> Prepared:
    """Fit the run's modalities on the train part and encode all rows."""
    began = time.perf_counter()
    modalities: dict[str, Modality] = {}
    inputs: dict[str, Input] = {}
    for name, spec in run.modalities.items():
        raw = raw_values(spec.use, spec.columns, gathered.frame, dataset)
        modalities[name] = modality_for(run, name, raw, gathered.fitting, dataset, progress)
        inputs[name] = make_input(name, modalities[name], raw, dataset, progress)
    return Prepared(gathered, modalities, inputs, time.perf_counter() - began)


def fit_network(
    run: Run,
    prepared: Prepared,
    *,
    work: Path,
    fingerprint: str,
    progress: Progress,
    watch: Watch | None = None,
) -> Fitted:
    """Train the run's network on prepared rows. The test part is not touched.

    Args:
        work: folder for what a stopped training goes on from.
        fingerprint: of everything that the parameters depend on; what lies in ``work`` under another one is not used.
        watch: sees the epochs of the network itself, not those of a generator's later stages.

    Raises:
        ConfigError: no validation part where the run needs one.
    """
    gathered, modalities = prepared.gathered, prepared.modalities
    task = TASKS.load(run.task.use)
    target: Target = task.fit(gathered.truth[gathered.rows("train")], gathered.options)
    if run.raters is not None:
        return _fit_raters(run, prepared, target, progress)
    if is_stack(run):
        return _fit_stack(run, prepared, target, watch, progress)
    parts = {part: examples_of(run, prepared.inputs, target, gathered, part) for part in ("train", "validation")}
    validation = parts["validation"] if len(parts["validation"]) else None
    if validation is None:
        refuse_unvalidated(run)
    augment: dict[str, Augment] = {n: m.augment for n, m in modalities.items() if not _is_vector(m)}

    settings = Settings(**run.training.model_dump(exclude={"calibrate"}))
    groups = _groups(gathered)

    def learn(model: Model, training: Examples, validation: Examples | None, seed: int, stage: str = "") -> Trained:
        shown = Within(progress, stage) if stage else progress
        told = {} if stage else augment  # a later stage reads vectors
        if isinstance(model.fusion, Late) and model.fusion.folds:
            cut = Cut(groups, work / f"out-of-fold-{stage or 'model'}", fingerprint)
            fit_late(model, training, validation, settings, seed=seed, cut=cut, augment=told, progress=shown)
        trained = fit(
            model,
            training,
            validation,
            settings,
            seed=seed,
            score=score_function(target),
            augment=told,
            checkpoint=work / f"{stage or 'checkpoint'}.safetensors",
            fingerprint=fingerprint,
            watch=None if stage else watch,
            progress=shown,
        )
        if isinstance(model.fusion, Late) and not model.fusion.folds:
            assert validation is not None
            fit_late_on(model, validation)
        return trained

    model = _model(run, modalities, target, parts["train"], progress)
    if isinstance(model, ContrastModel):
        augment, validation = contrast_parts(run, model, parts["train"], validation, augment)
    trained, generated = learn(model, parts["train"], validation, run.seed), None
    if run.gan is not None:
        generated = with_generator(
            run, model, target, parts["train"], validation, trained,
            learn=learn, work=work, fingerprint=fingerprint, progress=progress,
        )  # fmt: skip
        trained = generated.trained
    if run.training.calibrate:
        assert validation is not None
        _calibrate(model, validation, trained)
    return Fitted(target, model, trained, _cost(model, trained, prepared.seconds), generated)


def _fit_raters(run: Run, prepared: Prepared, target: Target, progress: Progress) -> Fitted:
    """Raters in the place of a network: they learn from all of the train part, in no epochs."""
    raters = raters_of(run, prepared.modalities)
    training = examples_of(run, prepared.inputs, target, prepared.gathered, "train")
    stacked = fit_raters(
        raters,
        raters.sides.ratings(training.inputs, training.targets),
        pieces(_groups(prepared.gathered), run.stacking.folds, run.seed),
        seed=run.seed,
        progress=progress,
    )
    trained = Trained([], 0, 0, stacked.seconds)
    numbers = sum(tensor.numel() for tensor in raters.state_dict().values())
    cost = _cost(raters, trained, prepared.seconds) | {"parameters": numbers, "trained_parameters": numbers}
    return Fitted(target, raters, trained, cost, raters=account(raters, stacked))


def _fit_stack(run: Run, prepared: Prepared, target: Target, watch: Watch | None, progress: Progress) -> Fitted:
    """A stack in the place of a network: all its choices are made out of fold, so it learns from the validation part
    too, unless somebody watches who wants to be judged there.
    """
    parts = ("train",) if watch else ("train", "validation")
    rows = np.concatenate([prepared.gathered.rows(part) for part in parts])
    examples, rows = _examples(run, prepared.inputs, target, prepared.gathered, rows)
    groups = prepared.gathered.content.gather(rows).rank("dense").to_numpy().astype(np.int64)
    times = _times(run, prepared.gathered, rows)
    fit = fit_members(run, prepared.modalities, target, examples, groups, times, progress)
    trained = Trained([], 0, 0, fit.seconds)
    if watch:
        watch({"epoch": 1, **_validation(run, prepared, target, fit.stack)})
    numbers = sum(tensor.numel() for tensor in fit.stack.state_dict().values())
    cost = _cost(fit.stack, trained, prepared.seconds) | {"parameters": numbers, "trained_parameters": numbers}
    return Fitted(target, fit.stack, trained, cost, stack=fit.account)


def _times(run: Run, gathered: Gathered, rows: np.ndarray) -> np.ndarray | None:
    """f64 [rows] seconds, NaN where there is none; None where the run does not split by time."""
    if run.split.use != "time":
        return None
    times = gathered.frame[gathered.split.columns[0]].gather(rows).cast(pl.Datetime("us"))
    return times.dt.epoch("s").cast(pl.Float64).fill_null(np.nan).to_numpy()


def _validation(run: Run, prepared: Prepared, target: Target, stack: Stack) -> dict[str, float]:
    """What an epoch of a network says of the validation part."""
    unseen = examples_of(run, prepared.inputs, target, prepared.gathered, "validation")
    outputs = outputs_of(network_of(stack), unseen.inputs)
    task: Task = TASKS.build(run.task.use, run.task.options, 1, target, where=run.where("task"))
    loss = task.plain_loss(torch.from_numpy(outputs), torch.from_numpy(unseen.targets))
    return {"validation_loss": float(loss), **score_function(target)(outputs, unseen.targets)}


def _groups(gathered: Gathered) -> np.ndarray:
    """int [train rows]: the same number for rows of the same content."""
    train = gathered.content.gather(gathered.rows("train"))
    return train.rank("dense").to_numpy().astype(np.int64)


def _calibrate(model: Model, unseen: Examples, trained: Trained) -> None:
    """Fit the task's temperature on the validation part; the last epoch of the history tells it."""
    outputs = outputs_of(network_of(model.eval(), torch.device("cpu")), unseen.inputs)
    temperature = model.task.calibrate(torch.from_numpy(outputs), torch.from_numpy(unseen.targets))
    trained.history[-1]["temperature"] = temperature


def examples_of(run: Run, inputs: dict[str, Input], target: Target, gathered: Gathered, part: str) -> Examples:
    """The rows of one part with their truth."""
    return _examples(run, inputs, target, gathered, gathered.rows(part))[0]


def _examples(
    run: Run, inputs: dict[str, Input], target: Target, gathered: Gathered, rows: np.ndarray
) -> tuple[Examples, np.ndarray]:
    """Some rows with their truth, and which of them were taken."""
    targets = target.encode(gathered.truth[rows])
    if target.task == "classify":  # a class the train part does not have cannot be scored
        rows, targets = rows[targets >= 0], targets[targets >= 0]
    together = tuple(tuple(group) for group in groups_of(run) if len(group) > 1)
    return Examples({name: source.take(rows) for name, source in inputs.items()}, targets, together), rows


def _model(run: Run, modalities: dict[str, Modality], target: Target, training: Examples, progress: Progress) -> Model:
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
    ready = take_over(run, model, progress)
    for name, encoder in model.encoders.items():
        source = training.inputs[name]
        each = source.each() if isinstance(source, SetInput) else source
        if name not in ready and isinstance(each, EncodedInput) and isinstance(encoder, Encoder):
            encoder.prepare(each.seen())
    return model


def score_function(target: Target) -> Callable[[np.ndarray, np.ndarray], dict[str, float]]:
    """(outputs, encoded targets) → ``score``, of which more is better, under its own name too."""
    if isinstance(target, ContrastTarget):
        return score_of(target)

    def score(outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        if isinstance(target, RateTarget):
            answers = target.encode(pl.Series(target.decode(outputs)["prediction"]))
            error = float(np.sqrt(np.mean((answers - targets) ** 2, dtype=np.float64)))
            return {"score": -error, primary_of("rate", target.scale): error}
        answers = (outputs[:, 0] > 0) if target.task == "binary" else outputs.argmax(axis=1)
        accuracy = float(np.mean(answers == targets))
        return {"score": accuracy, "accuracy": accuracy}

    return score


def _is_vector(modality: Modality) -> bool:
    return isinstance(of_each(modality), Frozen)


def _cost(model: Model | Raters | Stack, trained: Trained, prepared: float) -> dict[str, float]:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {
        "prepare_seconds": round(prepared, 2),
        "train_seconds": round(trained.seconds, 2),
        "steps": trained.steps,
        "peak_memory_mb": round(peak / 1e6),
        "parameters": sum(p.numel() for p in model.parameters()),
        "trained_parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
    }
