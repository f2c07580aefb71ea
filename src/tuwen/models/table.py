"""Encoders of tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import torch
from torch import Tensor, nn

from tuwen.models.encoder import Encoder
from tuwen.models.transformer import Transformer
from tuwen.preprocess.spec import ArraySpec
from tuwen.registry import Count, Share


class Table(Encoder):
    """One embedding a category, laid beside the numbers, then a dense layer to ``width``.

    ``hidden`` adds a ReLU layer of that width before it, which makes it a multilayer perceptron; 0 keeps the encoder
    linear. A category that is missing or was
    not seen in training has the zero embedding, so it adds nothing.
    """

    accepts: ClassVar[tuple[str, ...]] = ("table",)

    def __init__(
        self, spec: ArraySpec, *, width: Count = 32, embedding: Count = 16, hidden: int = 0, dropout: Share = 0.0
    ) -> None:
        super().__init__(spec)
        numbers, _ = spec.shape
        self.embeddings = nn.ModuleList(nn.Embedding(size, embedding, padding_idx=0) for size in spec.sizes)
        for table in self.embeddings:
            assert isinstance(table, nn.Embedding)
            nn.init.normal_(table.weight[1:], std=0.1)
        laid = numbers + embedding * len(self.embeddings)
        self.dropout = nn.Dropout(dropout)
        self.dense = nn.Linear(hidden or laid, width)
        self.hidden = nn.Sequential(nn.Linear(laid, hidden), nn.ReLU(), nn.Dropout(dropout)) if hidden else None
        self.width = width

    def tops(self) -> Iterable[nn.Module]:
        return [self.dense, *([] if self.hidden is None else [self.hidden])]

    def forward(self, numbers: Tensor, categories: Tensor) -> Tensor:  # f32 [batch, n], int32 [batch, m]
        parts = [numbers] + [table(categories[:, i].long()) for i, table in enumerate(self.embeddings)]
        laid = self.dropout(torch.cat(parts, dim=1))
        return self.dense(laid if self.hidden is None else self.hidden(laid))  # [batch, width]


class FtTransformer(Encoder):
    """One token a column, and a transformer that reads them (FT-Transformer: Gorishniy et al., 2021).

    A number is its value times a learned vector, a category its embedding, and each column adds a vector of its own.
    A learned first token reads them through blocks of attention, so that columns can act on each other. A category
    that is missing or was not seen in training leaves its column's own vector alone.

    Args:
        width: numbers a token, and of the vector.
        heads: of the attention; ``width`` must be a multiple.
        layers: blocks of attention and perceptron, normalised before (pre-LN).
    """

    accepts: ClassVar[tuple[str, ...]] = ("table",)

    def __init__(
        self,
        spec: ArraySpec,
        *,
        width: Count = 64,
        heads: Count = 4,
        layers: Count = 2,
        dropout: Share = 0.0,
    ) -> None:
        super().__init__(spec)
        numbers, categories = spec.shape
        self.numbers = nn.Parameter(torch.empty(numbers, width).uniform_(-1, 1) * width**-0.5)
        self.columns = nn.Parameter(torch.empty(numbers + categories, width).uniform_(-1, 1) * width**-0.5)
        self.embeddings = nn.ModuleList(nn.Embedding(size, width, padding_idx=0) for size in spec.sizes)
        for table in self.embeddings:
            assert isinstance(table, nn.Embedding)
            nn.init.normal_(table.weight[1:], std=width**-0.5)
        self.dropout = nn.Dropout(dropout)
        self.transformer = Transformer(width, heads, layers, dropout)
        self.width = width

    def tops(self) -> Iterable[nn.Module]:
        return self.transformer.tops()

    def forward(self, numbers: Tensor, categories: Tensor) -> Tensor:  # f32 [batch, n], int32 [batch, m]
        parts = [numbers.unsqueeze(2) * self.numbers]  # [batch, n, width]
        parts += [table(categories[:, i].long()).unsqueeze(1) for i, table in enumerate(self.embeddings)]
        tokens = torch.cat(parts, dim=1) + self.columns
        real = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
        return self.transformer(self.dropout(tokens), real)  # [batch, width]
