"""report.html: one page that opens offline, in English and Chinese, on a phone, in the dark and on paper."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from markupsafe import Markup

from tuwen.evaluation import figures, samples_page, verdict
from tuwen.evaluation.metric_words import METRIC_MEANINGS, METRIC_NAMES
from tuwen.evaluation.metrics import METRICS
from tuwen.evaluation.page import chart, page, spelt, words_of
from tuwen.evaluation.shown import examples, thumbnail
from tuwen.evaluation.words import COSTS, PROVENANCE, WORDS, Text, baseline_heading, label, thing

Plain = Mapping[str, Any]

THUMBNAILS_A_ROW = 4
MOST_FEATURES = 20  # of a ranker that the page names
MOST_TEXT = 2000  # characters of a text on a card
CHARTED = {
    "rate": ("rmse", "mae", "r2", "spearman"),
    "binary": ("accuracy", "f1", "auc", "log_loss"),
    "classify": ("accuracy", "macro_f1", "auc", "log_loss"),
}


def render(
    report: Plain,
    pictures: Mapping[str, Sequence[bytes]] | None = None,
    texts: Mapping[str, str] | None = None,
) -> str:
    """The page for a report.

    Args:
        report: what :func:`~tuwen.evaluation.report.build_report` returned, or report.json read back.
        pictures: row → JPEG bytes, for the rows in ``report["worst"]`` or among the examples of retrieval; shrunk and
            embedded here.
        texts: row → what the model read there; shown as plain text, never as HTML.

    Returns:
        HTML that loads nothing from anywhere: plotly.js is inside.
    """
    charts: dict[str, figures.Figure] = {}
    context = {
        "report": report,
        "name": report["name"],
        "title": WORDS["title"],
        "hero": _hero(report),
        "metrics": _metrics(report),
        "glossary": [(METRIC_NAMES[metric], METRIC_MEANINGS[metric]) for metric in report["metrics"]],
        "systems": _systems(report, charts),
        "comparisons": _comparisons(report),
        "knock_out": _knock_out(report),
        "slices": _slices(report, charts),
        "confusion": _confusion(report, charts),
        "calibration": _calibration(report, charts) if report["calibration"] else None,
        "regression": _regression(report, charts),
        "curves": [
            (title, chart(charts, f"curve-{i}", figure))
            for i, (title, figure) in enumerate(figures.learning(report["history"]))
        ],
        "worst": _worst(report, pictures or {}, texts or {}) if report["task"] in CHARTED else None,
        "generator": samples_page.section(report),
        "leaks": _leaks(report),
        "examples": examples(report, pictures or {}, texts or {}),
        "raters": _raters(report),
        "stack": _stack(report),
        "lists": _lists(report),
        "cost": [(label(key, COSTS), verdict.quantity(key, value)) for key, value in report["cost"].items()],
        "provenance": [(label(key, PROVENANCE), spelt(value)) for key, value in report["provenance"].items()],
        "run": yaml.safe_dump(dict(report["run"]), allow_unicode=True, sort_keys=False) if report["run"] else "",
        "bootstrap": _bootstrap(report),
        "few_rows": figures.FEW_ROWS,
        "confidence": f"{100 * report['bootstrap']['confidence']:g}",
        "heading": baseline_heading,
        "thing": thing,
    }
    return page("report.html.j2", context, charts)


def _cell(found: Plain | None, metric: str, digits: int | None = None) -> dict[str, Any]:
    if found is None:
        return {"value": ("–", "–"), "span": ("", "")}
    percent, low, high = METRICS[metric].percent, found["low"], found["high"]
    digits = verdict.decimals((found["value"], low, high), percent) if digits is None else digits
    return {
        "value": verdict.measured(found["value"], percent, digits),
        "span": verdict.span(low, high, percent, digits),
    }


# --- Sections -----------------------------------------------------------------------------------------------------


def _hero(report: Plain) -> dict[str, Any]:
    primary = report["primary"]
    everyone = {"model": report["metrics"], **report["baselines"]}
    values = {name: found[primary]["value"] for name, found in everyone.items()}
    most = max((abs(value) for value in values.values() if value is not None), default=1.0) or 1.0
    bars = [
        {
            "name": WORDS["this_model"] if name == "model" else baseline_heading(name),
            "model": name == "model",
            "width": 0 if value is None else round(100 * abs(value) / most, 1),
            **_cell(everyone[name][primary], primary),
        }
        for name, value in values.items()
    ]
    task = f"task_{report['task']}"
    labels = ((report["run"] or {}).get("rows") or {}).get("labels", 1)
    classes = len(report["confusion"]["labels"]) if report["confusion"] else 0
    return {
        "task": words_of(task, classes=classes),
        "rows": words_of("test_rows", rows=f"{report['rows']:,}"),
        "labels": None if labels == 1 else words_of("labels", share=f"{100 * labels:g}"),
        "metric": METRIC_NAMES[primary],
        "lower": not METRICS[primary].greater_is_better,
        "time": re.sub(r"(?<=\d)T(?=\d)", " ", str(report["provenance"].get("time") or "")).replace("+00:00", " UTC"),
        "lead": verdict.lead(report),
        "also": [(METRIC_NAMES[m], _cell(report["metrics"][m], m)) for m in _charted(report) if m != primary],
        "how_good": verdict.how_good(report),
        "standing": verdict.standing(report),
        "bars": bars,
        "checks": verdict.checks(report),
        **_cell(report["metrics"][primary], primary),
    }


def _leaks(report: Plain) -> list[dict[str, Any]] | None:
    """The rows of the section on leaks; None of a report that does not know of them."""
    if "leaks" not in report:
        return None
    return [
        {
            "text": (leak["en"], leak["zh"]),
            "severe": leak["severe"],
            "share": f"{100 * leak['share']:.1f}",
            "rows": f"{leak['rows']:,}",
            "example": [
                (leak["example"][key], leak["example"].get(content, ""))
                for key, content in (("row", "content"), ("other", "other_content"))
                if key in leak["example"]
            ],
        }
        for leak in report["leaks"]
    ]


def _raters(report: Plain) -> list[tuple[str, str, str]]:
    """Name, weight and RMSE of each rater of a blend."""
    told = report.get("raters") or {}
    return [
        (name, f"{found['weight']:.2f}", "–" if found["rmse"] is None else f"{found['rmse']:.4f}")
        for name, found in told.items()
    ]


def _stack(report: Plain) -> dict[str, Any] | None:
    """Members of ``fusion: auto`` with their weights, and a sentence on what each modality is worth."""
    stack = report.get("stack")
    if not stack:
        return None
    members = sorted(stack["members"], key=lambda member: (-member["weight"], member["loss"]))
    return {
        "members": [(m["name"], f"{m['weight']:.2f}", verdict.number(m["loss"])) for m in members],
        "loss": METRIC_NAMES[stack["loss_name"]],
        "sentences": verdict.stack_sentences(stack),
    }


def _lists(report: Plain) -> dict[str, Any] | None:
    """Of a run of the task rank: what share of the catalogue each system listed, and what its ranker goes by."""
    told = report.get("ranking")
    if not told:
        return None
    coverage = sorted(told["coverage"].items(), key=lambda one: one[0] != "model")
    importance = sorted(told["importance"].items(), key=lambda one: -one[1])
    without = WORDS["knocked_unlearned"]
    names = {"model": WORDS["this_model"]} | {
        kind: (without[0].format(what=thing(kind)[0]), without[1].format(what=thing(kind)[1]))
        for kind in report["knock_out"]
    }
    return {
        "coverage": [(names.get(name) or baseline_heading(name), f"{100 * share:.1f}") for name, share in coverage],
        "importance": [(name, f"{100 * share:.1f}") for name, share in importance[:MOST_FEATURES] if share > 0],
        "rest": max(0, sum(share > 0 for _, share in importance) - MOST_FEATURES),
    }


def _metrics(report: Plain) -> list[dict[str, Any]]:
    rows = []
    for metric, found in report["metrics"].items():
        greater = METRICS[metric].greater_is_better
        cells = {"model": found, **{name: b.get(metric) for name, b in report["baselines"].items()}}
        values = [f["value"] for f in cells.values() if f and f["value"] is not None]
        best = (max if greater else min)(values) if values else None
        row = [_cell(f, metric) | {"best": bool(f) and f["value"] == best is not None} for f in cells.values()]
        rows.append(
            {"name": METRIC_NAMES[metric], "greater": greater, "cells": row, "primary": metric == report["primary"]}
        )
    return sorted(rows, key=lambda row: not row["primary"])


def _systems(report: Plain, charts: dict[str, figures.Figure]) -> list[tuple[Text, bool, str]]:
    names = dict.fromkeys((report["primary"], *_telling(report)))
    drawn = [(metric, figures.systems(report, metric)) for metric in names]
    return [
        (METRIC_NAMES[metric], METRICS[metric].greater_is_better, chart(charts, f"systems-{metric}", figure))
        for metric, figure in drawn
        if figure
    ]


def _difference(found: Plain, metric: str) -> dict[str, Any]:
    percent = METRICS[metric].percent
    digits = verdict.decimals((found["difference"], found["low"], found["high"]), percent)
    value = verdict.number(found["difference"], percent, digits)
    sign = "+" if (found["difference"] or 0) > 0 else ""
    p = found["p"]
    return {
        "value": (sign + value, sign + value),
        "span": verdict.span(found["low"], found["high"], percent, digits),
        "p": "" if p is None else "p < 0.01" if p < 0.01 else f"p {p:.2f}",
        "outcome": verdict.outcome(found, metric),
    }


def _telling(report: Plain) -> Sequence[str]:
    """The metrics that are drawn and compared."""
    if report["task"] == "rank":
        return [f"{name}@{report['ranking']['depth']}" for name in ("ndcg", "recall", "cold_recall", "hit")]
    if "search" in report:
        return [metric for metric in report["metrics"] if not metric.startswith("burges")]
    retrieval = [metric for metric in report["metrics"] if metric.endswith(("recall@10", "mrr"))]
    return CHARTED.get(report["task"], retrieval)


def _charted(report: Plain) -> list[str]:
    names = dict.fromkeys((report["primary"], *_telling(report)))
    return [metric for metric in names if report["metrics"][metric]["value"] is not None]


def _comparisons(report: Plain) -> dict[str, Any]:
    names = _charted(report)
    rows = [
        (baseline_heading(name), [_difference(found[metric], metric) for metric in names])
        for name, found in report["comparisons"].items()
    ]
    return {"metrics": [(METRIC_NAMES[metric], METRICS[metric].percent) for metric in names], "rows": rows}


def _knock_out(report: Plain) -> dict[str, Any]:
    names, rows = _charted(report), []
    for modality, ways in report["knock_out"].items():
        english, chinese = thing(modality)
        for way, found in ways.items():
            said = WORDS[f"knocked_{way}"]
            cells = [_knocked(found["metrics"][metric], found["comparison"][metric], metric) for metric in names]
            rows.append(((said[0].format(what=english), said[1].format(what=chinese)), cells))
    note = "unlearned_note" if report["task"] == "rank" else "knock_out_note"
    return {"metrics": [METRIC_NAMES[metric] for metric in names], "rows": rows, "note": note}


def _knocked(value: Plain, comparison: Plain, metric: str) -> dict[str, Any]:
    """A value and what was lost, in the same decimals."""
    digits = verdict.joint(
        [value[key] for key in ("value", "low", "high")],
        [comparison[key] for key in ("difference", "low", "high")],
        METRICS[metric].percent,
    )
    return _cell(value, metric, digits) | {"loss": _loss(comparison, metric, digits)}


def _loss(found: Plain, metric: str, digits: int) -> dict[str, Any]:
    """What the model loses without an input: above 0 when the input helps, whichever way the metric points."""
    percent, outcome = METRICS[metric].percent, verdict.outcome(found, metric)
    sign = (1 if METRICS[metric].greater_is_better else -1) * (-1 if outcome == "worse" else 1)
    value, low, high = (None if found[key] is None else found[key] * sign for key in ("difference", "low", "high"))
    ends = (low, high) if low is None or high is None else (min(low, high), max(low, high))
    text = verdict.number(value, percent, digits)
    return {"outcome": outcome, "value": text, "span": verdict.span(*ends, percent, digits)}


def _slices(report: Plain, charts: dict[str, figures.Figure]) -> list[dict[str, Any]]:
    sections: list[dict[str, Any]] = []
    for column, values in report["slices"].items():
        if len(values) < 2:  # a slice that holds every row says nothing new
            continue
        metrics = list(values[0]["metrics"])
        rows = [
            (
                thing(one["value"]),
                one["rows"],
                one["share"],
                [_cell(one["metrics"][metric], metric) for metric in metrics],
            )
            for one in values
        ]
        figure = figures.slice_dots(report, column)
        title = thing(column)
        sections.append(
            {
                "name": (title[0][:1].upper() + title[0][1:], title[1]),
                "metrics": [METRIC_NAMES[metric] for metric in metrics],
                "rows": rows,
                "chart": chart(charts, f"slice-{len(sections)}", figure) if figure else None,
            }
        )
    return sections


def _confusion(report: Plain, charts: dict[str, figures.Figure]) -> dict[str, Any] | None:
    found = report["confusion"]
    if found is None:
        return None
    labels, classes = found["labels"], found["classes"]
    wrong = sorted((cell for cell in found["cells"] if cell[0] != cell[1]), key=lambda cell: -cell[2])
    pairs = [(labels[t], labels[a], n, verdict.number(n / classes[t]["rows"], True)) for t, a, n in wrong[:10]]
    return {
        "chart": chart(charts, "confusion", figures.confusion_matrix(found)),
        "shown": len(figures.confusion_classes(found)),
        "pairs": pairs if len(labels) > 2 else [],
        "classes": [
            (c["label"], c["rows"], *(verdict.measured(c[k], True) for k in ("precision", "recall", "f1")))
            for c in sorted(classes, key=lambda c: (c["f1"], -c["rows"]))
        ],
    }


def _calibration(report: Plain, charts: dict[str, figures.Figure]) -> dict[str, Any]:
    percent = report["calibration"]["kind"] != "value"
    rows = []
    for found in report["calibration"]["bins"]:
        low, high = found["observed_low"], found["observed_high"]
        digits = verdict.decimals((found["observed"], low, high), percent)
        came = {
            "value": verdict.measured(found["observed"], percent, digits),
            "span": verdict.span(low, high, percent, digits),
        }
        rows.append((verdict.measured(found["predicted"], percent, digits), came, found["rows"]))
    return {"chart": chart(charts, "calibration", figures.reliability(report)), "rows": rows}


def _regression(report: Plain, charts: dict[str, figures.Figure]) -> dict[str, Any] | None:
    found = report["regression"]
    if found is None:
        return None
    return {
        "chart": chart(charts, "predicted", figures.predicted_actual(found)),
        "residuals": chart(charts, "residuals", figures.residuals(found)),
        "note": "regression_note" if found["by_target"] else "regression_points",
    }


def _worst(report: Plain, pictures: Mapping[str, Sequence[bytes]], texts: Mapping[str, str]) -> list[dict[str, Any]]:
    cards = []
    for one in report["worst"]:
        row = one["row"]
        shown = [thumbnail(data) for data in list(pictures.get(row, ()))[:THUMBNAILS_A_ROW]]
        card = {
            "row": row,
            "pictures": [p for p in shown if p],
            "text": texts.get(row, "")[:MOST_TEXT],
            "slices": one["slices"],
        }
        if report["task"] == "rate":
            card |= {"target": f"{one['target']:g}", "prediction": verdict.number(one["prediction"])}
            card |= {"off": verdict.number(one["loss"]), "sure": None}
        else:
            sure = verdict.measured(one["probability"], True)
            card |= {"target": one["target"], "prediction": one["prediction"], "off": None, "sure": sure}
        cards.append(card)
    return cards


def _bootstrap(report: Plain) -> Markup:
    used = report["bootstrap"]
    groups = used["groups"]
    clusters = used.get("clusters")
    english, chinese = WORDS["by_rows" if groups is None else "by_clusters" if clusters else "by_groups"]
    values: dict[str, Any] = {"groups": groups}
    if clusters:
        column = WORDS["content"] if clusters["column"] == "content" else (clusters["column"], clusters["column"])
        values |= {"effect": f"{clusters['effect']:.1f}"}
    unit = (
        english.format(**values, column=column[0] if clusters else ""),
        chinese.format(**values, column=column[1] if clusters else ""),
    )
    return words_of("bootstrap", samples=f"{used['samples']:,}", unit=unit, seed=used["seed"])
