"""The section of the report page about a generator: what is on it, in two languages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tuwen.evaluation.samples import of
from tuwen.evaluation.words import Text

TITLE: Text = ("Generator: how good is what it makes?", "生成器：生成的向量有多好？")
WAY: Text = ("Generator", "生成器")
NOTES: dict[str, Text] = {
    "impute": (
        "It fills an input that is absent from those that are there. Judged on rows of the train part that it did not "
        "see. Whether the answers gain from it is a question for a comparison with a run without it.",
        "它由已有的输入补全缺失的输入。以下在它没有见过的训练行上评判。它是否让回答更准，需要与不用它的运行比较。",
    ),
    "augment": (
        "It makes rows of rare classes, which joined the train part. Judged on rows of the train part that it did not "
        "see. Whether the answers gain from it is a question for a comparison with a run without it.",
        "它为稀少的类别生成样本，加入训练集。以下在它没有见过的训练行上评判。它是否让回答更准，需要与不用它的运行比较。",
    ),
}
COMPARED: Text = (
    "Each cell's generator, judged on rows of the train part that it did not see: the mean over all trainings; small "
    "print: the least and the most of a single one. A warning is about the worst of them.",
    "各组合的生成器，在它没有见过的训练行上评判：全部训练的平均值；小字：单次训练的最小与最大值。警告针对其中最差的一次。",
)
MADE: Text = ("Made rows", "生成的行数")
COLUMNS: dict[str, tuple[Text, Text]] = {  # name, and what is good
    "rows": (("Rows", "行数"), ("", "")),
    "two_sample_accuracy": (("Told apart", "可分辨率"), ("50 % is best", "50% 最好")),
    "coverage": (("Coverage", "覆盖率"), ("higher is better", "越高越好")),
    "variance": (("Variance", "方差"), ("100 % of the true is best", "为真实的 100% 最好")),
    "error": (("Error of the filling", "补全误差"), ("the mean has 1", "平均值为 1")),
    "linear": (("Error of a linear guess", "线性猜测的误差"), ("the mean has 1", "平均值为 1")),
}
MEANINGS: tuple[tuple[Text, Text], ...] = (
    (
        COLUMNS["two_sample_accuracy"][0],
        (
            "How often the nearest neighbour of a vector tells whether it is true or made.",
            "一个向量的最近邻有多大比例能说明它是真实的还是生成的。",
        ),
    ),
    (
        COLUMNS["coverage"][0],
        (
            "Share of true vectors that have a made one in their neighbourhood; low where the generator makes the same "
            "few vectors again and again (collapse).",
            "真实向量的邻域内有生成向量的比例；生成器反复生成少数几种向量（坍缩）时会很低。",
        ),
    ),
    (
        COLUMNS["error"][0],
        (
            "Squared error of a filled vector; always filling in the mean has 1. A linear guess needs no generator.",
            "补全向量的平方误差；总填平均值时为 1。线性猜测不需要生成器。",
        ),
    ),
)


def section(report: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the page shows of ``report["generator"]``; None where there is none."""
    account = report.get("generator")
    if account is None:
        return None
    columns = [name for name in COLUMNS if any(name in entry for entry in account["quality"])]
    return {
        "title": TITLE,
        "way": WAY,
        "note": NOTES[account["use"]],
        "warnings": [(said["en"], said["zh"]) for said in account["warnings"]],
        "columns": [COLUMNS[name] for name in columns],
        "rows": [(of(entry), [_cell(name, entry.get(name)) for name in columns]) for entry in account["quality"]],
        "meanings": MEANINGS,
        "made_title": MADE,
        "made": [(name, f"{rows:,}") for name, rows in account["made"].items()],
    }


def compared(cells: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """What the page of a comparison shows of the generators of its cells; None where none has one."""
    made = [(cell["name"], cell["generator"]) for cell in cells if "generator" in cell]
    if not made:
        return None
    columns = [name for name in COLUMNS if any(name in entry for _, one in made for entry in one["quality"])]
    return {
        "title": TITLE,
        "way": WAY,
        "note": COMPARED,
        "columns": [COLUMNS[name] for name in columns],
        "rows": [
            (cell, of(entry), [spread(name, entry) for name in columns])
            for cell, one in made
            for entry in one["quality"]
        ],
        "warnings": [(cell, warned(one, said)) for cell, one in made for said in one["warnings"]],
        "made_title": MADE,
        "made": [(cell, ", ".join(f"{n} {r:,}" for n, r in one["made"].items())) for cell, one in made if one["made"]],
        "meanings": MEANINGS,
    }


def spread(name: str, entry: Mapping[str, Any]) -> tuple[str, str]:
    """The mean over all trainings of a cell, and the least and the most of a single one where they differ."""
    least, most = (_cell(name, entry.get(end, {}).get(name)) for end in ("least", "most"))
    return _cell(name, entry.get(name)), "" if least == most else f"{least.removesuffix(' %')} – {most}"


def warned(account: Mapping[str, Any], said: Mapping[str, str]) -> Text:
    """A warning, and in how many of a cell's trainings there was any."""
    all_of, some = account["trainings"], account["warned"]
    if all_of == 1:
        return said["en"], said["zh"]
    return (
        f"{said['en']} ({some} of {all_of} trainings warned.)",
        f"{said['zh']}（{all_of} 次训练中有 {some} 次警告。）",
    )


def _cell(name: str, value: float | None) -> str:
    if value is None:
        return "–"
    if name == "rows":
        return f"{value:,}"
    return f"{value:.2f}" if name in ("error", "linear") else f"{100 * value:.0f} %"
