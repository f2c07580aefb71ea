"""What raters learn from, what they are asked, and what all of them have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor, nn

Side = Literal["user", "item"]
SIDES: tuple[Side, Side] = ("user", "item")
Tick = Callable[[int], None]


class Facts(NamedTuple):
    """What one modality tells of users or of items: f32 [rows, width] and bool [rows], false where it is absent."""

    values: Tensor
    present: Tensor


class Asked(NamedTuple):
    """Rows to answer.

    Attributes:
        user, item: int64 [rows]; 0 is one that the train part did not have.
        facts: of both sides, one for each of its modalities.
    """

    user: Tensor
    item: Tensor
    facts: Mapping[Side, list[Facts]]


@dataclass(frozen=True)
class Ratings:
    """The ratings of the train part.

    Attributes:
        user, item: int64 [rows] from 1; 0 is unknown.
        value: f64 [rows].
        users, items: the largest number of each.
        facts: of user 0 … users and item 0 … items (0 has none).
    """

    user: np.ndarray
    item: np.ndarray
    value: np.ndarray
    users: int
    items: int
    facts: Mapping[Side, list[Facts]]

    def __len__(self) -> int:
        return len(self.value)

    def take(self, rows: np.ndarray) -> Self:
        return replace(self, user=self.user[rows], item=self.item[rows], value=self.value[rows])

    def known(self) -> Self:
        """Those of known users and known items, in an order that depends on nothing but themselves."""
        rows = np.flatnonzero((self.user > 0) & (self.item > 0))
        order = np.lexsort((self.value[rows], self.item[rows], self.user[rows]))
        return self.take(rows[order])

    def asked(self) -> Asked:
        """The same rows as a question."""
        ids: dict[Side, Tensor] = {"user": torch.from_numpy(self.user), "item": torch.from_numpy(self.item)}
        facts = {
            side: [Facts(fact.values[ids[side]], fact.present[ids[side]]) for fact in self.facts[side]]
            for side in SIDES
        }
        return Asked(ids["user"], ids["item"], facts)


class Rater(nn.Module):
    """One way to say what a user gives to an item.

    A concrete rater takes its options by keyword. What :meth:`fit` found are buffers, so that a bundle keeps them;
    their shapes are known only then (:func:`restore`). No gradients: each is found by a method of its own.
    """

    def fit(self, ratings: Ratings, rng: np.random.Generator, tick: Tick) -> None:
        """Learn from all of ``ratings``; their order does not matter. ``tick`` hears how much of :attr:`work` is done.

        Raises:
            DataError: it cannot learn from such numbers.
        """
        raise NotImplementedError

    @property
    def work(self) -> int:
        """How many ticks a fit is."""
        return 1

    def forward(self, asked: Asked) -> Tensor:
        """f32 [rows]: every row alone, whatever stands beside it."""
        raise NotImplementedError

    def keep(self, **arrays: np.ndarray) -> None:
        """Arrays as buffers: floats as f32, whole numbers as int64."""
        for name, array in arrays.items():
            kind = np.float32 if array.dtype.kind == "f" else np.int64
            self.register_buffer(name, torch.from_numpy(np.array(array, kind)))


def restore(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Fill in a saved ``state_dict`` whose buffers have yet to be made."""
    for key, tensor in state.items():
        owner, _, name = key.rpartition(".")
        place = module.get_submodule(owner)
        if name not in place._parameters:
            place.register_buffer(name, torch.empty_like(tensor))
    module.load_state_dict(dict(state))
