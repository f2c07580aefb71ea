"""Arrays of the modalities → who, what, and what is known of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol, Self

import numpy as np
import torch
from torch import Tensor

from tuwen.models.raters.rater import SIDES, Asked, Facts, Ratings, Side
from tuwen.preprocess.spec import ArraySpec

Arrays = Mapping[str, Mapping[str, Tensor]]


class Source(Protocol):
    """One modality of a set of rows."""

    def batch(self, rows: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]: ...


@dataclass(frozen=True)
class Sides:
    """Where users, items and their facts stand in the arrays of the modalities.

    Attributes:
        ids: of each side the modality whose categories hold its key, and which of them it is.
        facts: of each side the modalities that tell of it.
        specs: of every modality.
    """

    ids: dict[Side, tuple[str, int]]
    facts: dict[Side, list[str]]
    specs: dict[str, ArraySpec]

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any], specs: dict[str, ArraySpec]) -> Self:
        return cls({side: (name, place) for side, (name, place) in plain["ids"].items()}, dict(plain["facts"]), specs)

    def plain(self) -> dict[str, Any]:
        """All but the specs, which a bundle keeps with its modalities."""
        return {name: found for name, found in asdict(self).items() if name != "specs"}

    def count(self, side: Side) -> int:
        """How many of them the train part has."""
        name, place = self.ids[side]
        return self.specs[name].sizes[place] - 1

    def asked(self, arrays: Arrays, present: Mapping[str, Tensor]) -> Asked:
        """The rows of a batch as raters take them."""
        ids = {side: self._ids(side, arrays) for side in SIDES}
        facts = {side: [self._facts(name, arrays, present) for name in self.facts[side]] for side in SIDES}
        return Asked(
            ids["user"], ids["item"], {side: [f for f in found if f is not None] for side, found in facts.items()}
        )

    def ratings(self, inputs: Mapping[str, Source], values: np.ndarray) -> Ratings:
        """The rows of the train part. What is known of a user or an item is what its first row says."""
        every = np.arange(len(values))
        keys = {name: _tensors(*inputs[name].batch(every))[0] for name, _ in self.ids.values()}
        ids = {side: self._ids(side, keys) for side in SIDES}
        facts = {side: self._of_each(side, ids[side].numpy(), inputs) for side in SIDES}
        counts = self.count("user"), self.count("item")
        return Ratings(ids["user"].numpy(), ids["item"].numpy(), values.astype(np.float64), *counts, facts)

    def _of_each(self, side: Side, ids: np.ndarray, inputs: Mapping[str, Source]) -> list[Facts]:
        distinct, first = np.unique(ids, return_index=True)
        distinct, first = distinct[distinct > 0], first[distinct > 0]
        found = []
        for name in self.facts[side]:
            arrays, present = _tensors(*inputs[name].batch(first))
            fact = self._facts(name, {name: arrays}, {name: present})
            if fact is not None:
                values = torch.zeros((self.count(side) + 1, fact.values.shape[1]))
                there = torch.zeros(self.count(side) + 1, dtype=torch.bool)
                values[distinct], there[distinct] = fact.values, fact.present
                found.append(Facts(values, there))
        return found

    def _ids(self, side: Side, arrays: Arrays) -> Tensor:
        name, place = self.ids[side]
        return arrays[name]["categories"][:, place].long()

    def _facts(self, name: str, arrays: Arrays, present: Mapping[str, Tensor]) -> Facts | None:
        """The modality's numbers; of a table without its key, each category as a number of its own. None: there are
        none.
        """
        if "vector" in arrays[name]:
            return Facts(arrays[name]["vector"].float(), present[name])
        keys = {place for modality, place in self.ids.values() if modality == name}
        parts = [arrays[name]["numbers"].float()]
        for place, size in enumerate(self.specs[name].sizes):
            if place not in keys:
                which = arrays[name]["categories"][:, place].long()
                parts.append(torch.nn.functional.one_hot(which, size)[:, 1:].float())  # 0 is missing
        values = torch.cat(parts, dim=1)
        return Facts(values, present[name]) if values.shape[1] else None


def _tensors(arrays: Mapping[str, np.ndarray], present: np.ndarray) -> tuple[dict[str, Tensor], Tensor]:
    return {name: torch.from_numpy(array) for name, array in arrays.items()}, torch.from_numpy(present)
