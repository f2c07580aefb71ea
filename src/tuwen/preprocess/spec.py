"""What a modality hands to an encoder."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

Kind = Literal["pixels", "tokens", "bag", "table", "spectrogram", "points", "vector"]


@dataclass(frozen=True)
class ArraySpec:
    """The arrays of one modality, without their rows.

    Attributes:
        kind: which arrays there are (the table in docs/architecture.md).
        shape: sizes of one row.
        sizes: how many different integers each integer column may hold (vocabulary, categories).
    """

    kind: Kind
    shape: tuple[int, ...]
    sizes: tuple[int, ...] = ()

    def plain(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Self:
        return cls(plain["kind"], tuple(plain["shape"]), tuple(plain["sizes"]))
