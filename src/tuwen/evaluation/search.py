"""Searches judged: the report, for queries of words and for photos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tuwen.evaluation.intervals import differences, intervals
from tuwen.evaluation.predictions import Array
from tuwen.evaluation.ranking import resampled
from tuwen.evaluation.report import FORMAT, NOT_OF_LISTS, plain


def search_report(
    systems: Mapping[str, Mapping[str, Array]],
    *,
    model: str,
    task: str,
    primary: str,
    found: Mapping[str, Any],
    groups: Sequence[object] | None = None,
    also: Sequence[tuple[str, str]] = (),
    warnings: Sequence[Mapping[str, str]] = (),
    name: str = "",
    cost: Mapping[str, Any] | None = None,
    run: Mapping[str, Any] | None = None,
    provenance: Mapping[str, Any] | None = None,
    samples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, Any]:
    """The content of report.json, with the keys of :func:`tuwen.evaluation.report.build_report`.

    Args:
        systems: name → metric → one number a query, f64 [queries].
        model: which of them is judged; the others are its baselines.
        found: what else is told, under ``search``.
        groups: one value a query: near-equal queries are drawn together.
        also: further pairs that are compared, under ``search``: ``A minus B``.
        warnings: what a reader must know, in ``en`` and ``zh``.
    """
    drawn = resampled(systems, samples=samples, seed=seed, groups=groups)
    told = {system: {m: i.plain() for m, i in intervals(r, confidence).items()} for system, r in drawn.items()}

    def compared(one: str, other: str) -> dict[str, Any]:
        return {m: d.plain() for m, d in differences(drawn[one], drawn[other], confidence).items()}

    others = [system for system in systems if system != model]
    report = {
        "format": FORMAT,
        "name": name,
        "task": task,
        "rows": len(next(iter(systems[model].values()))),
        "split": "asked",
        "primary": primary,
        "bootstrap": {
            "samples": samples,
            "confidence": confidence,
            "seed": seed,
            "groups": None if groups is None else len(set(groups)),
        },
        "metrics": told[model],
        "baselines": {system: told[system] for system in others},
        "comparisons": {system: compared(model, system) for system in others},
        "search": {**found, "comparisons": {f"{one} minus {other}": compared(one, other) for one, other in also}},
        "knock_out": {},
        "slices": {},
        **NOT_OF_LISTS,
        "history": [],
        "cost": dict(cost or {}),
        "run": dict(run or {}),
        "provenance": {"seed": seed, **(provenance or {})},
        "warnings": list(warnings),
    }
    return dict(plain(report))
