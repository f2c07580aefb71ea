"""A text as a weighted bag of n-grams (TF-IDF): word n-grams, character n-grams, or both side by side.

N-grams are followed as 64-bit hashes of their tokens, counted with polars: no Python loop over them. Among a hundred
million different n-grams the chance that any two share a hash is below 0.1 %.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl
from safetensors.numpy import load_file, save_file

from tuwen.preprocess.modality import Arrays
from tuwen.preprocess.words import words

Range = tuple[int, int]
CHUNK = 2_000_000  # characters worked on at once
WORDS, CHARACTERS = 0, 1
_ODD = np.uint64(0x9E3779B97F4A7C15)


class Ngrams:
    """The fitted n-grams.

    Attributes:
        ranges: smallest and largest n of word and of character n-grams; None for no such n-grams.
        names: the n-gram of id ``i + 1``; word n-grams first. Id 0 is padding.
        first_character: the lowest id of a character n-gram.
        hashes: uint64 [n-grams].
        idf: f64 [n-grams], ``ln((1 + texts) / (1 + texts that hold it)) + 1``.
    """

    def __init__(
        self,
        ranges: Sequence[Range | None],
        names: list[str],
        first_character: int,
        hashes: np.ndarray,
        idf: np.ndarray,
    ) -> None:
        self.ranges, self.names, self.first_character = list(ranges), names, first_character
        self.hashes, self.idf = hashes, idf

    @property
    def size(self) -> int:
        return len(self.names) + 1

    @classmethod
    def fit(cls, texts: Sequence[str], ranges: Sequence[Range | None], *, size: int, min_count: int) -> Self:
        """The ``size − 1`` n-grams that most texts hold, of those in at least ``min_count`` texts; of equals the one
        that comes first.
        """
        counted = pl.DataFrame(schema={"hash": pl.UInt64, "texts": pl.UInt32, "place": pl.Int64})
        for start, chunk in _chunks(texts):
            once = _grams(chunk, ranges, start).unique(["row", "hash"])
            counts = once.group_by("hash").agg(pl.len().cast(pl.UInt32).alias("texts"), pl.col("place").min())
            both = pl.concat([counted, counts])
            counted = both.group_by("hash").agg(pl.col("texts").sum(), pl.col("place").min())
        kept = counted.filter(pl.col("texts") >= min_count)
        kept = kept.sort("texts", "place", descending=[True, False]).head(size - 1)
        kept = kept.sort(pl.col("place") & 1, "hash")  # words first
        idf = np.log((1 + len(texts)) / (1 + kept["texts"].to_numpy())) + 1
        first_character = 1 + int((kept["place"] & 1 == WORDS).sum())
        names = [_name(texts, place) for place in kept["place"].to_list()]
        return cls(ranges, names, first_character, kept["hash"].to_numpy(), idf)

    def encode(self, texts: Sequence[str], length: int) -> Arrays:
        """``ids`` int32 and ``weights`` f32 [rows, length].

        A weight is ``(1 + ln count) · idf``; word and character n-grams are scaled to length 1 each (L2), and then to
        length 1 together. Where a text holds more than ``length`` n-grams, the lightest are left out after that.
        """
        ids = np.zeros((len(texts), length), np.int32)
        weights = np.zeros((len(texts), length), np.float32)
        known = pl.DataFrame({"hash": self.hashes, "id": np.arange(1, self.size)})
        for start, chunk in _chunks(texts):
            found = _grams(chunk, self.ranges, 0).select("row", "hash").join(known, on="hash")
            code, count = np.unique(found["row"].to_numpy() * self.size + found["id"].to_numpy(), return_counts=True)
            row, i = np.divmod(code, self.size)
            weight = _normalised(row, i >= self.first_character, (1 + np.log(count)) * self.idf[i - 1])
            row, i, weight = _heaviest(row, i, weight, length)
            at = np.arange(len(row)) - np.searchsorted(row, row)
            ids[start + row, at] = i
            weights[start + row, at] = weight
        return {"ids": ids, "weights": weights}

    def save(self, folder: Path) -> None:
        """``ngrams.safetensors``, and ``ngrams.json`` with the n-grams themselves."""
        first = np.array([self.first_character])
        save_file({"hashes": self.hashes, "idf": self.idf, "first_character": first}, folder / "ngrams.safetensors")
        (folder / "ngrams.json").write_text(json.dumps(self.names, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, ranges: Sequence[Range | None]) -> Self:
        arrays = load_file(folder / "ngrams.safetensors")
        names = json.loads((folder / "ngrams.json").read_text(encoding="utf-8"))
        return cls(ranges, names, int(arrays["first_character"][0]), arrays["hashes"], arrays["idf"])


def _chunks(texts: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """(first row, texts) with about CHUNK characters each."""
    start, size = 0, 0
    for row, text in enumerate(texts):
        size += len(text)
        if size > CHUNK:
            yield start, list(texts[start : row + 1])
            start, size = row + 1, 0
    if start < len(texts):
        yield start, list(texts[start:])


def _grams(texts: Sequence[str], ranges: Sequence[Range | None], start: int) -> pl.DataFrame:
    """Every n-gram of ``texts``: its row, its hash, and its place as one number, see :func:`_name`.

    ``start`` is the row of the first text, for the place only.
    """
    parts = []
    for family, wanted in enumerate(ranges):
        if wanted is None:
            continue
        tokens, sizes = _word_hashes(texts) if family == WORDS else _code_points(texts)
        row = np.repeat(np.arange(len(texts)), sizes)
        at = np.arange(len(row)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        left = np.repeat(sizes, sizes) - at  # tokens from here to the end of the row
        value = np.full(len(row), family + 1, np.uint64)
        for n in range(1, min(wanted[1], len(row)) + 1):
            value = _mixed(value[: len(tokens) - n + 1], tokens[n - 1 :])
            if n >= wanted[0]:
                whole = np.flatnonzero(left[: len(value)] >= n)
                place = (row[whole] + start) << 30 | at[whole] << 5 | n << 1 | family
                parts.append(pl.DataFrame({"row": row[whole], "hash": value[whole], "place": place}))
    empty = pl.DataFrame(schema={"row": pl.Int64, "hash": pl.UInt64, "place": pl.Int64})
    return pl.concat([empty, *parts])


def _name(texts: Sequence[str], place: int) -> str:
    """The n-gram at a place: row << 30 | first token << 5 | n << 1 | family."""
    text, at, n = texts[place >> 30], place >> 5 & 0x1FFFFFF, place >> 1 & 15
    return " ".join(words(text)[at : at + n]) if place & 1 == WORDS else text[at : at + n]


def _mixed(value: np.ndarray, token: np.ndarray) -> np.ndarray:
    """The hash of an n-gram from that of its first n − 1 tokens and the next token (the finaliser of SplitMix64)."""
    x = (value ^ token) * _ODD + _ODD
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = x ^ (x >> np.uint64(31))
    return mixed


def _code_points(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """uint64 [characters of all texts], int64 [texts] how many each has."""
    points = np.frombuffer("".join(texts).encode("utf-32-le"), "<u4").astype(np.uint64)
    return points, np.fromiter(map(len, texts), np.int64, len(texts))


def _word_hashes(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """uint64 [words of all texts], int64 [texts] how many each has."""
    rows = [words(text) for text in texts]
    seen: dict[str, int] = {}
    for row in rows:
        for word in row:
            if word not in seen:
                seen[word] = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "little")
    sizes = np.fromiter(map(len, rows), np.int64, len(rows))
    return np.fromiter((seen[word] for row in rows for word in row), np.uint64, int(sizes.sum())), sizes


def _normalised(row: np.ndarray, family: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Each family of a row at length 1, then the row; f32. Sums run in the order of the ids: a row is itself alone."""
    if len(row) == 0:
        return weight.astype(np.float32)
    group = row * 2 + family
    squares = np.bincount(group, weight * weight, minlength=2 * int(row.max()) + 2)
    families = (squares.reshape(-1, 2) > 0).sum(axis=1)
    scaled: np.ndarray = (weight / np.sqrt(squares[group] * families[row])).astype(np.float32)
    return scaled


def _heaviest(
    row: np.ndarray, i: np.ndarray, weight: np.ndarray, length: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """At most ``length`` entries of each row: the heaviest, of equals the lowest id; in the order of the ids."""
    counts = np.bincount(row)
    if len(counts) == 0 or counts.max() <= length:
        return row, i, weight
    order = np.lexsort((i, -weight, row))
    place = np.arange(len(row)) - np.searchsorted(row, row)  # rows stay together, so also the place in ``order``
    kept = np.sort(order[place < length])
    return row[kept], i[kept], weight[kept]
