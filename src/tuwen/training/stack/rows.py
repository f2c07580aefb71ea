"""The rows that a stack is fitted on, and what its steps share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tuwen.training.stack.blocks import Block
from tuwen.training.stack.linear import Linear, Truth


@dataclass
class Member:
    """What is reported of one member.

    Attributes:
        modalities: that it reads.
        cost: the smaller, the simpler: one modality before several, linear before bent.
        seconds: to fit.
        loss: out of fold, of the standardised target.
    """

    name: str
    modalities: list[str]
    cost: int
    seconds: float
    loss: float = 0.0


@dataclass(frozen=True)
class LinearMember:
    """One fit a fold, blind to it, and one of all rows."""

    modalities: list[str]
    folds: list[Linear]
    whole: Linear


@dataclass
class Rows:
    """Features, truth and folds; members are added as they are fitted.

    Attributes:
        folds: int [rows].
        centre, spread: what a number was standardised by.
    """

    blocks: dict[str, Block]
    truth: Truth
    folds: np.ndarray
    centre: float
    spread: float
    seed: int
    linear: list[LinearMember] = field(default_factory=list)
    members: list[Member] = field(default_factory=list)

    @property
    def count(self) -> int:
        return len(self.folds)

    @property
    def fold_count(self) -> int:
        return int(self.folds.max()) + 1

    @property
    def singles(self) -> list[int]:
        """Positions of the linear members of one modality."""
        return [i for i, member in enumerate(self.linear) if len(member.modalities) == 1]

    @property
    def tables(self) -> list[str]:
        return [name for name, block in self.blocks.items() if block.spec.kind == "table"]

    def matrices(self, modalities: Sequence[str], rows: np.ndarray | None = None) -> list[Any]:
        matrices = [self.blocks[name].matrix for name in modalities]
        return matrices if rows is None else [matrix[rows] for matrix in matrices]

    def compact(self, maps: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Compact features of each modality, f32 [rows, k]."""
        return {name: np.asarray(block.matrix @ maps[name], np.float32) for name, block in self.blocks.items()}

    def linear_answers(self, member: LinearMember, pattern: Sequence[str] | None = None) -> np.ndarray:
        """Out of fold, f32 [rows, outputs], with the modalities outside the pattern absent."""
        answers = np.zeros((self.count, self.truth.outputs), np.float32)
        used = [i for i, name in enumerate(member.modalities) if pattern is None or name in pattern]
        for k, linear in enumerate(member.folds):
            rows = np.flatnonzero(self.folds == k)
            matrices = self.matrices([member.modalities[i] for i in used], rows)
            answers[rows] = Linear([linear.weights[i] for i in used], linear.bias).scores(matrices)
        return answers

    def tree_features(self, linear: Sequence[np.ndarray], compact: Mapping[str, np.ndarray]) -> np.ndarray:
        """What trees read: scores of the linear members of one modality, and tables."""
        scores = [linear[i] for i in self.singles]
        return np.concatenate([*scores, *(compact[name] for name in self.tables)], axis=1)

    def tree_width(self, maps: Mapping[str, np.ndarray]) -> int:
        """How many numbers :meth:`tree_features` has a row."""
        return len(self.singles) * self.truth.outputs + sum(maps[name].shape[1] for name in self.tables)
