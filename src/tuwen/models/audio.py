"""Encoders of sounds."""

from __future__ import annotations

from collections.abc import Iterable
from math import gcd
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from tuwen.errors import ConfigError
from tuwen.models.encoder import Encoder
from tuwen.preprocess.spec import ArraySpec
from tuwen.registry import Count, Share


class AudioCnn(Encoder):
    """3×3 convolutions over a log-mel spectrogram, each with group normalisation, ReLU and 2×2 max-pooling.

    A small one of the family of Kong et al. (2020, PANNs). What is left is averaged and maximised over time, but not
    over pitch, because a high tone is another thing than a low one. Frames behind the end of a sound count nowhere: not
    in a convolution, a norm or a mean.
    """

    accepts: ClassVar[tuple[str, ...]] = ("spectrogram",)

    def __init__(
        self,
        spec: ArraySpec,
        *,
        channels: Annotated[list[Count], Field(min_length=1)] = [16, 32, 64],  # noqa: B006 - read only
        width: Count = 64,
        dropout: Share = 0.0,
    ) -> None:
        super().__init__(spec)
        frames, bands = spec.shape
        if min(frames, bands) >> len(channels) < 1:
            raise ConfigError(
                f"the sound is too short or has too few bands for {len(channels)} convolutions", seen=spec.shape
            )
        before = [1, *channels[:-1]]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(low, high, 3, padding=1, bias=False) for low, high in zip(before, channels, strict=True)
        )
        self.norms = nn.ModuleList(MaskedGroupNorm(gcd(8, number), number) for number in channels)
        left = -(-bands // 2 ** len(channels))  # pooling rounds up
        self.dropout = nn.Dropout(dropout)
        self.dense = nn.Linear(2 * channels[-1] * left, width)
        self.width = width

    def tops(self) -> Iterable[nn.Module]:
        return [self.dense, *map(nn.ModuleList, reversed(list(zip(self.convolutions, self.norms, strict=True))))]

    def forward(self, spectrogram: Tensor, mask: Tensor) -> Tensor:  # f32 [batch, frames, bands], bool [batch, frames]
        heard = mask[:, None, :, None].to(spectrogram.dtype)  # [batch, 1, frames, 1]
        maps = spectrogram[:, None] * heard  # [batch, 1, frames, bands]
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            maps = functional.relu(norm(convolution(maps), heard)) * heard
            maps = functional.max_pool2d(maps, 2, ceil_mode=True)
            heard = functional.max_pool2d(heard, (2, 1), ceil_mode=True)
        mean = maps.sum(dim=2) / heard.sum(dim=2).clamp(min=1.0)  # [batch, channels, bands left]
        pooled = torch.cat([mean, maps.amax(dim=2)], dim=1).flatten(1)
        return self.dense(self.dropout(pooled))  # [batch, width]


class MaskedGroupNorm(nn.Module):
    """Group normalisation (Wu and He, 2018) whose mean and variance are those of the valid frames alone."""

    def __init__(self, groups: int, channels: int, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.groups, self.epsilon = groups, epsilon
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, maps: Tensor, valid: Tensor) -> Tensor:  # [batch, channels, frames, bands], [batch, 1, frames, 1]
        batch, channels, frames, bands = maps.shape
        grouped = maps.float().reshape(batch, self.groups, -1, frames, bands)
        weight = valid.float()[:, None]  # [batch, 1, 1, frames, 1]
        each = weight.sum(dim=(2, 3, 4), keepdim=True).clamp(min=1.0) * (channels // self.groups * bands)
        mean = (grouped * weight).sum(dim=(2, 3, 4), keepdim=True) / each
        variance = ((grouped - mean) ** 2 * weight).sum(dim=(2, 3, 4), keepdim=True) / each
        scaled = ((grouped - mean) * torch.rsqrt(variance + self.epsilon)).reshape(maps.shape)
        return scaled * self.weight[:, None, None] + self.bias[:, None, None]
