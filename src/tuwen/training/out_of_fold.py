"""Answers on rows that were not trained on: what a late fusion is combined by."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from tuwen.models.late import Copies, EveryCopy, Late
from tuwen.models.model import Model
from tuwen.progress import Progress, Silent, Within
from tuwen.training.batches import Augment, Examples, Network, outputs_of
from tuwen.training.checkpoint import write_tensors
from tuwen.training.loop import Settings, to_tensors, train


@dataclass(frozen=True)
class Cut:
    """How the train part is cut, and what the trainings on its pieces share.

    Attributes:
        groups: int [rows]; rows of one group (equal content) stay on one side. Rows behind these were made by a
            generator: they are trained on and never answered.
        folder: where each piece keeps its checkpoint and, when it is done, its answers.
        fingerprint: of the run and the data; what lies in ``folder`` under another one is made anew.
    """

    groups: np.ndarray
    folder: Path
    fingerprint: str

    def folds(self, count: int, seed: int, rows: int) -> np.ndarray:
        """int [rows]: the piece of each row; -1 of those that a generator made."""
        made = np.full(rows - len(self.groups), -1)
        return np.concatenate([pieces(self.groups, count, seed), made])


def pieces(groups: np.ndarray, count: int, seed: int) -> np.ndarray:
    """int [rows]: the piece of each row, one for all rows of a group."""
    distinct, place = np.unique(groups, return_inverse=True)
    piece = np.random.default_rng([seed, count]).permutation(len(distinct)) % count
    return np.asarray(piece[place])


def fit_late(
    model: Model,
    training: Examples,
    validation: Examples | None,
    settings: Settings,
    *,
    seed: int,
    cut: Cut,
    augment: Mapping[str, Augment] | None = None,
    progress: Progress | None = None,
) -> None:
    """Set temperatures and weights of ``model.fusion`` from out-of-fold answers to the true rows; its other parameters
    stay as they are.

    Where the encoders learn nothing (frozen vectors), the trainings are one: the copies of what learns stand side by
    side (:class:`tuwen.models.late.Copies`), and batches are larger by the share that each copy leaves out, so that it
    sees as many rows a step, and as many steps, as by itself. The epoch that is kept is then the best of all copies
    together. Otherwise one piece is left out after the other.

    Args:
        model: untrained; each piece starts from a copy of it.
        validation: rows that choose the best epoch; None keeps the last.

    Raises:
        KeyboardInterrupt: the finished pieces and a checkpoint of the running one are kept.
    """
    fusion, shown = model.fusion, progress or Silent()
    assert isinstance(fusion, Late)
    folds = cut.folds(fusion.folds, seed, len(training))
    if _as_one(model, settings):
        answers = _together(model, training, folds, validation, settings, seed, cut, augment, shown)
    else:
        answers = np.zeros((len(training), fusion.members, fusion.width), np.float32)
        for fold in range(fusion.folds):
            held = np.flatnonzero(folds == fold)
            within = Within(shown, f"out of fold {fold + 1} of {fusion.folds}")
            if len(held):
                answers[held] = _piece(model, training, held, validation, settings, seed, cut, fold, augment, within)
    true = np.flatnonzero(folds >= 0)
    _combine(model, answers[true], training.take(true))


def fit_late_on(model: Model, unseen: Examples) -> None:
    """Set temperatures and weights of a trained ``model.fusion`` from its answers on rows it was not trained on."""
    _combine(model, outputs_of(_members(model), unseen.inputs), unseen)


def _combine(model: Model, answers: np.ndarray, examples: Examples) -> None:
    fusion = model.fusion
    assert isinstance(fusion, Late)
    every = np.arange(len(examples))
    present = {m: torch.from_numpy(source.there(every)) for m, source in examples.inputs.items()}
    present = model.counted(present)  # what a generator fills has a say too
    fusion.fit_combination(torch.from_numpy(answers), present, torch.from_numpy(examples.targets), model.task)


def _piece(
    model: Model,
    training: Examples,
    held: np.ndarray,
    validation: Examples | None,
    settings: Settings,
    seed: int,
    cut: Cut,
    fold: int,
    augment: Mapping[str, Augment] | None,
    progress: Progress,
) -> np.ndarray:
    """The members' answers f32 [held, members, outputs] of a model trained on the other rows."""
    name = f"{cut.fingerprint}-{fold}"
    done = cut.folder / f"answers-{fold}-{cut.fingerprint[:16]}.safetensors"
    if done.is_file():
        return np.asarray(load_file(done)["answers"].numpy())
    rest = np.setdiff1d(np.arange(len(training)), held)
    piece = copy.deepcopy(model)
    train(
        piece,
        training.take(rest),
        validation,
        settings,
        seed=seed,
        augment=augment,
        checkpoint=cut.folder / f"checkpoint-{fold}.safetensors",
        fingerprint=name,
        progress=progress,
    )
    found = outputs_of(_members(piece), training.take(held).inputs, progress=progress)
    cut.folder.mkdir(parents=True, exist_ok=True)
    write_tensors({"answers": torch.from_numpy(found)}, done)
    return found


def _as_one(model: Model, settings: Settings) -> bool:
    """Whether the pieces can be trained together with the same outcome: nothing but heads, and no gradient clipped by
    the norm of all.
    """
    assert isinstance(model.fusion, Late)
    learning = any(p.requires_grad for p in model.encoders.parameters())
    return not learning and not settings.gradient_clip and Copies.can(model.fusion)


def _together(
    model: Model,
    training: Examples,
    folds: np.ndarray,
    validation: Examples | None,
    settings: Settings,
    seed: int,
    cut: Cut,
    augment: Mapping[str, Augment] | None,
    progress: Progress,
) -> np.ndarray:
    """The members' answers f32 [rows, members, outputs], each of a copy that did not see the row; 0 for made rows."""
    late = model.fusion
    assert isinstance(late, Late)
    done = cut.folder / f"answers-{cut.fingerprint[:16]}.safetensors"
    if done.is_file():
        return np.asarray(load_file(done)["answers"].numpy())
    shown = Within(progress, f"out of fold, {late.folds} at once")
    copies = Model(dict(model.encoders), Copies(late), EveryCopy(model.task), model.generator)  # type: ignore[arg-type]
    numbered = np.stack([training.targets, folds.astype(training.targets.dtype)], axis=1)
    train(
        copies,
        Examples(training.inputs, numbered, training.together),
        validation,
        replace(settings, batch_size=round(settings.batch_size * late.folds / (late.folds - 1))),
        seed=seed,
        augment=augment,
        checkpoint=cut.folder / "checkpoint.safetensors",
        fingerprint=f"{cut.fingerprint}-together",
        progress=shown,
    )
    answers = np.zeros((len(training), late.members, late.width), np.float32)
    for fold in range(late.folds):
        held = np.flatnonzero(folds == fold)
        if len(held):
            answers[held] = outputs_of(_members(copies, fold), training.take(held).inputs, progress=shown)
    cut.folder.mkdir(parents=True, exist_ok=True)
    write_tensors({"answers": torch.from_numpy(answers)}, done)
    return answers


def _members(model: Model, one: int | None = None) -> Network:
    """A late fusion's answers before they are combined; of copies those of one."""

    @torch.inference_mode()
    def network(arrays: dict[str, dict[str, np.ndarray]], present: dict[str, np.ndarray]) -> np.ndarray:
        model.eval()
        device = next(model.parameters()).device
        found = model.for_loss(*to_tensors(arrays, present, device)).float().cpu()
        return np.asarray((found if one is None else found[:, one]).numpy())

    return network
