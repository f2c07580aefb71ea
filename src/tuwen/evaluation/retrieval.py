"""Retrieval: does a picture find its text among all texts of the test part, and a text its picture?

Every row is a query, and its own other side is the one right answer. Where several rows share the same text (or
picture), nothing can tell them apart: equal scores are counted as if they stood in random order, so the figures are the
expected ones, and a system that scores everything alike is exactly chance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tuwen.errors import DataError
from tuwen.evaluation.intervals import Resampled, differences, intervals, resample_weights
from tuwen.evaluation.origin import origin_warnings
from tuwen.evaluation.predictions import Array
from tuwen.evaluation.report import FORMAT, NOT_OF_LISTS, plain

Pair = tuple[str, str]  # (what is asked with, what is looked for)
MODEL = "model"
DEPTHS = (1, 5, 10)
BLOCK = 4_000_000  # scores that are held at once: 16 MB of float32


@dataclass(frozen=True)
class Ranks:
    """Where each query's own answer stands.

    Attributes:
        better: int [queries], answers that score above the own one.
        tied: int [queries], other answers that cannot be told from the own one.
    """

    better: Array
    tied: Array

    def __len__(self) -> int:
        return len(self.better)

    @property
    def middle(self) -> Array:
        """The expected rank, from 1, f64 [queries]."""
        middle: Array = self.better + 1 + self.tied / 2
        return middle

    def recall(self, depth: int) -> Array:
        """The chance that the own answer is among the first ``depth``, f64 [queries]."""
        recall: Array = np.clip((depth - self.better) / (self.tied + 1), 0.0, 1.0)
        return recall

    def reciprocal(self) -> Array:
        """The expected 1 / rank, f64 [queries]."""
        most = int((self.better + self.tied).max(initial=0)) + 1
        harmonic = np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, most + 1))])
        reciprocal: Array = (harmonic[self.better + self.tied + 1] - harmonic[self.better]) / (self.tied + 1)
        return reciprocal

    @classmethod
    def chance(cls, queries: int) -> Ranks:
        """A system that knows nothing, among as many answers as there are queries."""
        return cls(np.zeros(queries, np.int64), np.full(queries, queries - 1, np.int64))

    @classmethod
    def joined(cls, parts: list[Ranks]) -> Ranks:
        """The queries of several test parts, each of which ranked its own answers."""
        return cls(np.concatenate([p.better for p in parts]), np.concatenate([p.tied for p in parts]))


def rank(queries: Array, answers: Array, content: Array | None = None) -> Ranks:
    """Rank every row's own answer among all by the inner product.

    Args:
        queries, answers: f32 [rows, width]; row i of the one belongs to row i of the other.
        content: int [rows], equal where two answers are the same thing; default: all differ.

    Raises:
        DataError: the two hold different numbers of rows, or none.
    """
    if len(queries) != len(answers) or not len(queries):
        raise DataError("queries and answers do not pair up", seen=f"{len(queries)} and {len(answers)} rows")
    content = np.arange(len(answers)) if content is None else content
    _, first, place, copies = np.unique(content, return_index=True, return_inverse=True, return_counts=True)
    distinct = answers[first]  # each thing is scored once, so that copies are equal to the last bit
    better, tied = np.empty(len(queries), np.int64), np.empty(len(queries), np.int64)
    step = max(1, BLOCK // len(distinct))
    for start in range(0, len(queries), step):
        scores = queries[start : start + step] @ distinct.T
        own = place[start : start + step]
        mine = scores[np.arange(len(scores)), own][:, None]
        better[start : start + step] = (scores > mine) @ copies
        tied[start : start + step] = (scores == mine) @ copies - 1
    return Ranks(better, tied)


def rank_any(queries: Array, answers: Array, twins: Array) -> Ranks:
    """The lenient figure: the first answer that is a twin of the own one counts as it.

    Args:
        twins: int [rows, ways]; rows that are equal in one of the ways are twins (the same text, or the same picture).
    """
    better, tied = np.empty(len(queries), np.int64), np.empty(len(queries), np.int64)
    step = max(1, BLOCK // len(answers))
    for start in range(0, len(queries), step):
        rows = slice(start, start + step)
        scores = queries[rows] @ answers.T
        right = (twins[rows, None] == twins[None]).any(axis=2)
        best = np.where(right, scores, -np.inf).max(axis=1, keepdims=True)
        better[rows] = (scores > best).sum(axis=1)
        tied[rows] = ((scores == best) & ~right).sum(axis=1)
    return Ranks(better, tied)


def nearest(query: Array, answers: Array, count: int) -> list[int]:
    """Positions of the ``count`` answers that score highest, best first."""
    return [int(i) for i in np.argsort(-(answers @ query), kind="stable")[:count]]


def names_of(pair: Pair) -> list[str]:
    """The metrics of one direction, in reading order: ``picture_to_text_recall@10``, …"""
    stem = f"{pair[0]}_to_{pair[1]}_"
    return [*(f"{stem}recall@{depth}" for depth in DEPTHS), f"{stem}mrr", f"{stem}median_rank"]


def measure(ranks: Mapping[Pair, Ranks]) -> dict[str, float]:
    """Metric → value, for every direction."""
    ones = np.ones((len(next(iter(ranks.values()))), 1))
    return {
        name: float(value[0])
        for pair, r in ranks.items()
        for name, value in zip(names_of(pair), _weighted(r, ones), strict=True)
    }


def resample(
    systems: Mapping[str, Mapping[Pair, Ranks]], *, samples: int = 1000, seed: int = 0
) -> dict[str, Resampled]:
    """Every metric of every system on all queries and on the same bootstrap resamples of them.

    Args:
        systems: name → direction → ranks; all over the same rows.

    Raises:
        DataError: the systems do not hold the same number of rows.
    """
    sizes = {len(ranks) for directions in systems.values() for ranks in directions.values()}
    if len(sizes) != 1:
        raise DataError("the systems were not asked the same queries", seen=sorted(sizes))
    drawn: dict[str, dict[str, list[Array]]] = {name: {} for name in systems}
    for weights in resample_weights(sizes.pop(), samples, seed):
        for name, directions in systems.items():
            for pair, ranks in directions.items():
                for metric, values in zip(names_of(pair), _weighted(ranks, weights), strict=True):
                    drawn[name].setdefault(metric, []).append(values)
    return {
        name: Resampled(measure(systems[name]), {metric: np.concatenate(parts) for metric, parts in found.items()})
        for name, found in drawn.items()
    }


def _weighted(ranks: Ranks, weights: Array) -> list[Array]:
    """The metrics of :func:`names_of` under row weights [queries, samples] → [samples] each."""
    total = weights.sum(axis=0)
    means = [ranks.recall(depth) @ weights / total for depth in DEPTHS]
    order = np.argsort(ranks.middle, kind="stable")
    below = np.cumsum(weights[order], axis=0)  # [queries, samples]
    left = (below < total / 2).sum(axis=0)
    right = (below <= total / 2).sum(axis=0).clip(max=len(order) - 1)
    middle = ranks.middle[order]
    return [*means, ranks.reciprocal() @ weights / total, (middle[left] + middle[right]) / 2]


# --- The report ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Searched:
    """What the systems found on one test part.

    Attributes:
        systems: ``model`` and each baseline → direction → ranks.
        twins: the model's ranks where a twin of the own answer counts too.
        twin_rows: how many rows share their text or picture with another.
        answers: among how many answers every query was ranked.
        notes: baseline → how it was made.
        examples: see :func:`example`.
        knocked: INPUT of a side that has several → way → the model's ranks with it ``absent`` or ``swapped``.
    """

    systems: dict[str, dict[Pair, Ranks]]
    twins: dict[Pair, Ranks]
    twin_rows: int
    answers: int
    notes: dict[str, str]
    examples: list[dict[str, Any]]
    knocked: dict[str, dict[str, dict[Pair, Ranks]]] = field(default_factory=dict)


def retrieval_report(
    parts: Sequence[Searched],
    *,
    history: Sequence[Mapping[str, Any]],
    cost: Mapping[str, Any],
    run: Mapping[str, Any],
    provenance: Mapping[str, Any],
    name: str,
    split: str,
    samples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, Any]:
    """The content of report.json for retrieval, with the keys of :func:`tuwen.evaluation.report.build_report`.

    What retrieval has not (calibration, confusion, worst rows) is None or empty. ``retrieval`` holds ``pairs``,
    ``answers`` (how many each query was ranked among, one number a test part), ``twins`` (the metrics where a row with
    the same text or picture counts as found too) with ``twin_rows``, ``notes`` on the baselines, and ``examples``.
    """
    systems = {name: _joined([part.systems[name] for part in parts]) for name in parts[0].systems}
    twins = _joined([part.twins for part in parts])
    ways = [(label, way) for label, found in parts[0].knocked.items() for way in found]
    knocked = {f"{way} {label}": _joined([p.knocked[label][way] for p in parts]) for label, way in ways}
    drawn = resample(systems | {"twins": twins} | knocked, samples=samples, seed=seed)
    measured = {
        name: {metric: i.plain() for metric, i in intervals(found, confidence).items()} for name, found in drawn.items()
    }
    others = [name for name in systems if name != MODEL]
    pairs = list(systems[MODEL])
    report: dict[str, Any] = {
        "format": FORMAT,
        "name": name,
        "task": "contrast",
        "rows": len(next(iter(twins.values()))),
        "split": split,
        "primary": f"{'_to_'.join(pairs[0])}_recall@10",
        "bootstrap": {"samples": samples, "confidence": confidence, "seed": seed, "groups": None},
        "metrics": measured[MODEL],
        "baselines": {name: measured[name] for name in others},
        "comparisons": {
            name: {m: d.plain() for m, d in differences(drawn[MODEL], drawn[name], confidence).items()}
            for name in others
        },
        "retrieval": {
            "pairs": [list(pair) for pair in pairs],
            "answers": [part.answers for part in parts],
            "twins": measured["twins"],
            "twin_rows": sum(part.twin_rows for part in parts),
            "notes": parts[0].notes,
            "examples": parts[0].examples,
        },
        "knock_out": {
            label: {
                way: {
                    "metrics": measured[f"{way} {label}"],
                    "comparison": {
                        m: d.plain() for m, d in differences(drawn[MODEL], drawn[f"{way} {label}"], confidence).items()
                    },
                }
                for way in found
            }
            for label, found in parts[0].knocked.items()
        },
        "slices": {},
        **NOT_OF_LISTS,
        "history": [dict(epoch) for epoch in history],
        "cost": dict(cost),
        "run": dict(run),
        "provenance": {"seed": seed, **provenance},
        "warnings": [{"en": english, "zh": chinese} for english, chinese in origin_warnings(provenance)],
    }
    return dict(plain(report))


def _joined(parts: Sequence[Mapping[Pair, Ranks]]) -> dict[Pair, Ranks]:
    return {pair: Ranks.joined([part[pair] for part in parts]) for pair in parts[0]}


def example(
    pair: Pair, at: int, query: Array, answers: Array, rank: float, rows: Sequence[str], twins: Array, count: int = 5
) -> dict[str, Any]:
    """One query and what was found: the ``count`` best answers, whether each is the own one (``own``) or a ``twin``.

    Args:
        at: the query's position among ``rows``.
        rank: where the own answer stands.
    """
    found = [
        {
            "row": rows[i],
            "score": float(answers[i] @ query),
            "own": i == at,
            "twin": i != at and bool((twins[i] == twins[at]).any()),
        }
        for i in nearest(query, answers, count)
    ]
    return {"query": pair[0], "answer": pair[1], "row": rows[at], "rank": rank, "found": found}
