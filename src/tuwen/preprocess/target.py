"""What a task predicts: the column of truth, fitted on the train part, and outputs turned back into answers.

Every target has ``encode`` (series → array a loss understands; rows without truth are dropped before), ``decode``
(outputs of the
task head, f32 [rows, outputs] → columns of answers) and ``plain`` (its state). No torch: a service that runs the
network
elsewhere still needs ``decode``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import polars as pl

from tuwen.errors import ConfigError, DataError

Array = np.ndarray[Any, Any]
Scale = Literal["linear", "log"]


@dataclass(frozen=True)
class RateTarget:
    """A number. Answers are clipped to the range seen in training: no shopper gives 5.3 stars.

    Attributes:
        low, high: that range, in the target's own unit.
        mean: of the encoded values.
        scale: ``log`` for numbers that span orders of magnitude: y is encoded as log(1 + y).
    """

    low: float
    high: float
    mean: float
    scale: Scale = "linear"
    task: str = "rate"
    outputs: int = 1
    classes: tuple[str, ...] = ()

    @classmethod
    def fit(cls, values: pl.Series, scale: Scale = "linear") -> Self:
        numbers = _numbers(values)
        if scale == "log":
            refuse_negative(values)
        encoded = np.log1p(numbers) if scale == "log" else numbers
        return cls(float(numbers.min()), float(numbers.max()), float(encoded.mean()), scale)

    def encode(self, values: pl.Series) -> Array:
        """f32 [rows].

        Raises:
            DataError: not a number, or below 0 where the scale is ``log``.
        """
        numbers = _numbers(values)
        if self.scale == "log":
            refuse_negative(values)
            numbers = np.log1p(numbers)
        return numbers.astype(np.float32)

    def decode(self, outputs: Array) -> dict[str, Any]:
        answers = outputs[:, 0].astype(np.float64)
        if self.scale == "log":
            low, high = np.log1p([self.low, self.high])
            answers = np.expm1(np.clip(answers, low, high))  # clipped first: expm1 overflows above 709
        return {"prediction": np.clip(answers, self.low, self.high)}

    def plain(self) -> dict[str, Any]:
        return {"task": "rate", "low": self.low, "high": self.high, "mean": self.mean, "scale": self.scale}


@dataclass(frozen=True)
class BinaryTarget:
    """Yes or no: a value of ``at_least`` or more, or equal to ``equals``, is yes.

    ``mean`` is the share of yes in the train part.
    """

    at_least: float | None
    equals: str | None
    mean: float
    task: str = "binary"
    outputs: int = 1
    classes: tuple[str, ...] = ("0", "1")

    @classmethod
    def fit(cls, values: pl.Series, at_least: float | None = None, equals: str | None = None) -> Self:
        told = at_least is not None or equals is not None
        if not told:
            at_least = 1.0
        yes = cls(at_least, equals, 0.0).encode(values)
        if yes.size and yes.min() == yes.max():
            means = f"equal to '{equals}'" if equals is not None else f"{at_least:g} or more"
            raise DataError(
                f"every row of the train part has the same answer for '{values.name}'",
                seen=f"only {'yes' if yes.min() else 'no'}, where yes is {means}",
                todo="change task.at_least or task.equals"
                if told
                else "say what yes is: at_least: NUMBER or equals: VALUE",
            )
        return cls(at_least, equals, float(yes.mean()))

    def encode(self, values: pl.Series) -> Array:
        if self.equals is not None:
            return (values.cast(pl.String) == self.equals).to_numpy().astype(np.float32)
        return (_numbers(values) >= (self.at_least or 0.0)).astype(np.float32)

    def decode(self, outputs: Array) -> dict[str, Any]:
        probability = 0.5 * (1.0 + np.tanh(outputs[:, 0].astype(np.float64) / 2))  # the sigmoid, without overflow
        return {"prediction": (probability >= 0.5).astype(np.int8), "probability": probability}

    def plain(self) -> dict[str, Any]:
        return {"task": "binary", "at_least": self.at_least, "equals": self.equals, "mean": self.mean}


@dataclass(frozen=True)
class ClassifyTarget:
    """One of the classes of the train part, in sorted order; ``counts`` are their rows there."""

    classes: tuple[str, ...]
    counts: tuple[int, ...]
    task: str = "classify"

    @property
    def outputs(self) -> int:
        return len(self.classes)

    @classmethod
    def fit(cls, values: pl.Series) -> Self:
        found = values.cast(pl.String).drop_nulls().value_counts(name="rows").sort(values.name)
        if len(found) < 2:
            raise DataError(
                f"'{values.name}' has fewer than two classes in the train part",
                seen=found[values.name].to_list(),
                todo="choose another task.target",
            )
        return cls(tuple(found[values.name].to_list()), tuple(int(n) for n in found["rows"]))

    def encode(self, values: pl.Series) -> Array:
        """int64 [rows]; −1 for a class that the train part did not have."""
        index = {name: i for i, name in enumerate(self.classes)}
        return np.array([index.get(v, -1) for v in values.cast(pl.String).to_list()], dtype=np.int64)

    def decode(self, outputs: Array) -> dict[str, Any]:
        scores = outputs.astype(np.float64)
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        probabilities = scores / scores.sum(axis=1, keepdims=True)
        names = np.array(self.classes, dtype=object)
        return {"prediction": names[probabilities.argmax(axis=1)].tolist(), "probabilities": probabilities}

    def plain(self) -> dict[str, Any]:
        return {"task": "classify", "classes": list(self.classes), "counts": list(self.counts)}


@dataclass(frozen=True)
class ContrastTarget:
    """No truth: what comes out is one embedding for each side of a row.

    Attributes:
        sides: kind of modality → the modalities that form its side.
        pairs: the sides that belong together.
        width: numbers of an embedding.
    """

    sides: dict[str, tuple[str, ...]]
    pairs: tuple[tuple[str, str], ...]
    width: int
    task: str = "contrast"
    classes: tuple[str, ...] = ()

    @property
    def outputs(self) -> int:
        return len(self.sides) * self.width

    @property
    def directions(self) -> list[tuple[str, str]]:
        """What can be asked with what: both ways of every pair of two different sides."""
        return [way for a, b in self.pairs if a != b for way in ((a, b), (b, a))]

    @classmethod
    def fit(cls, sides: dict[str, tuple[str, ...]], pairs: Sequence[str], width: int) -> Self:
        """Args: pairs: as ``picture-text``.

        Raises:
            ConfigError: a pair of kinds that no modality is of, or one that stands twice.
        """
        known = {f"{a}-{b}": (a, b) for a in sides for b in sides}
        found: list[tuple[str, str]] = []
        for pair in pairs:
            if pair not in known:
                kinds = ", ".join(sides)
                raise ConfigError(f"there is no pair '{pair}' here", seen=f"modalities of {kinds}", allowed=known)
            if known[pair] in found or known[pair][::-1] in found:
                raise ConfigError(f"the pair '{pair}' stands twice", todo="keep one of them")
            found.append(known[pair])
        asked = {side for pair in found for side in pair}
        return cls({side: tuple(sides[side]) for side in sorted(asked)}, tuple(found), width)

    def encode(self, values: pl.Series) -> Array:
        """Content ids int64 [rows, sides], from a column of such lists."""
        found: Array = np.array(values.to_list(), dtype=np.int64).reshape(len(values), len(self.sides))
        return found

    def decode(self, outputs: Array) -> dict[str, Any]:
        """Side → embeddings f32 [rows, width]; zeros where the side is absent."""
        return dict(zip(sorted(self.sides), np.split(outputs, len(self.sides), axis=1), strict=True))

    def plain(self) -> dict[str, Any]:
        sides = {side: list(names) for side, names in self.sides.items()}
        return {"task": "contrast", "sides": sides, "pairs": [list(pair) for pair in self.pairs], "width": self.width}


Target = RateTarget | BinaryTarget | ClassifyTarget | ContrastTarget


def from_plain(plain: dict[str, Any]) -> Target:
    """The target that ``plain()`` described."""
    fields = {key: value for key, value in plain.items() if key != "task"}
    if plain["task"] == "rate":
        return RateTarget(**fields)
    if plain["task"] == "binary":
        return BinaryTarget(**fields)
    if plain["task"] == "contrast":
        sides = {side: tuple(names) for side, names in fields["sides"].items()}
        return ContrastTarget(sides, tuple((a, b) for a, b in fields["pairs"]), fields["width"])
    return ClassifyTarget(tuple(fields["classes"]), tuple(fields["counts"]))


def refuse_negative(values: pl.Series, rows: pl.Series | None = None) -> None:
    """Check that every value has a logarithm of 1 + y on the scale ``log``.

    Args:
        rows: key of each value, for the message; default: its position from 0.

    Raises:
        DataError: a value below 0, named by its row.
    """
    below = np.flatnonzero(_numbers(values) < 0)
    if not len(below):
        return
    first = int(below[0])
    others = f" and {len(below) - 1:,} other rows" if len(below) > 1 else ""
    raise DataError(
        f"'{values.name}' is below 0, and scale: log learns log(1 + y) of numbers from 0 on",
        seen=f"{values[first]} in row '{first if rows is None else rows[first]}'{others}",
        allowed="numbers from 0 on",
        todo=f"leave out scale: log, or such rows: rows.where: '{values.name} >= 0'",
    )


def _numbers(values: pl.Series) -> Array:
    try:
        return values.cast(pl.Float64, strict=True).to_numpy()
    except pl.exceptions.PolarsError:
        raise DataError(
            f"'{values.name}' is not a number everywhere",
            seen=values.cast(pl.String).head(3).to_list(),
            todo="use the task classify, or binary with equals",
        ) from None
