"""The network of ``fusion: auto``: linear members, small networks and trees, combined for what a row has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from tuwen.models.stack.members import Networks, Trees
from tuwen.models.stack.projection import Projection
from tuwen.preprocess.spec import ArraySpec


@dataclass(frozen=True)
class Plan:
    """What a stack is made of, without its numbers.

    Attributes:
        outputs: of the task.
        probabilistic: whether outputs are scores of probabilities.
        linear: modalities of each linear member.
        compact: modality → how many compact features the networks read of it.
        networks: kind, copies and hidden units of each.
        trees: ``trees``, ``splits``, the linear members whose scores they read (``scores``) and the modalities whose
            compact features they read (``tables``); empty where there are none.
        patterns: for which modalities a combination was fitted.
    """

    outputs: int
    probabilistic: bool
    linear: list[list[str]]
    compact: dict[str, int] = field(default_factory=dict)
    networks: list[dict[str, Any]] = field(default_factory=list)
    trees: dict[str, Any] = field(default_factory=dict)
    patterns: list[list[str]] = field(default_factory=list)

    @property
    def members(self) -> list[str]:
        """Their names, in the order of :meth:`Stack.answers`."""
        names = [f"linear({' + '.join(modalities)})" for modalities in self.linear]
        names += [f"network({network['kind']})" for network in self.networks]
        return [*names, "trees"] if self.trees else names

    def plain(self) -> dict[str, Any]:
        return asdict(self)


class Stack(nn.Module):
    """g(Σ wₚ zₘ / Tₘ) over members m, with weights w for the pattern p of modalities that a row has.

    Each modality is read once: one projection gives its part of every linear member and its compact features.

    Args:
        plan: what it is made of.
        specs: arrays of each modality.
    """

    def __init__(self, plan: Plan, specs: Mapping[str, ArraySpec]) -> None:
        super().__init__()
        self.plan, self.specs = plan, dict(sorted(specs.items()))
        self.projections = nn.ModuleDict()
        for name, spec in self.specs.items():
            linear = sum(name in modalities for modalities in plan.linear)
            self.projections[name] = Projection(spec, linear * plan.outputs + plan.compact.get(name, 0))
        self.register_buffer("bias", torch.zeros(len(plan.linear), plan.outputs))
        widths = [plan.compact[name] for name in self.specs if name in plan.compact]
        self.networks = nn.ModuleList(
            Networks(part["kind"], widths, part["copies"], part["hidden"], plan.outputs) for part in plan.networks
        )
        self.trees: Trees | None = None
        if plan.trees:
            read = len(plan.trees["scores"]) * plan.outputs + sum(plan.compact[name] for name in plan.trees["tables"])
            self.trees = Trees(plan.trees["trees"], plan.trees["splits"], read, plan.outputs)
        members, patterns = len(plan.members), len(plan.patterns)
        self.register_buffer("temperature", torch.ones(members))
        self.register_buffer("pattern", self._bits(plan.patterns))
        self.register_buffer("weight", torch.full((patterns, members), 1.0 / members))
        self.register_buffer("sharpness", torch.ones(patterns))
        self.register_buffer("shift", torch.zeros(()))  # of a number that is predicted
        self.register_buffer("prior", torch.zeros(plan.outputs))  # the answer where nothing is there

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any], specs: Mapping[str, ArraySpec], state: Mapping[str, Tensor]) -> Self:
        """What a bundle remembers."""
        stack = cls(Plan(**plain), specs)
        stack.load_state_dict(dict(state))
        return stack

    def plain(self) -> dict[str, Any]:
        return self.plan.plain()

    def _bits(self, patterns: list[list[str]]) -> Tensor:
        rows = [[float(name in pattern) for name in self.specs] for pattern in patterns]
        return torch.tensor(rows).reshape(len(patterns), len(self.specs))

    def forward(self, arrays: dict[str, dict[str, Tensor]], present: dict[str, Tensor]) -> Tensor:
        return self.combined(self.answers(arrays, present), present)  # [batch, outputs]

    def answers(self, arrays: dict[str, dict[str, Tensor]], present: dict[str, Tensor]) -> Tensor:
        """What each member answers: f32 [batch, members, outputs]."""
        parts = {name: self.projections[name](arrays[name], present[name]) for name in self.specs}
        linear, compact = self._linear(parts), self._compact(parts)
        answers = list(linear)
        answers += [network(list(compact.values())) for network in self.networks]
        if self.trees is not None:
            scores = [linear[i] for i in self.plan.trees["scores"]]
            tables = [compact[name] for name in self.plan.trees["tables"]]
            answers.append(self.trees(torch.cat([*scores, *tables], dim=1)))
        return torch.stack(answers, dim=1)

    def _linear(self, parts: dict[str, Tensor]) -> list[Tensor]:
        """Scores of each linear member [batch, outputs]."""
        outputs, nth = self.plan.outputs, dict.fromkeys(self.specs, 0)
        totals = []
        for bias, modalities in zip(self.get_buffer("bias").unbind(0), self.plan.linear, strict=True):
            total = bias
            for name in self.specs:
                if name in modalities:
                    start = nth[name] * outputs
                    total = total + parts[name][:, start : start + outputs]
                    nth[name] += 1
            totals.append(total)
        return totals

    def _compact(self, parts: dict[str, Tensor]) -> dict[str, Tensor]:
        return {
            name: parts[name][:, parts[name].shape[1] - self.plan.compact[name] :]
            for name in self.specs
            if name in self.plan.compact
        }

    def combined(self, answers: Tensor, present: dict[str, Tensor]) -> Tensor:
        """Answers [batch, members, outputs] → one, by the weights of the fitted pattern nearest to what is there."""
        bits = torch.stack([present[name] for name in self.specs], dim=1).to(answers.dtype)  # [batch, modalities]
        pattern = self.get_buffer("pattern")
        missing = (1 - bits) @ pattern.T  # of what the pattern counts on; larger patterns come first
        nearest = missing.argmin(dim=1)
        scores = answers / self.get_buffer("temperature").view(1, -1, 1)
        if self.plan.probabilistic and self.plan.outputs > 1:
            scores = functional.log_softmax(scores, dim=2)
        mixed = (self.get_buffer("weight")[nearest].unsqueeze(2) * scores).sum(dim=1)
        mixed = mixed * self.get_buffer("sharpness")[nearest].unsqueeze(1) + self.get_buffer("shift")
        return torch.where(bits.sum(dim=1, keepdim=True) > 0, mixed, self.get_buffer("prior"))
