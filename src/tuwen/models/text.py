"""Encoders of text, trained from scratch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from tuwen.errors import ConfigError
from tuwen.models.encoder import Encoder
from tuwen.models.transformer import Transformer as Attention
from tuwen.preprocess.spec import ArraySpec
from tuwen.registry import Count, Share


class Tokens(Encoder):
    """What the encoders of token ids share: one vector a token, learned here."""

    accepts: ClassVar[tuple[str, ...]] = ("tokens",)

    def __init__(self, spec: ArraySpec, embedding: int, dropout: float, word_dropout: float) -> None:
        super().__init__(spec)
        (vocabulary,) = spec.sizes
        self.embedding = nn.Embedding(vocabulary, embedding, padding_idx=0)
        nn.init.normal_(self.embedding.weight[1:], std=0.1)
        self.dropout, self.word_dropout = nn.Dropout(dropout), word_dropout

    def embedded(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """``ids`` int32 [batch, length] → (f32 [batch, longest, embedding], zeros at padding; bool [batch, longest]).

        ``longest`` is the batch's longest text: what is padding in every row is not worked on.
        """
        ids = ids.long()
        real = ids != 0
        longest = real.sum(dim=1).max().clamp(min=1)  # a tensor, so that an exported graph has it too
        ids, real = ids[:, :longest], real[:, :longest]
        embedded = self.dropout(self.embedding(ids))
        if self.training and self.word_dropout:
            kept = torch.rand(ids.shape, device=ids.device) >= self.word_dropout
            embedded = embedded * kept.unsqueeze(-1)
        return embedded, real


class Recurrent(Tokens):
    """What ``lstm`` and ``gru`` share; they differ in their cell."""

    cell: ClassVar[type[nn.LSTM] | type[nn.GRU]]

    def __init__(
        self,
        spec: ArraySpec,
        *,
        embedding: Count = 64,
        width: Count = 64,
        bidirectional: bool = False,
        pool: Literal["last", "max", "mean"] = "last",
        dropout: Share = 0.0,
        word_dropout: Share = 0.0,
    ) -> None:
        super().__init__(spec, embedding, dropout, word_dropout)
        self.directions = nn.ModuleList(self.cell(embedding, width, batch_first=True) for _ in range(1 + bidirectional))
        self.pool = pool
        self.width = width * len(self.directions)

    def tops(self) -> Iterable[nn.Module]:
        return [self.directions]

    def forward(self, ids: Tensor) -> Tensor:  # int32 [batch, length]
        embedded, real = self.embedded(ids)
        lengths = real.sum(dim=1)
        states = []
        for cell, backwards in zip(self.directions, (False, True), strict=False):
            states.append(cell(_reversed(embedded, lengths) if backwards else embedded)[0])
        vectors = torch.cat([self._pooled(s, real, lengths) for s in states], dim=1)
        return self.dropout(vectors)  # [batch, width]

    def _pooled(self, states: Tensor, real: Tensor, lengths: Tensor) -> Tensor:  # [batch, length, width]
        if self.pool == "last":
            last = (lengths - 1).clamp(min=0).view(-1, 1, 1).expand(-1, 1, states.shape[2])
            return states.gather(1, last).squeeze(1)
        mask = real.unsqueeze(-1)
        if self.pool == "mean":
            return (states * mask).sum(dim=1) / lengths.clamp(min=1).unsqueeze(-1)
        return states.masked_fill(~mask, -2.0).amax(dim=1)  # the states of both cells lie in (−1, 1)


class Lstm(Recurrent):
    """Embedding and LSTM (Hochreiter and Schmidhuber, 1997), trained from scratch.

    The vector is the state after the last real token (``pool="last"``, the mission's), or the largest or mean state
    over the tokens. ``bidirectional`` also reads backwards and doubles the width. ``word_dropout`` hides whole tokens
    in training.
    """

    cell = nn.LSTM


class Gru(Recurrent):
    """Embedding and GRU (Cho et al., 2014): a quarter fewer weights than the LSTM, the same options."""

    cell = nn.GRU


def _reversed(sequence: Tensor, lengths: Tensor) -> Tensor:  # [batch, length, width]
    """The real tokens backwards, padding still at the end."""
    positions = torch.arange(sequence.shape[1], device=sequence.device).unsqueeze(0)
    order = torch.where(positions < lengths.unsqueeze(1), lengths.unsqueeze(1) - 1 - positions, positions)
    return sequence.gather(1, order.unsqueeze(-1).expand_as(sequence))


class TextCnn(Tokens):
    """Convolutions over windows of a few tokens, the largest answer of each over the text (Kim, 2014).

    It finds phrases wherever they stand, in any order among themselves. The vector is ``width`` numbers for each
    window, ReLU taken, side by side.

    Args:
        windows: how many tokens a convolution sees at once; one convolution each.
        width: numbers of each window, so that len(windows) × width come out.
    """

    def __init__(
        self,
        spec: ArraySpec,
        *,
        embedding: Count = 64,
        width: Count = 64,
        windows: Annotated[list[Count], Field(min_length=1)] = [2, 3, 4],  # noqa: B006 - read only
        dropout: Share = 0.0,
        word_dropout: Share = 0.0,
    ) -> None:
        super().__init__(spec, embedding, dropout, word_dropout)
        self.convolutions = nn.ModuleList(nn.Conv1d(embedding, width, window) for window in windows)
        self.windows = list(windows)
        self.width = width * len(windows)

    def tops(self) -> Iterable[nn.Module]:
        return [self.convolutions]

    def forward(self, ids: Tensor) -> Tensor:  # int32 [batch, length]
        embedded, real = self.embedded(ids)
        sequence = embedded.transpose(1, 2)  # [batch, embedding, length]
        found = []
        for convolution, window in zip(self.convolutions, self.windows, strict=True):
            # zeros around the text, so that one shorter than the window is read too
            around = nn.functional.pad(sequence, ((window - 1) // 2, window // 2))
            answers = torch.relu(convolution(around)).masked_fill(~real.unsqueeze(1), 0.0)  # [batch, width, length]
            found.append(answers.amax(dim=2))
        return self.dropout(torch.cat(found, dim=1))  # [batch, width × windows]


class Transformer(Tokens):
    """Self-attention over the tokens and their places (Vaswani et al., 2017), read by a learned first token.

    Padding is never looked at.

    Args:
        heads: of the attention; ``width`` must be a multiple.
        layers: blocks of attention and perceptron, normalised before (pre-LN).
    """

    def __init__(
        self,
        spec: ArraySpec,
        *,
        width: Count = 64,
        heads: Count = 4,
        layers: Count = 2,
        dropout: Share = 0.0,
        word_dropout: Share = 0.0,
    ) -> None:
        super().__init__(spec, width, dropout, word_dropout)
        (length,) = spec.shape
        self.places = nn.Parameter(torch.randn(length, width) * 0.1)
        self.attention = Attention(width, heads, layers, dropout)
        self.width = width

    def tops(self) -> Iterable[nn.Module]:
        return self.attention.tops()

    def forward(self, ids: Tensor) -> Tensor:  # int32 [batch, length]
        embedded, real = self.embedded(ids)
        return self.attention(embedded + self.places[: embedded.shape[1]], real)  # [batch, width]


class Ngram(Encoder):
    """Weighted sum of n-gram embeddings: with TF-IDF weights and a linear task this is the strong linear baseline.

    ``width=0`` is not allowed here: the task's matrix is factored through ``width`` (Joulin et al., 2016, fastText).
    """

    accepts: ClassVar[tuple[str, ...]] = ("bag",)
    modality_defaults: ClassVar[dict[str, Any]] = {"tokens": "ngram"}

    def __init__(self, spec: ArraySpec, *, width: Count = 64, dropout: Share = 0.0, scale: float = 10.0) -> None:
        super().__init__(spec)
        (vocabulary,) = spec.sizes
        if width < 1:
            raise ConfigError("ngram.width must be 1 or more", seen=width)
        self.embedding = nn.EmbeddingBag(vocabulary, width, mode="sum", padding_idx=0)
        nn.init.normal_(self.embedding.weight, std=1.0 / scale)
        with torch.no_grad():
            self.embedding.weight[0].zero_()
        self.dropout, self.scale, self.width = dropout, scale, width

    def forward(self, ids: Tensor, weights: Tensor) -> Tensor:  # int32, f32 [batch, length]
        if self.training and self.dropout:
            weights = nn.functional.dropout(weights, self.dropout)
        with torch.autocast(ids.device.type, enabled=False):  # a weighted sum over a table wants both in one precision
            if torch.jit.is_tracing():  # ONNX has no bags: the same sum as a product
                each = nn.functional.embedding(ids.long(), self.embedding.weight)  # [batch, length, width]
                return (weights.float().unsqueeze(1) @ each).squeeze(1) * self.scale
            return self.embedding(ids.long(), per_sample_weights=weights.float()) * self.scale  # [batch, width]
