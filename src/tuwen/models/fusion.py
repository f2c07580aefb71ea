"""Fusions: the vectors of the modalities → one vector.

Three laws, tested for every registered fusion: what is absent cannot change the answer; the order of the modalities
cannot; rows don't mix.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from tuwen.errors import ConfigError
from tuwen.models.transformer import Transformer
from tuwen.registry import Count, Share

Absent = Literal["zero", "learned"]  # what stands for a modality that is not there

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU, "tanh": nn.Tanh, "none": nn.Identity}


class Fusion(nn.Module):
    """Vectors and presence → one vector.

    A concrete fusion takes ``(widths, *, options)`` with ``widths`` the width of each modality's vector, and sets
    :attr:`width`.

    Attributes:
        combines_answers: whether it takes a head too, ``(widths, head, *, options)``, and gives the answers themselves.
    """

    combines_answers: ClassVar[bool] = False
    width: int

    def __init__(self, widths: dict[str, int], absent: Absent = "zero") -> None:
        super().__init__()
        self.widths = dict(sorted(widths.items()))  # sorted, so that the order in the run cannot matter
        tokens = {m: nn.Parameter(torch.zeros(w)) for m, w in self.widths.items()} if absent == "learned" else {}
        self.tokens = nn.ParameterDict(tokens)

    def filled(
        self, vectors: dict[str, Tensor], present: dict[str, Tensor]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """(each modality's vectors [batch, width], which of them count, bool [batch]).

        Where a modality is absent its vector is zeros and does not count, or the learned token, which does (whatever
        stood there, NaN included).
        """
        if not self.tokens:
            return {m: torch.where(present[m].unsqueeze(1), vectors[m], 0.0) for m in self.widths}, present
        found = {
            m: torch.where(present[m].unsqueeze(1), vectors[m], self.tokens[m].to(vectors[m].dtype))
            for m in self.widths
        }
        return found, {m: torch.ones_like(present[m]) for m in self.widths}

    def bits(self, present: dict[str, Tensor], like: dict[str, Tensor]) -> Tensor:
        """Which modalities are there, as numbers [batch, modalities]."""
        return torch.stack([present[m] for m in self.widths], dim=1).to(next(iter(like.values())).dtype)

    def forward(self, vectors: dict[str, Tensor], present: dict[str, Tensor]) -> Tensor:
        raise NotImplementedError

    def for_loss(self, vectors: dict[str, Tensor], present: dict[str, Tensor], task: nn.Module) -> Tensor:
        """What :meth:`loss` judges: the task's answers from the fused vector [batch, outputs]."""
        return task(self(vectors, present))

    def loss(self, outputs: Tensor, targets: Tensor, present: dict[str, Tensor], task: Any) -> Tensor:
        """The mean loss of a batch; ``outputs`` are what :meth:`for_loss` gave."""
        loss: Tensor = task.loss(outputs, targets)
        return loss


class Sum(Fusion):
    """σ(Σ Wᵢ vᵢ): the mission's formula. An absent modality adds nothing."""

    def __init__(
        self,
        widths: dict[str, int],
        *,
        width: Count = 64,
        activation: str = "relu",
        dropout: Share = 0.0,
        absent: Absent = "zero",
    ) -> None:
        super().__init__(widths, absent)
        self.project = nn.ModuleDict({m: nn.Linear(w, width, bias=False) for m, w in self.widths.items()})
        self.bias = nn.Parameter(torch.zeros(width))
        self.finish = nn.Sequential(activation_of(activation), nn.Dropout(dropout))
        self.width = width

    def forward(self, vectors: dict[str, Tensor], present: dict[str, Tensor]) -> Tensor:
        vectors, _ = self.filled(vectors, present)
        total = sum((self.project[m](vectors[m]) for m in self.widths), self.bias)
        return self.finish(total)  # [batch, width]


class Concat(Fusion):
    """σ(W [v₁; v₂; …]): a dense layer over the vectors laid side by side, with one bit each for presence."""

    def __init__(
        self,
        widths: dict[str, int],
        *,
        width: Count = 64,
        activation: str = "relu",
        dropout: Share = 0.0,
        absent: Absent = "zero",
    ) -> None:
        super().__init__(widths, absent)
        self.dense = nn.Linear(sum(self.widths.values()) + len(self.widths), width)
        self.finish = nn.Sequential(activation_of(activation), nn.Dropout(dropout))
        self.width = width

    def forward(self, vectors: dict[str, Tensor], present: dict[str, Tensor]) -> Tensor:
        vectors, _ = self.filled(vectors, present)
        return self.finish(
            self.dense(torch.cat([*vectors.values(), self.bits(present, vectors)], dim=1))
        )  # [batch, width]


class Pairwise(Fusion):
    """[Σ uᵢ ; Σ_{i<j} uᵢ ∘ uⱼ] with uᵢ = Wᵢ vᵢ: biases and products of pairs (Rendle, 2010, factorisation machines).

    With user and item vectors and the task ``rate`` this is matrix factorisation with features.
    """

    def __init__(
        self, widths: dict[str, int], *, width: Count = 32, dropout: Share = 0.0, absent: Absent = "zero"
    ) -> None:
        super().__init__(widths, absent)
        self.linear = nn.ModuleDict({m: nn.Linear(w, width, bias=False) for m, w in self.widths.items()})
        self.factors = nn.ModuleDict({m: nn.Linear(w, width, bias=False) for m, w in self.widths.items()})
        self.dropout = nn.Dropout(dropout)
        self.width = 2 * width

    def forward(self, vectors: dict[str, Tensor], present: dict[str, Tensor]) -> Tensor:
        vectors, _ = self.filled(vectors, present)
        factors = torch.stack([self.dropout(self.factors[m](vectors[m])) for m in self.widths], dim=1)
        products = (factors.sum(dim=1) ** 2 - (factors**2).sum(dim=1)) / 2  # Σ over pairs, in linear time
        linear = torch.stack([self.linear[m](vectors[m]) for m in self.widths], dim=1).sum(dim=1)
        return torch.cat([linear, products], dim=1)  # [batch, 2 × width]


class Gated(Fusion):
    """Σ zᵢ ∘ tanh(Wᵢ vᵢ): every row decides how much of each modality it takes, number by number.

    The gates zᵢ are a softmax over the modalities that are there, worked out from all of them (gated multimodal unit:
    Arevalo et al., 2017).
    """

    def __init__(
        self, widths: dict[str, int], *, width: Count = 64, dropout: Share = 0.0, absent: Absent = "zero"
    ) -> None:
        super().__init__(widths, absent)
        together = sum(self.widths.values()) + len(self.widths)
        self.project = nn.ModuleDict({m: nn.Linear(w, width) for m, w in self.widths.items()})
        self.gate = nn.ModuleDict({m: nn.Linear(together, width) for m in self.widths})
        self.dropout = nn.Dropout(dropout)
        self.width = width

    def forward(self, vectors: dict[str, Tensor], present: dict[str, Tensor]) -> Tensor:
        vectors, there = self.filled(vectors, present)
        every = torch.cat([*vectors.values(), self.bits(present, vectors)], dim=1)
        values = torch.stack([torch.tanh(self.project[m](vectors[m])) for m in self.widths], dim=1)
        mask = torch.stack([there[m] for m in self.widths], dim=1).unsqueeze(2)  # [batch, modalities, 1]
        gates = torch.stack([self.gate[m](every) for m in self.widths], dim=1).float()
        weights = gates.masked_fill(~mask, -1e9).softmax(dim=1).to(values.dtype) * mask
        return self.dropout((weights * values).sum(dim=1))  # [batch, width]


class Attention(Fusion):
    """A transformer over one token a modality, and a learned first token that reads them (Nagrani et al., 2021)."""

    def __init__(
        self,
        widths: dict[str, int],
        *,
        width: Count = 64,
        heads: Count = 4,
        layers: Count = 2,
        dropout: Share = 0.0,
        absent: Absent = "zero",
    ) -> None:
        super().__init__(widths, absent)
        self.project = nn.ModuleDict({m: nn.Linear(w, width) for m, w in self.widths.items()})  # its bias names it
        self.norm = nn.LayerNorm(width)
        self.transformer = Transformer(width, heads, layers, dropout)
        self.dropout = nn.Dropout(dropout)
        self.width = width

    def forward(self, vectors: dict[str, Tensor], present: dict[str, Tensor]) -> Tensor:
        vectors, there = self.filled(vectors, present)
        tokens = torch.stack([self.project[m](vectors[m]) for m in self.widths], dim=1)
        real = torch.stack([there[m] for m in self.widths], dim=1)
        return self.dropout(self.transformer(self.dropout(self.norm(tokens)), real))  # [batch, width]


class LowRank(Fusion):
    """Σᵣ Πᵢ Wᵢʳ [vᵢ; 1]: every product of numbers of all modalities, through ``rank`` factors (Liu et al., 2018, LMF).

    An absent modality is a factor of one.
    """

    def __init__(
        self,
        widths: dict[str, int],
        *,
        width: Count = 64,
        rank: Count = 4,
        dropout: Share = 0.0,
        absent: Absent = "zero",
    ) -> None:
        super().__init__(widths, absent)
        self.rank, self.width = rank, width
        self.factors = nn.ModuleDict({m: nn.Linear(w, rank * width) for m, w in self.widths.items()})
        for factor in self.factors.values():
            assert isinstance(factor, nn.Linear)
            nn.init.ones_(factor.bias)  # near one, so that a product of many factors neither dies nor explodes
        self.bias = nn.Parameter(torch.zeros(width))
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, vectors: dict[str, Tensor], present: dict[str, Tensor]) -> Tensor:
        vectors, there = self.filled(vectors, present)
        product: Tensor | float = 1.0
        for m in self.widths:
            factor = self.factors[m](self.dropout(vectors[m]))
            product = product * torch.where(there[m].unsqueeze(1), factor, 1.0)
        assert isinstance(product, Tensor)
        total = product.view(-1, self.rank, self.width).mean(dim=1) + self.bias
        return self.norm(total)  # [batch, width]


def activation_of(name: str) -> nn.Module:
    """The σ called ``name``."""
    if name not in ACTIVATIONS:
        raise ConfigError("unknown activation", seen=name, allowed=ACTIVATIONS)
    return ACTIVATIONS[name]()
