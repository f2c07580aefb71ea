"""Near-duplicate texts by MinHash (Broder 1997) and locality-sensitive hashing.

A text is the set of its runs of three characters. Candidates share one of eight bands of a sketch of 32 hashes; each is
then checked by the Jaccard similarity of the two sets.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

JACCARD = 0.8
SHINGLE = 3  # characters
LEAST = 20  # shingles: shorter texts are alike by chance
CHARACTERS = 600  # looked at of each text
HASHES, BAND = 32, 4  # two texts of Jaccard 0.8 share a band in 98 of 100 cases
CHUNK = 2_000  # texts whose shingles are in memory at once
CANDIDATES = 3  # of one text in one band, and those that are checked in the end


def near_duplicates(texts: Sequence[str], others: Sequence[str]) -> dict[int, int]:
    """Position in ``texts`` → position in ``others`` of a near duplicate.

    Args:
        texts, others: normalised, as :func:`tuwen.data.examples.normalised` does it.
    """
    sketch, rows = _sketches(texts)
    other_sketch, other_rows = _sketches(others)
    found: dict[int, int] = {}
    for row, candidates in _candidates(sketch, other_sketch).items():
        likeness = (sketch[row] == other_sketch[candidates]).mean(axis=1)
        for candidate in np.array(candidates)[np.argsort(-likeness, kind="stable")][:CANDIDATES].tolist():
            own, other = int(rows[row]), int(other_rows[candidate])
            if jaccard(texts[own], others[other]) >= JACCARD:
                found[own] = other
                break
    return found


def jaccard(text: str, other: str) -> float:
    """Share of shingles that two texts have in common."""
    own, theirs = _shingles(text), _shingles(other)
    return len(own & theirs) / max(len(own | theirs), 1)


def _shingles(text: str) -> set[str]:
    text = text[:CHARACTERS]
    return {text[i : i + SHINGLE] for i in range(len(text) - SHINGLE + 1)}


def _sketches(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """MinHash u64 [some, HASHES] of the texts that are long enough, and their positions."""
    rows = np.array([i for i, text in enumerate(texts) if len(text) >= LEAST + SHINGLE - 1], np.int64)
    if not rows.size:
        return np.zeros((0, HASHES), np.uint64), rows
    chosen = [texts[i][:CHARACTERS] for i in rows.tolist()]
    parts = [_sketch(chosen[start : start + CHUNK]) for start in range(0, len(chosen), CHUNK)]
    return np.concatenate(parts), rows


def _sketch(texts: Sequence[str]) -> np.ndarray:
    points = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    lengths = np.array([len(text) for text in texts])
    starts = np.cumsum(lengths) - lengths
    inside = np.arange(len(points)) - np.repeat(starts, lengths) < np.repeat(lengths, lengths) - (SHINGLE - 1)
    codes = np.zeros(len(points), np.uint64)
    for i in range(SHINGLE):
        codes = codes * np.uint64(0x110000) + np.roll(points, -i)
    hashed = _mixed(codes[inside])
    first = starts - (SHINGLE - 1) * np.arange(len(texts))  # each text before it lost its last windows
    multipliers = np.random.default_rng(0).integers(1, 2**63, HASHES, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    return np.stack([np.minimum.reduceat(_mixed(hashed * m), first) for m in multipliers], axis=1)


def _mixed(values: np.ndarray) -> np.ndarray:
    """The finaliser of splitmix64: every bit of the input decides every bit of the output."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(values ^ (values >> np.uint64(31)))


def _candidates(sketch: np.ndarray, others: np.ndarray) -> dict[int, list[int]]:
    """Row of ``sketch`` → rows of ``others`` that share a band."""
    found: dict[int, dict[int, None]] = {}
    for band in range(0, HASHES, BAND):
        own, theirs = (_band(part[:, band : band + BAND]) for part in (sketch, others))
        few = theirs.group_by("key", maintain_order=True).head(CANDIDATES).rename({"row": "other"})
        for row, other in own.join(few, on="key").select("row", "other").iter_rows():
            found.setdefault(row, {})[other] = None
    return {row: list(some) for row, some in found.items()}


def _band(hashes: np.ndarray) -> pl.DataFrame:
    key = np.zeros(len(hashes), np.uint64)
    for column in hashes.T:
        key = _mixed(key ^ column) + column
    return pl.DataFrame({"row": np.arange(len(hashes)), "key": key})
