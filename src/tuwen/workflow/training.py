"""Train: a run and a dataset in, a bundle out."""

from __future__ import annotations

import hashlib
import json
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tuwen import __version__
from tuwen.bundle.card import card
from tuwen.bundle.files import MANIFEST, read_manifest, refuse_others, verify, write_card, writing
from tuwen.bundle.network import save_weights
from tuwen.config import Run
from tuwen.data.dataset import Dataset
from tuwen.errors import BundleError
from tuwen.files import held, room_on_disk
from tuwen.models import FUSIONS, TASKS
from tuwen.models.assemble import Part, assemble
from tuwen.models.encoder import Encoder
from tuwen.models.model import Model
from tuwen.preprocess.frozen import Frozen
from tuwen.preprocess.modality import Modality
from tuwen.preprocess.target import Target
from tuwen.progress import Progress, Silent
from tuwen.training.batches import Examples
from tuwen.training.inputs import EncodedInput, Input
from tuwen.training.loop import Settings, Trained
from tuwen.training.loop import train as fit
from tuwen.workflow.gathering import Gathered, gather
from tuwen.workflow.memory import room_in_memory
from tuwen.workflow.preparing import encoder_options, fitted_modality, make_input, raw_values


def train(
    run: str | Path | Run,
    dataset: str | Path | Dataset,
    out: str | Path,
    overrides: Iterable[str] = (),
    progress: Progress | None = None,
    fold: int = 0,
    replace: bool = False,
) -> Path:
    """Fit the modalities, train the network, write the bundle.

    A training that was stopped goes on from its checkpoint (``OUT.training/``) when the same command is given again;
    one that is finished (see :func:`is_trained`) is left as it is.

    Args:
        run: RUN.yaml or a read one.
        fold: which fold is held out, where the split has several.
        replace: train over the bundle that lies at ``out``, whichever it is.

    Returns:
        the bundle's folder, ``out``.

    Raises:
        BundleError: ``out`` is the bundle of another run or other data, or no bundle at all.
        InUse: another process trains the same bundle.
    """
    run = run if isinstance(run, Run) else Run.read(run, list(overrides))
    dataset = dataset if isinstance(dataset, Dataset) else Dataset.open(dataset)
    out = Path(out)
    refuse_others(out)
    if not replace:
        if is_trained(run, dataset, out, fold=fold):
            return out
        _refuse_to_replace(run, dataset, out)
    work = out.with_name(f"{out.name}.training")
    with room_on_disk(out), room_in_memory(), held(work):
        _train(run, dataset, out, work, fold, progress or Silent())
        shutil.rmtree(work, ignore_errors=True)
    return out


def _train(run: Run, dataset: Dataset, out: Path, work: Path, fold: int, progress: Progress) -> None:
    began = time.perf_counter()
    gathered = gather(run, dataset, fold)
    modalities, inputs = _prepare(run, gathered, dataset, progress)
    task = TASKS.load(run.task.use)
    target: Target = task.fit(gathered.truth[gathered.rows("train")], gathered.options)
    parts = {part: _examples(inputs, target, gathered, part) for part in ("train", "validation")}
    model = _model(run, modalities, target, parts["train"])
    prepared = time.perf_counter() - began
    trained = fit(
        model,
        parts["train"],
        parts["validation"] if len(parts["validation"]) else None,
        Settings(**run.training.model_dump()),
        seed=run.seed,
        score=_score(target),
        augment={n: m.augment for n, m in modalities.items() if run.modalities[n].use == "image" and not _is_vector(m)},
        checkpoint=work / "checkpoint.safetensors",
        fingerprint=fingerprint(run, dataset, fold),
        progress=progress,
    )
    cost = _cost(model, trained, prepared)
    _write(out, run, dataset, fold, gathered, modalities, target, model, trained, cost)


def is_trained(
    run: str | Path | Run,
    dataset: str | Path | Dataset,
    out: str | Path,
    overrides: Iterable[str] = (),
    fold: int = 0,
) -> bool:
    """Whether the bundle ``out`` is whole and comes from this very run, data, fold and tuwen."""
    run = run if isinstance(run, Run) else Run.read(run, list(overrides))
    dataset = dataset if isinstance(dataset, Dataset) else Dataset.open(dataset)
    try:
        return bool(verify(out).get("fingerprint") == fingerprint(run, dataset, fold))
    except BundleError:
        return False


