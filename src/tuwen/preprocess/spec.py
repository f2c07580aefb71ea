"""What a modality hands to an encoder."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

PRESENT = "present"  # in a graph, the name beside those of a modality's arrays that says which rows have it

Kind = Literal["pixels", "tokens", "bag", "table", "spectrogram", "points", "vector"]


@dataclass(frozen=True)
class ArraySpec:
    """The arrays of one modality, without their rows.

    Attributes:
        kind: which arrays there are (the table in docs/architecture.md).
        shape: sizes of one row.
        sizes: how many different integers each integer column may hold (vocabulary, categories).
        set_size: how many such arrays a row has side by side, under a mask; 0 where it has one and no mask.
    """

    kind: Kind
    shape: tuple[int, ...]
    sizes: tuple[int, ...] = ()
    set_size: int = 0

    def plain(self) -> dict[str, Any]:
        plain = asdict(self)
        if not self.set_size:
            del plain["set_size"]
        return plain

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Self:
        return cls(plain["kind"], tuple(plain["shape"]), tuple(plain["sizes"]), plain.get("set_size", 0))
