"""What the loop reads: one :class:`Input` a modality, each distinct value encoded once and found by row."""

from __future__ import annotations

import hashlib
import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
import polars as pl

from tuwen.preprocess.sets import MASK

Arrays = dict[str, np.ndarray]
Encode = Callable[[Any], tuple[Arrays, np.ndarray]]

MOST_SEEN = 25_000  # values that an encoder may look at before training
DECODED_BYTES = 1_500_000_000  # decoded values that a process keeps, at most; others are decoded for every batch
READ_AT_ONCE = 64  # values whose presence is looked at together
IDLE = 100  # batches of others after which an input gives its room away


class Input(Protocol):
    """One modality of a set of rows."""

    def __len__(self) -> int: ...

    def batch(self, rows: np.ndarray) -> tuple[Arrays, np.ndarray]:
        """Arrays [len(rows), ...] and presence bool [len(rows)] of the rows at these positions."""
        ...

    def there(self, rows: np.ndarray) -> np.ndarray:
        """Presence alone, bool [len(rows)], without the arrays of all these rows in memory at once."""
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

    def there(self, rows: np.ndarray) -> np.ndarray:
        return self.present[self.index[rows]]

    def take(self, rows: np.ndarray) -> EncodedInput:
        return EncodedInput(self.arrays, self.present, self.index[rows])

    def seen(self) -> Arrays:
        """The distinct values of these rows, of those that are present: [values, ...] each. Of very many some, evenly
        spaced: a mean and a deviation need no more, and all would be in memory at once.
        """
        used = np.unique(self.index)
        used = used[self.present[used]]
        used = used[:: -(-len(used) // MOST_SEEN) or 1]
        return {name: array[used] for name, array in self.arrays.items()}


class Room:
    """How many bytes of decoded values may be kept, and by which inputs they are.

    What an input keeps stays: an epoch asks for every value once, in an order of its own, so whatever gave way would be
    missed as often. But an input that nobody has asked while others were (another picture size of a comparison) gives
    all its room away, the longest idle first, and one that is gone frees it.
    """

    def __init__(self, most: int = DECODED_BYTES, idle: int = IDLE) -> None:
        self.most, self.idle = most, idle
        self.asked = 0
        self.lock = threading.Lock()
        self.inputs: weakref.WeakSet[Decoded] = weakref.WeakSet()

    @property
    def taken(self) -> int:
        """Bytes that are kept now."""
        return sum(one.bytes for one in list(self.inputs))

    def enough(self, size: int) -> bool:
        """Whether ``size`` bytes more may be kept, once those who are idle gave way; call with the lock held."""
        while self.taken + size > self.most:
            idle = [one for one in self.inputs if one.bytes and self.asked - one.asked > self.idle]
            if not idle:
                return False
            min(idle, key=lambda one: one.asked).drop()
        return True


ROOM = Room()  # of this process


class Decoded:
    """Values kept after their first decoding, as far as there is room, and the threads that decode; shared by all
    parts of a run.
    """

    def __init__(self, room: Room | None = None, threads: int = 2) -> None:
        self.room = room or ROOM
        self.kept: dict[int, tuple[Arrays, bool]] = {}
        self.bytes = 0
        self.asked = self.room.asked
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
        with self.room.lock:
            self.room.inputs.add(self)

    def keep(self, fresh: dict[int, tuple[Arrays, bool]]) -> None:
        """Keep what a batch decoded, as far as there is room; a batch that decoded nothing counts as asked too."""
        with self.room.lock:
            self.room.asked += 1
            self.asked = self.room.asked
            for i, (arrays, present) in fresh.items():
                size = sum(a.nbytes for a in arrays.values())
                if i in self.kept or not self.room.enough(size):
                    continue
                self.bytes += size
                # a copy, so that one picture does not hold its whole batch in memory
                self.kept[i] = ({name: a.copy() for name, a in arrays.items()}, present)

    def drop(self) -> None:
        """Let go of everything; a batch that is being made keeps what it found."""
        self.kept, self.bytes = {}, 0


class StreamedInput:
    """Distinct values encoded when a batch asks for them: memory never grows with the number of pictures. What is
    decoded is kept as far as the :class:`Room` of the process goes.

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

    def there(self, rows: np.ndarray) -> np.ndarray:
        found = np.zeros(len(rows), bool)  # what cannot be read is absent too, so each is read
        for start in range(0, len(rows), READ_AT_ONCE):
            found[start : start + READ_AT_ONCE] = self.batch(rows[start : start + READ_AT_ONCE])[1]
        return found

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

    def there(self, rows: np.ndarray) -> np.ndarray:
        shown = self.sets[self.index[rows]]
        return np.any(self.pictures.there(shown.reshape(-1)).reshape(shown.shape), axis=1)

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
