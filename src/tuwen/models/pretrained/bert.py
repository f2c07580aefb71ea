"""The transformer encoder of BERT (Devlin et al., 2019), small and without its pooler, for sentence vectors."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tuwen.models.transformer import Block


class Bert(nn.Module):
    """Token ids → one vector: the mean of the last layer's states over the real tokens.

    Args:
        vocabulary: how many ids there are; id 0 is padding.
        width, layers, heads, inner, positions, epsilon: the architecture.
        dropout: while training.
    """

    def __init__(
        self,
        *,
        vocabulary: int,
        width: int = 384,
        layers: int = 12,
        heads: int = 12,
        inner: int = 1536,
        positions: int = 512,
        epsilon: float = 1e-12,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.width, self.positions = width, positions
        self.word = nn.Embedding(vocabulary, width, padding_idx=0)
        self.position = nn.Embedding(positions, width)
        self.norm = nn.LayerNorm(width, eps=epsilon)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(width, heads, inner, epsilon=epsilon, dropout=dropout) for _ in range(layers))

    def forward(self, ids: Tensor) -> Tensor:  # integers [batch, length ≤ positions]
        """f32 [batch, width]; a row of padding only gives a finite vector that means nothing."""
        real = ids != 0
        x = self.states(ids, real)
        weight = real.unsqueeze(-1).to(x.dtype)
        return (x * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)

    def states(self, ids: Tensor, real: Tensor | None) -> Tensor:
        """The last layer, f32 [batch, length, width]; ``real`` bool [batch, length], None where nothing is padding."""
        positions = torch.arange(ids.shape[1], device=ids.device)
        x = self.dropout(self.norm(self.word(ids) + self.position(positions)))
        mask = None
        if real is not None:  # the first place is always looked at: softmax over nothing would be NaN
            mask = (real | (positions == 0)).view(ids.shape[0], 1, 1, ids.shape[1])
        for block in self.blocks:
            x = block(x, mask)
        return x
