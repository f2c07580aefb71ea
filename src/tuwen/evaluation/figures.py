"""Charts of the report as plain plotly.js figures: ``{"data": […], "layout": {…}}``.

``plotly.graph_objects`` is not used: importing it takes longer than drawing the page. Words stand as ``{"t": [English,
Chinese]}`` and are put in by the page when its language is chosen. Ink, grid and background come from the page's style
sheet, so that light, dark and print need no second figure.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from tuwen.evaluation.chart_names import names, width
from tuwen.evaluation.curves import curves
from tuwen.evaluation.metric_words import METRIC_NAMES
from tuwen.evaluation.metrics import METRICS
from tuwen.evaluation.report import best_baseline
from tuwen.evaluation.words import BASELINES, WORDS, Text, baseline_heading, thing

Plain = Mapping[str, Any]
Figure = dict[str, Any]

BLUE, GREY, ORANGE = "#4a7bea", "#8d99aa", "#dd8434"
FEW_ROWS = 20  # a slice with fewer is in the table, but its interval means little
MOST_CLASSES = 24  # as many as a reader can tell apart in one matrix


def words(text: Text) -> dict[str, list[str]]:
    """A text in both languages, for the page to choose from."""
    return {"t": [html.escape(text[0], quote=False), html.escape(text[1], quote=False)]}


def short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.5g}")


def axis(title: Text | None = None, **more: Any) -> dict[str, Any]:
    """A plotly axis in the style of the page."""
    plain: dict[str, Any] = {"zeroline": False, "automargin": True, "fixedrange": True, "ticks": "", **more}
    return plain | ({"title": {"text": words(title), "standoff": 8, "font": {"size": 13}}} if title else {})


def figure_of(data: list[dict[str, Any]], height: int, x: Plain, y: Plain, **layout: Any) -> Figure:
    """Traces and axes as a figure of ``height`` pixels."""
    plain = {"height": height, "margin": {"l": 8, "r": 12, "t": 8, "b": 8}, "showlegend": False, "dragmode": False}
    return {"data": data, "layout": {**plain, "xaxis": x, "yaxis": y, **layout}}


LEGEND = {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"}


def whiskers(found: Sequence[Plain], scale: float) -> dict[str, Any]:
    """The intervals around the values, as plotly's error bars."""
    up = [0 if f["high"] is None else short(max(0.0, f["high"] - f["value"]) * scale) for f in found]
    down = [0 if f["low"] is None else short(max(0.0, f["value"] - f["low"]) * scale) for f in found]
    return {"type": "data", "symmetric": False, "array": up, "arrayminus": down, "thickness": 2, "width": 0}


def _dots(
    found: Sequence[Plain], metric: str, at: Sequence[float], colour: str, text: Text, hover: Sequence[Any]
) -> Figure:
    scale, unit = (100, " %") if METRICS[metric].percent else (1, "")
    return {
        "type": "scatter",
        "mode": "markers",
        "name": words(text),
        "x": [short(f["value"] * scale) for f in found],
        "y": list(at),
        "error_x": whiskers(found, scale) | {"color": colour},
        "marker": {"size": 9, "color": colour},
        "customdata": list(hover),
        "hovertemplate": f"%{{customdata}}: %{{x}}{unit}<extra></extra>",
    }


def _scored(found: Plain, metric: str) -> bool:
    return found.get(metric, {}).get("value") is not None


def systems(report: Plain, metric: str) -> Figure | None:
    """Dot and whisker: the model and every baseline in one metric."""
    if not _scored(report["metrics"], metric):
        return None
    others = [other for other, found in report["baselines"].items() if _scored(found, metric)]
    labels = [words(WORDS["this_model"]), *(words(baseline_heading(other)) for other in others)]
    at = list(range(len(labels)))[::-1]
    data = [_dots([report["metrics"][metric]], metric, at[:1], BLUE, WORDS["this_model"], labels[:1])]
    if others:
        found = [report["baselines"][other][metric] for other in others]
        data.append(_dots(found, metric, at[1:], GREY, ("Baselines", "基线"), labels[1:]))
    low, high = _focus(report, metric)
    beyond = [
        _beyond(report["baselines"][other][metric]["value"], metric, place, (low, high))
        for other, place in zip(others, at[1:], strict=True)
        if not low <= report["baselines"][other][metric]["value"] <= high
    ]
    percent = METRICS[metric].percent
    reach = [short(low * 100), short(high * 100)] if percent else [short(low), short(high)]
    x = axis(ticksuffix="%" if percent else "", nticks=6, range=reach)
    y = axis(tickvals=at, ticktext=labels, range=[-0.6, len(labels) - 0.4], showgrid=False)
    return figure_of(data, 56 + 34 * len(labels), x, y, annotations=beyond)


