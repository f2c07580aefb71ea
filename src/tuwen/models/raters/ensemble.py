"""Several raters and one number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tuwen.models import RATERS
from tuwen.models.assemble import Part
from tuwen.models.raters.rater import Rater, restore
from tuwen.models.raters.sides import Sides
from tuwen.preprocess.spec import ArraySpec


class Raters(nn.Module):
    """mean + Σ wₘ (answer of m − mean): what a run with ``raters`` trains, in the place of a network.

    The weights are not negative, and learned on answers to ratings that the raters had not seen
    (:mod:`tuwen.training.raters`).
    """

    mean: Tensor

    def __init__(self, members: Mapping[str, Part], sides: Sides) -> None:
        super().__init__()
        self.parts, self.sides = dict(members), sides
        self.members = nn.ModuleDict(
            {name: RATERS.build(part.use, part.options, where=part.where) for name, part in members.items()}
        )
        self.weights = nn.Parameter(torch.zeros(len(members)), requires_grad=False)
        self.register_buffer("mean", torch.zeros(()))

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any], specs: dict[str, ArraySpec], state: Mapping[str, Tensor]) -> Raters:
        """What a bundle remembers: ``members`` and ``sides`` of its architecture, and its numbers."""
        members = {name: Part(**part) for name, part in plain["members"].items()}
        found = cls(members, Sides.from_plain(plain["sides"], specs))
        restore(found, state)
        return found

    def plain(self) -> dict[str, Any]:
        """What :meth:`from_plain` needs beside specs and numbers."""
        return {"members": {name: part.plain() for name, part in self.parts.items()}, "sides": self.sides.plain()}

    @property
    def raters(self) -> dict[str, Rater]:
        return dict(self.members.items())  # type: ignore[arg-type]

    def answers(self, arrays: Any, present: Any) -> Tensor:
        """What each member says: f32 [batch, members]."""
        asked = self.sides.asked(arrays, present)
        return torch.stack([rater(asked) for rater in self.raters.values()], dim=1)

    def forward(self, arrays: Any, present: Any) -> Tensor:
        return self.blend(self.answers(arrays, present)).unsqueeze(1)  # [batch, 1]

    def blend(self, answers: Tensor) -> Tensor:
        """f32 [rows, members] → [rows]."""
        return self.mean + (answers - self.mean) @ self.weights
