"""Self-supervision: what belongs together is pulled together, what does not is pushed apart. No labels.

``picture-text`` pairs the two sides of one row (CLIP: Radford et al., 2021), ``picture-picture`` two views of one
picture (SimCLR: Chen et al., 2020). Two views are two random changes of the pixels; of a frozen vector or a text they
are two draws of dropout (SimCSE: Gao et al., 2021).

An embedding has length 1. Where a side is absent it is zeros, and the row takes no part in the loss.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import polars as pl
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from tuwen.models.encoder import Encoder
from tuwen.models.fusion import Fusion
from tuwen.models.model import Arrays, Model, Present
from tuwen.models.tasks import Task
from tuwen.preprocess.target import ContrastTarget
from tuwen.registry import Count, Share

SECOND = "second "  # before the name of an array that holds the second view
STEEPEST = 100.0  # of 1 / temperature, as in CLIP
VALIDATED_TOGETHER = 1024  # rows that are each other's negatives when the validation part is judged
NEVER = -1e9  # a score that takes no part in a softmax


def info_nce(left: Tensor, right: Tensor, scale: Tensor, same: Tensor) -> Tensor:
    """The mean of −log softmax of each row's own pair, left → right and right → left (Radford et al., 2021).

    Args:
        left, right: embeddings f32 [rows, width]; row i of the one belongs to row i of the other.
        scale: 1 / temperature.
        same: bool [rows, rows], symmetric; pairs of rows with the same content are no negatives of each other.
    """
    own = torch.eye(len(left), dtype=torch.bool, device=left.device)
    scores = (scale * left @ right.T).masked_fill(same & ~own, NEVER)  # [rows, rows]
    target = torch.arange(len(left), device=left.device)
    return (functional.cross_entropy(scores, target) + functional.cross_entropy(scores.T, target)) / 2


def nt_xent(first: Tensor, second: Tensor, scale: Tensor, same: Tensor) -> Tensor:
    """SimCLR's loss: each of the 2 × rows views must find its other view among all (Chen et al., 2020).

    Args:
        first, second: two views of every row, f32 [rows, width].
        scale, same: as in :func:`info_nce`.
    """
    rows = len(first)
    views = torch.cat([first, second])
    other = torch.arange(2 * rows, device=views.device).roll(rows)
    never = same.repeat(2, 2)
    never[torch.arange(2 * rows, device=views.device), other] = False
    never.fill_diagonal_(True)  # a view is not its own negative
    scores = (scale * views @ views.T).masked_fill(never, NEVER)
    return functional.cross_entropy(scores, other)


class Sides(Fusion):
    """One projection head a side: the vectors of its modalities side by side → an embedding of length 1.

    The answer is all embeddings in a row, f32 [batch, sides × embedding]; zeros where a side is absent.
    """

    def __init__(
        self, widths: dict[str, int], sides: Mapping[str, tuple[str, ...]], embedding: int, hidden: int, dropout: float
    ) -> None:
        super().__init__(widths)
        self.sides = {side: tuple(sorted(names)) for side, names in sorted(sides.items())}
        self.embedding = embedding
        self.heads = nn.ModuleDict(
            {
                side: Head(sum(self.widths[m] for m in names) + len(names), hidden, embedding, dropout)
                for side, names in self.sides.items()
            }
        )
        self.width = len(self.sides) * embedding

    def forward(self, vectors: dict[str, Tensor], present: dict[str, Tensor]) -> Tensor:
        """A side whose modalities are not among ``vectors`` is left out of the answer."""
        found = []
        for side, names in self.sides.items():
            if names[0] not in vectors:
                continue
            there = torch.stack([present[m] for m in names], dim=1)  # [batch, modalities of the side]
            known = [torch.where(present[m].unsqueeze(1), vectors[m], 0.0) for m in names]
            projected = self.heads[side](torch.cat([*known, there.to(known[0].dtype)], dim=1))
            embedding = functional.normalize(projected.float(), dim=1)
            found.append(torch.where(there.any(dim=1, keepdim=True), embedding, 0.0))
        return torch.cat(found, dim=1)


class Head(nn.Module):
    """A perceptron with one hidden layer, and a linear map beside it: what is linear is learned in the first epochs."""

    def __init__(self, wide: int, hidden: int, embedding: int, dropout: float) -> None:
        super().__init__()
        self.straight = nn.Linear(wide, embedding, bias=False)
        self.bent = nn.Sequential(
            nn.Linear(wide, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, embedding, bias=False)
        )

    def forward(self, vectors: Tensor) -> Tensor:
        return self.straight(vectors) + self.bent(vectors)  # [batch, embedding]


class Contrast(Task):
    """What belongs together is found again: pretraining without labels, and picture ↔ text retrieval.

    Each side has a projection head of its own over its modalities (all texts form one side, all pictures another), so
    the run's ``fusion`` is not used. Rows whose text or picture is the same are not pushed apart. The temperature is
    learned, one a pair. The bundle gives embeddings (``bundle.embed(rows)``), and other runs start from its encoders
    (``init: BUNDLE``).

    Args:
        pairs: which kinds of modality belong together, as ``picture-text``; a kind with itself (``picture-picture``)
            is two views of the same: two random changes of the pixels, or two draws of dropout.
        width: numbers of an embedding.
        hidden: numbers inside a projection head.
        temperature: where it starts; smaller is stricter about the hardest negatives.
    """

    replaces_fusion: ClassVar[bool] = True
    probabilistic: ClassVar[bool] = False

    def __init__(
        self,
        widths: dict[str, int],
        fitted: ContrastTarget,
        *,
        pairs: Annotated[list[str], Field(min_length=1)] = ["picture-text"],  # noqa: B006 - read only
        width: Count = 128,
        hidden: Count = 512,
        temperature: Annotated[float, Field(ge=1 / STEEPEST, le=10)] = 0.07,
        dropout: Share = 0.0,
    ) -> None:
        nn.Module.__init__(self)
        self.sides = sorted(fitted.sides)
        self.pairs = [(self.sides.index(a), self.sides.index(b)) for a, b in fitted.pairs]
        self.twins = [self.sides[a] for a, b in self.pairs if a == b]
        self.embedding = fitted.width
        self.log_scale = nn.Parameter(torch.full((len(self.pairs),), -math.log(temperature)))
        self._widths, self._fitted, self._hidden, self._dropout = widths, fitted, hidden, dropout

    @staticmethod
    def fit(values: pl.Series, options: dict[str, Any]) -> ContrastTarget:
        """``options`` hold what :func:`tuwen.workflow.retrieval.contrast_options` added: ``sides``."""
        return ContrastTarget.fit(options["sides"], options["pairs"], options["width"])

    def model(self, encoders: dict[str, Encoder]) -> ContrastModel:
        """The network around this task."""
        sides = Sides(self._widths, self._fitted.sides, self.embedding, self._hidden, self._dropout)
        return ContrastModel(encoders, sides, self)

    def forward(self, fused: Tensor) -> Tensor:
        return fused

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The mean over the pairs.

        Args:
            outputs: the embeddings of all sides, then, where a kind is paired with itself, their second views (without
                them such a pair counts nothing): f32 [rows, views × embedding].
            targets: int64 [rows, sides], equal where the content is.
        """
        if not self.training and len(outputs) > VALIDATED_TOGETHER:
            parts = list(zip(outputs.split(VALIDATED_TOGETHER), targets.split(VALIDATED_TOGETHER), strict=True))
            total = sum((self._loss(o, t) * len(o) for o, t in parts), outputs.new_zeros(()))
            return total / len(outputs)
        return self._loss(outputs, targets)

    def _loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        embeddings = outputs.split(self.embedding, dim=1)
        second = dict(zip(self.twins, embeddings[len(self.sides) :], strict=False))
        losses = []
        for (a, b), log_scale in zip(self.pairs, self.log_scale, strict=True):
            left, twin = embeddings[a], a == b
            if twin and self.sides[a] not in second:
                continue
            right = second[self.sides[a]] if twin else embeddings[b]
            known = (left != 0).any(dim=1) & (right != 0).any(dim=1)
            if known.sum() < 2:
                continue
            content = targets[known]
            same = _equal(content[:, a]) | _equal(content[:, b])
            scale = (log_scale if self.training else log_scale.detach()).exp().clamp(max=STEEPEST)
            losses.append((nt_xent if twin else info_nce)(left[known], right[known], scale, same))
        return torch.stack(losses).mean() if losses else outputs.sum() * 0.0


