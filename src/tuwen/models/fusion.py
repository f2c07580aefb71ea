"""Fusions: the vectors of the modalities → one vector.

Three laws, tested for every registered fusion: what is absent cannot change the answer; the order of the modalities
cannot; rows don't mix.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tuwen.errors import ConfigError
from tuwen.registry import Count, Share

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU, "tanh": nn.Tanh, "none": nn.Identity}


class Fusion(nn.Module):
    """Vectors and presence → one vector.

    A concrete fusion takes ``(widths, *, options)`` with ``widths`` the width of each modality's vector, and sets
    :attr:`width`.
    """

    width: int

    def __init__(self, widths: dict[str, int]) -> None:
        super().__init__()
        self.widths = dict(sorted(widths.items()))  # sorted, so that the order in the run cannot matter

    def masked(self, vectors: dict[str, Tensor], present: dict[str, Tensor]) -> dict[str, Tensor]:
        """Each modality's vectors [batch, width], zeros where it is absent (whatever stood there, NaN included)."""
        return {m: torch.where(present[m].unsqueeze(1), vectors[m], 0.0) for m in self.widths}

    def forward(self, vectors: dict[str, Tensor], present: dict[str, Tensor]) -> Tensor:
        raise NotImplementedError


class Sum(Fusion):
    """σ(Σ Wᵢ vᵢ): the mission's formula. An absent modality adds nothing."""

    def __init__(
        self, widths: dict[str, int], *, width: Count = 64, activation: str = "relu", dropout: Share = 0.0
    ) -> None:
        super().__init__(widths)
        self.project = nn.ModuleDict({m: nn.Linear(w, width, bias=False) for m, w in self.widths.items()})
        self.bias = nn.Parameter(torch.zeros(width))
        self.finish = nn.Sequential(activation_of(activation), nn.Dropout(dropout))
        self.width = width

    def forward(self, vectors: dict[str, Tensor], present: dict[str, Tensor]) -> Tensor:
        vectors = self.masked(vectors, present)
        total = sum((self.project[m](vectors[m]) for m in self.widths), self.bias)
        return self.finish(total)  # [batch, width]


class Concat(Fusion):
    """σ(W [v₁; v₂; …]): a dense layer over the vectors laid side by side, with one bit each for presence."""

    def __init__(
        self, widths: dict[str, int], *, width: Count = 64, activation: str = "relu", dropout: Share = 0.0
    ) -> None:
        super().__init__(widths)
        self.dense = nn.Linear(sum(self.widths.values()) + len(self.widths), width)
        self.finish = nn.Sequential(activation_of(activation), nn.Dropout(dropout))
        self.width = width

    def forward(self, vectors: dict[str, Tensor], present: dict[str, Tensor]) -> Tensor:
        vectors = self.masked(vectors, present)
        bits = torch.stack([present[m] for m in self.widths], dim=1).to(next(iter(vectors.values())).dtype)
        return self.finish(self.dense(torch.cat([*vectors.values(), bits], dim=1)))  # [batch, width]


class Pairwise(Fusion):
    """[Σ uᵢ ; Σ_{i<j} uᵢ ∘ uⱼ] with uᵢ = Wᵢ vᵢ: biases and products of pairs (Rendle, 2010, factorisation machines).

    With user and item vectors and the task ``rate`` this is matrix factorisation with features.
    """

    def __init__(self, widths: dict[str, int], *, width: Count = 32, dropout: Share = 0.0) -> None:
        super().__init__(widths)
        self.linear = nn.ModuleDict({m: nn.Linear(w, width, bias=False) for m, w in self.widths.items()})
        self.factors = nn.ModuleDict({m: nn.Linear(w, width, bias=False) for m, w in self.widths.items()})
        self.dropout = nn.Dropout(dropout)
        self.width = 2 * width

    def forward(self, vectors: dict[str, Tensor], present: dict[str, Tensor]) -> Tensor:
        vectors = self.masked(vectors, present)
        factors = torch.stack([self.dropout(self.factors[m](vectors[m])) for m in self.widths], dim=1)
        products = (factors.sum(dim=1) ** 2 - (factors**2).sum(dim=1)) / 2  # Σ over pairs, in linear time
        linear = torch.stack([self.linear[m](vectors[m]) for m in self.widths], dim=1).sum(dim=1)
        return torch.cat([linear, products], dim=1)  # [batch, 2 × width]


def activation_of(name: str) -> nn.Module:
    """The σ called ``name``."""
    if name not in ACTIVATIONS:
        raise ConfigError("unknown activation", seen=name, allowed=ACTIVATIONS)
    return ACTIVATIONS[name]()
