"""Members of a stack that bend: small networks, and trees."""

from __future__ import annotations

import torch
from torch import Tensor, nn

KINDS = ("sum", "low-rank")
RANK = 2


class Networks(nn.Module):
    """Copies of one small network side by side, each over the compact features of all modalities.

    ``sum`` is σ(Σ Wₘ xₘ), the mission's formula; ``low-rank`` is Σᵣ Πₘ Wₘʳ [xₘ; 1] (Liu et al., 2018). The copies
    differ in the rows that they learn from; in use the answer is their mean (bagging: Breiman, 1996).

    Args:
        widths: of the compact features of each modality.
        copies: how many.
        hidden: units of each copy.
        outputs: of the task.
        dropout: on the hidden units, while learning.
    """

    def __init__(
        self, kind: str, widths: list[int], copies: int, hidden: int, outputs: int, *, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.kind, self.widths, self.copies, self.hidden = kind, widths, copies, hidden
        factors = RANK if kind == "low-rank" else 1
        self.layers = nn.ModuleList(nn.Linear(width, copies * factors * hidden) for width in widths)
        if kind == "low-rank":
            for layer in self.layers:
                assert isinstance(layer, nn.Linear)
                nn.init.ones_(layer.bias)  # near one, so that a product neither dies nor explodes
        self.norm = nn.LayerNorm(hidden) if kind == "low-rank" else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.heads = nn.Parameter(torch.randn(copies, hidden, outputs) * 0.05)
        self.biases = nn.Parameter(torch.zeros(copies, outputs))

    def answers(self, compact: list[Tensor]) -> Tensor:
        """What each copy answers, f32 [batch, copies, outputs]."""
        parts = [layer(x) for layer, x in zip(self.layers, compact, strict=True)]
        if self.kind == "low-rank":
            product = torch.stack(parts).prod(dim=0)
            hidden = self.norm(product.view(-1, self.copies, RANK, self.hidden).mean(dim=2))
        else:
            hidden = torch.relu(torch.stack(parts).sum(dim=0)).view(-1, self.copies, self.hidden)
        return torch.einsum("bkh,kho->bko", self.dropout(hidden), self.heads) + self.biases

    def forward(self, compact: list[Tensor]) -> Tensor:
        return self.answers(compact).mean(dim=1)  # [batch, outputs]


class Trees(nn.Module):
    """Gradient-boosted trees as products of matrices, so that they are part of the graph (Nakandala et al., 2020).

    Args:
        trees: how many; tree ``t`` adds to output ``t % outputs``.
        splits: inner nodes of a tree, at most.
        features: numbers that it reads.
        outputs: of the task.
    """

    def __init__(self, trees: int, splits: int, features: int, outputs: int) -> None:
        super().__init__()
        self.outputs = outputs
        self.register_buffer("feature", torch.zeros(trees, splits, dtype=torch.int64))
        self.register_buffer("threshold", torch.zeros(trees, splits))
        self.register_buffer("path", torch.zeros(trees, splits, splits + 1))  # +1 left of the leaf, −1 right
        self.register_buffer("lefts", torch.full((trees, splits + 1), -1.0))  # of the path; −1 where there is no leaf
        self.register_buffer("value", torch.zeros(trees, splits + 1))
        self.register_buffer("base", torch.zeros(outputs))

    def forward(self, features: Tensor) -> Tensor:  # f32 [batch, features]
        trees, splits = self.get_buffer("feature").shape
        picked = features[:, self.get_buffer("feature").flatten()].view(-1, trees, splits)
        left = (picked <= self.get_buffer("threshold")).float()
        # a leaf is reached where all lefts of its path hold and no right does
        reached = torch.einsum("bts,tsl->btl", left, self.get_buffer("path")) == self.get_buffer("lefts")
        each = (reached.float() * self.get_buffer("value")).sum(dim=2)  # [batch, trees]
        return each.view(-1, trees // self.outputs, self.outputs).sum(dim=1) + self.get_buffer("base")