def _equal(content: Tensor) -> Tensor:  # int64 [rows] -> bool [rows, rows]
    return content.unsqueeze(1) == content.unsqueeze(0)


class ContrastModel(Model):
    """Encoders, a head a side, and a loss that may ask for a second view of the batch."""

    task: Contrast
    fusion: Sides

    def encode(self, arrays: Arrays) -> dict[str, Tensor]:
        """Each modality's vector of the first view."""
        return super().encode(
            {m: {n: a for n, a in parts.items() if not n.startswith(SECOND)} for m, parts in arrays.items()}
        )

    def for_loss(self, arrays: Arrays, present: Present) -> Tensor:
        """The embeddings, and the second views of the sides that are paired with themselves."""
        embeddings = self(arrays, present)
        twins = self.task.twins
        if not twins:
            return embeddings
        names = [m for side in twins for m in self.fusion.sides[side]]
        vectors = {m: self.encoders[m](**_second_view(arrays[m])) for m in names}
        return torch.cat([embeddings, self.fusion(vectors, present)], dim=1)


def _second_view(arrays: dict[str, Tensor]) -> dict[str, Tensor]:
    """The second view's arrays; where there is none the first's: dropout makes the difference then."""
    first = {name: array for name, array in arrays.items() if not name.startswith(SECOND)}
    return {name: arrays.get(SECOND + name, array) for name, array in first.items()}
