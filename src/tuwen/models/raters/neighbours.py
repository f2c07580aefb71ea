"""What a user gave to like items, or like users to the item."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from scipy import sparse
from torch import Tensor

from tuwen.models.raters.biases import Strength, biases_of
from tuwen.models.raters.rater import Asked, Rater, Ratings, Tick
from tuwen.registry import Count

BLOCK = 512  # rows of the similarities that are in memory at once


class Neighbours(Rater):
    """Biases, and the weighted mean of what is left of them in the ratings of the neighbours (Koren, 2010).

    Alike is who, or what, deviates alike: the cosine of the deviations over the ratings they have in common, shrunk
    where these are few; only likeness counts, not its opposite. A new user or item is rated by the biases.

    Args:
        of: items: what the user gave to items like this one; users: what users like this one gave to the item.
        neighbours: the most alike that are kept of each.
        shrink: ratings in common at which a similarity counts half.
        doubt: similarity that is added to the neighbours' sum and says nothing: few or unlike neighbours say little.
        user, item: of the biases.
    """

    mean: Tensor
    of_user: Tensor
    of_item: Tensor
    near: Tensor
    alike: Tensor
    keys: Tensor
    rests: Tensor

    def __init__(
        self,
        *,
        of: Literal["items", "users"] = "items",
        neighbours: Count = 200,
        shrink: Strength = 100.0,
        doubt: Annotated[float, Field(gt=0)] = 0.2,
        user: Strength = 5.0,
        item: Strength = 3.0,
    ) -> None:
        super().__init__()
        self.of, self.most, self.shrink, self.doubt, self.strength = of, neighbours, shrink, doubt, (user, item)

    def fit(self, ratings: Ratings, rng: np.random.Generator, tick: Tick) -> None:
        mean, of_user, of_item = biases_of(ratings, *self.strength)
        known = ratings.known()
        rest = known.value - mean - of_user[known.user] - of_item[known.item]
        one, other, count = (
            (known.item, known.user, ratings.items) if self.of == "items" else (known.user, known.item, ratings.users)
        )
        width = 1 + max(ratings.items, ratings.users)
        keys, place, times = np.unique(one * width + other, return_inverse=True, return_counts=True)
        rests = np.bincount(place, rest) / times  # who rated twice counts once
        rows = sparse.csr_matrix((rests, (keys // width, keys % width)), shape=(count + 1, width))
        near, alike = self._neighbours(rows)
        self.keep(mean=np.array(mean), of_user=of_user, of_item=of_item, near=near, alike=alike)
        self.keep(keys=keys, rests=rests, width=np.array(width))
        tick(1)

    def _neighbours(self, rows: sparse.csr_matrix) -> tuple[np.ndarray, np.ndarray]:
        """Of each row the most alike others and how alike: int64 and f64 [rows, most]; 0 where there are none."""
        there = rows.copy()
        there.data[:] = 1.0
        square = rows.multiply(rows).tocsr()
        most = min(self.most, rows.shape[0])
        near, alike = np.zeros((rows.shape[0], most), np.int64), np.zeros((rows.shape[0], most))
        for start in range(0, rows.shape[0], BLOCK):
            part = slice(start, start + BLOCK)
            common = (there[part] @ there.T).toarray()
            norms = (square[part] @ there.T).toarray() * (there[part] @ square.T).toarray()
            found = (rows[part] @ rows.T).toarray() / np.sqrt(np.maximum(norms, 1e-12))
            found *= common / np.maximum(common + self.shrink, 1e-12)
            own = np.arange(found.shape[0])
            found[own, start + own] = 0.0
            order = np.argsort(-found, axis=1, kind="stable")[:, :most]
            alike[part] = np.maximum(np.take_along_axis(found, order, axis=1), 0.0)
            near[part] = np.where(alike[part] > 0, order, 0)
        return near, alike

    def forward(self, asked: Asked) -> Tensor:
        one, other = (asked.item, asked.user) if self.of == "items" else (asked.user, asked.item)
        wanted = self.near[one] * self.get_buffer("width") + other.unsqueeze(1)  # [rows, most]
        place = _place(self.keys, wanted).clamp(max=len(self.keys) - 1)
        alike = self.alike[one] * (self.keys[place] == wanted)
        said = (alike * self.rests[place]).sum(dim=1) / (alike.sum(dim=1) + self.doubt)
        return self.mean + self.of_user[asked.user] + self.of_item[asked.item] + said


def _place(keys: Tensor, wanted: Tensor) -> Tensor:
    """How many of the sorted ``keys`` are smaller: ``torch.searchsorted``, which ONNX does not have."""
    if not torch.jit.is_tracing():
        return torch.searchsorted(keys, wanted)
    found = torch.zeros_like(wanted)
    for power in reversed(range(len(keys).bit_length())):  # binary search, one power of two a step
        further = found + 2**power
        smaller = keys[(further - 1).clamp(max=len(keys) - 1)] < wanted
        found = torch.where(smaller & (further <= len(keys)), further, found)
    return found
