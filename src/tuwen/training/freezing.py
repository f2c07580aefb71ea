"""Which pretrained layers learn in which epoch."""

from __future__ import annotations

from typing import Literal

from torch import nn

How = Literal["all", "gradual"]


class Freezing:
    """Pretrained layers stand still until their epoch comes.

    Args:
        layers: parameters by layer, the top one first; those that train at all.
        epoch: 0-based, when the top layer begins.
        how: all layers then, or ``gradual``: one more from the top down each epoch (Howard and Ruder, 2018).
    """

    def __init__(self, layers: list[list[nn.Parameter]], epoch: int, how: How) -> None:
        self.layers, self.epoch, self.how = layers, epoch, how

    def set(self, epoch: int) -> None:
        """Let learn what learns in this epoch: a function of the epoch alone, so that a resumed training agrees."""
        for depth, layer in enumerate(self.layers):
            begins = self.epoch + (depth if self.how == "gradual" else 0)
            for parameter in layer:
                parameter.requires_grad_(epoch >= begins)
