"""Encoders of shapes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor, nn

from tuwen.models.encoder import Encoder, stages
from tuwen.preprocess.spec import ArraySpec
from tuwen.registry import Count, Share


class PointNet(Encoder):
    """One small network for every point, then the largest answer of all points, number by number (Qi et al., 2017).

    The maximum does not ask in which order the points come, so the vector does not either. Without the paper's learned
    rotations: ``turn`` of the shape modality shows the network rotated shapes instead.
    """

    accepts: ClassVar[tuple[str, ...]] = ("points",)

    def __init__(
        self,
        spec: ArraySpec,
        *,
        hidden: Annotated[list[Count], Field(min_length=1)] = [64, 128, 256],  # noqa: B006 - read only
        width: Count = 64,
        dropout: Share = 0.0,
    ) -> None:
        super().__init__(spec)
        layers: list[nn.Module] = []
        for before, after in zip([spec.shape[1], *hidden], hidden, strict=False):
            layers += [nn.Linear(before, after), nn.LayerNorm(after), nn.ReLU(inplace=True)]
        self.point = nn.Sequential(*layers)
        self.dropout = nn.Dropout(dropout)
        self.dense = nn.Linear(hidden[-1], width)
        self.width = width

    def tops(self) -> Iterable[nn.Module]:
        return [self.dense, *stages(self.point, (nn.Linear,))]

    def forward(self, points: Tensor) -> Tensor:  # f32 [batch, points, 3]
        return self.dense(self.dropout(self.point(points).amax(dim=1)))  # [batch, width]
