"""What the numbers say, in plain sentences: how good, compared with what, and can it be trusted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from tuwen.evaluation.metric_words import METRIC_NAMES
from tuwen.evaluation.metrics import METRICS
from tuwen.evaluation.origin import origin_warnings
from tuwen.evaluation.report import best_baselines, of_all
from tuwen.evaluation.unlearned import unlearned_warning
from tuwen.evaluation.words import LEAKY, SPLITS, Text, baseline_phrase, thing

Plain = Mapping[str, Any]

FEW_ROWS = 200  # below this an accuracy is not known to better than about ±7 points
FEW_CLASS_ROWS = 5
FEW_SLICE_ROWS = 20


class Check(NamedTuple):
    """One line of "can I trust it"."""

    fine: bool
    text: Text


# --- Numbers ------------------------------------------------------------------------------------------------------


def decimals(values: Iterable[float | None], percent: bool = False) -> int:
    """How many decimals numbers get that stand together: as few as there can be without hiding the largest."""
    if percent:
        return 1
    size = max((abs(v) for v in values if v is not None), default=0.0)
    return 0 if size >= 1000 else 1 if size >= 100 else 3 if size >= 0.01 or not size else 4 if size >= 0.0001 else 6


def joint(values: Iterable[float | None], differences: Iterable[float | None], percent: bool = False) -> int:
    """The decimals of values and their differences in one place: those of the differences, but at most one more than
    the values have alone.
    """
    own = decimals(values, percent)
    return min(max(own, decimals(differences, percent)), own + 1)


def number(value: float | None, percent: bool = False, digits: int | None = None) -> str:
    """A number as short as it can be without hiding a difference: ``95.5``, ``0.653``, ``12,345``.

    Args:
        digits: decimals, where it stands beside others.
    """
    if value is None:
        return "–"
    text = f"{100 * value if percent else value:,.{decimals([value], percent) if digits is None else digits}f}"
    return text.removeprefix("-") if text.strip("-0.") == "" else text.replace("-", "−")


def measured(value: float | None, percent: bool, digits: int | None = None) -> Text:
    """A metric's value with its unit."""
    if value is None or not percent:
        text = number(value, digits=digits)
        return (text, text)
    return (f"{number(value, True)} %", f"{number(value, True)}%")


def span(low: float | None, high: float | None, percent: bool = False, digits: int | None = None) -> Text:
    """An interval: ``94.1–96.8``; with words where a minus sign would meet a dash."""
    if low is None or high is None:
        return ("", "")
    shared = decimals([low, high], percent) if digits is None else digits
    left, right = number(low, percent, shared), number(high, percent, shared)
    return (f"{left} to {right}", f"{left} 至 {right}") if low < 0 else (f"{left}–{right}", f"{left}–{right}")


