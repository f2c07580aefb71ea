"""What the operator's page shows of a report: its numbers beside the words for them, in both languages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tuwen.errors import DataError
from tuwen.evaluation.comparison_outline import comparison_outline
from tuwen.evaluation.comparison_words import alone
from tuwen.evaluation.curves import curves
from tuwen.evaluation.metric_words import METRIC_NAMES, described
from tuwen.evaluation.metrics import METRICS
from tuwen.evaluation.report import best_baseline
from tuwen.evaluation.verdict import checks, how_good, lead, outcome, quantity
from tuwen.evaluation.words import COSTS, Text, baseline_heading, in_both, label, thing

WAYS: dict[str, Text] = {
    "absent": ("missing", "缺失"),
    "half": ("missing in half of the rows", "一半的行缺失"),
    "swapped": ("another row's", "换成别行的"),
    "unlearned": ("learned without it", "训练时去掉"),
}
Plain = dict[str, Any]


def brief(told: Mapping[str, Any]) -> Plain:
    """A line of a list of reports: ``kind`` (``report`` or ``comparison``), ``task``, ``rows``, ``primary``, ``time``,
    ``metric`` (words), ``percent``, and ``value`` ``low`` ``high`` of the model, of a comparison of its reference;
    of a comparison also ``seeds`` (how many) and ``alone`` (whether it has one cell only).

    Args:
        told: content of report.json or of compare.json.

    Raises:
        DataError: neither.
    """
    try:
        primary, compared = told["primary"], is_comparison(told)
        cells = [cell["metrics"] for cell in told["cells"] if cell["name"] == told["reference"]] if compared else []
        found = next(iter(cells), {}) if compared else told["metrics"]
        return {
            "kind": "comparison" if compared else "report",
            **{name: told[name] for name in ("task", "rows", "primary")},
            "metric": in_both(METRIC_NAMES[primary]),
            "percent": METRICS[primary].percent,
            **(_of(found, primary) if found else {"value": None, "low": None, "high": None}),
            "time": told["provenance"].get("time"),
            **({"seeds": len(told["seeds"]), "alone": alone(told)} if compared else {}),
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError("this is neither a report nor a comparison", seen=f"{type(error).__name__}: {error}") from None


def is_comparison(told: Mapping[str, Any]) -> bool:
    """Whether it is the content of compare.json."""
    return "cells" in told


def outline(report: Mapping[str, Any]) -> Plain:
    """The parts of a report that fit on a page.

    Args:
        report: content of report.json; of compare.json: see
            :func:`~tuwen.evaluation.comparison_outline.comparison_outline`.

    Returns:
        ``kind``: ``report``; ``name`` ``task`` ``rows`` ``confidence``; ``said``: sentences; ``checks``: each ``fine``
        and its words;
        ``metrics``, the primary one first: ``metric`` ``name`` ``meaning`` ``percent`` ``higher`` (is better) ``value``
        ``low`` ``high`` and ``baselines`` (``name`` ``value`` ``low`` ``high`` ``outcome``: of the model against it);
        ``knock_out`` (``what`` and ``way``) and ``slices`` (``of`` and ``part``) in the primary metric; ``costs``:
        words, and the words of a ``value``; ``calibration`` as in the report; ``curves``: each ``name`` ``epochs`` and
        ``parts`` (``train``, ``validation``). Words are ``en`` and ``zh``.
    """
    if is_comparison(report):
        return comparison_outline(report)
    found = dict(report)
    primary = report["primary"]
    names = sorted(report["metrics"], key=lambda name: name != primary)
    return {
        "kind": "report",
        **{name: report[name] for name in ("name", "task", "rows", "calibration", "warnings")},
        "confidence": report["bootstrap"]["confidence"],
        "best_baseline": best_baseline(report),
        "said": [in_both(text) for text in (lead(found), how_good(found)) if text[0]],
        "checks": [{"fine": one.fine, **in_both(one.text)} for one in checks(found)],
        "metrics": [_metric(report, name) for name in names],
        "knock_out": [
            {"what": in_both(thing(kind)), "way": in_both(label(way, WAYS)), **_of(one["metrics"], primary)}
            | {"outcome": outcome(one["comparison"][primary], primary)}
            for kind, ways in report["knock_out"].items()
            for way, one in ways.items()
            if primary in one["metrics"]
        ],
        "slices": [
            {"of": in_both(thing(name)), "part": in_both(thing(one["value"])), "rows": one["rows"]}
            | _of(one["metrics"], primary)
            for name, values in report["slices"].items()
            for one in values
            if len(values) > 1 and primary in one["metrics"]
        ],
        "curves": [
            {"name": in_both(one.name), "epochs": one.epochs, "parts": one.parts} for one in curves(report["history"])
        ],
        "costs": [
            {**in_both(label(name, COSTS)), "value": in_both(quantity(name, value))}
            for name, value in report["cost"].items()
            if value is not None
        ],
        "provenance": {k: report["provenance"].get(k) for k in ("time", "commit", "data_hash", "seed", "tuwen")},
    }


def _metric(report: Mapping[str, Any], name: str) -> Plain:
    return {
        **described(name),
        **_of(report["metrics"], name),
        "baselines": [
            {"name": in_both(baseline_heading(system)), **_of(values, name)}
            | {"outcome": outcome(report["comparisons"][system][name], name)}
            for system, values in report["baselines"].items()
            if name in values and name in report["comparisons"][system]
        ],
    }


def _of(metrics: Mapping[str, Any], name: str) -> Plain:
    return {side: metrics[name].get(side) for side in ("value", "low", "high")}
