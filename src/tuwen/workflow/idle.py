"""Settings that a run carries and that change nothing in it: no error, but hardly what was meant."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tuwen.config import Run
from tuwen.models import ENCODERS, FUSIONS, GENERATORS
from tuwen.models.transfer import Pretrained
from tuwen.workflow.generating import groups_of
from tuwen.workflow.kinds import own_task
from tuwen.workflow.preparing import encoder_options
from tuwen.workflow.rules import validates
from tuwen.workflow.starting import FREE_OF_MODALITY, start_of

OF_PRETRAINED = ("encoder_learning_rate", "layer_decay", "unfreeze_epoch", "unfreeze")
OF_FROZEN = ("size", "precision")

_RATERS = "raters take the place of the network"
_NOT_VALIDATED = "the split leaves no validation part"

Found = tuple[tuple[str, ...], str]  # (key, why it changes nothing, or less than it seems)


def without_effect(run: str | Path | Run, overrides: Iterable[str] = ()) -> list[str]:
    """One sentence for each setting without effect, with its place: ``RUN.yaml:12: training.unfreeze …``."""
    if not isinstance(run, Run):
        overrides = list(overrides)
        if own_task(run, overrides):
            return []
        run = Run.read(run, overrides)
    idle = [*_of_network(run), *_of_training(run), *_of_modalities(run), *_of_export(run)]
    found = [(key, f"has no effect: {why}") for key, why in idle]
    return [f"{run.where(*key)}: {'.'.join(key)} {said}" for key, said in [*found, *_of_little_effect(run)]]


def _of_training(run: Run) -> Iterator[Found]:
    asked = _asked(run.training)
    if run.raters is not None:
        for name in asked:
            yield ("training", name), _RATERS
        return
    pretrained = [name for name in OF_PRETRAINED if name in asked]
    if pretrained and (why := _no_pretrained(run)):
        for name in pretrained:
            yield ("training", name), why
    elif _never_thaws(run):
        for name in pretrained:
            if name != "unfreeze_epoch":
                yield ("training", name), "training.unfreeze_epoch holds all pretrained weights still"
    if asked.get("average_epochs", 0) > run.training.epochs:
        yield ("training", "average_epochs"), f"there are only {run.training.epochs} epochs: all of them are averaged"
    if "modality_dropout" in asked and len(groups_of(run)) == 1:
        yield ("training", "modality_dropout"), "there is one kind of input, and never all of a row is hidden"
    for name in ("patience", "monitor"):
        if name in asked and not validates(run):
            yield ("training", name), f"{_NOT_VALIDATED}, and the last epoch is kept"


def _of_network(run: Run) -> Iterator[Found]:
    if run.raters is not None:
        if run.fusion != type(run).model_fields["fusion"].default:
            yield ("fusion",), _RATERS
        return
    if run.stacking != type(run).model_fields["stacking"].default:
        yield ("stacking",), "there are no raters"
    fusion = FUSIONS.options(run.fusion.use, run.fusion.options, run.where("fusion"))
    if "width" in run.fusion.options and fusion.get("fused") == "none":
        yield ("fusion", "width"), "it is that of the fusion that 'fused' names"
    if run.gan is not None and "drop" in run.gan.options and run.training.modality_dropout:
        yield ("gan", "drop"), "training.modality_dropout hides inputs in its place"


def _of_modalities(run: Run) -> Iterator[Found]:
    for name, spec in run.modalities.items():
        encoder, options = _encoder(run, name)
        if encoder.is_frozen(options):
            for option in FREE_OF_MODALITY:
                if spec.options.get(option):
                    why = f"the vectors of {spec.encoder.use} are made once, before training"
                    yield ("modalities", name, option), why
        elif issubclass(encoder, Pretrained):
            for option in OF_FROZEN:
                if option in spec.encoder.options:
                    yield ("modalities", name, "encoder", option), "it is of vectors that are made once (frozen: true)"


def _of_export(run: Run) -> Iterator[Found]:
    asked = _asked(run.export)
    if "margin" in asked and not run.export.int8:
        yield ("export", "margin"), "nothing is made smaller without export.int8"
    if "int8" in asked and run.raters is None and not validates(run):
        yield ("export", "int8"), f"{_NOT_VALIDATED} to measure it on"


def _of_little_effect(run: Run) -> Iterator[Found]:
    """Settings that do something, but hardly what they say."""
    if run.raters is None and _never_thaws(run) and not _no_pretrained(run):
        told = f"holds pretrained weights still for good: the training ends after {run.training.epochs} epochs"
        yield ("training", "unfreeze_epoch"), told
    if run.fusion.options.get("absent") == "learned" and run.gan is not None and GENERATORS.load(run.gan.use).fills:
        told = f"counts only before gan: {run.gan.use} and for rows in which nothing is there: all else is filled"
        yield ("fusion", "absent"), told


def _asked(section: Any) -> dict[str, Any]:
    """What of a section of the run is not as it is by default."""
    fields = type(section).model_fields
    return {name: getattr(section, name) for name in fields if getattr(section, name) != fields[name].default}


def _never_thaws(run: Run) -> bool:
    return run.training.unfreeze_epoch >= run.training.epochs


def _no_pretrained(run: Run) -> str | None:
    """Why there are no pretrained weights to train on; None where there are some."""
    if any(_learns_on(run, name) for name in run.modalities):
        return None
    start = start_of(run)
    if start is None:
        return "no pretrained weights are trained on here (encoder: {…, frozen: false}, or init)"
    if any(_learns_anything(run, name) for name in start.taken):
        return None
    return f"nothing is trained in what init brought ({', '.join(sorted(start.taken))})"


def _learns_on(run: Run, name: str) -> bool:
    """Whether the modality's encoder trains its pretrained weights themselves."""
    encoder, options = _encoder(run, name)
    return issubclass(encoder, Pretrained) and not options["frozen"] and not options.get("lora")


def _learns_anything(run: Run, name: str) -> bool:
    """Whether something of the modality's encoder is trained."""
    encoder, options = _encoder(run, name)
    return not encoder.is_frozen(options) or bool(options.get("adapter"))


def _encoder(run: Run, name: str) -> tuple[Any, dict[str, Any]]:
    """Its class and complete options; a slip in them is told with its place, as check tells it."""
    place = run.where("modalities", name, "encoder")
    return ENCODERS.load(run.modalities[name].encoder.use, place), encoder_options(run, name)
