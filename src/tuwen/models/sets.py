"""Several pictures of a row → one vector: attention over the set."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from tuwen.models.encoder import Encoder
from tuwen.preprocess.sets import MASK

HIDDEN = 64
NEVER = -1e9  # a score that gets no weight in a softmax


class Pool(Encoder):
    """Gated attention pooling (Ilse et al., 2018) over the vectors of a row's pictures.

    The weight of a picture depends on its own vector and on those beside it; the answer is the weighted mean. So the
    order of the pictures cannot count, nor can a place that is empty, and one picture alone gives exactly the vector
    that ``encoder`` has for it. Only pictures that are there are encoded.

    Args:
        encoder: of one picture.
    """

    def __init__(self, encoder: Encoder) -> None:
        nn.Module.__init__(self)  # which arrays there may be is the encoder's matter
        self.encoder = encoder
        self.width = encoder.width
        self.content = nn.Linear(self.width, HIDDEN)
        self.gate = nn.Linear(self.width, HIDDEN)
        self.score = nn.Linear(HIDDEN, 1, bias=False)

    def forward(self, mask: Tensor, **arrays: Tensor) -> Tensor:
        """[batch, width]; zeros where no picture is there.

        Args:
            mask: bool [batch, set].
            arrays: what the encoder of one picture takes, [batch, set, ...] each.
        """
        there = mask.flatten().nonzero().squeeze(1)  # which places of all rows hold a picture
        if torch.jit.is_tracing():
            there = torch.cat([there, there.new_zeros(1)])  # an exported graph has no other way where none is there
        elif not len(there):
            return torch.zeros((len(mask), self.width), device=mask.device)
        found = self.encoder(**{name: array.flatten(0, 1)[there] for name, array in arrays.items()})  # [there, width]
        place = (mask.flatten().long().cumsum(0) - 1).clamp(min=0).view_as(mask)  # of each picture among those
        vectors = torch.where(mask.unsqueeze(2), found.float()[place], 0.0)  # [batch, set, width]
        scores = torch.where(mask, self._scores(found).float()[place], NEVER)
        weights = scores.softmax(dim=1) * mask  # [batch, set]
        return (weights.unsqueeze(2) * vectors).sum(dim=1)

    def _scores(self, vectors: Tensor) -> Tensor:
        """[pictures, width] → [pictures]."""
        # encoders differ a hundredfold in the size of their vectors; attention to small ones would never move
        even = functional.layer_norm(vectors, (self.width,))
        return self.score(torch.tanh(self.content(even)) * torch.sigmoid(self.gate(even))).squeeze(1)

    def prepare(self, arrays: dict[str, np.ndarray]) -> None:
        """Args: arrays: of single pictures, [pictures, ...]; of sets where a mask is among them."""
        mask = arrays.get(MASK)
        one = arrays if mask is None else {name: array[mask] for name, array in arrays.items() if name != MASK}
        self.encoder.prepare(one)

    def tops(self) -> Iterable[nn.Module]:
        """The attention, then the layers of the encoder."""
        return [nn.ModuleList([self.content, self.gate, self.score]), *self.encoder.tops()]

    def pretrained_parameters(self) -> list[nn.Parameter]:
        return self.encoder.pretrained_parameters()
