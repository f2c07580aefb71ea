"""Several pictures of a row: the arrays of each, side by side, and a mask of those that are there.

What a picture becomes is another modality's matter; here stands only how many of them a row has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

import numpy as np

from tuwen.preprocess.frozen import Frozen
from tuwen.preprocess.modality import Arrays, Modality, load, read_state, write_state
from tuwen.preprocess.picture_text import PictureText
from tuwen.preprocess.spec import ArraySpec
from tuwen.progress import Progress

MASK = "mask"  # bool [rows, most]: the pictures that are there and can be read


class PictureSet:
    """Up to ``most`` pictures of a row, in their order.

    Args:
        modality: what one picture becomes (``Image``, or ``Frozen`` around it).
        most: how many of a row's pictures are used, 2 or more.
    """

    def __init__(self, modality: Modality, most: int) -> None:
        self.modality, self.most = modality, most

    @property
    def spec(self) -> ArraySpec:
        """That of one picture, with ``set_size``."""
        return replace(self.modality.spec, set_size=self.most)

    def fit(self, values: Sequence[Sequence[bytes] | None], progress: Progress | None = None) -> None:
        self.modality.fit([one for several in values for one in several or ()], progress)

    def encode(self, values: Sequence[Sequence[bytes] | None]) -> tuple[Arrays, np.ndarray]:
        """The arrays of one picture with a second axis, [rows, most, ...], and ``mask`` bool [rows, most].

        A row is present where any of its pictures can be read. What is missing or broken is zeros, and masked.
        """
        given = [tuple(several or ())[: self.most] for several in values]
        places = np.array([(row, at) for row, several in enumerate(given) for at in range(len(several))], np.int64)
        rows, slots = places.reshape(-1, 2).T
        each, there = self.modality.encode([one for several in given for one in several])
        mask = np.zeros((len(given), self.most), bool)
        mask[rows, slots] = there
        arrays = {name: np.zeros((*mask.shape, *array.shape[1:]), array.dtype) for name, array in each.items()}
        for name, array in each.items():
            arrays[name][rows, slots] = array
        return arrays | {MASK: mask}, np.any(mask, axis=1)

    def augment(self, arrays: Arrays, rng: np.random.Generator) -> Arrays:
        """Every picture that is there draws its own change."""
        mask = arrays[MASK]
        before = {name: array[mask] for name, array in arrays.items() if name != MASK}
        after = self.modality.augment(before, rng)
        if after is before:
            return arrays
        changed = {name: np.zeros((*mask.shape, *array.shape[1:]), array.dtype) for name, array in after.items()}
        for name, array in after.items():
            changed[name][mask] = array
        return arrays | changed

    def save(self, folder: Path) -> None:
        """The modality of one picture goes beside ``folder``, where it shares its frozen network with the others."""
        write_state(folder, self, {"pictures": self.most}, {})
        self.modality.save(_each(folder))

    @classmethod
    def load(cls, folder: Path) -> Self:
        return cls(load(_each(folder)), int(read_state(folder)["options"]["pictures"]))


def _each(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.each")  # no modality has a dot in its name


def as_set(modality: Modality, most: int) -> Modality:
    """The modality of a row's ``most`` pictures, given that of one."""
    return modality if most == 1 else PictureSet(modality, most)


def of_each(modality: Modality) -> Modality:
    """The modality of one picture."""
    return modality.modality if isinstance(modality, PictureSet) else modality


def several_of(modality: Modality) -> int | None:
    """How many files of a row it takes, as a list; None where it takes one, or no file."""
    inner = modality.modality if isinstance(modality, Frozen) else modality
    if isinstance(inner, PictureSet):
        return inner.most
    return inner.pictures if isinstance(inner, PictureText) else None


def pictures_of(modality: Modality) -> int:
    """How many pictures of a row it reads."""
    return modality.most if isinstance(modality, PictureSet) else 1
