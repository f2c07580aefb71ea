"""Settings that a run carries and that change nothing in it: no error, but hardly what was meant."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tuwen.config import Run
from tuwen.models import ENCODERS
from tuwen.models.transfer import Pretrained
from tuwen.workflow.generating import groups_of
from tuwen.workflow.kinds import own_task
from tuwen.workflow.preparing import encoder_options
from tuwen.workflow.starting import FREE_OF_MODALITY

OF_PRETRAINED = ("encoder_learning_rate", "layer_decay", "unfreeze_epoch", "unfreeze")

_RATERS = "raters take the place of the network"


def without_effect(run: str | Path | Run, overrides: Iterable[str] = ()) -> list[str]:
    """One sentence for each setting without effect, with its place: ``RUN.yaml:12: training.unfreeze …``."""
    if not isinstance(run, Run):
        overrides = list(overrides)
        if own_task(run, overrides):
            return []
        run = Run.read(run, overrides)
    found = [*_of_network(run), *_of_training(run), *_of_modalities(run)]
    return [f"{run.where(*key)}: {'.'.join(key)} has no effect: {why}" for key, why in found]


def _of_training(run: Run) -> Iterator[tuple[tuple[str, ...], str]]:
    asked = {
        name: getattr(run.training, name)
        for name, field in type(run.training).model_fields.items()
        if getattr(run.training, name) != field.default
    }
    if run.raters is not None:
        for name in asked:
            yield ("training", name), _RATERS
        return
    if not any(_learns_on(run, name) for name in run.modalities):
        for name in OF_PRETRAINED:
            if name in asked:
                yield ("training", name), "no pretrained weights are trained on here (encoder: {…, frozen: false})"
    elif asked.get("unfreeze_epoch", 0) >= run.training.epochs:
        yield ("training", "unfreeze_epoch"), f"the training ends after {run.training.epochs} epochs"
    if asked.get("average_epochs", 0) > run.training.epochs:
        yield ("training", "average_epochs"), f"there are only {run.training.epochs} epochs: all of them are averaged"
    if "modality_dropout" in asked and len(groups_of(run)) == 1:
        yield ("training", "modality_dropout"), "there is one kind of input, and never all of a row is hidden"


def _of_network(run: Run) -> Iterator[tuple[tuple[str, ...], str]]:
    if run.raters is not None and run.fusion != type(run).model_fields["fusion"].default:
        yield ("fusion",), _RATERS
    if run.raters is None and run.stacking != type(run).model_fields["stacking"].default:
        yield ("stacking",), "there are no raters"


def _of_modalities(run: Run) -> Iterator[tuple[tuple[str, ...], str]]:
    for name, spec in run.modalities.items():
        encoder, options = _encoder(run, name)
        if not encoder.is_frozen(options):
            continue
        for option in FREE_OF_MODALITY:
            if spec.options.get(option):
                yield ("modalities", name, option), f"the vectors of {spec.encoder.use} are made once, before training"


def _learns_on(run: Run, name: str) -> bool:
    """Whether the modality's encoder trains its pretrained weights themselves."""
    encoder, options = _encoder(run, name)
    return issubclass(encoder, Pretrained) and not options["frozen"] and not options.get("lora")


def _encoder(run: Run, name: str) -> tuple[Any, dict[str, Any]]:
    """Its class and complete options; a slip in them is told with its place, as check tells it."""
    place = run.where("modalities", name, "encoder")
    return ENCODERS.load(run.modalities[name].encoder.use, place), encoder_options(run, name)
