"""Settings that a run carries and that change nothing in it: no error, but hardly what was meant."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch

from tuwen.config import Run
from tuwen.models import ENCODERS, FUSIONS, GENERATORS
from tuwen.models.assemble import Part, encoder_of
from tuwen.models.transfer import Pretrained
from tuwen.workflow.generating import groups_of
from tuwen.workflow.kinds import own_task
from tuwen.workflow.preparing import built_modality, encoder_options
from tuwen.workflow.rehearsal import expected
from tuwen.workflow.rules import validates
from tuwen.workflow.stacking import is_stack
from tuwen.workflow.starting import FREE_OF_MODALITY, start_of

OF_PRETRAINED = ("encoder_learning_rate", "layer_decay", "unfreeze_epoch", "unfreeze")
OF_FROZEN = ("size", "precision")

Text = tuple[str, str]  # in English and Chinese
Found = tuple[tuple[str, ...], Text]  # (key, why it changes nothing, or less than it seems)

_RATERS: Text = ("raters take the place of the network", "评分器取代了网络")
_STACK: Text = (
    "fusion: auto trains no network where no encoder has to be trained",
    "没有需要训练的编码器时，fusion: auto 不训练网络",
)
_NOT_VALIDATED: Text = ("the split leaves no validation part", "划分没有留出验证集")


def without_effect(run: str | Path | Run, overrides: Iterable[str] = ()) -> list[str]:
    """One sentence for each setting without effect, with its place: ``RUN.yaml:12: training.unfreeze …``."""
    if not isinstance(run, Run):
        overrides = list(overrides)
        if own_task(run, overrides):
            return []
        run = Run.read(run, overrides)
    return [english for english, _ in idle_in(run)]


def idle_in(run: Run) -> list[Text]:
    """:func:`without_effect` in both languages."""
    idle = [*_of_network(run), *_of_training(run), *_of_modalities(run), *_of_export(run)]
    found = [(key, (f"has no effect: {why[0]}", f"不起作用：{why[1]}")) for key, why in idle]
    told = []
    for key, (english, chinese) in [*found, *_of_little_effect(run)]:
        about = f"{run.where(*key)}: {'.'.join(key)} "
        told.append((about + english, about + chinese))
    return told


def _of_training(run: Run) -> Iterator[Found]:
    asked = _asked(run.training)
    if run.raters is not None or is_stack(run):
        for name in asked:
            yield ("training", name), _STACK if run.raters is None else _RATERS
        return
    pretrained = [name for name in OF_PRETRAINED if name in asked]
    if pretrained and (why := _no_pretrained(run)):
        for name in pretrained:
            yield ("training", name), why
    elif _never_thaws(run):
        for name in pretrained:
            if name != "unfreeze_epoch":
                yield (
                    ("training", name),
                    (
                        "training.unfreeze_epoch holds all pretrained weights still",
                        "training.unfreeze_epoch 使全部预训练权重保持不变",
                    ),
                )
    if asked.get("average_epochs", 0) > run.training.epochs:
        told = (
            f"there are only {run.training.epochs} epochs: all of them are averaged",
            f"只有 {run.training.epochs} 轮：全部参与平均",
        )
        yield ("training", "average_epochs"), told
    if "modality_dropout" in asked and len(groups_of(run)) == 1:
        told = (
            "there is one kind of input, and never all of a row is hidden",
            "只有一种输入，而一行的输入不会全部隐藏",
        )
        yield ("training", "modality_dropout"), told
    for name in ("patience", "monitor"):
        if name in asked and not validates(run):
            told = (f"{_NOT_VALIDATED[0]}, and the last epoch is kept", f"{_NOT_VALIDATED[1]}，保留最后一轮")
            yield ("training", name), told


def _of_network(run: Run) -> Iterator[Found]:
    if run.raters is not None:
        if run.fusion != type(run).model_fields["fusion"].default:
            yield ("fusion",), _RATERS
        return
    if run.stacking != type(run).model_fields["stacking"].default:
        yield ("stacking",), ("there are no raters", "没有评分器")
    fusion = FUSIONS.options(run.fusion.use, run.fusion.options, run.where("fusion"))
    if "width" in run.fusion.options and fusion.get("fused") == "none":
        yield ("fusion", "width"), ("it is that of the fusion that 'fused' names", "它属于 fused 所指的融合")
    if run.gan is not None and "drop" in run.gan.options and run.training.modality_dropout:
        told = ("training.modality_dropout hides inputs in its place", "由 training.modality_dropout 代为隐藏输入")
        yield ("gan", "drop"), told


def _of_modalities(run: Run) -> Iterator[Found]:
    for name, spec in run.modalities.items():
        encoder, options = _encoder(run, name)
        if encoder.is_frozen(options):
            for option in FREE_OF_MODALITY:
                if spec.options.get(option):
                    use = spec.encoder.use
                    why = (
                        f"the vectors of {use} are made once, before training",
                        f"{use} 的向量在训练前一次性生成",
                    )
                    yield ("modalities", name, option), why
        elif issubclass(encoder, Pretrained):
            for option in OF_FROZEN:
                if option in spec.encoder.options:
                    why = (
                        "it is of vectors that are made once (frozen: true)",
                        "只对一次性生成的向量有意义（frozen: true）",
                    )
                    yield ("modalities", name, "encoder", option), why


def _of_export(run: Run) -> Iterator[Found]:
    asked = _asked(run.export)
    if "margin" in asked and not run.export.int8:
        told = ("nothing is made smaller without export.int8", "没有 export.int8 就不会压缩")
        yield ("export", "margin"), told
    if "int8" in asked and run.raters is None and not validates(run):
        yield ("export", "int8"), (f"{_NOT_VALIDATED[0]} to measure it on", f"{_NOT_VALIDATED[1]}，无法衡量其代价")


def _of_little_effect(run: Run) -> Iterator[Found]:
    """Settings that do something, but hardly what they say."""
    epochs, begins = run.training.epochs, run.training.unfreeze_epoch
    if run.raters is None and not _no_pretrained(run):
        if _never_thaws(run):
            told = (
                f"holds pretrained weights still for good: the training ends after {epochs} epochs",
                f"使预训练权重始终不变：训练在 {epochs} 轮后结束",
            )
            yield ("training", "unfreeze_epoch"), told
        elif run.training.unfreeze == "gradual" and (layers := _least_layers(run)) > epochs - begins:
            told = (
                f"reaches the top {epochs - begins} of {layers} layers only, one more each epoch: the training ends "
                f"after {epochs} epochs",
                f"只解冻到最上面的 {epochs - begins} 层（共 {layers} 层，每轮多一层）：训练在 {epochs} 轮后结束",
            )
            yield ("training", "unfreeze"), told
    if run.fusion.options.get("absent") == "learned" and run.gan is not None and GENERATORS.load(run.gan.use).fills:
        told = (
            f"counts only before gan: {run.gan.use} and for rows in which nothing is there: all else is filled",
            f"只在 gan: {run.gan.use} 之前、以及没有任何输入的行中起作用：其余都会被补全",
        )
        yield ("fusion", "absent"), told


def _asked(section: Any) -> dict[str, Any]:
    """What of a section of the run is not as it is by default."""
    fields = type(section).model_fields
    return {name: getattr(section, name) for name in fields if getattr(section, name) != fields[name].default}


def _never_thaws(run: Run) -> bool:
    return run.training.unfreeze_epoch >= run.training.epochs


def _least_layers(run: Run) -> int:
    """How many layers the deepest pretrained encoder has, of those whose depth is known without its weights."""
    start = start_of(run)
    brought = set(start.taken) if start is not None else set()
    return max((layers_of(run, name, name in brought) for name in run.modalities), default=0)


def layers_of(run: Run, name: str, brought: bool) -> int:
    """The layers of a modality's encoder that thaw; 0 where none does, or where that is not known."""
    encoder, options = _encoder(run, name)
    if issubclass(encoder, Pretrained):
        known = encoder.depth if _learns_on(run, name) else 0
        chosen = options.get("train_layers")
        return known and (known + 1 if chosen is None else min(chosen, known))  # below the blocks: words, or the stem
    if not brought or (spec := expected(built_modality(run, name))) is None:
        return 0
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        made = encoder_of(Part(run.modalities[name].encoder.use, options), spec)
    made.brought = True
    return len(made.pretrained_layers())


def _no_pretrained(run: Run) -> Text | None:
    """Why there are no pretrained weights to train on; None where there are some."""
    if any(_learns_on(run, name) for name in run.modalities):
        return None
    start = start_of(run)
    if start is None:
        return (
            "no pretrained weights are trained on here (encoder: {…, frozen: false}, or init)",
            "这里没有继续训练的预训练权重（encoder: {…, frozen: false}，或 init）",
        )
    if any(_learns_anything(run, name) for name in start.taken):
        return None
    taken = ", ".join(sorted(start.taken))
    return f"nothing is trained in what init brought ({taken})", f"init 带来的部分没有要训练的（{taken}）"


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
