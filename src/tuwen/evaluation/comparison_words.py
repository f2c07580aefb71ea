"""The words of the comparison page, English and Chinese side by side, and what its numbers say in sentences."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from tuwen.evaluation.metric_words import METRIC_NAMES
from tuwen.evaluation.metrics import METRICS
from tuwen.evaluation.unlearned import unlearned_warning
from tuwen.evaluation.verdict import FEW_ROWS, Check, decimals, measured, outcome, span
from tuwen.evaluation.words import SPLITS, WORDS, Text, thing

Plain = Mapping[str, Any]

FEW_SEEDS = 3

COMPARISON: dict[str, Text] = {
    "title": ("Comparison", "对比实验"),
    "what": ("What was compared?", "比较了什么？"),
    "title_one": ("Several seeds", "多种子训练"),
    "what_one": ("What was trained?", "训练了什么？"),
    "one_run": ("Run", "运行"),
    "by_seed": ("By seed", "各种子的结果"),
    "cells_one": ("All metrics", "全部指标"),
    "cells_note_one": (
        "Large dot: mean over the seeds. Line: interval, for other test rows and other seeds. Small dots: each seed.",
        "大圆点：各种子的平均值。线段：区间，兼顾换一批测试行与换种子。小点：每个种子。",
    ),
    "cost_one": ("Cost", "成本"),
    "against": ("Against the reference", "与参照相比"),
    "cells": ("All cells", "全部组合"),
    "cells_note": (
        "Large dot: mean over the seeds. Line: interval, for other test rows and other seeds. Small dots: each seed. "
        "Dotted: the reference.",
        "大圆点：各种子的平均值。线段：区间，兼顾换一批测试行与换种子。小点：每个种子。虚线：参照。",
    ),
    "cell": ("Cell", "组合"),
    "reference": ("reference", "参照"),
    "table_note": (
        "Mean over seeds; small print: interval, and ± the standard deviation over seeds.",
        "各种子的平均值；小字：区间，以及各种子间的标准差（±）。",
    ),
    "differences": ("Difference to the reference", "与参照的差值"),
    "differences_note": (
        "Paired: the same test rows and the same seeds in every resample. A difference is clear where p is at most "
        "{level}.",
        "配对比较：每次重抽样使用相同的测试行与相同的种子。p 不超过 {level} 才算明显。",
    ),
    "holm": (
        "p is corrected for {count} comparisons (Holm), so a difference can be unclear though its own interval leaves "
        "out zero.",
        "p 已按 {count} 次比较校正（Holm），因此区间不含零的差别也可能不明显。",
    ),
    "cost": ("Cost and score", "成本与得分"),
    "cost_note": (
        "Training seconds of one seed (all folds), on a log scale. Numbers are the cells of the table.",
        "单个种子（含全部折）的训练秒数，对数刻度。编号对应表中的组合。",
    ),
    "train_seconds": ("Training, seconds", "训练秒数"),
    "latency_note": (
        "The time of an answer was measured once, while the machine may have done other work: small differences mean "
        "little.",
        "回答耗时仅测量一次，当时机器可能正在运行其他任务：细微差别意义不大。",
    ),
    "missing": ("When an input is missing", "缺少某种输入时"),
    "missing_note": (
        "The same trained models, asked again with an input taken away: from a fixed half of the test rows (chosen by "
        "a hash of the row), and from all. Small print: what that costs, and its interval.",
        "同一批训练好的模型，去掉一种输入后重新作答：固定的一半测试行（按行的哈希选取），以及全部测试行。小字：损失及其区间。",
    ),
    "complete": ("nothing missing", "无缺失"),
    "half": ("half without {what}", "一半缺{what}"),
    "all": ("all without {what}", "全部缺{what}"),
    "unread": ("not read", "不使用"),
    "failures": ("What failed", "失败的组合"),
    "failures_note": (
        "These cells have no numbers; the others are not affected. The same command tries them again.",
        "以下组合没有结果，其他组合不受影响。再次运行同一命令会重试。",
    ),
    "why": ("Why", "原因"),
    "seed": ("Seed", "种子"),
    "varied": ("Varied", "变化的设置"),
    "kept": ("kept from the run", "沿用原设置"),
    "settings": ("Settings and origin", "设置与来源"),
    "notes": ("Settings that change nothing, or less than they seem", "不起作用或作用有限的设置"),
    "seeds": ("Seeds", "种子"),
    "how": (
        "Intervals: {samples} bootstrap resamples, seed {seed}. Each draws {unit} with replacement, all seeds' answers "
        "to a row held together, and, crossed with that, the seeds with replacement; a metric is the mean over the "
        "drawn seeds of its value on the drawn rows.",
        "区间：{samples} 次自助重抽样，种子 {seed}。每次有放回地抽取{unit}（同一行上各种子的回答始终在一起），"
        "并交叉地有放回抽取种子；指标为所抽种子在所抽行上取值的平均。",
    ),
    "how_one": (
        "Intervals: {samples} bootstrap resamples of {unit}, seed {seed}. With one seed they say nothing about "
        "other seeds.",
        "区间：按{unit}做 {samples} 次自助重抽样，种子 {seed}。只有一个种子：区间不反映换种子的影响。",
    ),
    "unit_rows": ("the test rows", "测试行"),
    "unit_groups": ("{groups} groups of test rows", " {groups} 组测试行"),
    "one_cell": ("1 cell", "1 个组合"),
    "cells_count": ("{count} cells", "{count} 个组合"),
    "seeds_count": ("{count} seeds", "{count} 个种子"),
    "one_seed": ("1 seed", "1 个种子"),
    "folds_count": ("{count} folds", "{count} 折"),
    "points": ("points", "百分点"),
    "loses": ("loses", "损失"),
    "more_cells": ("and {count} more below", "其余 {count} 个见下"),
}


def words(key: str) -> Text:
    """The words for a key of this page, or of every page."""
    return COMPARISON.get(key) or WORDS[key]


def others(result: Plain) -> list[Plain]:
    """The cells that are compared with the reference."""
    return [cell for cell in result["cells"] if cell["name"] != result["reference"] and cell["difference"]]


def alone(result: Plain) -> bool:
    """Whether there is one cell only, of those that failed too."""
    names = {cell["name"] for cell in result["cells"]} | {one["cell"] for one in result["failures"]}
    return names <= {result["reference"]}


def level(result: Plain) -> float:
    """The largest p of a clear difference."""
    return float(round(1 - result["bootstrap"]["confidence"], 9))


def decided(result: Plain, difference: Plain, metric: str) -> str:
    """``better`` or ``worse`` where the p that is corrected for all comparisons says so, else ``unclear``."""
    p = difference["p_holm"]
    return "unclear" if p is None or p > level(result) else outcome(difference, metric)


def lead(result: Plain) -> Text:
    """How many cells are better or worse than the reference; of one cell how good it is, over its seeds."""
    primary, reference = result["primary"], result["reference"]
    outcomes = [decided(result, cell["difference"][primary], primary) for cell in others(result)]
    if not outcomes:
        if any(cell["name"] == reference for cell in result["cells"]):
            return (
                _of_one(result)
                if alone(result)
                else ("There is one cell, and nothing to compare it with.", "只有一个组合，没有可比较的对象。")
            )
        return (
            f"The reference, {reference}, has no numbers: see below what failed.",
            f"参照“{reference}”没有结果：失败原因见下文。",
        )
    counts = {kind: outcomes.count(kind) for kind in ("better", "worse", "unclear")}
    english = {"better": "clearly better", "worse": "clearly worse", "unclear": "not clearly different"}
    chinese = {"better": "明显更好", "worse": "明显更差", "unclear": "差别不明显"}
    told = [kind for kind in counts if counts[kind]]
    return (
        f"Compared with {reference}: " + ", ".join(f"{counts[kind]} {english[kind]}" for kind in told) + ".",
        f"与“{reference}”相比：" + "，".join(f"{counts[kind]} 个{chinese[kind]}" for kind in told) + "。",
    )


def _of_one(result: Plain) -> Text:
    """What the seeds of one cell say together, and how far apart they are."""
    (cell,) = (one for one in result["cells"] if one["name"] == result["reference"])
    metric, found = METRICS[result["primary"]], cell["metrics"][result["primary"]]
    values = [value for value in found["seeds"] if value is not None]
    digits = decimals([found["value"], *values], metric.percent)
    (english, chinese), value = METRIC_NAMES[metric.name], measured(found["value"], metric.percent, digits)
    inside = span(found["low"], found["high"], metric.percent, digits)
    inside = (f" ({inside[0]})", f"（{inside[1]}）") if inside[0] else ("", "")
    if len(values) < 2:
        return (f"{english} {value[0]}{inside[0]}, of one seed.", f"{chinese} {value[1]}{inside[1]}，仅一个种子。")
    least, most = (measured(end(values), metric.percent, digits) for end in (min, max))
    return (
        f"{english} {value[0]}{inside[0]}, the mean over {len(values)} seeds; by seed {least[0]} to {most[0]}.",
        f"{chinese} {value[1]}{inside[1]}，{len(values)} 个种子的平均；各种子为 {least[1]} 至 {most[1]}。",
    )


def checks(result: Plain) -> list[Check]:
    """What speaks for these numbers, and what a reader must not do with them."""
    rows, seeds, split = result["rows"], len(result["seeds"]), result["split"]
    found = []
    if rows < FEW_ROWS:
        found.append(
            Check(False, (f"Only {rows} test rows: the ranges are wide.", f"测试数据仅 {rows} 行，区间较宽。"))
        )
    else:
        text = (f"The same {rows:,} test rows for every cell.", f"所有组合使用相同的 {rows:,} 行测试数据。")
        if alone(result):
            text = (f"The same {rows:,} test rows for every seed.", f"所有种子使用相同的 {rows:,} 行测试数据。")
        found.append(Check(True, text))
    if seeds < FEW_SEEDS:
        text = (
            f"Only {seeds} seed{'' if seeds == 1 else 's'}: how much the seed matters is not known well.",
            f"仅 {seeds} 个种子：种子的影响尚不清楚。",
        )
        found.append(Check(False, text))
    else:
        text = (f"Every cell trained with {seeds} seeds.", f"每个组合都用 {seeds} 个种子训练。")
        if alone(result):
            text = (f"Trained with {seeds} seeds.", f"用 {seeds} 个种子训练。")
        found.append(Check(True, text))
    how = SPLITS.get(split, (split, split))
    found.append(Check(split != "random", (f"Test part: {how[0]}.", f"测试集：{how[1]}。")))
    found += [Check(False, lost)] if (lost := never_learned(result)) else []
    found += [check] if (check := too_few_samples(result)) else []
    if len(others(result)) > 1:
        text = (
            "The best of many cells looks a little better than it is. To choose settings, use the validation part: "
            "tuwen tune.",
            "众多组合中的最佳者看起来会比实际略好。要选择设置，请使用验证集：tuwen tune。",
        )
        found.append(Check(False, text))
    if result["failures"]:
        failed = len({one["cell"] for one in result["failures"]})
        found.append(Check(False, (f"{failed} of the cells failed: see below.", f"有 {failed} 个组合失败：见下文。")))
    return found


def never_learned(result: Plain) -> Text | None:
    """Test rows of classes that were in no row a cell was trained on: of the cell that has most of them."""
    cells = result["cells"]
    most = max(cells, key=lambda cell: int(cell["unseen"]["rows"]))
    text = unlearned_warning(most["unseen"], result["rows"], most["metrics"].get("accuracy", {}).get("value"))
    if text is None or all(cell["unseen"] == most["unseen"] for cell in cells):
        return text
    return f"{most['name']}: {text[0]}", f"{most['name']}：{text[1]}"


def noted(notes: Iterable[Plain], cells: int) -> list[str]:
    """What is told of settings without effect: each once, with the cells that carry it.

    Args:
        cells: how many were to be trained.
    """
    carried = {one["note"]: "every cell" if len(one["cells"]) == cells else ", ".join(one["cells"]) for one in notes}
    return [f"note: {note} (in {where})" for note, where in carried.items()]


def too_few_samples(result: Plain) -> Check | None:
    """A p is never below 2 / (samples + 1): whether that, corrected, leaves any difference a chance to be clear."""
    samples, count, most = result["bootstrap"]["samples"], len(others(result)), level(result)
    least = 2 / (samples + 1) * count
    if least <= most:
        return None
    lowest = f"{min(1.0, least):.2g}"
    needed = math.ceil(round(2 * count / most - 1, 6))
    what = "1 comparison" if count == 1 else f"{count} comparisons"
    text = (
        f"No difference can be clear here: with {samples:,} resamples and {what} no corrected p is below "
        f"{lowest}. Raise evaluation.samples to {needed:,} or more; finished trainings are not done again.",
        f"此处任何差别都不可能明显：{samples:,} 次重抽样、{count} 次比较，校正后的 p 不会低于 {lowest}。"
        f"请将 evaluation.samples 提高到至少 {needed:,}；已完成的训练不会重做。",
    )
    return Check(False, text)


def kind_phrase(key: str, kind: str) -> Text:
    """``half without text``."""
    name, text = thing(kind), COMPARISON[key]
    return text[0].format(what=name[0]), text[1].format(what=name[1])
