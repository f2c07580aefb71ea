"""One part of an index on disk: a table of items, their words and their vectors. Written once, never changed."""

from __future__ import annotations

import hashlib
import json
import mmap
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
from safetensors.numpy import save_file

from tuwen.errors import DataError
from tuwen.files import room_on_disk, sync
from tuwen.index.vectors import Kind, Vectors
from tuwen.index.words import Postings

Array = npt.NDArray[Any]
AGAIN = "make the index again: tuwen index DATASET --out INDEX --replace"


@dataclass(frozen=True)
class Batch:
    """Items as they enter an index.

    Attributes:
        table: ``item`` str, each once, and any other columns.
        fields: field → item → terms, of all items.
        vectors: space → f32 [items, width], zeros where an item has none.
    """

    table: pl.DataFrame
    fields: Mapping[str, Sequence[Sequence[str]]]
    vectors: Mapping[str, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        keys = self.table["item"]
        if keys.n_unique() != len(keys) or keys.null_count():
            raise DataError("an item stands twice, or has no key", where="the items to be indexed")
        sizes = {name: len(rows) for name, rows in (*self.fields.items(), *self.vectors.items())}
        if any(size != len(keys) for size in sizes.values()):
            raise DataError("the items to be indexed are of different numbers", seen=sizes, allowed=str(len(keys)))


@dataclass(frozen=True)
class Segment:
    """A part that is open for reading.

    Attributes:
        name: of its files.
        table: its items.
        words: their terms.
        spaces: space → their vectors.
        ties: uint64 [rows], from the key of each item: decides between equal scores, however items came in.
    """

    name: str
    table: pl.DataFrame
    words: Postings
    spaces: Mapping[str, Vectors]
    ties: Array

    def __len__(self) -> int:
        return len(self.table)

    @cached_property
    def place(self) -> dict[str, int]:
        """Item → its row."""
        return {item: row for row, item in enumerate(self.table["item"].to_list())}


def made(batch: Batch, weights: Mapping[str, float], kind: Kind = "auto") -> Segment:
    """A segment in memory."""
    words = Postings.of(batch.fields, weights)
    spaces = {name: Vectors.of(vectors, kind=kind) for name, vectors in batch.vectors.items()}
    return Segment(uuid.uuid4().hex, batch.table, words, spaces, ties_of(batch.table["item"].to_list()))


def merged(segments: Sequence[Segment], alive: Sequence[Array], kind: Kind = "auto") -> Segment:
    """The living rows of several segments, in their order, as one."""
    tables = [segment.table.filter(pl.Series(living)) for segment, living in zip(segments, alive, strict=True)]
    words = Postings.merged([segment.words for segment in segments], alive)
    rows = [np.flatnonzero(living) for living in alive]
    names = list(dict.fromkeys(name for segment in segments for name in segment.spaces))
    spaces = {}
    for name in names:
        width = next(segment.spaces[name].width for segment in segments if name in segment.spaces)
        parts = [
            segment.spaces[name].take(kept) if name in segment.spaces else np.zeros((len(kept), width), np.float32)
            for segment, kept in zip(segments, rows, strict=True)
        ]
        spaces[name] = Vectors.of(np.concatenate(parts), kind=kind)
    ties = np.concatenate([segment.ties[kept] for segment, kept in zip(segments, rows, strict=True)])
    return Segment(uuid.uuid4().hex, pl.concat(tables, how="diagonal_relaxed"), words, spaces, ties)


def with_popularity(segment: Segment, popularity: Mapping[str, int]) -> Segment:
    """A segment in memory with other numbers in ``_popularity`` for the items that are named."""
    was = segment.table["_popularity"].to_list()
    now = [popularity.get(item, old) for item, old in zip(segment.table["item"].to_list(), was, strict=True)]
    return replace(segment, table=segment.table.with_columns(pl.Series("_popularity", now, dtype=pl.Int64)))


def ties_of(items: Iterable[str]) -> Array:
    """uint64 [items]."""
    digests = [hashlib.blake2b(item.encode("utf-8", "surrogatepass"), digest_size=8).digest() for item in items]
    return np.frombuffer(b"".join(digests), "<u8")


# --- Files --------------------------------------------------------------------------------------------------------


def write(segment: Segment, folder: Path) -> dict[str, str]:
    """Write a segment's files, safe on disk when this returns; file name → SHA-256."""
    stem = folder / segment.name
    paths = {space: stem.with_name(f"{segment.name}.{space}.faiss") for space in segment.spaces}
    arrays = {
        "terms": np.frombuffer("\n".join(segment.words.terms).encode(), np.uint8),
        "starts": segment.words.starts,
        "rows": segment.words.rows,
        "counts": segment.words.counts,
        "lengths": segment.words.lengths,
        "ties": segment.ties,
        **{f"rows of {space}": vectors.rows for space, vectors in segment.spaces.items()},
    }
    table, words = stem.with_suffix(".arrow"), stem.with_suffix(".safetensors")
    with room_on_disk(folder), _gone_where_it_fails(table, words, *paths.values()):
        segment.table.rechunk().write_ipc(table, compression="uncompressed")
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, words)
        for space, path in paths.items():
            segment.spaces[space].save(path)
        files = [table, words, *paths.values()]
        with ThreadPoolExecutor(len(files)) as pool:  # one journal commit for all, where the disk can
            digests = list(pool.map(_settled, files))
        sync(folder)  # the manifest must never name a file that a power cut took
    return {path.name: digest for path, digest in zip(files, digests, strict=True)}


