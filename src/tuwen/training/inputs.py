"""What the loop reads: one :class:`Input` a modality, each distinct value encoded once and found by row."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
import polars as pl

from tuwen.preprocess.sets import MASK

Arrays = dict[str, np.ndarray]
Encode = Callable[[Any], tuple[Arrays, np.ndarray]]

DECODED_BYTES = 1_500_000_000  # decoded pictures kept in memory, at most; beyond it they are decoded for every batch


class Input(Protocol):
    """One modality of a set of rows."""

    def __len__(self) -> int: ...

    def batch(self, rows: np.ndarray) -> tuple[Arrays, np.ndarray]:
        """Arrays [len(rows), ...] and presence bool [len(rows)] of the rows at these positions."""
        ...

    def take(self, rows: np.ndarray) -> Input:
        """The same input over some of the rows, sharing memory."""
        ...


class EncodedInput:
    """Arrays of the distinct values, in memory, and where each row finds its own.

    Args:
        arrays: [distinct, ...] each.
        present: bool [distinct].
        index: int [rows], row → distinct value.
    """

    def __init__(self, arrays: Arrays, present: np.ndarray, index: np.ndarray) -> None:
        self.arrays, self.present, self.index = arrays, present, index

    def __len__(self) -> int:
        return len(self.index)

    def batch(self, rows: np.ndarray) -> tuple[Arrays, np.ndarray]:
        found = self.index[rows]
        return {name: array[found] for name, array in self.arrays.items()}, self.present[found]

    def take(self, rows: np.ndarray) -> EncodedInput:
        return EncodedInput(self.arrays, self.present, self.index[rows])

    def seen(self) -> Arrays:
        """The distinct values of these rows, of those that are present: [values, ...] each."""
        used = np.unique(self.index)
        used = used[self.present[used]]
        return {name: array[used] for name, array in self.arrays.items()}


class Decoded:
    """Values kept after their first decoding, up to a number of bytes, and the threads that decode; shared by all
    parts of a run.
    """

    def __init__(self, room: int = DECODED_BYTES, threads: int = 2) -> None:
        self.room = room
        self.kept: dict[int, tuple[Arrays, bool]] = {}
        self.lock = threading.Lock()
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")

    def keep(self, fresh: dict[int, tuple[Arrays, bool]]) -> None:
        with self.lock:
            for i, (arrays, present) in fresh.items():
                size = sum(a.nbytes for a in arrays.values())
                if i in self.kept or self.room < size:
                    continue
                self.room -= size
                # a copy, so that one picture does not hold its whole batch in memory
                self.kept[i] = ({name: a.copy() for name, a in arrays.items()}, present)


class StreamedInput:
    """Distinct values encoded when a batch asks for them: memory never grows with the number of pictures.

    Args:
        values: the distinct raw values (or what ``read`` turns into them).
        encode: one modality's ``encode``.
        index: int [rows], row → distinct value.
        read: called on each value before ``encode``; for pictures, media key → bytes.
    """

    def __init__(
        self,
        values: Sequence[Any],
        encode: Encode,
        index: np.ndarray,
        read: Callable[[Any], Any] | None = None,
        decoded: Decoded | None = None,
    ) -> None:
        self.values, self.encode, self.index, self.read = values, encode, index, read
        self.decoded = decoded or Decoded()

    def __len__(self) -> int:
        return len(self.index)

    def batch(self, rows: np.ndarray) -> tuple[Arrays, np.ndarray]:
        found = self.index[rows].tolist()
        kept = self.decoded.kept
        missing = [i for i in dict.fromkeys(found) if i not in kept]
        halves = [half for half in (missing[::2], missing[1::2]) if half]
        fresh: dict[int, tuple[Arrays, bool]] = {}
        for part in self.decoded.pool.map(self._encode, halves):
            fresh.update(part)
        one = [fresh[i] if i in fresh else kept[i] for i in found]
        self.decoded.keep(fresh)
        arrays = {name: np.stack([row[0][name] for row in one]) for name in one[0][0]}
        return arrays, np.array([row[1] for row in one])

    def take(self, rows: np.ndarray) -> StreamedInput:
        return StreamedInput(self.values, self.encode, self.index[rows], self.read, self.decoded)

    def _encode(self, wanted: list[int]) -> dict[int, tuple[Arrays, bool]]:
        raw = [self.values[i] for i in wanted]
        arrays, present = self.encode([self.read(v) for v in raw] if self.read else raw)
        return {
            i: ({name: array[at] for name, array in arrays.items()}, bool(present[at])) for at, i in enumerate(wanted)
        }


class SetInput:
    """Several pictures a row, from an input over the distinct pictures: one that many rows show is encoded once.

    Args:
        pictures: one value a picture; the last is one that is absent.
        sets: int [distinct sets, most], positions in ``pictures``; those of empty places point to the last.
        index: int [rows], row → distinct set.
    """

    def __init__(self, pictures: Input, sets: np.ndarray, index: np.ndarray) -> None:
        self.pictures, self.sets, self.index = pictures, sets, index

    def __len__(self) -> int:
        return len(self.index)

    def batch(self, rows: np.ndarray) -> tuple[Arrays, np.ndarray]:
        """The arrays of :class:`tuwen.preprocess.sets.PictureSet`."""
        shown = self.sets[self.index[rows]]  # [rows, most]
        arrays, there = self.pictures.batch(shown.reshape(-1))
        mask = there.reshape(shown.shape)
        each = {name: array.reshape(*shown.shape, *array.shape[1:]) for name, array in arrays.items()}
        return each | {MASK: mask}, np.any(mask, axis=1)

    def take(self, rows: np.ndarray) -> SetInput:
        return SetInput(self.pictures, self.sets, self.index[rows])

    def each(self) -> Input:
        """The distinct pictures of these rows, and the absent one."""
        return self.pictures.take(np.unique(self.sets[np.unique(self.index)]))

    def mean(self) -> EncodedInput | None:
        """The mean of each row's pictures where they are vectors in memory; None where they are not."""
        if not isinstance(self.pictures, EncodedInput) or "vector" not in self.pictures.arrays:
            return None
        at = self.pictures.index[self.sets]  # [distinct sets, most]
        there = self.pictures.present[at]
        vectors = self.pictures.arrays["vector"]
        total = np.zeros((len(at), vectors.shape[1]), np.float32)
        for place, known in zip(at.T, there.T, strict=True):  # one place after the other: the whole would be large
            total[known] += vectors[place[known]]
        count = np.maximum(there.sum(axis=1, keepdims=True), 1)
        return EncodedInput({"vector": total / count.astype(np.float32)}, np.any(there, axis=1), self.index)


def distinct(keys: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
    """(position of the first row of each distinct key, row → which of those): both int, in order of appearance."""
    series = pl.Series("key", keys)
    frame = pl.DataFrame({"key": series}).with_row_index("row")
    firsts = frame.group_by("key", maintain_order=True).agg(pl.col("row").first()).with_row_index("at")
    index = frame.join(firsts.select("key", "at"), on="key", how="left", nulls_equal=True, maintain_order="left")["at"]
    return firsts["row"].to_numpy().astype(np.int64), index.to_numpy().astype(np.int64)


def text_key(text: str | None) -> str:
    """Content key of a text, for the vector cache."""
    return hashlib.blake2b((text or "").encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