def quantity(key: str, value: Any) -> Text:
    """A cost with the unit that its name ends in."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return (str(value), str(value))
    if key.endswith("_seconds"):
        minutes, seconds = divmod(round(value), 60)
        hours, minutes = divmod(minutes, 60)
        if hours:
            return (f"{hours} h {minutes} min", f"{hours} 小时 {minutes} 分")
        if minutes:
            return (f"{minutes} min {seconds} s", f"{minutes} 分 {seconds} 秒")
        return (f"{value:.3g} s", f"{value:.3g} 秒")
    for ending, unit in (("_ms", "ms"), ("_mb", "MB"), ("_gb", "GB")):
        if key.endswith(ending):
            text = f"{value:,.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"
            return (text, text.replace("ms", "毫秒"))
    text = f"{value:,}" if isinstance(value, int) else number(value)
    return (text, text)


def _amount(value: float, percent: bool, digits: int) -> Text:
    text = number(value, percent, digits)
    return (f"{text} point{'' if text == '1.0' else 's'}", f" {text} 个百分点") if percent else (text, f" {text}")


def stack_sentences(stack: Plain) -> list[Text]:
    """What each modality is worth to ``fusion: auto``, whether one member does alone, and what was corrected."""
    loss = METRIC_NAMES[stack["loss_name"]]
    sentences = [_worth(name, worth, loss) for name, worth in stack["worth"].items()]
    if stack["single"]:
        name = max(stack["members"], key=lambda member: member["weight"])["name"]
        sentences.append(
            (
                f"One member answers alone, {name}: the others together are worth no more than chance.",
                f"只由一个成员作答：{name}；其余成员合起来的贡献不超过偶然。",
            )
        )
    drift = stack.get("drift")
    if drift and drift["shift"]:
        level = f"{drift['level']:+.3g}".replace("-", "−")
        sentences.append(
            (
                f"The newest {drift['rows']:,} rows lie {level} off what the others tell: answers are corrected.",
                f"最新的 {drift['rows']:,} 行与其余各行的水平相差 {level}，答案已据此校正。",
            )
        )
    return sentences


def _worth(name: str, worth: Plain, metric: Text) -> Text:
    english, chinese = thing(name)
    digits = decimals((worth["loss"], worth["error"]))
    loss, error = number(worth["loss"], digits=digits), number(worth["error"], digits=digits)
    if worth["clear"]:
        return (
            f"Without {english} the {metric[0]} would be {loss} (± {error}) larger.",
            f"若没有{chinese}，{metric[1]}会增大 {loss}（± {error}）。",
        )
    size, speed = f"{worth['mb']:.3g}", f"{worth['ms']:.3g}"
    return (
        f"{english[:1].upper()}{english[1:]} is worth nothing clear here: without it the {metric[0]} would be {loss} "
        f"(± {error}) larger. Leaving it out would save {size} MB and {speed} ms a row.",
        f"{chinese}在这里没有明确的价值：没有它时{metric[1]}只增大 {loss}（± {error}）。去掉它可省 {size} MB，"
        f"每行省 {speed} 毫秒。",
    )


# --- Sentences ----------------------------------------------------------------------------------------------------


def lead(report: Plain) -> Text:
    """The whole report in a breath: the headline and the comparison with the strongest baseline."""
    first, then = headline(report), against_best(report)
    return (f"{first[0]} {then[0]}", f"{first[1]}{then[1]}")


def how_good(report: Plain) -> Text:
    """The primary metric as a count of right answers or a typical error."""
    value = report["metrics"][report["primary"]]["value"]
    if report["task"] == "rate":
        error = report["metrics"]["mae"]["value"]
        return (f"An answer is off by {number(error)} on average.", f"回答平均偏差 {number(error)}。")
    if report["task"] == "rank":
        return _hits(report)
    if report["primary"] not in ("accuracy", *_searches(report)) or value is None:
        return ("", "")
    right, out_of = round(100 * value), 100
    if right in (0, 100) and 0 < value < 1:
        right, out_of = round(1000 * value), 1000
    if report["task"] == "contrast":
        english = f"Of {out_of:,} queries, about {right} find their own answer among the first ten."
        return (english, f"每 {out_of} 次查询中约有 {right} 次在前十名内找到自身的答案。")
    return (f"Of {out_of:,} answers, about {right} are right.", f"每 {out_of} 个回答中约有 {right} 个正确。")


def _hits(report: Plain) -> Text:
    depth, share = report["ranking"]["depth"], report["metrics"][f"hit@{report['ranking']['depth']}"]["value"]
    days, hits = f"{report['ranking']['horizon']:g}", round(100 * share)
    return (
        f"Of 100 shoppers who bought something in the next {days} days, about {hits} bought one of the {depth} listed "
        "items.",
        f"在随后 {days} 天内有购买的顾客中，每 100 位约有 {hits} 位买下列表 {depth} 件中的至少一件。",
    )


def _searches(report: Plain) -> list[str]:
    return [metric for metric in report["metrics"] if metric.endswith("recall@10")]


def headline(report: Plain) -> Text:
    """``Accuracy 95.5 % (94.1–96.8).``"""
    metric = METRICS[report["primary"]]
    found = report["metrics"][metric.name]
    digits = decimals((found["value"], found["low"], found["high"]), metric.percent)
    name, value = METRIC_NAMES[metric.name], measured(found["value"], metric.percent, digits)
    inside = span(found["low"], found["high"], metric.percent, digits)
    if not inside[0]:
        return (f"{name[0]} {value[0]}.", f"{name[1]} {value[1]}。")
    return (f"{name[0]} {value[0]} ({inside[0]}).", f"{name[1]} {value[1]}（{inside[1]}）。")


def outcome(comparison: Plain, metric: str) -> str:
    """``better``, ``worse``, or ``unclear`` where the interval holds zero."""
    sign = 1 if METRICS[metric].greater_is_better else -1
    low, high = comparison["low"], comparison["high"]
    if low is None or high is None or low <= 0 <= high:
        return "unclear"
    return "better" if low * sign > 0 else "worse"


def compared(comparison: Plain, metric: str, with_what: Text) -> Text:
    """``Better than text only by 1.2 points (0.3–2.1).``"""
    percent, sign = METRICS[metric].percent, 1 if METRICS[metric].greater_is_better else -1
    verdict = outcome(comparison, metric)
    if comparison["low"] is None:
        return (f"Cannot be compared with {with_what[0]}.", f"无法与“{with_what[1]}”比较。")
    digits = decimals((comparison["difference"], comparison["low"], comparison["high"]), percent)
    gain = comparison["difference"] * sign
    low, high = sorted((comparison["low"] * sign, comparison["high"] * sign))
    if verdict == "unclear":  # neither better nor worse, so the difference is told as the tables tell it
        raw = comparison["difference"]
        inside = span(comparison["low"], comparison["high"], percent, digits)
        amount = _amount(raw, percent, digits)
        plus = "+" if raw > 0 else ""
        return (
            f"No clear difference from {with_what[0]}: {plus}{amount[0]} ({inside[0]}).",
            f"与“{with_what[1]}”没有明显差别：{plus}{amount[1].strip()}（{inside[1]}）。",
        )
    if verdict == "worse":
        gain, low, high = -gain, -high, -low
    inside, amount = span(low, high, percent, digits), _amount(gain, percent, digits)
    word, chinese = ("Better", "好") if verdict == "better" else ("Worse", "差")
    return (
        f"{word} than {with_what[0]} by {amount[0]} ({inside[0]}).",
        f"比“{with_what[1]}”{chinese}{amount[1]}（{inside[1]}）。",
    )


def against_best(report: Plain) -> Text:
    """The comparison with the baseline that is hardest to beat, or with all that are equally hard."""
    best, primary = best_baselines(report), report["primary"]
    if not best:
        return ("There is no baseline to compare with.", "没有可比较的基线。")
    english, chinese = zip(*map(baseline_phrase, best), strict=True)
    listed = " and ".join(filter(None, (", ".join(english[:-1]), english[-1])))
    return compared(of_all([report["comparisons"][b][primary] for b in best]), primary, (listed, "”和“".join(chinese)))


def standing(report: Plain) -> tuple[str, Text]:
    """``better`` than every baseline, ``worse`` than one, or ``unclear``; and the sentence that says so."""
    primary = report["primary"]
    outcomes = {name: outcome(c[primary], primary) for name, c in report["comparisons"].items()}
    for kind, english, chinese in (
        ("worse", "Worse than", "不如"),
        ("unclear", "Not clearly better than", "并不明显优于"),
    ):
        phrases = [baseline_phrase(name) for name, found in outcomes.items() if found == kind]
        if phrases:
            sides = " or ".join(p[0] for p in phrases), "、".join(p[1] for p in phrases)
            return kind, (f"{english} {sides[0]}.", f"{chinese}：{sides[1]}。")
    if not outcomes:
        return "unclear", ("There is no baseline to compare with.", "没有可比较的基线。")
    many = len(outcomes)
    if is_leaky(report):
        return "unclear", (
            "Better than its baselines, on rows from which a leak gives the answers away.",
            "优于基线，但测试数据存在泄漏，答案可能因此已知。",
        )
    if many == 1:
        return "better", ("Clearly better than its baseline.", "明显优于基线。")
    return "better", (f"Clearly better than all {many} baselines.", f"明显优于全部 {many} 个基线。")


def checks(report: Plain) -> list[Check]:
    """What speaks for these numbers and what does not."""
    leaks = report.get("leaks", ())  # an earlier report has none
    told = [leak for leak in leaks if not leak.get("scores", {}).get("harmless")]  # the section tells the others
    found = [Check(False, (leak["en"], leak["zh"])) for leak in told]
    found += [Check(False, text) for text in origin_warnings(report["provenance"])]
    notes = report.get("search", {}).get("notes", {})
    found += [Check(name != "defaults", (note["en"], note["zh"])) for name, note in notes.items()]
    found += [Check(False, (said["en"], said["zh"])) for said in report.get("generator", {}).get("warnings", ())]
    found += [_rows(report), _split(report), *([_calibrated(report)] if report["calibration"] else [])]
    found += [check for check in (_unseen(report), _rare(report), _weakest(report)) if check]
    return [_leaky(check) if check.fine else check for check in found] if is_leaky(report) else found


def is_leaky(report: Plain) -> bool:
    """Whether a leak can explain the score: then nothing that is said of it is in order."""
    return any(leak["severe"] for leak in report.get("leaks", ()))


def _leaky(check: Check) -> Check:
    english, chinese = check.text
    return Check(
        False, (f"{english} With the leak above that says little.", f"{chinese}但存在上述泄漏，这说明不了什么。")
    )


def _rows(report: Plain) -> Check:
    rows = report["rows"]
    if rows < FEW_ROWS:
        return Check(False, (f"Only {rows} test rows: the ranges are wide.", f"测试数据仅 {rows} 行，区间较宽。"))
    return Check(True, (f"Measured on {rows:,} rows that training never saw.", f"在训练从未见过的 {rows:,} 行上测得。"))


def _split(report: Plain) -> Check:
    kind = report["split"]
    how = SPLITS.get(kind, (kind, kind))
    return Check(kind not in LEAKY, (f"Test part: {how[0]}.", f"测试集：{how[1]}。"))


def _calibrated(report: Plain) -> Check:
    found = report["calibration"]
    over = found["over"]
    if found["kind"] == "value":
        spread = report["metrics"]["rmse"]["value"] or 0.0
        if abs(over) <= 0.1 * spread:
            return Check(True, ("It leans neither high nor low.", "总体上既不偏高也不偏低。"))
        amount = number(abs(over))
        text = (
            f"On average it answers {amount} too {'high' if over > 0 else 'low'}.",
            f"平均偏{'高' if over > 0 else '低'} {amount}。",
        )
        return Check(False, text)
    gap = 100 * found["error"]
    if gap <= 5:
        text = (
            f"Its stated confidence is off by {gap:.1f} points on average.",
            f"它给出的把握平均只差 {gap:.1f} 个百分点。",
        )
        return Check(True, text)
    lean, zh_lean = ("too sure", "过于自信") if over > 0 else ("too cautious", "过于谨慎")
    text = (
        f"Its probabilities are {lean}: off by {gap:.1f} points on average.",
        f"它给出的概率{zh_lean}：平均差 {gap:.1f} 个百分点。",
    )
    return Check(False, text)


def _unseen(report: Plain) -> Check | None:
    accuracy = report["metrics"].get("accuracy", {}).get("value")
    text = unlearned_warning(report["unseen"], report["rows"], accuracy)
    return None if text is None else Check(False, text)


def _rare(report: Plain) -> Check | None:
    if report["task"] != "classify":
        return None
    classes = report["confusion"]["classes"]
    rare = sum(c["rows"] < FEW_CLASS_ROWS for c in classes)
    if not rare:
        return None
    text = (
        f"{rare} of {len(classes)} classes have fewer than {FEW_CLASS_ROWS} test rows: judge them, and macro averages, "
        "with care.",
        f"{len(classes)} 个类别中有 {rare} 个测试行数不足 {FEW_CLASS_ROWS}：其单独的数字和宏平均仅供参考。",
    )
    return Check(False, text)


def _weakest(report: Plain) -> Check | None:
    """The slice that is clearly worse than the whole, if there is one."""
    metric = METRICS[report["primary"]]
    overall = report["metrics"][metric.name]["value"]
    sign = 1 if metric.greater_is_better else -1
    weak = []
    for name, values in report["slices"].items():
        for one in values:
            found = one["metrics"].get(metric.name)
            if not found or found["low"] is None or one["rows"] < FEW_SLICE_ROWS:
                continue
            best_case = found["high"] if metric.greater_is_better else found["low"]
            if best_case * sign < overall * sign:
                weak.append((found["value"] * sign, name, one))
    if not weak:
        return None
    _, name, one = min(weak, key=lambda w: w[0])
    (part, part_zh), (value, value_zh) = thing(name), thing(one["value"])
    score, score_zh = measured(one["metrics"][metric.name]["value"], metric.percent)
    title = METRIC_NAMES[metric.name]
    text = (
        f"Weaker where {part} is “{value}”: {title[0]} {score} ({one['rows']:,} rows).",
        f"在“{part_zh}：{value_zh}”上较弱：{title[1]} {score_zh}（{one['rows']:,} 行）。",
    )
    return Check(False, text)
