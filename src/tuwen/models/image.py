"""Encoders of pictures, trained from scratch."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from tuwen.errors import ConfigError
from tuwen.models.encoder import Encoder, stages
from tuwen.models.transformer import Transformer
from tuwen.preprocess.spec import ArraySpec
from tuwen.registry import Count, Share


def normalised(pixels: Tensor) -> Tensor:
    """uint8 [batch, height, width, 3] → f32 [batch, 3, height, width] within ±1."""
    # the permuted view already is channels_last: no copy
    return (pixels.permute(0, 3, 1, 2).float() - 127.0) / 128.0


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

    def tops(self) -> Iterable[nn.Module]:
        return stages(self.layers, (nn.Conv2d,))

    def forward(self, pixels: Tensor) -> Tensor:  # uint8 [batch, height, width, 3]
        return self.layers(normalised(pixels))  # [batch, width]


class ResNet(Encoder):
    """A small residual network (He et al., 2016) with group normalisation (Wu and He, 2018), trained from scratch.

    A convolution that halves the picture, then stages of ``blocks`` residual blocks, each stage but the first halving
    again, and the average over the places: a texture or part counts wherever it stands. (Batch normalisation would mix
    rows.)

    Args:
        channels: of the stages, one number each; the last is the width of the vector.
        blocks: residual blocks in each stage.
    """

    accepts: ClassVar[tuple[str, ...]] = ("pixels",)

    def __init__(
        self,
        spec: ArraySpec,
        *,
        channels: Annotated[list[Count], Field(min_length=1)] = [32, 64, 128],  # noqa: B006 - read only
        blocks: Count = 1,
        dropout: Share = 0.0,
    ) -> None:
        super().__init__(spec)
        layers: list[nn.Module] = [nn.Conv2d(spec.shape[2], channels[0], 3, stride=2, padding=1, bias=False)]
        layers += [_group_norm(channels[0]), nn.ReLU(inplace=True)]
        before = channels[0]
        for stage, after in enumerate(channels):
            for block in range(blocks):
                layers.append(Residual(before, after, 2 if stage and not block else 1))
                before = after
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout))
        self.layers.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.width = channels[-1]

    def tops(self) -> Iterable[nn.Module]:
        return stages(self.layers, (Residual,))

    def forward(self, pixels: Tensor) -> Tensor:  # uint8 [batch, height, width, 3]
        return self.layers(normalised(pixels))  # [batch, width]


class Residual(nn.Module):
    """Two 3×3 convolutions with a shortcut around them, f32 [batch, before, h, w] → [batch, after, h / stride, …].

    The block begins as its shortcut: the last normalisation is zero at first (Goyal et al., 2017).
    """

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        last = _group_norm(after)
        nn.init.zeros_(last.weight)
        self.way = nn.Sequential(
            nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False),
            _group_norm(after),
            nn.ReLU(inplace=True),
            nn.Conv2d(after, after, 3, padding=1, bias=False),
            last,
        )
        same = stride == 1 and before == after
        self.shortcut: nn.Module = nn.Identity()
        if not same:
            self.shortcut = nn.Sequential(nn.Conv2d(before, after, 1, stride=stride, bias=False), _group_norm(after))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.way(x) + self.shortcut(x))


def _group_norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(8, channels), channels)


class Vit(Encoder):
    """A small vision transformer (Dosovitskiy et al., 2021), trained from scratch.

    The picture is cut into squares, each becomes a token that knows its place, and a learned first token reads them.
    Where the sides are no multiple of ``patch`` the picture is filled up with grey. With few pictures a ``resnet``
    learns more; a ``vit`` can tell where a thing stands.

    Args:
        patch: side of a square, in pixels.
        heads: of the attention; ``width`` must be a multiple.
        layers: blocks of attention and perceptron, normalised before (pre-LN).
    """

    accepts: ClassVar[tuple[str, ...]] = ("pixels",)

    def __init__(
        self,
        spec: ArraySpec,
        *,
        patch: Count = 16,
        width: Count = 64,
        heads: Count = 4,
        layers: Count = 4,
        dropout: Share = 0.0,
    ) -> None:
        super().__init__(spec)
        height, across, colours = spec.shape
        if patch > max(height, across):
            raise ConfigError(
                "one square would cover the whole picture",
                seen=f"patch: {patch}, pictures of {height} × {across} pixels",
                allowed=f"at most {max(height, across)}; an eighth of a side sees something",
            )
        self.fill = (0, -across % patch, 0, -height % patch)  # left, right, top, bottom
        self.cut = nn.Conv2d(colours, width, patch, stride=patch)
        squares = -(-height // patch) * -(-across // patch)
        # as large as the squares themselves: with the customary 0.02 a small network hardly notices places
        self.places = nn.Parameter(torch.randn(squares, width) * 0.5)
        self.dropout = nn.Dropout(dropout)
        self.transformer = Transformer(width, heads, layers, dropout)
        self.width = width

    def tops(self) -> Iterable[nn.Module]:
        return self.transformer.tops()

    def forward(self, pixels: Tensor) -> Tensor:  # uint8 [batch, height, width, 3]
        whole = nn.functional.pad(normalised(pixels), self.fill)
        tokens = self.cut(whole).flatten(2).transpose(1, 2) + self.places  # [batch, squares, width]
        real = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
        return self.transformer(self.dropout(tokens), real)  # [batch, width]
