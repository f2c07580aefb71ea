"""Vectors of encoders made fit for cosines, and new pictures and texts put where the items stand."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self
from unicodedata import category

import numpy as np

from tuwen.apps.recommend.history import Array
from tuwen.apps.recommend.state import read_state, write_state
from tuwen.data.kinds import medium_of
from tuwen.preprocess.frozen import Frozen

FITTED = 4000  # items that the axes are found on


@dataclass(frozen=True)
class Reduction:
    """Standardised, turned to the main axes and of length 1.

    Raw vectors of an encoder share most of their direction, so that their cosines say little; after centring they do.

    Attributes:
        mean, scale: f32 [any], of the items that have a vector.
        axes: f32 [width, any], the principal components that are kept.
    """

    mean: Array
    scale: Array
    axes: Array

    @classmethod
    def of(cls, vectors: Array, present: Array, width: int) -> Self:
        """From vectors f32 [items, any] of those present bool [items]."""
        there = vectors[present].astype(np.float32)
        width = min(width, vectors.shape[1], max(1, len(there) - 1))
        if not len(there):
            nothing = np.zeros(vectors.shape[1], np.float32)
            return cls(nothing, nothing + 1, np.zeros((width, vectors.shape[1]), np.float32))
        mean, scale = there.mean(axis=0), there.std(axis=0) + np.float32(1e-6)
        step = -(-len(there) // FITTED)
        _, _, axes = np.linalg.svd((there[::step] - mean) / scale, full_matrices=False)
        return cls(mean, scale, axes[:width])

    def turned(self, vectors: Array, present: Array) -> Array:
        """f32 [items, ≤ width]; zeros where absent."""
        found = np.zeros((len(vectors), len(self.axes)), np.float32)
        turned = (vectors[present].astype(np.float32) - self.mean) / self.scale @ self.axes.T
        found[present] = turned / np.maximum(np.linalg.norm(turned, axis=1, keepdims=True), 1e-12)
        return found


@dataclass(frozen=True)
class Reader:
    """Puts a new picture or text where the items of a catalogue stand.

    Attributes:
        use: the kind of modality, ``image`` or ``text``.
        frozen: what the items' own went through.
        reduction: fitted on the items.
        limits: what ``normalise`` of such media takes, so that a photo becomes what the items' own became.
    """

    use: str
    frozen: Frozen
    reduction: Reduction
    limits: dict[str, Any]

    def read(self, value: str | bytes) -> Array | None:
        """f32 [width], of length 1; None where it says nothing.

        Raises:
            DataError: the bytes are no picture.
        """
        if isinstance(value, str):
            if all(category(letter)[0] in "CZ" for letter in value):  # control, format, space
                return None
        elif (medium := medium_of(self.use)) is not None:
            value = medium.normalise(value, self.limits)
        arrays, present = self.frozen.encode([value])
        vector: Array = self.reduction.turned(arrays["vector"], present)[0]
        return vector if vector.any() else None

    def save(self, folder: Path) -> None:
        """The network goes beside ``folder``."""
        self.frozen.save(folder)
        write_state(folder / "reduction", vars(self.reduction) | {"use": self.use, "limits": self.limits})


@dataclass(frozen=True)
class Kept:
    """A :class:`Reader` in a bundle, opened when it is first asked: a tokeniser takes a while."""

    folder: Path
    use: str

    @cached_property
    def _reader(self) -> Reader:
        state = read_state(self.folder / "reduction")
        use, limits = state.pop("use"), state.pop("limits")
        return Reader(use, Frozen.load(self.folder), Reduction(**state), limits)

    def read(self, value: str | bytes) -> Array | None:
        return self._reader.read(value)

    def save(self, folder: Path) -> None:
        self._reader.save(folder)
