"""Train: a run and a dataset in, a bundle out."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from tuwen import __version__
from tuwen.bundle.card import card
from tuwen.bundle.files import MANIFEST, read_manifest, refuse_others, verify, write_card, writing
from tuwen.bundle.network import save_weights
from tuwen.config import Export, Run
from tuwen.data.dataset import Dataset
from tuwen.data.kinds import input_kind
from tuwen.errors import BundleError
from tuwen.files import room_on_disk
from tuwen.models import FUSIONS, TASKS
from tuwen.models.assemble import Part
from tuwen.models.raters.ensemble import Raters
from tuwen.models.stack.stack import Stack
from tuwen.outputs import held
from tuwen.preprocess.modality import Modality
from tuwen.progress import Progress, Silent
from tuwen.workflow.exporting import export
from tuwen.workflow.fitting import Fitted, Prepared, fit_network, prepare
from tuwen.workflow.gathering import gather
from tuwen.workflow.kinds import own_task, part_of
from tuwen.workflow.memory import room_in_memory
from tuwen.workflow.preparing import encoder_options
from tuwen.workflow.starting import init_fingerprint, start_of


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
    if not isinstance(run, Run):
        overrides = list(overrides)
        if own_task(run, overrides) == "rank":
            return Path(part_of("rank", "train")(run, dataset, out, overrides, progress))
        run = Run.read(run, overrides)
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
    prepared = prepare(run, gather(run, dataset, fold), dataset, progress)
    fitted = fit_network(run, prepared, work=work, fingerprint=fingerprint(run, dataset, fold), progress=progress)
    write_bundle(out, run, dataset, fold, prepared, fitted)


def is_trained(
    run: str | Path | Run,
    dataset: str | Path | Dataset,
    out: str | Path,
    overrides: Iterable[str] = (),
    fold: int = 0,
) -> bool:
    """Whether the bundle ``out`` is whole and comes from this very run, data, fold and tuwen. One of the task rank is
    made anew each time.
    """
    if not isinstance(run, Run):
        overrides = list(overrides)
        if own_task(run, overrides) == "rank":
            return False
        run = Run.read(run, overrides)
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


def fingerprint(run: Run, dataset: Dataset, fold: int) -> str:
    """Everything that the parameters depend on: a bundle or checkpoint with the same one needs no training."""
    told = run.plain()
    told["training"].pop("checkpoint_seconds")
    if told["export"] == Export().model_dump(mode="json"):  # what the parameters do not depend on, but the bundle does
        told.pop("export")
    told["init"] = init_fingerprint(run)  # what it starts from, wherever that lies
    text = json.dumps([__version__, told, dataset.hash, fold], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def write_bundle(out: Path, run: Run, dataset: Dataset, fold: int, prepared: Prepared, fitted: Fitted) -> None:
    """The bundle of what was fitted: whole, or not at all."""
    gathered, target, generated = prepared.gathered, fitted.target, fitted.generated
    manifest = {
        "tuwen": __version__,
        "name": run.name,
        "task": target.task,
        "target": target.plain(),
        "architecture": _architecture(run, prepared.modalities, fitted),
        "media": dataset.manifest["media_limits"],
        "data": {
            "hash": dataset.hash,
            "shop": dataset.manifest.get("shop"),
            "fold": fold,
            "split": gathered.split.label,
            "rows": gathered.counts(),
        },
        "best_epoch": fitted.trained.best_epoch or None,
        "fingerprint": fingerprint(run, dataset, fold),
        "cost": fitted.cost,
    } | ({"generator": generated.account} if generated else {})
    if fitted.raters is not None:
        manifest["raters"] = fitted.raters
    if fitted.stack is not None:
        manifest["stack"] = fitted.stack
    if start := start_of(run):
        manifest["init"] = start.plain()
    with writing(out, manifest) as folder:
        (folder / "run.json").write_text(json.dumps(run.plain(), ensure_ascii=False, indent=2), encoding="utf-8")
        (folder / "RUN.yaml").write_text(_as_yaml(run), encoding="utf-8")
        (folder / "history.json").write_text(json.dumps(fitted.trained.history, indent=1), encoding="utf-8")
        if generated:
            (folder / "generator.json").write_text(json.dumps(generated.histories, indent=1), encoding="utf-8")
        save_weights(fitted.model, folder)
        manifest["export"] = export(run, prepared, fitted, folder)
        for name, modality in prepared.modalities.items():
            modality.save(folder / "modalities" / name)
    write_card(out, card(read_manifest(out)))


def _as_yaml(run: Run) -> str:
    """What the run sets, as a RUN.yaml that can be edited and trained again."""
    settings = run.model_dump(mode="json", exclude_unset=True)
    text: str = yaml.safe_dump(settings, allow_unicode=True, sort_keys=False, width=120)
    return text


def _architecture(run: Run, modalities: dict[str, Modality], fitted: Fitted) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, spec in run.modalities.items():
        kinds = getattr(modalities[name], "kinds", {})
        found[name] = {
            "use": spec.use,
            "columns": {column: kinds.get(column, input_kind(spec.use)) for column in spec.columns},
            "spec": modalities[name].spec.plain(),
            "encoder": Part(spec.encoder.use, encoder_options(run, name)).plain(),
        }
    task = TASKS.options(run.task.use, run.task.options, run.where("task"))
    if isinstance(fitted.model, Raters):
        return {"modalities": found, "task": Part(run.task.use, task).plain(), "raters": fitted.model.plain()}
    if isinstance(fitted.model, Stack):
        return {"modalities": found, "task": Part(run.task.use, task).plain(), "stack": fitted.model.plain()}
    generated = fitted.generated
    fusion = FUSIONS.options(run.fusion.use, run.fusion.options, run.where("fusion"))
    return {
        "modalities": found,
        "fusion": Part(run.fusion.use, fusion).plain(),
        "task": Part(run.task.use, task).plain(),
    } | ({"generator": generated.part} if generated and generated.part else {})
