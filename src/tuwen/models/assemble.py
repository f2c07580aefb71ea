"""A model from plain descriptions: what a run asks for and what a bundle remembers are built by the same code."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from torch import nn

from tuwen.models import ENCODERS, FUSIONS, GENERATORS, TASKS
from tuwen.models.encoder import Encoder
from tuwen.models.generator import Generator
from tuwen.models.model import Model
from tuwen.models.sets import Pool
from tuwen.models.tasks import Task
from tuwen.preprocess.spec import ArraySpec
from tuwen.preprocess.target import Target


@dataclass(frozen=True)
class Part:
    """A component by name with its complete options; ``where`` is its place in the run, for messages."""

    use: str
    options: dict[str, Any] = field(default_factory=dict)
    where: str | None = None

    def plain(self) -> dict[str, Any]:
        return {"use": self.use, "options": self.options}


def assemble(
    encoders: dict[str, tuple[Part, ArraySpec]],
    fusion: Part,
    task: Part,
    target: Target,
    generator: dict[str, Any] | None = None,
) -> Model:
    """Build the network; parameters are drawn from torch's global generator (seed it before).

    Args:
        generator: ``use``, ``options``, ``groups`` and ``classes``, as a bundle remembers them.

    Raises:
        ConfigError: an option does not fit its component, or an encoder cannot read its modality.
    """
    built = {name: encoder_of(part, spec) for name, (part, spec) in sorted(encoders.items())}
    widths = {name: encoder.width for name, encoder in built.items()}
    if TASKS.load(task.use, task.where).replaces_fusion:
        whole: Model = TASKS.build(task.use, task.options, widths, target, where=task.where).model(built)
        return whole
    if generator is None:
        return connect(built, fusion, task, target)
    given = widths, generator["classes"], generator["groups"]
    return connect(built, fusion, task, target, GENERATORS.build(generator["use"], generator["options"], *given))


def encoder_of(part: Part, spec: ArraySpec) -> Encoder:
    """The encoder of one modality; of a set of pictures the encoder of one, and attention over the set."""
    encoder: Encoder = ENCODERS.build(part.use, part.options, replace(spec, set_size=0), where=part.where)
    return Pool(encoder) if spec.set_size else encoder


def connect(
    encoders: dict[str, Encoder], fusion: Part, task: Part, target: Target, generator: Generator | None = None
) -> Model:
    """A fresh fusion and a fresh task behind encoders that are there already."""
    widths = {name: encoder.width for name, encoder in encoders.items()}

    def head(width: int) -> Task:
        made: Task = TASKS.build(task.use, task.options, width, target, where=task.where)
        return made

    if not FUSIONS.load(fusion.use, fusion.where).combines_answers:
        fused = FUSIONS.build(fusion.use, fusion.options, widths, where=fusion.where)
        return Model(encoders, fused, head(fused.width), generator)
    fused = FUSIONS.build(fusion.use, fusion.options, widths, head, where=fusion.where)
    answers = head(fused.width)
    answers.dense = nn.Identity()  # they are the answers already
    return Model(encoders, fused, answers, generator)
