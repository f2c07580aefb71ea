"""tune.html: which values were tried and how each answered the validation part, in English and Chinese."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from typing import Any

import yaml
from markupsafe import Markup

from tuwen.evaluation import verdict
from tuwen.evaluation.chart_names import name
from tuwen.evaluation.figures import BLUE, GREY, ORANGE, Figure, axis, figure_of, short
from tuwen.evaluation.metric_words import METRIC_NAMES
from tuwen.evaluation.metrics import METRICS
from tuwen.evaluation.page import both, chart, page, spelt
from tuwen.evaluation.words import PROVENANCE, WORDS, Text, label

Plain = Mapping[str, Any]

TUNING: dict[str, Text] = {
    "title": ("Tuning", "调参"),
    "best": ("Best on the validation part", "验证集上的最佳取值"),
    "trust": ("What this is, and is not", "这是什么，不是什么"),
    "tried": ("What was tried?", "尝试了什么？"),
    "course": ("The search", "搜索过程"),
    "course_note": (
        "Dots: each completed trial on the validation part. Line: the best so far.",
        "圆点：每次完成的试验在验证集上的结果。折线：目前最佳。",
    ),
    "each": ("Each setting", "各项设置"),
    "each_note": (
        "Each completed trial by the value it tried; orange is the best one.",
        "每次完成的试验按其取值排列；橙色为最佳。",
    ),
    "trials": ("All trials", "全部试验"),
    "trial": ("Trial", "试验"),
    "state": ("State", "状态"),
    "complete": ("complete", "完成"),
    "given up": ("given up early", "提前放弃"),
    "failed": ("failed", "失败"),
    "epochs": ("Epochs", "轮数"),
    "seconds": ("Seconds", "秒"),
    "as_written": ("the run as it is written", "原有设置"),
    "number": ("Trial", "试验序号"),
    "notes": ("Settings that change nothing, or less than they seem", "不起作用或作用有限的设置"),
    "settings": ("Settings and origin", "设置与来源"),
    "validation_rows": ("{rows} validation rows", "{rows} 行验证数据"),
    "trials_count": ("{count} trials", "{count} 次试验"),
    "unseen": (
        "The test part was not fitted, encoded or answered. Judge best.yaml there once.",
        "未对测试集做任何拟合、编码或作答。请只用测试集评估 best.yaml 一次。",
    ),
    "optimistic": (
        "The best of many trials looks a little better on these rows than it is elsewhere.",
        "多次试验中的最佳者，在这些行上看起来会比别处略好。",
    ),
    "first_fold": (
        "Searched on the first of {folds} folds: rows that other folds test were seen by the search.",
        "仅在 {folds} 折中的第一折上搜索：其他折的测试行已被搜索过程见过。",
    ),
    "outside": (
        "The run as it is written is outside the search, so it was not tried: {own}. To see it beside the others, add "
        "its value to --search, in a new --out.",
        "原有设置不在搜索范围内，因此未被尝试：{own}。若要与其他取值比较，请将该值加入 --search，并换一个 --out。",
    ),
    "few": ("Only {rows} validation rows: small differences mean little.", "验证数据仅 {rows} 行：细微差别意义不大。"),
}
FEW_ROWS = 200
STATES = ("complete", "given up", "failed")


def render_tuning(result: Plain) -> str:
    """The page for tune.json: HTML that loads nothing from anywhere."""
    charts: dict[str, Figure] = {}
    metric = result["metric"]
    known = [trial for trial in result["trials"] if trial["value"] is not None]
    context = {
        "t": _words,
        "name": result["name"],
        "title": TUNING["title"],
        "result": result,
        "metric": METRIC_NAMES[metric],
        "lower": not METRICS[metric].greater_is_better,
        "lead": _lead(result),
        "value": verdict.measured(result["best"]["value"], METRICS[metric].percent),
        "chips": [
            _words("validation_rows", rows=f"{result['rows']['validation']:,}"),
            _words("trials_count", count=len(result["trials"])),
        ],
        "counts": [(s, sum(trial["state"] == s for trial in result["trials"])) for s in STATES],
        "checks": _checks(result),
        "course": chart(charts, "course", _course(result, known)),
        "each": [
            (key, chart(charts, f"each-{i}", _each(result, known, key))) for i, key in enumerate(result["search"])
        ],
        "notes": carried(result["notes"]),
        "rows": [_row(trial, result) for trial in ordered(result)],
        "provenance": [(label(key, PROVENANCE), spelt(value)) for key, value in result["provenance"].items()],
        "run": yaml.safe_dump(dict(result["run"]), allow_unicode=True, sort_keys=False),
    }
    return page("tuning.html.j2", context, charts)


def carried(notes: Iterable[Plain]) -> list[Text]:
    """The notes of settings without effect, with the searched values that make them so where it is not all."""
    told = []
    for one in notes:
        some = one["values"]
        told.append(
            (
                f"{one['note']} (in {', '.join(some) or 'every trial'})",
                f"{one['note_zh']}（{'、'.join(some) or '全部试验'}）",
            )
        )
    return told


def _words(key: str, **values: Any) -> Markup:
    english, chinese = TUNING.get(key) or WORDS[key]
    return both((english.format(**values), chinese.format(**values)))


def _lead(result: Plain) -> Text:
    """The best value, beside that of the run as it is written."""
    metric = result["metric"]
    percent, title = METRICS[metric].percent, METRIC_NAMES[metric]
    best = verdict.measured(result["best"]["value"], percent)
    if result["as_written"] is None:
        return (f"Best {title[0]} on the validation part: {best[0]}.", f"验证集上最佳{title[1]}：{best[1]}。")
    was = verdict.measured(result["as_written"], percent)
    if result["as_written"] == result["best"]["value"]:
        return (
            f"Nothing tried was better than the run as it is written: {title[0]} {best[0]}.",
            f"没有比原有设置更好的取值：{title[1]} {best[1]}。",
        )
    return (
        f"{title[0]} on the validation part: {best[0]}; the run as it is written: {was[0]}.",
        f"验证集上的{title[1]}：{best[1]}；原有设置：{was[1]}。",
    )


def _checks(result: Plain) -> list[verdict.Check]:
    rows, folds = result["rows"]["validation"], result["folds"]
    found = [verdict.Check(True, TUNING["unseen"])]
    if folds > 1:
        found.append(verdict.Check(False, _filled("first_fold", folds=folds)))
    if result["outside"]:
        found.append(verdict.Check(False, outside(result)))
    if rows < FEW_ROWS:
        found.append(verdict.Check(False, _filled("few", rows=rows)))
    found.append(verdict.Check(False, TUNING["optimistic"]))
    return found


def outside(result: Plain) -> Text:
    """That the run's own values were not tried, and which they are."""
    return _filled("outside", own=", ".join(f"{key}={text}" for key, text in result["outside"].items()))


