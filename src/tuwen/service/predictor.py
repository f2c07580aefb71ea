"""What the service asks of a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol, TypedDict

Kind = Literal["image", "audio", "shape", "text", "number", "category", "date", "list"]


class Input(TypedDict):
    """One column the bundle reads: its qualified name, what it holds, and the modality it belongs to."""

    column: str
    kind: Kind
    modality: str


class Predictor(Protocol):
    """A bundle in use.

    ``predict`` takes rows by qualified column name: pictures, sounds and shapes as the bytes of a file or a list of
    such, all else as it was sent, None for what is absent; it refuses what it cannot read with a DataError. It answers
    each row with a dict that JSON can hold: ``prediction``, and ``probability`` or ``probabilities``.
    """

    @property
    def manifest(self) -> dict[str, Any]: ...

    @property
    def inputs(self) -> Sequence[Any]: ...

    def predict(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]: ...
