"""Every run repeated, and the page that tells what each gave."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tuwen.cli.screen import Screen, shown
from tuwen.errors import ConfigError, TuwenError
from tuwen.evaluation.report import best_baseline
from tuwen.files import whole

HEAD = """\
# Results · 结果

Every number is measured on the test part only, with its {confidence:.0%} bootstrap interval in brackets, on the machine
that wrote this page. `make runs` repeats all of it and rewrites this page; `make run RUN=NAME OUT=DIR` repeats one run.
每个数字只在测试集上测得，括号内为 {confidence:.0%} 自助法置信区间。`make runs` 会全部重做并重写本页。
"""


def repeat(folder: Path, out: Path, screen: Screen) -> dict[str, dict[str, Any]]:
    """Run every YAML file of ``folder``; one that fails does not stop the others.

    Returns:
        run name → content of its report.json.

    Raises:
        ConfigError: the folder holds no run.
        TuwenError: all runs failed; the last reason.
    """
    from tuwen import workflow

    files = sorted(folder.glob("*.yaml"))
    if not files:
        raise ConfigError("there is no run file", where=str(folder), allowed="*.yaml")
    reports, last = {}, None
    for file in files:
        screen.say(f"— {file.stem}")
        try:
            reports[file.stem] = workflow.run(file, out / file.stem, (), screen.progress())
        except TuwenError as error:
            last = error
            screen.say(f"  left out: {error}")
    if not reports and last is not None:
        raise last
    return reports


def write_results(path: Path, folder: Path, reports: Mapping[str, Mapping[str, Any]]) -> None:
    """Write the page whole, or leave the old one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as file:
        file.write(results_page(folder, reports).encode())


def results_page(folder: Path, reports: Mapping[str, Mapping[str, Any]]) -> str:
    """The results as Markdown, one part a run."""
    confidence = next((r["bootstrap"]["confidence"] for r in reports.values()), 0.95)
    parts = (_part(folder, name, report) for name, report in reports.items())
    return "\n".join([HEAD.format(confidence=confidence), _overview(reports), *parts])


def _overview(reports: Mapping[str, Mapping[str, Any]]) -> str:
    """One line a run: what decides, and how far the model is from the best baseline on the same rows."""
    lines = [
        "| run | metric | this model 本模型 | best baseline 最佳基线 | difference, paired 配对差值 |",
        "|---|---|---|---|---|",
    ]
    for name, report in reports.items():
        metric, best = report["primary"], best_baseline(report)
        against, difference = "–", "–"
        if best is not None:
            against = f"{best}: {_cell(report['baselines'][best][metric])}"
            found = report["comparisons"][best][metric]
            difference = _cell({"value": found["difference"], "low": found["low"], "high": found["high"]})
        cells = [f"[{name}](#{name})", metric, _cell(report["metrics"][metric]), against, difference]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def _part(folder: Path, name: str, report: Mapping[str, Any]) -> str:
    metrics = list(report["metrics"])
    systems = {"**this model 本模型**": report["metrics"], **report["baselines"]}
    lines = [
        f"## {name}",
        "",
        f"[`{folder.name}/{name}.yaml`](../{folder.name}/{name}.yaml) · {report['task']} · "
        f"{report['rows']:,} test rows · {report['provenance'].get('split') or report['split']}",
        "",
        "| | " + " | ".join(metrics) + " |",
        "|---" * (len(metrics) + 1) + "|",
    ]
    lines += [
        f"| {system} | " + " | ".join(_cell(found.get(m)) for m in metrics) + " |" for system, found in systems.items()
    ]
    cost = ", ".join(f"{key.replace('_', ' ')} {shown(value)}" for key, value in report["cost"].items())
    provenance = report["provenance"]
    commit, data = provenance.get("commit"), str(provenance.get("data_hash"))[:12]
    lines += [
        "",
        f"{cost}. Commit {commit}, data {data}, seed {provenance['seed']}.",
        "",
    ]
    return "\n".join(lines)


def _cell(found: Mapping[str, Any] | None) -> str:
    if not found or found.get("value") is None:
        return "–"
    low, high = found.get("low"), found.get("high")
    return shown(found["value"]) + ("" if low is None or high is None else f" ({shown(low)} – {shown(high)})")