def _filled(key: str, **values: Any) -> Text:
    english, chinese = TUNING[key]
    return english.format(**values), chinese.format(**values)


def ordered(result: Plain) -> list[Plain]:
    """Best first; then what has no value."""
    sign = -1 if METRICS[result["metric"]].greater_is_better else 1
    return sorted(result["trials"], key=lambda t: (t["value"] is None, sign * (t["value"] or 0), t["number"]))


def _row(trial: Plain, result: Plain) -> dict[str, Any]:
    percent = METRICS[result["metric"]].percent
    return {
        "number": trial["number"],
        "best": trial["number"] == result["best"]["number"],
        "value": verdict.measured(trial["value"], percent),
        "state": trial["state"],
        "values": [trial["values"].get(key, "–") for key in result["search"]],
        "epochs": "–" if trial["epochs"] is None else trial["epochs"],
        "seconds": ("–", "–") if trial["seconds"] is None else verdict.quantity("train_seconds", trial["seconds"]),
        "as_written": trial["as_written"],
        "failure": trial["failure"],
    }


# --- Charts -------------------------------------------------------------------------------------------------------


def _scale(result: Plain) -> float:
    return 100.0 if METRICS[result["metric"]].percent else 1.0


def _values(result: Plain) -> dict[str, Any]:
    percent = METRICS[result["metric"]].percent
    return axis(METRIC_NAMES[result["metric"]], ticksuffix="%" if percent else "", nticks=6)


def _course(result: Plain, known: list[Plain]) -> Figure:
    scale, better = _scale(result), max if METRICS[result["metric"]].greater_is_better else min
    numbers = [trial["number"] for trial in known]
    values = [short(trial["value"] * scale) for trial in known]
    best = [better(v for v in values[: i + 1] if v is not None) for i in range(len(values))]
    dots = {"type": "scatter", "mode": "markers", "x": numbers, "y": values, "marker": {"size": 8, "color": GREY}}
    line = {"type": "scatter", "mode": "lines", "x": numbers, "y": best, "line": {"color": BLUE, "shape": "hv"}}
    return figure_of([line, dots], 340, axis(TUNING["number"], tickformat="d", nticks=10), _values(result))


def _each(result: Plain, known: list[Plain], key: str) -> Figure:
    """The metric against one setting: numbers on their own scale, names side by side."""
    scale, space = _scale(result), result["search"][key]
    chosen = result["best"]["number"]
    dots = {
        "type": "scatter",
        "mode": "markers",
        "y": [short(trial["value"] * scale) for trial in known],
        "marker": {
            "size": [11 if trial["number"] == chosen else 8 for trial in known],
            "color": [ORANGE if trial["number"] == chosen else BLUE for trial in known],
            "opacity": 0.8,
        },
        "customdata": [html.escape(trial["values"][key], quote=False) for trial in known],
        "hovertemplate": "%{customdata}: %{y}<extra></extra>",
    }
    if "values" in space:
        at = {text: i for i, text in enumerate(space["values"])}
        dots["x"] = [at[trial["values"][key]] for trial in known]
        names = [name(text, 16) for text in space["values"]]
        x = axis(tickvals=list(at.values()), ticktext=names, range=[-0.5, len(at) - 0.5])
    else:
        dots["x"] = [float(trial["values"][key]) for trial in known]
        x = axis(nticks=6, tickangle=0, type="log" if space["log"] else "linear")
    return figure_of([dots], 300, x, _values(result))
