"""Encoders of text."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from tuwen.errors import ConfigError
from tuwen.models.encoder import Encoder, Standardise
from tuwen.preprocess.spec import ArraySpec
from tuwen.registry import Count, Share


class Lstm(Encoder):
    """Embedding and LSTM (Hochreiter and Schmidhuber, 1997), trained from scratch.

    The vector is the state after the last real token (``pool="last"``, the mission's), or the largest or mean state
    over the tokens. ``bidirectional`` also reads backwards and doubles the width. ``word_dropout`` hides whole tokens
    in
    training.
    """

    accepts: ClassVar[tuple[str, ...]] = ("tokens",)

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
        super().__init__(spec)
        (vocabulary,) = spec.sizes
        self.embedding = nn.Embedding(vocabulary, embedding, padding_idx=0)
        nn.init.normal_(self.embedding.weight[1:], std=0.1)
        self.directions = nn.ModuleList(nn.LSTM(embedding, width, batch_first=True) for _ in range(1 + bidirectional))
        self.dropout, self.word_dropout, self.pool = nn.Dropout(dropout), word_dropout, pool
        self.width = width * len(self.directions)

    def forward(self, ids: Tensor) -> Tensor:  # int32 [batch, length]
        ids = ids.long()
        real = ids != 0
        lengths = real.sum(dim=1)
        if not torch.jit.is_tracing():
            longest = max(int(lengths.max()), 1)
            ids, real = ids[:, :longest], real[:, :longest]
        embedded = self.dropout(self.embedding(ids))  # [batch, length, embedding]
        if self.training and self.word_dropout:
            kept = torch.rand(ids.shape, device=ids.device) >= self.word_dropout
            embedded = embedded * kept.unsqueeze(-1)
        states = []
        for lstm, backwards in zip(self.directions, (False, True), strict=False):
            states.append(lstm(_reversed(embedded, lengths) if backwards else embedded)[0])
        vectors = torch.cat([self._pooled(s, real, lengths) for s in states], dim=1)
        return self.dropout(vectors)  # [batch, width]

    def _pooled(self, states: Tensor, real: Tensor, lengths: Tensor) -> Tensor:  # [batch, length, width]
        if self.pool == "last":
            last = (lengths - 1).clamp(min=0).view(-1, 1, 1).expand(-1, 1, states.shape[2])
            return states.gather(1, last).squeeze(1)
        mask = real.unsqueeze(-1)
        if self.pool == "mean":
            return (states * mask).sum(dim=1) / lengths.clamp(min=1).unsqueeze(-1)
        return states.masked_fill(~mask, -2.0).amax(dim=1)  # LSTM states lie in (−1, 1)


def _reversed(sequence: Tensor, lengths: Tensor) -> Tensor:  # [batch, length, width]
    """The real tokens backwards, padding still at the end."""
    positions = torch.arange(sequence.shape[1], device=sequence.device).unsqueeze(0)
    order = torch.where(positions < lengths.unsqueeze(1), lengths.unsqueeze(1) - 1 - positions, positions)
    return sequence.gather(1, order.unsqueeze(-1).expand_as(sequence))


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
            return self.embedding(ids.long(), per_sample_weights=weights.float()) * self.scale  # [batch, width]


class Pretrained(Encoder):
    """A pretrained sentence encoder: mean of the last layer's states over the real tokens.

    Frozen, it runs in ONNX Runtime in ``precision`` before training and this module only standardises the cached
    vectors to ``size`` (see :class:`Standardise`). Otherwise the top ``train_layers`` blocks are trained (all of them
    and the word embeddings when None).
    """

    accepts: ClassVar[tuple[str, ...]] = ("tokens", "vector")

    def __init__(
        self,
        spec: ArraySpec,
        *,
        frozen: bool = True,
        train_layers: int | None = None,
        precision: Literal["int8", "float32"] = "int8",
        size: float = 1.0,
        dropout: Share = 0.0,
    ) -> None:
        super().__init__(spec)
        self.width = 384
        if spec.kind == "vector":
            self.network: nn.Module = Standardise(self.width, size)
        else:
            self.network = self._load()
            self._freeze(0 if frozen else train_layers)
        self.dropout = nn.Dropout(dropout)

    def _load(self) -> nn.Module:
        raise NotImplementedError

    def _freeze(self, trained: int | None) -> None:
        if trained is None:
            return
        self.network.requires_grad_(False)
        blocks = self.network.blocks
        for block in list(blocks)[len(blocks) - trained :]:  # type: ignore[arg-type]
            block.requires_grad_(True)

    def prepare(self, arrays: dict[str, np.ndarray]) -> None:
        if isinstance(self.network, Standardise):
            self.network.prepare(arrays["vector"])

    def pretrained_parameters(self) -> list[nn.Parameter]:
        return [p for p in self.network.parameters() if p.requires_grad]

    def forward(self, ids: Tensor | None = None, vector: Tensor | None = None) -> Tensor:
        if vector is not None:
            return self.dropout(self.network(vector))
        assert ids is not None
        if (
            not torch.jit.is_tracing()
        ):  # padding beyond the longest row is wasted work; eights, so that few shapes recur
            ids = ids[:, : -(-max(int((ids != 0).sum(dim=1).max()), 1) // 8) * 8]
        return self.dropout(self.network(ids.long()))  # [batch, 384]


class E5Small(Pretrained):
    """multilingual-e5-small (Wang et al., 2024; MIT), 384 numbers a text, Chinese and English."""

    pretrained: ClassVar[str | None] = "e5-small"
    modality_options: ClassVar[dict[str, Any]] = {"tokens": "e5-small"}

    def _load(self) -> nn.Module:
        from tuwen.models.pretrained import e5_small

        return e5_small()


class MiniLm(Pretrained):
    """all-MiniLM-L6-v2 (Apache-2.0), 384 numbers a text, English only."""

    pretrained: ClassVar[str | None] = "minilm"
    modality_options: ClassVar[dict[str, Any]] = {"tokens": "minilm"}

    def _load(self) -> nn.Module:
        from tuwen.models.pretrained import minilm

        return minilm()
