"""What the operator's page shows of a comparison: its cells beside the reference, with the words for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tuwen.evaluation.cell_names import shown_names
from tuwen.evaluation.comparison_words import checks, decided, kind_phrase, lead
from tuwen.evaluation.metric_words import described
from tuwen.evaluation.verdict import quantity
from tuwen.evaluation.words import COSTS, in_both, label

Plain = dict[str, Any]
COSTED = ("train_seconds", "trained_parameters", "bundle_mb", "latency_p50_ms")


def comparison_outline(result: Mapping[str, Any]) -> Plain:
    """The parts of a comparison that fit on a page.

    Args:
        result: content of compare.json.

    Returns:
        ``kind``: ``comparison``; ``name`` ``task`` ``rows`` ``confidence`` ``seeds`` (how many) ``folds`` ``varied``
        (setting → values) ``reference`` ``failed`` (cells without numbers); ``said`` and ``checks`` as of a report;
        ``metrics``, the primary one first: ``metric`` ``name`` ``meaning`` ``percent`` ``higher`` and ``cells``, each
        ``name`` ``reference`` (whether it is it) ``value`` ``low`` ``high`` ``spread`` (over seeds) ``difference``
        ``difference_low`` ``difference_high`` ``p`` and ``outcome``; ``missing`` in the primary metric: ``what`` is
        missing and a value for each of the ``cells``, None where that input is not read; ``costs``: words, and the
        words of a value for each cell.
    """
    found = dict(result)
    primary, cells = result["primary"], result["cells"]
    names = shown_names([*(cell["name"] for cell in cells), result["reference"]])
    metrics = sorted(cells[0]["metrics"], key=lambda name: name != primary) if cells else []
    return {
        "kind": "comparison",
        **{name: result[name] for name in ("name", "task", "rows", "folds", "varied")},
        "confidence": result["bootstrap"]["confidence"],
        "seeds": len(result["seeds"]),
        "reference": names[result["reference"]],
        "failed": sorted({one["cell"] for one in result["failures"]}),
        "said": [in_both(lead(found))],
        "checks": [{"fine": one.fine, **in_both(one.text)} for one in checks(found)],
        "metrics": [_metric(result, name, names) for name in metrics],
        "missing": _missing(result),
        "costs": [
            {**in_both(label(key, COSTS)), "values": [_quantity(cell["cost"], key) for cell in cells]}
            for key in COSTED
            if any(key in cell["cost"] for cell in cells)
        ],
        "provenance": {k: result["provenance"].get(k) for k in ("time", "commit", "data_hash", "tuwen")},
    }


def _metric(result: Mapping[str, Any], name: str, names: Mapping[str, str]) -> Plain:
    return {
        **described(name),
        "cells": [_cell(result, cell, name, names) for cell in result["cells"]],
    }


def _cell(result: Mapping[str, Any], cell: Mapping[str, Any], metric: str, names: Mapping[str, str]) -> Plain:
    found, other = cell["metrics"][metric], (cell["difference"] or {}).get(metric)
    is_reference = cell["name"] == result["reference"]
    told = {
        "name": names[cell["name"]],
        "reference": is_reference,
        **{side: found.get(side) for side in ("value", "low", "high", "spread")},
    }
    if is_reference or other is None:
        return told
    return {
        **told,
        "difference": other["difference"],
        "difference_low": other["low"],
        "difference_high": other["high"],
        "p": other["p_holm"],
        "outcome": decided(result, other, metric),
    }


def _missing(result: Mapping[str, Any]) -> list[Plain]:
    primary, cells = result["primary"], result["cells"]
    return [
        {
            "what": in_both(kind_phrase(how, kind)),
            "values": [
                None if how not in (told := cell["missing"].get(kind, {})) else told[how]["metrics"][primary]["value"]
                for cell in cells
            ],
        }
        for kind in result["kinds"]
        for how in ("half", "all")
        if any(kind in cell["missing"] for cell in cells)
    ]


def _quantity(cost: Mapping[str, Any], key: str) -> Plain | None:
    return None if cost.get(key) is None else in_both(quantity(key, cost[key]))
