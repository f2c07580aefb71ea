"""Optimisers, parameter groups, learning-rate schedules and the running average of the weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Literal

import torch
from torch import Tensor, nn

Name = Literal["adam", "adamw", "sgd"]
Schedule = Literal["constant", "cosine", "linear"]


def optimiser(
    model: nn.Module,
    pretrained: list[list[nn.Parameter]],
    *,
    use: Name = "adamw",
    learning_rate: float = 1e-3,
    encoder_learning_rate: float | None = None,
    layer_decay: float = 1.0,
    weight_decay: float = 0.0,
    brought: Iterable[nn.Parameter] = (),
) -> torch.optim.Optimizer:
    """Fresh parameters at one speed, pretrained ones at another that falls with depth; no decay on biases and norms.

    Args:
        pretrained: parameters by layer, the top one first. The top takes ``encoder_learning_rate`` (default: a
            twentieth of ``learning_rate``), each layer below ``layer_decay`` times the one above it (Howard and
            Ruder, 2018).
        brought: those of ``pretrained`` whose default is ``learning_rate`` itself.
    """
    alike = {id(p) for p in brought}
    rates: dict[int, float] = {}
    for depth, layer in enumerate(pretrained):
        for p in layer:
            top = learning_rate / (1 if id(p) in alike else 20)
            rates[id(p)] = (top if encoder_learning_rate is None else encoder_learning_rate) * layer_decay**depth
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for parameter in model.parameters():
        if parameter.requires_grad:
            rate = rates.get(id(parameter), learning_rate)
            groups.setdefault((rate, parameter.ndim > 1), []).append(parameter)
    # the fresh ones last: their rate is the one that the history tells
    options = [
        {"params": found, "lr": rate, "weight_decay": weight_decay if decays else 0.0}
        for (rate, decays), found in sorted(groups.items(), key=lambda group: (group[0][0] == learning_rate, group[0]))
    ]
    if use == "sgd":
        return torch.optim.SGD(options, momentum=0.9, nesterov=True)
    return (torch.optim.Adam if use == "adam" else torch.optim.AdamW)(options)


def schedule(use: Schedule, warm_up: float, steps: int) -> Callable[[int], float]:
    """step → factor on every learning rate: linear warm-up over a share of ``steps``, then constant, cosine or
    linear to 0.
    """
    rise = round(warm_up * steps)

    def factor(step: int) -> float:
        if step < rise:
            return (step + 1) / rise
        done = (step - rise) / max(steps - rise, 1)
        if use == "cosine":
            return 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
        return max(1.0 - done, 0.0) if use == "linear" else 1.0

    return factor


class EpochMean:
    """The mean of the weights after several epochs (checkpoint averaging: Izmailov et al., 2018)."""

    def __init__(self) -> None:
        self.count = 0
        self.weights: dict[str, Tensor] = {}

    @torch.no_grad()
    def add(self, model: nn.Module) -> None:
        self.count += 1
        for name, weight in model.state_dict().items():
            if not weight.is_floating_point():
                self.weights[name] = weight.detach().clone()
            elif name in self.weights:
                self.weights[name].lerp_(weight, 1 / self.count)
            else:
                self.weights[name] = weight.detach().clone()


class WeightAverage:
    """Exponential average of the weights (Polyak and Juditsky, 1992), with the early steps' bias removed by a rising
    decay.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay, self.steps = decay, 0
        self.weights: dict[str, Tensor] = {
            n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad
        }

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        names = list(self.weights)
        fresh = dict(model.named_parameters())
        torch._foreach_lerp_([self.weights[n] for n in names], [fresh[n].detach() for n in names], 1 - decay)

    @torch.no_grad()
    def swap(self, model: nn.Module) -> None:
        """Exchange the model's weights with the averaged ones; call twice to undo."""
        fresh = dict(model.named_parameters())
        for name, average in self.weights.items():
            held = fresh[name].detach().clone()
            fresh[name].copy_(average)
            average.copy_(held)
