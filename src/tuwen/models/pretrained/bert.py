"""The transformer encoder of BERT (Devlin et al., 2019), small and without its pooler, for sentence vectors."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class Block(nn.Module):
    """Self-attention and a two-layer perceptron, each added to its input and then normalised (post-LN)."""

    def __init__(self, width: int, heads: int, inner: int, epsilon: float, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm1 = nn.LayerNorm(width, eps=epsilon)
        self.up = nn.Linear(width, inner)
        self.down = nn.Linear(inner, width)
        self.norm2 = nn.LayerNorm(width, eps=epsilon)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:  # [batch, length, width], bool [batch, 1, 1, length]
        batch, length, width = x.shape
        q, k, v = self.qkv(x).view(batch, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(
            q, k, v, attn_mask=mask
        )  # [batch, heads, length, width/heads]
        x = self.norm1(x + self.dropout(self.out(attended.transpose(1, 2).reshape(batch, length, width))))
        return self.norm2(x + self.dropout(self.down(functional.gelu(self.up(x)))))


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
        self.blocks = nn.ModuleList(Block(width, heads, inner, epsilon, dropout) for _ in range(layers))

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
