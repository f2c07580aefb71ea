"""Charts of the comparison page, as plain plotly.js figures (see :mod:`tuwen.evaluation.figures`)."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

from tuwen.evaluation.chart_names import wrapped_names
from tuwen.evaluation.comparison_words import COMPARISON, alone, decided, others
from tuwen.evaluation.figures import BLUE, GREY, ORANGE, Figure, axis, figure_of, short, whiskers
from tuwen.evaluation.metric_words import METRIC_NAMES
from tuwen.evaluation.metrics import METRICS

Plain = Mapping[str, Any]

GREEN = "#2f9e6b"
COLOURS = {"better": GREEN, "worse": ORANGE, "unclear": GREY}


def cell_dots(result: Plain, metric: str) -> Figure | None:
    """Dot and whisker of every cell, its seeds as small dots, the reference as a line."""
    rows = [cell for cell in result["cells"] if cell["metrics"][metric]["value"] is not None]
    if not rows:
        return None
    scale, percent = _scale(metric)
    at = list(range(len(rows)))[::-1]
    seeds = [(short(value * scale), y) for cell, y in zip(rows, at, strict=True) for value in _seeds(cell, metric)]
    data = [
        {
            "type": "scatter",
            "mode": "markers",
            "x": [x for x, _ in seeds],
            "y": [y - 0.26 for _, y in seeds],
            "marker": {"size": 5, "color": GREY, "opacity": 0.7},
            "hovertemplate": "%{x}<extra></extra>",
        },
        _dots([cell["metrics"][metric] for cell in rows], rows, at, scale, BLUE),
    ]
    shapes = [
        _line(short(cell["metrics"][metric]["value"] * scale), GREY)
        for cell in rows
        if cell["name"] == result["reference"] and not alone(result)
    ]
    x = axis(METRIC_NAMES[metric], ticksuffix="%" if percent else "", nticks=6)
    return figure_of(data, 90 + _row(rows, 36) * len(rows), x, _names(rows, at), shapes=shapes)


def difference_dots(result: Plain, metric: str) -> Figure | None:
    """Dot and whisker of every difference to the reference, coloured by which way it goes."""
    rows = [cell for cell in others(result) if cell["difference"][metric]["low"] is not None]
    if not rows:
        return None
    scale, percent = _scale(metric)
    at = list(range(len(rows)))[::-1]
    data = []
    for kind, colour in COLOURS.items():
        some = [
            (c, y) for c, y in zip(rows, at, strict=True) if decided(result, c["difference"][metric], metric) == kind
        ]
        if some:
            found = [c["difference"][metric] | {"value": c["difference"][metric]["difference"]} for c, _ in some]
            data.append(_dots(found, [c for c, _ in some], [y for _, y in some], scale, colour))
    title = METRIC_NAMES[metric]
    points = COMPARISON["points"]
    text = (f"{title[0]}, {points[0]}", f"{title[1]}，{points[1]}") if percent else title
    x = axis(text, nticks=5, tickangle=0)
    return figure_of(data, 90 + _row(rows, 30) * len(rows), x, _names(rows, at), shapes=[_line(0, GREY)])


def cost_score(result: Plain, metric: str) -> Figure | None:
    """What a cell scores against what its training takes, of several cells; numbers are places in the table."""
    rows = [
        (i + 1, cell)
        for i, cell in enumerate(result["cells"])
        if cell["metrics"][metric]["value"] is not None and cell["cost"].get("train_seconds")
    ]
    if not rows or alone(result):
        return None
    scale, percent = _scale(metric)
    found = [cell["metrics"][metric] for _, cell in rows]
    dots = {
        "type": "scatter",
        "mode": "markers+text",
        "x": [short(cell["cost"]["train_seconds"]) for _, cell in rows],
        "y": [short(one["value"] * scale) for one in found],
        "error_y": whiskers(found, scale) | {"color": "rgba(141,153,170,0.45)", "thickness": 1.5},
        "text": [str(number) for number, _ in rows],
        "textposition": "middle right",
        "marker": {
            "size": 10,
            "color": [ORANGE if cell["name"] == result["reference"] else BLUE for _, cell in rows],
        },
        "customdata": [_full(cell) for _, cell in rows],
        "hovertemplate": "%{customdata}: %{x} s → %{y}<extra></extra>",
    }
    x = axis(COMPARISON["train_seconds"], type="log", nticks=6)
    y = axis(METRIC_NAMES[metric], ticksuffix="%" if percent else "", nticks=6)
    return figure_of([dots], 420, x, y)


def _full(cell: Plain) -> str:
    return html.escape(cell.get("full", cell["name"]), quote=False)


def _scale(metric: str) -> tuple[float, bool]:
    percent = METRICS[metric].percent
    return (100.0 if percent else 1.0), percent


def _seeds(cell: Plain, metric: str) -> list[float]:
    values = cell["metrics"][metric]["seeds"]
    return [value for value in values if value is not None] if len(values) > 1 else []


def _dots(
    found: Sequence[Plain], cells: Sequence[Plain], at: Sequence[float], scale: float, colour: str
) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [short(one["value"] * scale) for one in found],
        "y": list(at),
        "error_x": whiskers(found, scale) | {"color": colour},
        "marker": {"size": 9, "color": colour},
        "customdata": [_full(cell) for cell in cells],
        "hovertemplate": "%{customdata}: %{x}<extra></extra>",
    }


def _names(rows: Sequence[Plain], at: Sequence[int]) -> dict[str, Any]:
    texts = wrapped_names([cell["name"] for cell in rows])
    return axis(tickvals=list(at), ticktext=texts, range=[-0.7, len(rows) - 0.4], showgrid=False)


def _row(rows: Sequence[Plain], least: int) -> int:
    """The height of a cell's row in pixels: the lines of its name, of 17 pixels each, fit in."""
    lines = max(text.count("<br>") + 1 for text in wrapped_names([cell["name"] for cell in rows]))
    return max(least, 17 * lines + 10)


def _line(x: float | None, colour: str) -> dict[str, Any]:
    line = {"type": "line", "x0": x, "x1": x, "yref": "paper", "y0": 0, "y1": 1}
    return line | {"line": {"color": colour, "width": 1, "dash": "dot"}}
