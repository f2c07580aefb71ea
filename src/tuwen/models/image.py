"""Encoders of pictures."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from tuwen.errors import ConfigError
from tuwen.models.encoder import Encoder
from tuwen.preprocess.spec import ArraySpec
from tuwen.registry import Count, Share


class Cnn(Encoder):
    """3×3 convolutions, each with ReLU and 2×2 max-pooling, trained from scratch.

    With ``channels=[32, 64]`` and ``pool="flatten"`` this is the mission's picture network. ``pool="average"`` keeps
    the vector small and indifferent to where a thing stands. ``norm`` puts group normalisation after each convolution
    (batch normalisation would mix rows).
    """

    accepts: ClassVar[tuple[str, ...]] = ("pixels",)

    def __init__(
        self,
        spec: ArraySpec,
        *,
        channels: Annotated[list[Count], Field(min_length=1)] = [32, 64],  # noqa: B006 - read only
        pool: str = "flatten",
        norm: bool = False,
        dropout: Share = 0.0,
    ) -> None:
        super().__init__(spec)
        height, width, colours = spec.shape
        layers: list[nn.Module] = []
        for before, after in zip([colours, *channels], channels, strict=False):
            layers.append(nn.Conv2d(before, after, 3))
            layers += [nn.GroupNorm(min(8, after), after)] if norm else []
            layers += [nn.ReLU(inplace=True), nn.MaxPool2d(2)]
            height, width = (height - 2) // 2, (width - 2) // 2
        if height < 1 or width < 1:
            raise ConfigError(f"the picture is too small for {len(channels)} convolutions", seen=spec.shape[:2])
        if pool == "average":
            layers.append(nn.AdaptiveAvgPool2d(1))
            height = width = 1
        elif pool != "flatten":
            raise ConfigError("unknown pool of the encoder cnn", seen=pool, allowed="flatten, average")
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Dropout(dropout))
        self.layers.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.width = channels[-1] * height * width

    def forward(self, pixels: Tensor) -> Tensor:  # uint8 [batch, height, width, 3]
        # the permuted view already is channels_last: no copy
        return self.layers((pixels.permute(0, 3, 1, 2).float() - 127.0) / 128.0)  # [batch, width]
