"""A model from plain descriptions: what a run asks for and what a bundle remembers are built by the same code."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tuwen.models import ENCODERS, FUSIONS, TASKS
from tuwen.models.model import Model
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


def assemble(encoders: dict[str, tuple[Part, ArraySpec]], fusion: Part, task: Part, target: Target) -> Model:
    """Build the network; parameters are drawn from torch's global generator (seed it before).

    Raises:
        ConfigError: an option does not fit its component, or an encoder cannot read its modality.
    """
    built = {
        name: ENCODERS.build(part.use, part.options, spec, where=part.where)
        for name, (part, spec) in sorted(encoders.items())
    }
    widths = {name: encoder.width for name, encoder in built.items()}
    fused = FUSIONS.build(fusion.use, fusion.options, widths, where=fusion.where)
    head = TASKS.build(task.use, task.options, fused.width, target, where=task.where)
    return Model(built, fused, head)
