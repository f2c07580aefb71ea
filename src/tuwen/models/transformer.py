"""The transformer block that texts, pictures, tables and the fusion of modalities share."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from tuwen.errors import ConfigError


class Block(nn.Module):
    """Self-attention and a two-layer perceptron, each with a shortcut around it (Vaswani et al., 2017).

    Args:
        width, heads, inner: numbers a token, attention heads, numbers inside the perceptron.
        epsilon: of the normalisation.
        dropout: while training.
        norm_first: normalise what goes in (pre-LN: Xiong et al., 2020; trains from scratch without a long warm-up)
            instead of what comes out (BERT's way).
    """

    def __init__(
        self,
        width: int,
        heads: int,
        inner: int,
        *,
        epsilon: float = 1e-5,
        dropout: float = 0.0,
        norm_first: bool = False,
    ) -> None:
        super().__init__()
        self.heads, self.norm_first = heads, norm_first
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm1 = nn.LayerNorm(width, eps=epsilon)
        self.up = nn.Linear(width, inner)
        self.down = nn.Linear(inner, width)
        self.norm2 = nn.LayerNorm(width, eps=epsilon)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """``x`` f32 [batch, tokens, width]; ``mask`` bool [batch, 1, 1, tokens], false where nobody may look."""
        if self.norm_first:
            x = x + self.dropout(self._attended(self.norm1(x), mask))
            return x + self.dropout(self._perceptron(self.norm2(x)))
        x = self.norm1(x + self.dropout(self._attended(x, mask)))
        return self.norm2(x + self.dropout(self._perceptron(x)))

    def _attended(self, x: Tensor, mask: Tensor | None) -> Tensor:
        batch, length, width = x.shape
        q, k, v = self.qkv(x).view(batch, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)  # [batch, heads, tokens, …]
        return self.out(attended.transpose(1, 2).reshape(batch, length, width))

    def _perceptron(self, x: Tensor) -> Tensor:
        return self.down(functional.gelu(self.up(x)))


class Transformer(nn.Module):
    """A learned first token that reads the others through pre-LN blocks; its last state is the answer.

    Args:
        width, heads, layers: of the blocks; ``width`` must be a multiple of ``heads``.
        dropout: while training.
    """

    def __init__(self, width: int, heads: int, layers: int, dropout: float) -> None:
        super().__init__()
        if width % heads:
            raise ConfigError("width must be a multiple of heads", seen=f"width {width}, heads {heads}")
        self.first = nn.Parameter(torch.randn(width) * 0.02)
        self.blocks = nn.ModuleList(
            Block(width, heads, 2 * width, dropout=dropout, norm_first=True) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)

    def tops(self) -> list[nn.Module]:
        """The blocks from the top down, the last with the norm behind it."""
        *others, last = self.blocks
        return [nn.ModuleList([last, self.norm]), *reversed(others)]

    def forward(self, tokens: Tensor, real: Tensor) -> Tensor:
        """``tokens`` f32 [batch, tokens, width], ``real`` bool [batch, tokens] → f32 [batch, width]."""
        first = self.first.to(tokens.dtype).expand(tokens.shape[0], 1, -1)
        x = torch.cat([first, tokens], dim=1)
        mask = torch.cat([torch.ones_like(real[:, :1]), real], dim=1)[:, None, None]
        for block in self.blocks:
            x = block(x, mask)
        return self.norm(x[:, 0])
