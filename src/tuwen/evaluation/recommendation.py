"""Recommendations beside what shoppers then bought, at several moments: the report of the task rank.

Every shopper who bought something in the days after a cut is one row at that cut. The whole catalogue is ranked; the
figures of a row are of its first ``depth`` items. Rows of a shopper at several cuts are drawn together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tuwen.evaluation.intervals import Resampled, differences, intervals
from tuwen.evaluation.origin import origin_warnings
from tuwen.evaluation.predictions import Array
from tuwen.evaluation.ranking import Chosen, coverage, diversity, figures, novelty, resampled
from tuwen.evaluation.report import FORMAT, NOT_OF_LISTS, best_baselines, plain
from tuwen.evaluation.words import LEAKY, Text

MODEL = "model"
HEAD = 0.2  # of the items that were sold, the best sellers; the others are the tail
FEW_EVENTS = 5
SLICED = ("ndcg", "recall")


@dataclass(frozen=True)
class Cut:
    """What systems listed at one moment, and what was bought after it.

    Attributes:
        day: the moment, as people write it.
        shoppers: their keys.
        events: int [shoppers], what they had done before it.
        chosen: what each bought in the days after it.
        demand: f64 [catalogue], purchases of each item before it.
        buyers: of anything before it: how many shoppers there are.
        vectors: kind → f32 [catalogue, width], for the diversity of lists.
        systems: name → int64 [shoppers, depth].
    """

    day: str
    shoppers: list[str]
    events: Array
    chosen: Chosen
    demand: Array
    buyers: int
    vectors: Mapping[str, Array]
    systems: Mapping[str, Array]
    notes: Mapping[str, Any] = field(default_factory=dict)

    def kinds(self) -> dict[str, Array]:
        """Items never bought before, bought before, and bought but no best sellers: bool [catalogue]."""
        sold = self.demand > 0
        edge = np.quantile(self.demand[sold], 1 - HEAD) if sold.any() else 0.0
        return {"cold": ~sold, "warm": sold, "tail": sold & (self.demand <= edge)}

    def measured(self, depth: int) -> dict[str, dict[str, Array]]:
        """System → metric → one number a shopper."""
        found = {}
        for name, lists in self.systems.items():
            found[name] = figures(lists, self.chosen, depth, self.kinds())
            found[name][f"novelty@{depth}"] = novelty(lists, self.demand, max(1, self.buyers), depth)
            for vectors in list(self.vectors.values())[:1]:
                found[name][f"diversity@{depth}"] = diversity(lists, vectors, depth)
        return found


def recommendation_report(
    cuts: Sequence[Cut],
    *,
    depth: int,
    horizon: float,
    knock_out: Mapping[str, str],
    cost: Mapping[str, Any],
    run: Mapping[str, Any],
    provenance: Mapping[str, Any],
    name: str,
    split: str,
    importance: Mapping[str, float] | None = None,
    samples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, Any]:
    """The content of report.json, with the keys of :func:`tuwen.evaluation.report.build_report`.

    Every system of the cuts but ``model`` and those of ``knock_out`` is a baseline. ``ranking`` holds ``depth``,
    ``horizon``, ``coverage`` (share of the catalogue that a system listed at all), ``cuts`` (each with its day, rows,
    purchases, share of cold ones, and every system's mean), and ``importance`` of the ranker's features.

    Args:
        knock_out: what was taken away → the name of the system that learned without it.
    """
    measured = [cut.measured(depth) for cut in cuts]
    systems = {
        system: {metric: np.concatenate([one[system][metric] for one in measured]) for metric in measured[0][system]}
        for system in measured[0]
    }
    shoppers = [key for cut in cuts for key in cut.shoppers]
    drawn = resampled(systems, samples=samples, seed=seed, groups=shoppers)
    told = {
        system: {metric: i.plain() for metric, i in intervals(found, confidence).items()}
        for system, found in drawn.items()
    }
    others = [system for system in systems if system != MODEL and system not in knock_out.values()]
    report: dict[str, Any] = {
        "format": FORMAT,
        "name": name,
        "task": "rank",
        "rows": len(shoppers),
        "split": split,
        "primary": f"ndcg@{depth}",
        "bootstrap": {"samples": samples, "confidence": confidence, "seed": seed, "groups": len(set(shoppers))},
        "metrics": told[MODEL],
        "baselines": {system: told[system] for system in others},
        "comparisons": {system: _compared(drawn[MODEL], drawn[system], confidence) for system in others},
        "knock_out": {
            kind: {
                "unlearned": {
                    "metrics": told[system],
                    "comparison": _compared(drawn[MODEL], drawn[system], confidence),
                }
            }
            for kind, system in knock_out.items()
        },
        "ranking": {
            "depth": depth,
            "horizon": horizon,
            "coverage": {system: _coverage(cuts, system, depth) for system in systems},
            "cuts": [_told(cut, one, depth) for cut, one in zip(cuts, measured, strict=True)],
            "importance": dict(importance or {}),
        },
        **NOT_OF_LISTS,
        "history": [],
        "cost": dict(cost),
        "run": dict(run),
        "provenance": {"seed": seed, **provenance},
        "warnings": [{"en": en, "zh": zh} for en, zh in [*_leaky(split), *origin_warnings(provenance)]],
    }
    best = best_baselines(report)
    report["slices"] = _slices(
        cuts,
        systems[MODEL],
        systems[best[0]] if best else None,
        depth,
        samples=samples,
        confidence=confidence,
        seed=seed,
    )
    return dict(plain(report))


def _leaky(split: str) -> list[Text]:
    """What must be said of a split that knows the future; real use is never asked like that."""
    if split not in LEAKY:
        return []
    return [
        (
            f"The split '{split}' knows what shoppers did later: in real use the figures are lower, and other systems "
            "may be ahead. Judge by 'rolling'.",
            f"划分方式“{split}”泄露了此后的行为：实际使用中结果会更低，各系统的排序也可能不同。请以“rolling”为准。",
        )
    ]


def _compared(model: Resampled, other: Resampled, confidence: float) -> dict[str, Any]:
    return {metric: d.plain() for metric, d in differences(model, other, confidence).items()}


def _coverage(cuts: Sequence[Cut], system: str, depth: int) -> float:
    """Over all cuts together."""
    lists = np.concatenate([cut.systems[system] for cut in cuts])
    return coverage(lists, len(cuts[0].demand), depth)


def _told(cut: Cut, measured: Mapping[str, Mapping[str, Array]], depth: int) -> dict[str, Any]:
    cold = cut.chosen.among(cut.kinds()["cold"]).sum()
    return {
        "day": cut.day,
        "rows": len(cut.shoppers),
        "purchases": len(cut.chosen.items),
        "cold_share": float(cold / max(1, len(cut.chosen.items))),
        "systems": {name: float(np.nanmean(found[f"ndcg@{depth}"])) for name, found in measured.items()},
        **cut.notes,
    }


def _slices(
    cuts: Sequence[Cut],
    model: Mapping[str, Array],
    baseline: Mapping[str, Array] | None,
    depth: int,
    *,
    samples: int,
    confidence: float,
    seed: int,
) -> dict[str, list[dict[str, Any]]]:
    """By cut, and by how much a shopper had bought before."""
    events = np.concatenate([cut.events for cut in cuts])
    known = np.where(events == 0, "new shopper", np.where(events < FEW_EVENTS, "few purchases", "many purchases"))
    columns = {"cut": np.concatenate([[cut.day] * len(cut.shoppers) for cut in cuts]), "shopper": known}
    shoppers = np.array([key for cut in cuts for key in cut.shoppers], object)
    found: dict[str, list[dict[str, Any]]] = {}
    for column, values in columns.items():
        found[column] = []
        for value in sorted(set(values.tolist())):
            inside = values == value
            systems = {MODEL: model} | ({} if baseline is None else {"baseline": baseline})
            shown = {
                name: {f"{m}@{depth}": figures_of[f"{m}@{depth}"][inside] for m in SLICED}
                for name, figures_of in systems.items()
            }
            drawn = resampled(shown, samples=samples, seed=seed, groups=shoppers[inside].tolist())
            told = {n: {m: i.plain() for m, i in intervals(r, confidence).items()} for n, r in drawn.items()}
            rows = int(inside.sum())
            one = {"value": value, "rows": rows, "share": rows / len(values), "metrics": told[MODEL]}
            if baseline is not None:
                one |= {
                    "baseline": told["baseline"],
                    "comparison": _compared(drawn[MODEL], drawn["baseline"], confidence),
                }
            found[column].append(one)
    return found