def _focus(report: Plain, metric: str) -> tuple[float, float]:
    """The part of the axis to show: a trivial baseline far away must not squeeze the others onto one spot."""
    everyone = {"": report["metrics"], **report["baselines"]}
    known = {other: found[metric] for other, found in everyone.items() if _scored(found, metric)}
    real = [found for other, found in known.items() if other not in BASELINES]
    chosen = real if len(real) > 1 else list(known.values())
    ends = [end for found in chosen for end in found.values() if end is not None]
    low, high = min(ends), max(ends)
    width = (high - low) or 0.1 * abs(high) or 1.0
    ends += [f["value"] for f in known.values() if low - width <= f["value"] <= high + width]
    low, high = min(ends), max(ends)
    margin = 0.12 * ((high - low) or width)
    return low - margin, high + margin


def _beyond(value: float, metric: str, place: float, reach: tuple[float, float]) -> dict[str, Any]:
    """A note at the edge for a system that lies outside."""
    left, text = value < reach[0], f"{100 * value:.1f} %" if METRICS[metric].percent else f"{value:.3g}"
    note = {"xref": "paper", "x": 0 if left else 1, "xanchor": "left" if left else "right", "y": place}
    return note | {"text": f"◂ {text}" if left else f"{text} ▸", "showarrow": False, "font": {"size": 12}}


def slice_dots(report: Plain, column: str) -> Figure | None:
    """Dot and whisker: each value of a slice, with the best baseline beside it and the whole as a line."""
    metric = report["primary"]
    rows = [row for row in report["slices"][column] if _scored(row["metrics"], metric) and row["rows"] >= FEW_ROWS]
    if not rows:
        return None
    labels = [words(thing(row["value"])) for row in rows]
    at = list(range(len(rows)))[::-1]
    data = [_dots([row["metrics"][metric] for row in rows], metric, at, BLUE, WORDS["this_model"], labels)]
    reference = best_baseline(report)
    if reference and all(_scored(row.get("baseline", {}), metric) for row in rows):
        found, below = [row["baseline"][metric] for row in rows], [place - 0.28 for place in at]
        data.append(_dots(found, metric, below, GREY, baseline_heading(reference), labels))
    percent = METRICS[metric].percent
    overall = short(report["metrics"][metric]["value"] * (100 if percent else 1))
    line = {"type": "line", "x0": overall, "x1": overall, "yref": "paper", "y0": 0, "y1": 1}
    y = axis(tickvals=at, ticktext=labels, range=[-0.7, len(rows) - 0.4], showgrid=False)
    x = axis(METRIC_NAMES[metric], ticksuffix="%" if percent else "", nticks=6)
    shapes = [line | {"line": {"color": BLUE, "width": 1, "dash": "dot"}}]
    return figure_of(data, 104 + 40 * len(rows), x, y, shapes=shapes, showlegend=len(data) > 1, legend=LEGEND)


def confusion_classes(confusion: Plain, most: int = MOST_CLASSES) -> list[int]:
    """Positions of the classes to draw: all where they are few, else those with the most mistakes, in label order."""
    labels = confusion["labels"]
    if len(labels) <= most:
        return list(range(len(labels)))
    mistakes = [0] * len(labels)
    for truth, answer, count in confusion["cells"]:
        if truth != answer:
            mistakes[truth] += count
            mistakes[answer] += count
    return sorted(sorted(range(len(labels)), key=lambda i: (-mistakes[i], i))[:most])


