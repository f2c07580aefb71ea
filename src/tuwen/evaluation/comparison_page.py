"""compare.html: one page that opens offline, in English and Chinese, like the report's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml
from markupsafe import Markup

from tuwen.evaluation import comparison_figures as figures
from tuwen.evaluation import samples_page, verdict
from tuwen.evaluation.cell_names import shown_names
from tuwen.evaluation.comparison_words import alone, checks, decided, kind_phrase, lead, level, others, words
from tuwen.evaluation.figures import Figure
from tuwen.evaluation.metric_words import METRIC_NAMES
from tuwen.evaluation.metrics import METRICS
from tuwen.evaluation.page import both, chart, page, spelt
from tuwen.evaluation.render import CHARTED
from tuwen.evaluation.words import COSTS, PROVENANCE, Text, label

Plain = Mapping[str, Any]

COSTED = ("train_seconds", "trained_parameters", "parameters", "bundle_mb", "latency_p50_ms")
MOST_IN_HERO = 5


def render_comparison(result: Plain) -> str:
    """The page for compare.json.

    Args:
        result: its content.

    Returns:
        HTML that loads nothing from anywhere: plotly.js is inside.
    """
    charts: dict[str, Figure] = {}
    full, result = shortened(result)
    primary = result["primary"]
    metrics = [metric for metric in CHARTED[result["task"]] if metric in result["cells"][0]["metrics"]]
    context = {
        "t": _words,
        "name": result["name"],
        "title": words("title_one" if alone(result) else "title"),
        "alone": alone(result),
        "seeds": _by_seed(result),
        "result": result,
        "full": full,
        "hero": _hero(result),
        "plots": [
            (METRIC_NAMES[metric], METRICS[metric].greater_is_better, chart(charts, f"cells-{metric}", figure))
            for metric in metrics
            if (figure := figures.cell_dots(result, metric))
        ],
        "cells": _cells(result),
        "differences": _differences(result, metrics, charts),
        "cost": _cost(result, charts),
        "missing": _missing(result),
        "generator": samples_page.compared(result["cells"]),
        "failures": [_failure(one) for one in result["failures"]],
        "how": _how(result),
        "kept": _kept(result),
        "notes": carried(result),
        "provenance": [(label(key, PROVENANCE), spelt(value)) for key, value in result["provenance"].items()],
        "run": yaml.safe_dump(dict(result["run"]), allow_unicode=True, sort_keys=False),
        "lower": not METRICS[primary].greater_is_better,
    }
    return page("comparison.html.j2", context, charts)


def shortened(result: Plain) -> tuple[dict[str, str], Plain]:
    """(short name → full one where they differ, the result with short names; charts show the full ones)."""
    cells, failures, reference = result["cells"], result["failures"], result["reference"]
    short = shown_names([*(cell["name"] for cell in cells), *(one["cell"] for one in failures), reference])
    renamed = {
        **result,
        "reference": short[reference],
        "cells": [{**cell, "name": short[cell["name"]], "full": cell["name"]} for cell in cells],
        "failures": [{**one, "cell": short[one["cell"]]} for one in failures],
        "notes": [{**one, "cells": [short[cell] for cell in one["cells"]]} for one in result["notes"]],
    }
    return {brief: name for name, brief in short.items() if brief != name}, renamed


def _words(key: str, **values: Any) -> Markup:
    """The words for ``key`` with ``values`` put in."""
    return both(_said(key, **values))


def _said(key: str, **values: Any) -> Text:
    sides = []
    for i, text in enumerate(words(key)):
        chosen = {name: value[i] if isinstance(value, tuple) else value for name, value in values.items()}
        sides.append(text.format(**chosen))
    return (sides[0], sides[1])


def _hero(result: Plain) -> dict[str, Any]:
    primary = result["primary"]
    sign = 1 if METRICS[primary].greater_is_better else -1
    compared = sorted(others(result), key=lambda cell: -sign * (cell["difference"][primary]["difference"] or 0))
    seeds, folds, cells = len(result["seeds"]), result["folds"], len(result["cells"])
    task = {"rate": "task_rate", "binary": "task_binary"}.get(result["task"])
    return {
        "chips": [
            *([_words(task)] if task else []),
            _words("test_rows", rows=f"{result['rows']:,}"),
            *([] if alone(result) else [_words("one_cell") if cells == 1 else _words("cells_count", count=cells)]),
            _words("one_seed") if seeds == 1 else _words("seeds_count", count=seeds),
            *([_words("folds_count", count=folds)] if folds > 1 else []),
        ],
        "lead": lead(result),
        "checks": checks(result),
        "metric": METRIC_NAMES[primary],
        "compared": [(cell["name"], _difference(result, cell, primary)) for cell in compared[:MOST_IN_HERO]],
        "rest": max(0, len(compared) - MOST_IN_HERO),
    }


def _cells(result: Plain) -> dict[str, Any]:
    names = list(result["cells"][0]["metrics"])
    rows = [
        (i + 1, cell["name"], cell["name"] == result["reference"], [_value(cell["metrics"][m], m) for m in names])
        for i, cell in enumerate(result["cells"])
    ]
    heads = [(METRIC_NAMES[m], METRICS[m].greater_is_better, m == result["primary"]) for m in names]
    return {"metrics": heads, "rows": rows}


def _by_seed(result: Plain) -> list[tuple[int, list[Text]]]:
    """Of a single cell, seed by seed, every metric; nothing where there are several cells or one seed."""
    if not alone(result) or len(result["seeds"]) < 2:
        return []
    (cell,) = result["cells"]
    rows = []
    for at, seed in enumerate(result["seeds"]):
        told = []
        for metric, found in cell["metrics"].items():
            percent = METRICS[metric].percent
            told.append(verdict.measured(found["seeds"][at], percent, verdict.decimals(found["seeds"], percent)))
        rows.append((seed, told))
    return rows


def _value(found: Plain, metric: str) -> dict[str, Any]:
    percent = METRICS[metric].percent
    low, high, spread = found["low"], found["high"], found["spread"]
    digits = verdict.decimals((found["value"], low, high), percent)
    inside = verdict.span(low, high, percent, digits)
    after = "" if spread is None else f" ±{verdict.number(spread, percent, digits)}"
    return {"value": verdict.measured(found["value"], percent, digits), "span": (inside[0] + after, inside[1] + after)}


def _difference(result: Plain, cell: Plain, metric: str) -> dict[str, Any]:
    """A signed difference, which way it goes, and p."""
    one, percent = cell["difference"][metric], METRICS[metric].percent
    ends = (one["low"], one["high"])
    digits = verdict.decimals((one["difference"], *ends), percent)
    text = _signed(one["difference"], percent, digits)
    p = one["p_holm"]
    told = "" if p is None else "p < 0.001" if p < 0.001 else f"p {p:.3f}" if p < 0.1 else f"p {p:.2f}"
    return {
        "value": (text, text),
        "span": verdict.span(*ends, percent, digits),
        "outcome": decided(result, one, metric),
        "p": told,
    }


def _signed(value: float | None, percent: bool, digits: int) -> str:
    text = verdict.number(value, percent, digits)
    return f"+{text}" if value is not None and value > 0 and text.strip("0.") else text


def _differences(result: Plain, metrics: list[str], charts: dict[str, Figure]) -> dict[str, Any]:
    rows = [(cell["name"], [_difference(result, cell, metric) for metric in metrics]) for cell in others(result)]
    figure = figures.difference_dots(result, result["primary"])
    return {
        "metrics": [(METRIC_NAMES[metric], METRICS[metric].percent) for metric in metrics],
        "rows": rows,
        "level": f"{level(result):g}",
        "chart": chart(charts, "differences", figure) if figure else None,
    }


def _cost(result: Plain, charts: dict[str, Figure]) -> dict[str, Any]:
    columns = [key for key in COSTED if any(key in cell["cost"] for cell in result["cells"])]
    rows = [
        (
            i + 1,
            cell["name"],
            [verdict.quantity(key, cell["cost"][key]) if key in cell["cost"] else ("–", "–") for key in columns],
        )
        for i, cell in enumerate(result["cells"])
    ]
    figure = figures.cost_score(result, result["primary"])
    return {
        "columns": [label(key, COSTS) for key in columns],
        "rows": rows,
        "timed": "latency_p50_ms" in columns,
        "chart": chart(charts, "cost", figure) if figure else None,
    }


def _missing(result: Plain) -> dict[str, Any]:
    primary = result["primary"]
    kinds = [kind for kind in result["kinds"] if any(kind in cell["missing"] for cell in result["cells"])]
    heads = [kind_phrase(how, kind) for kind in kinds for how in ("half", "all")]
    rows = []
    for cell in result["cells"]:
        found = [_lost(cell["missing"].get(kind, {}).get(how), primary) for kind in kinds for how in ("half", "all")]
        rows.append((cell["name"], [_value(cell["metrics"][primary], primary) | {"tag": None}, *found]))
    return {"heads": heads, "rows": rows}


def _lost(found: Plain | None, metric: str) -> dict[str, Any]:
    if found is None:
        return {"value": ("–", "–"), "span": ("", ""), "tag": None}
    percent, loss = METRICS[metric].percent, found["loss"][metric]
    score, ends = found["metrics"][metric]["value"], (loss["low"], loss["high"])
    digits = verdict.joint([score], (loss["difference"], *ends), percent)
    value = verdict.measured(score, percent, digits)
    if loss["difference"] == 0 and loss["low"] == 0 == loss["high"]:
        return {"value": value, "span": ("±0", "±0"), "tag": None}
    amount, inside = _signed(loss["difference"], percent, digits), verdict.span(*ends, percent, digits)
    return {
        "value": value,
        "span": (f"{amount} ({inside[0]})", f"{amount}（{inside[1]}）"),
        "tag": verdict.outcome(loss, metric),
    }


def _failure(one: Plain) -> dict[str, Any]:
    parts = [str(one[key]) for key in ("where", "seen", "allowed", "todo") if one.get(key)]
    at = "" if one["seed"] is None else f"{one['seed']}" + (f" · {one['fold'] + 1}" if one["fold"] else "")
    return {"cell": one["cell"], "at": at, "what": one["what"], "more": parts}


def carried(result: Plain) -> list[Text]:
    """The notes of settings without effect, with the cells that carry them where it is not all."""
    every = {cell["name"] for cell in result["cells"]} | {
        one["cell"] for one in result["failures"] if one["seed"] is not None
    }
    told = []
    for one in result["notes"]:
        some = [] if every <= set(one["cells"]) else one["cells"]
        told.append(
            (
                one["note"] + (f" (in {', '.join(some)})" if some else ""),
                one["note_zh"] + (f"（{'、'.join(some)}）" if some else ""),
            )
        )
    return told


def _kept(result: Plain) -> list[tuple[str, str]]:
    return [
        (cell["name"], f"{key}: {', '.join(f'{name}={value}' for name, value in options.items())}")
        for cell in result["cells"]
        for key, options in cell["kept"].items()
    ]


def _how(result: Plain) -> Markup:
    used = result["bootstrap"]
    groups = used["groups"]
    unit = words("unit_rows") if groups is None else _said("unit_groups", groups=groups)
    key = "how" if len(result["seeds"]) > 1 else "how_one"
    return _words(key, samples=f"{used['samples']:,}", seed=used["seed"], unit=unit)