@contextmanager
def _gone_where_it_fails(*files: Path) -> Iterator[None]:
    """No manifest will name them, and on a full disk they would take the room that is left."""
    try:
        yield
    except BaseException:
        for file in files:
            file.unlink(missing_ok=True)
        raise


def _settled(path: Path) -> str:
    sync(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read(name: str, files: Mapping[str, str], folder: Path, *, check: bool = True) -> Segment:
    """Open a segment, its arrays memory-mapped.

    Args:
        files: file name → SHA-256.
        check: read every byte and compare.

    Raises:
        FileNotFoundError: a file is gone, as after a rebuild by another process.
        DataError: a file is damaged.
    """
    for file, expected in files.items():
        with (folder / file).open("rb") as opened:
            if check and hashlib.file_digest(opened, "sha256").hexdigest() != expected:
                raise DataError("a file of the index is damaged", where=str(folder / file), todo=AGAIN)
    arrays = mapped(folder / f"{name}.safetensors")
    text = arrays["terms"].tobytes().decode()
    words = Postings(
        text.split("\n") if text else [], arrays["starts"], arrays["rows"], arrays["counts"], arrays["lengths"]
    )
    spaces = {}
    for file in files:
        if file.endswith(".faiss"):
            space = file.split(".")[1]
            spaces[space] = Vectors.read(folder / file, arrays[f"rows of {space}"])
    return Segment(name, _table(folder / f"{name}.arrow"), words, spaces, arrays["ties"])


def _table(path: Path) -> pl.DataFrame:
    """Memory-mapped, which polars' own reader does not promise."""
    try:
        with pa.memory_map(str(path)) as source:
            found = pl.from_arrow(pa.ipc.open_file(source).read_all())
    except pa.ArrowInvalid as error:
        raise DataError("a file of the index cannot be read", where=str(path), seen=error, todo=AGAIN) from None
    assert isinstance(found, pl.DataFrame)
    return found


_TYPES = {"U8": "u1", "I32": "<i4", "I64": "<i8", "U64": "<u8", "F32": "<f4"}


def mapped(path: Path) -> dict[str, Array]:
    """The arrays of a safetensors file as views of one memory map; the library's own reader copies them.

    Raises:
        DataError: it is not such a file.
    """
    try:
        with path.open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        size = int.from_bytes(data[:8], "little")
        header: dict[str, Any] = json.loads(data[8 : 8 + size])
        header.pop("__metadata__", None)
        return {
            name: np.frombuffer(
                data, _TYPES[told["dtype"]], int(np.prod(told["shape"])), 8 + size + told["data_offsets"][0]
            ).reshape(told["shape"])
            for name, told in header.items()
        }
    except FileNotFoundError:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError("a file of the index cannot be read", where=str(path), seen=error, todo=AGAIN) from None
