"""The model card: what a bundle is, reads, answers, how good it is and where not to trust it, in two languages.

After M. Mitchell et al., "Model Cards for Model Reporting" (2019).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

ANSWERS = {
    "rate": ("a number", "一个数值"),
    "binary": ("yes or no, and its probability", "是或否，及其概率"),
    "contrast": ("with an embedding of each side of a row", "每一侧内容各一个向量"),
    "classify": ("one of {n} classes, and the probability of each", "{n} 个类别之一，及各类概率"),
}

USE = """\
```bash
tuwen predict BUNDLE FILE      # CSV, JSONL or Parquet · 支持 CSV、JSONL、Parquet
tuwen serve BUNDLE             # http://127.0.0.1:8000
```"""

LIMITS = (
    (
        "It learned from one shop's past. About other goods, languages or times it still answers, only worse.",
        "它只学过这家店的过去。换了商品、语言或时间，它仍会作答，只是更不准。",
    ),
    (
        "A missing picture or text counts as absent; the answer then rests on what is left.",
        "缺少图片或文字时按缺失处理，答案只依据其余输入。",
    ),
    (
        "It repeats the tastes and prejudices of those who wrote the data. Do not use it to judge people.",
        "它会重复数据作者的喜好与偏见，请勿用来评判人。",
    ),
)


def card(manifest: Mapping[str, Any], report: Mapping[str, Any] | None = None) -> str:
    """The model card as Markdown.

    Args:
        manifest: the content of bundle.json.
        report: the content of report.json; without it the card says that the bundle has not been evaluated.
    """
    task = str(manifest["task"])
    classes = len(manifest.get("target", {}).get("classes", ()))
    english, chinese = (text.format(n=classes) for text in ANSWERS[task])
    parts = [
        f"# {manifest['name']}",
        f"**Answers** {english}. **回答**：{chinese}。",
        *_target(manifest),
        "## What it reads · 输入",
        _inputs(manifest["architecture"]),
        "## How it learned · 训练",
        _training(manifest),
        "## How good it is · 效果",
        *(_results(report) if report else [_NOT_YET]),
        "## Where not to trust it · 局限",
        "\n".join(f"- {en}\n  {zh}" for en, zh in LIMITS),
        "## How to use it · 用法",
        USE,
    ]
    return "\n\n".join(parts) + "\n"


_NOT_YET = "Not evaluated yet · 尚未评估: `tuwen evaluate BUNDLE DATASET --out DIR`"


def _target(manifest: Mapping[str, Any]) -> list[str]:
    column = manifest["architecture"]["task"].get("options", {}).get("target")
    return [f"Predicts · 预测：`{column}`"] if column else []


def _inputs(architecture: Mapping[str, Any]) -> str:
    rows = [
        (name, found["use"], " ".join(f"`{c}`" for c in found["columns"]), found["encoder"]["use"])
        for name, found in architecture["modalities"].items()
    ]
    return _table(("Modality 模态", "Kind 类型", "Columns 列", "Encoder 编码器"), rows)


def _training(manifest: Mapping[str, Any]) -> str:
    architecture, data, cost = manifest["architecture"], manifest.get("data", {}), manifest.get("cost", {})
    counted = ", ".join(f"{part} {count}" for part, count in data.get("rows", {}).items())
    facts = {
        "Fusion 融合": _fusion(manifest),
        "Blend 混合": _blend(manifest),
        "Starts from 起点": _start(manifest.get("init")),
        "Generator 生成器": architecture.get("generator", {}).get("use"),
        "Data 数据": data.get("hash"),
        "Rows 行数": counted,
        "Split 划分": data.get("split"),
        "Best epoch 最佳轮次": manifest.get("best_epoch"),
        "Parameters 参数量": f"{cost['parameters']:,}" if "parameters" in cost else None,
        "Training 训练用时": f"{cost['train_seconds']:.0f} s" if "train_seconds" in cost else None,
        "Served by 运行": _served(manifest.get("export")),
        "tuwen": manifest.get("tuwen"),
    }
    return _table(("", ""), [(name, value) for name, value in facts.items() if value not in (None, "")])


def _fusion(manifest: Mapping[str, Any]) -> str | None:
    """The fusion of the network that answers, if one does."""
    if manifest["task"] == "contrast" or "raters" in manifest:
        return None
    return "auto" if "stack" in manifest else str(manifest["architecture"]["fusion"]["use"])


def _blend(manifest: Mapping[str, Any]) -> str | None:
    """The weight of each rater, or of each member of a stack that counts."""
    if "stack" in manifest:
        members = {member["name"]: member["weight"] for member in manifest["stack"]["members"] if member["weight"] > 0}
    elif "raters" in manifest:
        members = {name: rater["weight"] for name, rater in manifest["raters"]["members"].items()}
    else:
        return None
    return ", ".join(f"{name} {weight:.2f}" for name, weight in members.items())


def _served(export: Mapping[str, Any] | None) -> str | None:
    if export is None:
        return None
    if export["file"] is None:
        return f"torch ({export['why']})"
    return (
        f"ONNX Runtime; on {export['rows']} rows within {export['difference']:.1g} of torch · 与 torch 相差不超过此值"
    )


def _start(init: Mapping[str, Any] | None) -> str | None:
    return f"{init['name']} ({', '.join(init['taken'])})" if init else None


def _results(report: Mapping[str, Any]) -> list[str]:
    systems = {"this model 本模型": report["metrics"], **report.get("baselines", {})}
    metrics = list(report["metrics"])
    table = _table(
        ("Test part 测试集", *metrics),
        [(name, *(_measured(found.get(metric)) for metric in metrics)) for name, found in systems.items()],
    )
    rows = report.get("rows")
    confidence = report.get("bootstrap", {}).get("confidence", 0.95)
    note = f"In brackets: {confidence:.0%} bootstrap interval · 括号内为 {confidence:.0%} 自助法置信区间"
    warnings = [f"> {text['en']}\n> {text['zh']}" for text in report.get("warnings", ())]
    return [*warnings, table, f"{note}; {rows} rows · {rows} 行." if rows is not None else f"{note}."]


def _measured(found: Mapping[str, Any] | None) -> str:
    if not found or found.get("value") is None:
        return "–"
    text = f"{found['value']:.4g}"
    low, high = found.get("low"), found.get("high")
    return text if low is None or high is None else f"{text} ({low:.4g} – {high:.4g})"


def _table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)