def confusion_matrix(confusion: Plain) -> Figure:
    """Share of each true class: right answers blue, wrong ones orange, on a square root so that rare ones show."""
    shown = confusion_classes(confusion)
    place = {label_at: i for i, label_at in enumerate(shown)}
    gathered = len(shown) < len(confusion["labels"])
    size, rest = len(shown) + gathered, len(shown)
    counts = [[0] * size for _ in range(size)]
    for truth, answer, count in confusion["cells"]:
        counts[place.get(truth, rest)][place.get(answer, rest)] += count
    if gathered:  # right and wrong answers among the others cannot be told apart here
        counts[rest][rest] = 0
    full = [html.escape(confusion["labels"][i], quote=False) for i in shown]
    ticks: list[Any] = list(names([confusion["labels"][i] for i in shown], 22 if size <= 12 else 16))
    if gathered:
        full.append("…")
        ticks.append(words(WORDS["others"]))
    slanted = size > 3 or any(isinstance(tick, str) and width(tick) > 40 // size for tick in ticks)
    side, at = 190 + (44 if size <= 12 else 28) * size, list(range(size))
    x = axis(WORDS["answer"], tickvals=at, ticktext=ticks, showgrid=False, tickangle=-45 if slanted else 0)
    y = axis(WORDS["truth"], tickvals=at, ticktext=ticks, showgrid=False, autorange="reversed")
    data = [_cells(counts, full, right) for right in (True, False)]
    return figure_of(data, side, x, y)


def _cells(counts: list[list[int]], labels: list[str], right: bool) -> dict[str, Any]:
    size, colour = len(counts), "74,123,234" if right else "221,132,52"
    shares: list[list[float | None]] = [[None] * size for _ in range(size)]
    text = [[""] * size for _ in range(size)]
    hover = [[""] * size for _ in range(size)]
    for i, row in enumerate(counts):
        for j, count in enumerate(row):
            if (i == j) != right or not count:
                continue
            share = count / sum(row)
            shares[i][j] = short(share**0.5)
            text[i][j] = f"{count:,}" if size <= 12 else str(count)
            hover[i][j] = f"{labels[i]} → {labels[j]}: {count:,} ({100 * share:.1f} %)"
    return {
        "type": "heatmap",
        "z": shares,
        "text": text,
        "texttemplate": "%{text}",
        "textfont": {"size": 13 if size <= 12 else 10},
        "customdata": hover,
        "hovertemplate": "%{customdata}<extra></extra>",
        "colorscale": [[0, f"rgba({colour},0)"], [1, f"rgba({colour},0.62)"]],
        "zmin": 0,
        "zmax": 1,
        "showscale": False,
        "xgap": 2,
        "ygap": 2,
        "hoverongaps": False,
    }


def reliability(report: Plain) -> Figure:
    """What the model says against what happens, over bars of how many rows say so."""
    found = report["calibration"]
    bins, percent = found["bins"], found["kind"] != "value"
    scale = 100 if percent else 1
    said, came = [short(b["predicted"] * scale) for b in bins], [short(b["observed"] * scale) for b in bins]
    low, high = (0, 100) if percent else (_least([*said, *came]), _most([*said, *came]))
    spread = {
        "type": "data",
        "symmetric": False,
        "array": [short((b["observed_high"] - b["observed"]) * scale) for b in bins],
        "arrayminus": [short((b["observed"] - b["observed_low"]) * scale) for b in bins],
        "thickness": 2,
        "width": 0,
        "color": BLUE,
    }
    rows = [b["rows"] for b in bins]
    dots = {"type": "scatter", "mode": "lines+markers", "x": said, "y": came, "error_y": spread, "customdata": rows}
    dots |= {"marker": {"size": 8, "color": BLUE}, "line": {"width": 1.5, "color": BLUE}}
    dots["hovertemplate"] = "%{x} → %{y}  (n = %{customdata:,})<extra></extra>"
    margin = 0.03 * (high - low)
    reach, diagonal = [low - margin, high + margin], _diagonal(low, high)
    if not percent:  # bins of equally many rows: bars would all be the same
        return figure_of([diagonal, dots], 400, axis(WORDS["predicted"], range=reach), axis(WORDS["actual"]))
    bars = {"type": "bar", "y": rows, "yaxis": "y2", "marker": {"color": GREY}, "width": 9, "opacity": 0.7}
    bars |= {"x": [50 * (b["low"] + b["high"]) for b in bins], "hovertemplate": "n = %{y:,}<extra></extra>"}
    return figure_of(
        [diagonal, bars, dots],
        420,
        axis(WORDS["says"], range=reach, ticksuffix="%", anchor="y2"),
        axis(WORDS["happens"], range=reach, ticksuffix="%", domain=[0.27, 1]),
        yaxis2=axis(WORDS["rows"], domain=[0, 0.2], nticks=3),
    )


def predicted_actual(regression: Plain) -> Figure:
    """Predictions at each true value: boxes for a few different ones (stars), else points."""
    groups = regression["by_target"]
    if groups:
        targets = [g["target"] for g in groups]
        gap = min((b - a for a, b in pairwise(targets)), default=1.0)
        box = {"type": "box", "x": targets, "width": 0.5 * gap, "line": {"color": BLUE, "width": 1.5}}
        box |= {"q1": [short(g["quarter"]) for g in groups], "q3": [short(g["three_quarters"]) for g in groups]}
        box |= {"median": [short(g["median"]) for g in groups]}
        box |= {"lowerfence": [short(g["low"]) for g in groups], "upperfence": [short(g["high"]) for g in groups]}
        box |= {"fillcolor": "rgba(74,123,234,0.18)", "hoverinfo": "y"}
        data = [_diagonal(min(targets), max(targets)), box]
        x = axis(WORDS["actual"], tickvals=targets) if len(targets) <= 12 else axis(WORDS["actual"])
        return figure_of(data, 380, x, axis(WORDS["predicted"]))
    actual, predicted = zip(*regression["points"], strict=True)
    dots: Figure = {"type": "scatter", "mode": "markers", "x": list(actual), "y": list(predicted)}
    dots |= {"marker": {"size": 5, "color": BLUE, "opacity": 0.4}, "hovertemplate": "%{x} → %{y}<extra></extra>"}
    data = [_diagonal(_least([*actual, *predicted]), _most([*actual, *predicted])), dots]
    return figure_of(data, 380, axis(WORDS["actual"]), axis(WORDS["predicted"]))


def residuals(regression: Plain) -> Figure:
    """How many rows are off by how much."""
    edges, counts = regression["residuals"]["edges"], regression["residuals"]["counts"]
    middle = [short((a + b) / 2) for a, b in pairwise(edges)]
    bars = {"type": "bar", "x": middle, "y": counts, "marker": {"color": BLUE, "opacity": 0.75}}
    bars["hovertemplate"] = "%{x}: %{y:,}<extra></extra>"
    line = {
        "type": "line",
        "x0": 0,
        "x1": 0,
        "yref": "paper",
        "y0": 0,
        "y1": 1,
        "line": {"color": GREY, "dash": "dash"},
    }
    return figure_of([bars], 380, axis(WORDS["residual"]), axis(WORDS["rows"]), bargap=0.06, shapes=[line])


def learning(history: Sequence[Plain]) -> list[tuple[Text, Figure]]:
    """Learning curves, one chart for each measure of :func:`tuwen.evaluation.curves.curves`."""
    charts = []
    for curve in curves(history):
        data = []
        for part, colour in (("train", GREY), ("validation", BLUE)):
            if part in curve.parts:
                y = [short(value) for value in curve.parts[part]]
                line = {"type": "scatter", "mode": "lines+markers", "name": words(WORDS[part]), "y": y}
                line |= {"x": curve.epochs}
                line |= {"line": {"color": colour, "width": 2}, "marker": {"size": 5, "color": colour}}
                data.append(line)
        whole = {"tickformat": "d", "nticks": min(10, len(curve.epochs) + 1)}
        figure = figure_of(data, 300, axis(WORDS["epoch"], **whole), axis(), showlegend=True, legend=LEGEND)
        charts.append((curve.name, figure))
    return charts


def _diagonal(low: float, high: float) -> dict[str, Any]:
    line = {"type": "scatter", "mode": "lines", "x": [low, high], "y": [low, high], "hoverinfo": "skip"}
    return line | {"line": {"color": GREY, "width": 1.5, "dash": "dash"}}


def _least(values: Sequence[float | None]) -> float:
    return min(v for v in values if v is not None)


def _most(values: Sequence[float | None]) -> float:
    return max(v for v in values if v is not None)
