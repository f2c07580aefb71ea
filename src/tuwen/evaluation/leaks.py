"""Leaks: what the test part shares with the train part, or an input with the target, so that a score says too much.

A leak is found in the rows (:mod:`tuwen.workflow.leaks`); here it gets its share, its sentence and its weight.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from tuwen.evaluation.metric_words import METRIC_NAMES
from tuwen.evaluation.metrics import METRICS, Scored
from tuwen.evaluation.predictions import Predictions
from tuwen.evaluation.verdict import measured
from tuwen.evaluation.words import Text

Kind = Literal[
    "equal_text",
    "near_text",
    "equal_picture",
    "near_picture",
    "equal_row",
    "group",
    "giveaway",
    "text_giveaway",
    "target_missing",
    "target_single",
    "time_missing",
    "few_groups",
    "constant_input",
    "absent_input",
]
ACROSS: tuple[Kind, ...] = ("equal_text", "near_text", "equal_picture", "near_picture", "equal_row", "group")
ALWAYS: tuple[Kind, ...] = ("giveaway", "text_giveaway")

SEVERE = 0.1  # share of the test rows from which a leak can explain a score, where the score is worse on the others
UNSCORED = 0.2  # the same share where nothing shows what the score is on the others
DATELESS = 0.5  # share of rows without a date from which a cut in time means little
ENOUGH = 20  # rows without the leak that show what the score is there
WORSE = 1.1  # times the error of the whole that the rows without the leak may have, for the leak to explain nothing
SHOWN = 60  # characters of a content


@dataclass(frozen=True)
class Leak:
    """One leak.

    Attributes:
        column: of a dataset; several are joined by " + ".
        rows, of: how many rows it touches, and of how many.
        example: ``row`` and ``content``, and where there is one ``other`` and ``other_content``: the row of the train
            part that it is alike to, or the target that the content gives away.
        detail: numbers of the sentence: ``score`` and ``metric``, ``groups``, ``effect``, ``target``, …
        touched: keys of the test rows, where it is about some of them.
        scores: the primary metric on the test rows that it touches and on the others, once there are answers.
    """

    kind: Kind
    column: str
    rows: int
    of: int
    example: Mapping[str, str] = field(default_factory=dict)
    detail: Mapping[str, Any] = field(default_factory=dict)
    touched: frozenset[str] = frozenset()
    scores: Mapping[str, Any] = field(default_factory=dict)

    @property
    def share(self) -> float:
        return self.rows / max(self.of, 1)

    @property
    def severe(self) -> bool:
        """Whether it can explain the score, so that nothing about the score is in order."""
        if self.kind in ALWAYS:
            return True
        if self.kind == "time_missing":
            return self.share >= DATELESS
        if self.kind not in ACROSS or self.scores.get("harmless", False):
            return False
        return self.share >= (SEVERE if self.scores else UNSCORED)

    @property
    def text(self) -> Text:
        """What it is, its share, an example, and what to do."""
        english, chinese = SENTENCES[self.kind]
        known = {"column": self.column, "rows": f"{self.rows:,}", "of": f"{self.of:,}", "share": _share(self.share)}
        known |= {name: _spelt(value) for name, value in self.detail.items()}
        known_zh = known | ({"share": "全部"} if self.rows == self.of else {})
        shown, shown_zh = self._example()
        scored, scored_zh = self._scored()
        todo = TODO.get(self.kind, ("", ""))
        return (
            f"{english.format(**known)}{shown}.{scored}{todo[0].format(**known)}",
            f"{chinese.format(**known_zh)}{shown_zh}。{scored_zh}{todo[1].format(**known_zh)}",
        )

    def plain(self) -> dict[str, Any]:
        """As report.json and ``check --json`` have it."""
        english, chinese = self.text
        return {
            **{name: getattr(self, name) for name in ("kind", "column", "rows", "of", "share", "severe")},
            "example": dict(self.example),
            **({"detail": dict(self.detail)} if self.detail else {}),
            **({"scores": dict(self.scores)} if self.scores else {}),
            "en": english,
            "zh": chinese,
        }

    def _example(self) -> Text:
        if not self.example:
            return "", ""
        row, content = self.example["row"], self.example["content"]
        if not content:
            return f", as row {row}", f"，例如 {row} 行"
        if self.kind in ALWAYS:
            other = self.example["other"]
            return f", as in row {row}: “{content}”, target {other}", f"，例如第 {row} 行：“{content}”，目标为 {other}"
        if "other" not in self.example:
            return f", as in row {row}: “{content}”", f"，例如 {row} 行：“{content}”"
        other, theirs = self.example["other"], self.example["other_content"]
        if theirs == content:
            return f": rows {row} and {other}, “{content}”", f"：例如 {row} 与 {other} 两行，“{content}”"
        return f": row {row}, “{content}”, and row {other}, “{theirs}”", (
            f"：例如 {row} 行“{content}”与 {other} 行“{theirs}”"
        )

    def _scored(self) -> Text:
        if not self.scores:
            return "", ""
        metric = METRICS[self.scores["metric"]]
        name = METRIC_NAMES[metric.name]
        on, off = (measured(self.scores[side], metric.percent) for side in ("touched", "others"))
        return (
            f" On these rows {_lower(name[0])} is {on[0]}, on the others {off[0]}.",
            f"这些行的{name[1]}为 {on[1]}，其余行为 {off[1]}。",
        )


SENTENCES: dict[Kind, Text] = {
    "equal_text": (
        "{rows} of {of} test rows ({share}) have a text ({column}) that also stands in the train part",
        "{of} 行测试数据中有 {rows} 行（{share}）的文字（{column}）也出现在训练集中",
    ),
    "near_text": (
        "{rows} of {of} test rows ({share}) have nearly the same text ({column}) as a row of the train part",
        "{of} 行测试数据中有 {rows} 行（{share}）的文字（{column}）与训练集中的某行几乎相同",
    ),
    "equal_picture": (
        "{rows} of {of} test rows ({share}) have a picture ({column}) that also stands in the train part",
        "{of} 行测试数据中有 {rows} 行（{share}）的图片（{column}）也出现在训练集中",
    ),
    "near_picture": (
        "{rows} of {of} test rows ({share}) have a picture ({column}) that looks the same as one of the train part",
        "{of} 行测试数据中有 {rows} 行（{share}）的图片（{column}）与训练集中的某张看起来相同",
    ),
    "equal_row": (
        "{rows} of {of} test rows ({share}) have the same value in every input ({column}) as a row of the train part",
        "{of} 行测试数据中有 {rows} 行（{share}）的所有输入（{column}）与训练集中的某行相同",
    ),
    "group": (
        "{rows} of {of} test rows ({share}) share their '{column}' with rows of the train part, and rows that share it "
        "have the same '{target}' ({agreement} of the differences are gone)",
        "{of} 行测试数据中有 {rows} 行（{share}）的“{column}”在训练集中也有，而“{column}”相同的行“{target}”也相同"
        "（差异消除了 {agreement}）",
    ),
    "giveaway": (
        "'{column}' alone gives '{target}' away: {metric} {score} on {of} test rows",
        "仅凭“{column}”即可得知“{target}”：在 {of} 行测试数据上 {metric} 为 {score}",
    ),
    "text_giveaway": (
        "The text ({column}) contains the value of '{target}' in {rows} of {of} rows ({share})",
        "文字（{column}）在 {of} 行中的 {rows} 行（{share}）含有“{target}”的值",
    ),
    "target_missing": (
        "{rows} of {of} rows ({share}) have no '{column}' and are left out: what is left may be unlike them",
        "{of} 行中有 {rows} 行（{share}）没有“{column}”，已被排除：剩下的行未必与它们相似",
    ),
    "target_single": (
        "{rows} of {of} classes of '{column}' have one row, so each is never learned or never tested",
        "“{column}”的 {of} 个类别中有 {rows} 个只有一行，因此要么学不到，要么测不到",
    ),
    "time_missing": (
        "{rows} of {of} rows ({share}) have no '{column}'; they are all in the train part, and the cut in time divides "
        "the other {dated}: {train} train, {validation} validate, {test} test",
        "{of} 行中有 {rows} 行（{share}）没有“{column}”，全部归入训练集；时间切分只划分其余 {dated} 行："
        "训练 {train}、验证 {validation}、测试 {test}",
    ),
    "few_groups": (
        "The {of} test rows have {groups} different values of '{column}', and targets of rows that share one are alike "
        "(design effect {effect}): they may count as {groups} groups only. Where the errors are alike too, the "
        "intervals of evaluate draw whole groups",
        "{of} 行测试数据只有 {groups} 个不同的“{column}”，同一取值的行目标彼此相似（设计效应 {effect}）："
        "可能只相当于 {groups} 组。若误差也相似，评估的区间按整组抽样",
    ),
    "constant_input": (
        "The {word} ({column}) is the same in {rows} of {of} train rows ({share}): it can tell nothing apart",
        "训练集 {of} 行中有 {rows} 行（{share}）的{word_zh}（{column}）相同：无法据此区分任何内容",
    ),
    "absent_input": (
        "No train row has a {word} ({column}), so nothing is learned of it, and it is left out where a row brings one",
        "训练集中没有一行有{word_zh}（{column}），因此学不到任何内容；之后带有它的行也会忽略它",
    ),
}
TODO: dict[Kind, Text] = {
    "group": (
        " To keep them on one side: content: [{column}] with split: hash.",
        "若要让它们在同一侧：content: [{column}]，split: hash。",
    ),
    "giveaway": (
        " Take the column out of the inputs, unless it is known before the target.",
        "若该列并非先于目标可知，请从输入中去掉。",
    ),
    "text_giveaway": (
        " Take it out of the text, unless it is known before the target.",
        "若它并非先于目标可知，请从文字中去掉。",
    ),
    "time_missing": (
        " Leave them out with rows.where, or use split: hash.",
        "可用 rows.where 排除这些行，或改用 split: hash。",
    ),
}


def merged(folds: Iterable[Sequence[Leak]], tested: int) -> list[Leak]:
    """The leaks of several folds as one list: rows add up, the example is that of the first fold that has one.

    Args:
        tested: test rows of all folds.
    """
    found: dict[tuple[str, str], Leak] = {}
    for leak in (leak for fold in folds for leak in fold):
        key = leak.kind, leak.column
        if key not in found:
            found[key] = leak
        elif leak.kind in ACROSS or leak.kind in ALWAYS:
            first = found[key]
            rows, of = first.rows + leak.rows, first.of + leak.of
            found[key] = replace(first, rows=rows, of=of, touched=first.touched | leak.touched)
    whole = [replace(leak, of=tested) if leak.kind in ACROSS else leak for leak in found.values()]
    return sorted(whole, key=lambda leak: (not leak.severe, -leak.share))


def scored(leak: Leak, predictions: Predictions, primary: str) -> Leak:
    """The leak with the score on the test rows that it touches, and on the others."""
    touched = predictions.frame["row"].is_in(list(leak.touched)).to_numpy()
    if not leak.touched or not touched.any() or (~touched).sum() < ENOUGH:
        return leak
    sides = {"touched": predictions.take(touched), "others": predictions.take(~touched), "all": predictions}
    metric = METRICS[primary]
    values = {side: float(metric.measure(Scored(some).everything)[0]) for side, some in sides.items()}
    if metric.greater_is_better:
        harmless = 1 - values["others"] <= WORSE * (1 - values["all"])
    else:
        harmless = values["others"] <= WORSE * values["all"]
    return replace(leak, scores={"metric": primary, **values, "harmless": harmless})


def beginning(text: object) -> str:
    """The start of a content, on one line."""
    line = " ".join(str(text).split())
    return line if len(line) <= SHOWN else f"{line[: SHOWN - 1]}…"


def _share(share: float) -> str:
    return "all" if share == 1 else f"{100 * share:.1f} %" if share < 0.995 else f"{100 * share:.2f} %"


def _spelt(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}" if isinstance(value, float) else str(value)


def _lower(name: str) -> str:
    """Inside a sentence; RMSE stays."""
    return name if name[:2].isupper() else name[:1].lower() + name[1:]
