"""Test rows of classes that the model never learned: it cannot be right there, and somebody must say so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from tuwen.evaluation.predictions import Predictions
from tuwen.evaluation.words import Text

NAMED = 5  # classes, those with the most rows
LONGEST = 40  # characters of a name


def unlearned(predictions: Predictions) -> Counter[str]:
    """Class → test rows, for every class of the truth that is not one of the classes the model can answer."""
    if predictions.task != "classify":
        return Counter()
    targets = predictions.frame["target"]
    return Counter(targets.filter(~targets.is_in(list(predictions.classes))).to_list())


def counted(found: Mapping[str, int]) -> dict[str, Any]:
    """What report.json keeps: ``classes`` and ``rows`` are counts, ``names`` the classes with the most rows."""
    names = sorted(found, key=lambda name: (-found[name], name))[:NAMED]
    return {"classes": len(found), "rows": sum(found.values()), "names": names}


def unlearned_warning(unseen: Mapping[str, Any], rows: int, accuracy: float | None) -> Text | None:
    """How many test rows those are, of which classes, how good the model is on the others, and what to do.

    Args:
        unseen: what :func:`counted` made.
        rows: of the test part.
        accuracy: on all of them, the share of right answers.
    """
    lost, classes = unseen["rows"], unseen["classes"]
    if not lost:
        return None
    more = classes - len(unseen["names"])
    names = [f"“{_short(name)}”" for name in unseen["names"]]
    english = ", ".join(names) + (f" and {more:,} more" if more else "")
    chinese = "、".join(names) + (f"等 {classes:,} 个" if more else "")
    of = "a class" if classes == 1 else f"{classes:,} classes"
    if lost == rows:
        return (
            f"None of the {rows:,} test rows belongs to a class that it learned ({english}): these figures say nothing "
            "about how good it is. Train again, on data or with a split in which these classes are in the train part.",
            f"{rows:,} 行测试数据中没有一行属于它学过的类别（{chinese}）：这些数字不能说明模型的好坏。"
            "请改用训练集包含这些类别的数据或划分方式，重新训练。",
        )
    rest = rows - lost
    verbs = ("belongs", "counts") if lost == 1 else ("belong", "count")
    known = None if accuracy is None else f"{100 * accuracy * rows / rest:.1f}"
    right = "" if known is None else f"; of the other {rest:,} rows, {known} % are answered correctly"
    right_zh = "" if known is None else f"；其余 {rest:,} 行答对 {known}%"
    return (
        f"{lost:,} of {rows:,} test rows {verbs[0]} to {of} that it never learned ({english}) and {verbs[1]} as wrong"
        f"{right}. To have them answered, train again, on data or with a split in which these classes are in the train "
        "part.",
        f"{rows:,} 行测试数据中有 {lost:,} 行属于它从未学过的 {classes:,} 个类别（{chinese}），均计为答错{right_zh}。"
        "若要模型会答，请改用训练集包含这些类别的数据或划分方式，重新训练。",
    )


def _short(name: str) -> str:
    """On one line, and not too long for a sentence."""
    line = " ".join(name.split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"