def train_once(run: Run, dataset: Dataset, out: Path, fold: int, progress: Progress | None) -> Path:
    """:func:`train`, unless it is done: a stopped series goes on. The place is the series' own, so an older bundle in
    it is replaced.
    """
    if is_trained(run, dataset, out, fold=fold):
        return out
    return train(run, dataset, out, progress=progress, fold=fold, replace=True)


def _refuse_to_replace(run: Run, dataset: Dataset, out: Path) -> None:
    if not (out / MANIFEST).is_file():
        return
    try:
        found = read_manifest(out)
        seen = f"the run '{found.get('name')}' on data {found['data']['hash'][:12]}, trained by tuwen {found['tuwen']}"
    except (BundleError, KeyError):
        seen = "a bundle that cannot be read"
    raise BundleError(
        "a bundle of another run, other settings or other data is in the way",
        where=str(out),
        seen=seen,
        allowed=f"the run '{run.name}' with the same settings on data {dataset.hash[:12]}, by tuwen {__version__}",
        todo="name another --out, or train over it with --replace",
    )


def _prepare(
    run: Run, gathered: Gathered, dataset: Dataset, progress: Progress
) -> tuple[dict[str, Modality], dict[str, Input]]:
    modalities, inputs = {}, {}
    for name, spec in run.modalities.items():
        raw = raw_values(spec.use, spec.columns, gathered.frame, dataset)
        modalities[name] = fitted_modality(run, name, raw, gathered.fitting, dataset, progress)
        inputs[name] = make_input(name, modalities[name], raw, dataset, progress)
    return modalities, inputs


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


def fingerprint(run: Run, dataset: Dataset, fold: int) -> str:
    """Everything that the parameters depend on: a bundle or checkpoint with the same one needs no training."""
    told = run.plain()
    told["training"].pop("checkpoint_seconds")
    text = json.dumps([__version__, told, dataset.hash, fold], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


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


def _write(
    out: Path,
    run: Run,
    dataset: Dataset,
    fold: int,
    gathered: Gathered,
    modalities: dict[str, Modality],
    target: Target,
    model: Model,
    trained: Trained,
    cost: dict[str, float],
) -> None:
    manifest = {
        "tuwen": __version__,
        "name": run.name,
        "task": target.task,
        "target": target.plain(),
        "architecture": _architecture(run, modalities),
        "media": dataset.manifest["media_limits"],
        "data": {
            "hash": dataset.hash,
            "shop": dataset.manifest.get("shop"),
            "fold": fold,
            "split": gathered.split.label,
            "rows": gathered.counts(),
        },
        "best_epoch": trained.best_epoch,
        "fingerprint": fingerprint(run, dataset, fold),
        "cost": cost,
    }
    with writing(out, manifest) as folder:
        (folder / "run.json").write_text(json.dumps(run.plain(), ensure_ascii=False, indent=2), encoding="utf-8")
        (folder / "history.json").write_text(json.dumps(trained.history, indent=1), encoding="utf-8")
        save_weights(model, folder)
        for name, modality in modalities.items():
            modality.save(folder / "modalities" / name)
    write_card(out, card(read_manifest(out)))


def _architecture(run: Run, modalities: dict[str, Modality]) -> dict[str, Any]:
    found = {}
    for name, spec in run.modalities.items():
        kinds = getattr(modalities[name], "kinds", {})
        found[name] = {
            "use": spec.use,
            "columns": {column: kinds.get(column, spec.use) for column in spec.columns},
            "spec": modalities[name].spec.plain(),
            "encoder": Part(spec.encoder.use, encoder_options(run, name)).plain(),
        }
    fusion = FUSIONS.options(run.fusion.use, run.fusion.options, run.where("fusion"))
    task = TASKS.options(run.task.use, run.task.options, run.where("task"))
    return {
        "modalities": found,
        "fusion": Part(run.fusion.use, fusion).plain(),
        "task": Part(run.task.use, task).plain(),
    }
