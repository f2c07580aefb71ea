"""Two towers: what an item is and what a shopper did, each as one vector (Yi et al., 2019)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Towers(nn.Module):
    """Both towers read an item alike: its content times one matrix, and its id vector where it has one and that is not
    dropped. The item's own vector is that reading, changed a little by a layer; the shopper's is the mean of the
    readings of her items, over a short and a long memory, changed a little by another that sees her numbers too.

    Args:
        content: numbers that tell what an item is.
        ids: items with a vector of their own, counted from 1; 0 has none.
        numbers: what is known of a shopper.
        memories: how many means of her items there are.
        width: of the vectors.
        hidden: of the layers.
    """

    def __init__(self, content: int, ids: int, numbers: int, memories: int, width: int, hidden: int) -> None:
        super().__init__()
        self.content = nn.Linear(content, width, bias=False)
        self.id = nn.Embedding(ids + 1, width, padding_idx=0)
        nn.init.normal_(self.id.weight, std=0.1 / math.sqrt(width))
        with torch.no_grad():
            self.id.weight[0] = 0.0
        self.mix = nn.Parameter(torch.full((memories,), 1.0 / memories))
        self.item_layers = _layers(width, hidden, width)
        self.shopper_layers = _layers(memories * width + numbers, hidden, width)
        self.scale = nn.Parameter(torch.tensor(math.log(10.0)))  # one over the temperature

    def reading(self, content: Tensor, ids: Tensor) -> Tensor:
        """[items, content], [items] → [items, width]"""
        found: Tensor = self.content(content) + self.id(ids)
        return found

    def items(self, reading: Tensor) -> Tensor:
        """[items, width] → [items, width] of length 1"""
        return F.normalize(reading + self.item_layers(reading), dim=-1)

    def shoppers(self, means: Tensor, numbers: Tensor) -> Tensor:
        """[shoppers, memories, width], [shoppers, numbers] → [shoppers, width] of length 1"""
        mixed = (means * self.mix[:, None]).sum(dim=1)
        seen = torch.cat([means.flatten(1), numbers], dim=1)
        return F.normalize(mixed + self.shopper_layers(seen), dim=-1)


def _layers(read: int, hidden: int, width: int) -> nn.Sequential:
    last = nn.Linear(hidden, width)
    nn.init.zeros_(last.weight)  # a layer that changes nothing at first
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(read, hidden), nn.ReLU(), last)
