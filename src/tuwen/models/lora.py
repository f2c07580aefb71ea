"""Low-rank adaptation (LoRA: Hu et al., 2022): W stays, and W + s·BA is what is used, with B and A thin and trained."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

SCALE = 2.0  # s, the usual α = 2 × rank


class LowRankUpdate(nn.Module):
    """A linear layer or 1×1 convolution that is frozen, plus what is learned beside it; B begins at zero.

    Args:
        base: the layer; its parameters are frozen here.
        rank: rows of A.
    """

    def __init__(self, base: nn.Linear | nn.Conv2d, rank: int) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        if isinstance(base, nn.Linear):
            self.down: nn.Module = nn.Linear(base.in_features, rank, bias=False)
            self.up: nn.Module = nn.Linear(rank, base.out_features, bias=False)
        else:
            self.down = nn.Conv2d(base.in_channels, rank, 1, stride=base.stride, bias=False)  # type: ignore[arg-type]
            self.up = nn.Conv2d(rank, base.out_channels, 1, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + SCALE * self.up(self.down(x))

    @torch.no_grad()
    def merged(self) -> nn.Module:
        """The base with s·BA added to its weight: the same answers for the price of one layer."""
        down, up = (part.weight.flatten(1) for part in (self.down, self.up))  # type: ignore[operator]
        self.base.weight += (SCALE * up @ down).view_as(self.base.weight)
        return self.base


def add(network: nn.Module, rank: int) -> int:
    """Put a :class:`LowRankUpdate` in the place of each linear layer and 1×1 convolution that would be trained, and
    freeze everything else, in place; how many updates there are.
    """
    chosen = {m for m in network.modules() if _fits(m) and m.weight.requires_grad}
    network.requires_grad_(False)
    return _replace(network, lambda child: LowRankUpdate(child, rank) if child in chosen else None)  # type: ignore[arg-type]


def merge(network: nn.Module) -> int:
    """Put plain layers back, in place, for answering; how many there were."""
    return _replace(network, lambda child: child.merged() if isinstance(child, LowRankUpdate) else None)


def _fits(module: nn.Module) -> bool:
    if isinstance(module, nn.Conv2d):
        return module.kernel_size == (1, 1) and module.groups == 1
    return type(module) is nn.Linear  # not torch's own attention: it reads its weights past forward


def _replace(network: nn.Module, other: Callable[[nn.Module], nn.Module | None]) -> int:
    count = 0
    for name, child in list(network.named_children()):
        found = other(child)
        if found is None:
            count += _replace(child, other)
        else:
            setattr(network, name, found)
            count += 1
    return count
