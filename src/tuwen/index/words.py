"""Words: an inverted index as flat arrays, ranked by BM25 over weighted fields.

The arrays can be memory-mapped. A catalogue is a sequence of parts (what was indexed first, what was added since), and
all statistics are those of the living rows of all parts together: so an index to which items were added and from which
others were removed answers exactly as one that was built anew.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Alternative = tuple[tuple[str, ...], float]  # terms that must stand together in an item, and what they are worth
Slot = tuple[Alternative, ...]  # one thing that is asked for, in one of several ways


@dataclass(frozen=True)
class Postings:
    """Which rows hold which terms.

    Attributes:
        terms: every term, sorted.
        starts: int64 [terms + 1]: a term's postings are ``starts[i]:starts[i + 1]``.
        rows: int32 [postings], rising within a term.
        counts: f32 [postings], how often the term stands there, each field with its weight.
        lengths: f32 [rows], terms of a row, each field with its weight.
    """

    terms: Sequence[str]
    starts: Array
    rows: Array
    counts: Array
    lengths: Array

    def __len__(self) -> int:
        return len(self.lengths)

    @classmethod
    def of(cls, fields: Mapping[str, Sequence[Sequence[str]]], weights: Mapping[str, float]) -> Postings:
        """From the terms of every row in every field.

        Args:
            fields: field → row → terms; all of equal length.
            weights: of the fields; what is not named has 1.
        """
        number: dict[str, int] = {}
        size = len(next(iter(fields.values()), ()))
        lengths = np.zeros(size, np.float32)
        triples: list[tuple[Array, Array, Array]] = []
        for name, texts in fields.items():
            weight = float(weights.get(name, 1.0))
            ids = np.fromiter((number.setdefault(t, len(number)) for text in texts for t in text), np.int64)
            each = np.fromiter((len(text) for text in texts), np.int64, size)
            lengths += (weight * each).astype(np.float32)
            if weight > 0:
                where = np.repeat(np.arange(size), each)
                triples.append((ids, where, np.full(len(ids), weight, np.float32)))
        return cls._grouped(list(number), triples, lengths)

    @classmethod
    def merged(cls, parts: Sequence[Postings], alive: Sequence[Array]) -> Postings:
        """The living rows of several parts, in their order, as one."""
        number: dict[str, int] = {}
        triples: list[tuple[Array, Array, Array]] = []
        begin = 0
        for part, living in zip(parts, alive, strict=True):
            ids = np.fromiter((number.setdefault(t, len(number)) for t in part.terms), np.int64, len(part.terms))
            place = begin + np.cumsum(living) - 1
            kept = living[part.rows]
            each = np.repeat(ids, np.diff(part.starts))[kept]
            triples.append((each, place[part.rows[kept]], np.asarray(part.counts)[kept]))
            begin += int(living.sum())
        lengths = [np.asarray(part.lengths)[living] for part, living in zip(parts, alive, strict=True)]
        return cls._grouped(list(number), triples, np.concatenate([*lengths, np.empty(0, np.float32)]))

    @classmethod
    def _grouped(cls, terms: list[str], triples: list[tuple[Array, Array, Array]], lengths: Array) -> Postings:
        """Sorted by term and row, the counts of one term in one row added up; terms that no row holds are left out."""
        empty = np.empty(0, np.int64)
        ids = np.concatenate([empty, *(one[0] for one in triples)]).astype(np.int64)
        rows = np.concatenate([empty, *(one[1] for one in triples)]).astype(np.int64)
        counts = np.concatenate([np.empty(0, np.float32), *(one[2] for one in triples)])
        held = np.unique(ids)
        order = sorted(held.tolist(), key=terms.__getitem__)
        place = np.zeros(len(terms), np.int64)
        place[order] = np.arange(len(order))
        keys = place[ids] * max(len(lengths), 1) + rows
        distinct, inverse = np.unique(keys, return_inverse=True)
        found = distinct // max(len(lengths), 1)
        return cls(
            [terms[i] for i in order],
            np.searchsorted(found, np.arange(len(order) + 1)).astype(np.int64),
            (distinct % max(len(lengths), 1)).astype(np.int32),
            np.bincount(inverse, counts, len(distinct)).astype(np.float32),
            lengths,
        )

    def of_term(self, term: str) -> tuple[Array, Array]:
        """(rows, counts) of one term."""
        at = self.number.get(term)
        span = slice(0, 0) if at is None else slice(self.starts[at], self.starts[at + 1])
        return self.rows[span], self.counts[span]

    @cached_property
    def number(self) -> dict[str, int]:
        """Term → its place."""
        return {term: at for at, term in enumerate(self.terms)}


class Bm25:
    """BM25 over the weighted counts of the fields (Robertson and Zaragoza, 2009, with one length for all fields).

    Args:
        parts: what was indexed together.
        alive: bool [rows] of each part: what is not is as if it had never been there.
        saturation, lengths: k₁ and b.
    """

    def __init__(
        self, parts: Sequence[Postings], alive: Sequence[Array], *, saturation: float = 1.2, lengths: float = 0.75
    ) -> None:
        self.parts, self.alive = parts, alive
        self.saturation = saturation
        self.begins = np.concatenate([[0], np.cumsum([len(part) for part in parts])]).astype(np.int64)
        self.living = sum(int(one.sum()) for one in alive)
        total = sum(
            float(np.asarray(part.lengths, np.float64)[one].sum()) for part, one in zip(parts, alive, strict=True)
        )
        average = max(total / max(self.living, 1), 1e-9)
        self._discounts = [
            (saturation * (1 - lengths + lengths * np.asarray(part.lengths) / average)).astype(np.float32)
            for part in parts
        ]
        self._whole = [bool(one.all()) for one in alive]

    def frequency(self, term: str) -> int:
        """How many living rows hold the term."""
        return sum(len(rows) for rows, _ in self._living(term))

    def scores(self, slots: Sequence[Slot]) -> tuple[Array, Array]:
        """(f32 [rows], how much each row answers; uint16 [rows], how many of the slots it holds)."""
        scores = np.zeros(int(self.begins[-1]), np.float32)
        matched = np.zeros(len(scores), np.uint16)
        for slot in slots:
            if len(slot) == 1 and len(slot[0][0]) == 1:
                ((term,), worth), *_ = slot
                for rows, values in self._values(term):
                    scores[rows] += worth * values
                    matched[rows] += 1
                continue
            best = np.zeros(len(scores), np.float32)
            for alternative in slot:
                np.maximum(best, self._together(alternative), out=best)
            scores += best
            matched += best > 0
        return scores, matched

    def _together(self, alternative: Alternative) -> Array:
        terms, worth = alternative
        scores, held = np.zeros(int(self.begins[-1]), np.float32), np.zeros(int(self.begins[-1]), np.uint16)
        for term in terms:
            for rows, values in self._values(term):
                scores[rows] += worth * values
                held[rows] += 1
        scores[held < len(terms)] = 0.0
        return scores

    def _values(self, term: str) -> list[tuple[Array, Array]]:
        found = self._living(term)
        frequency = sum(len(rows) for rows, _ in found)
        rarity = math.log1p((self.living - frequency + 0.5) / (frequency + 0.5))
        return [
            (begin + rows, (rarity * (self.saturation + 1) * counts / (counts + discount[rows])).astype(np.float32))
            for begin, discount, (rows, counts) in zip(self.begins.tolist(), self._discounts, found, strict=False)
        ]

    def _living(self, term: str) -> list[tuple[Array, Array]]:
        found = []
        for part, alive, whole in zip(self.parts, self.alive, self._whole, strict=True):
            rows, counts = part.of_term(term)
            if not whole:
                kept = alive[rows]
                rows, counts = rows[kept], counts[kept]
            found.append((rows, counts))
        return found
