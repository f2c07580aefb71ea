"""Every run repeated, and the page that tells what each gave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tuwen.cli.screen import Screen, shown
from tuwen.errors import ConfigError, TuwenError
from tuwen.evaluation import samples
from tuwen.evaluation.comparison_words import alone
from tuwen.evaluation.report import best_baselines, of_all
from tuwen.evaluation.samples_page import warned
from tuwen.files import whole
from tuwen.outputs import folders_above

HEAD = """\
# Results · 结果

Every number is measured on the test part only, with its {confidence:.0%} bootstrap interval in brackets, on the machine
that wrote this page. `make runs` repeats all of it and rewrites this page; `make run RUN=NAME OUT=DIR` repeats one run.
每个数字只在测试集上测得，括号内为 {confidence:.0%} 自助法置信区间。`make runs` 会全部重做并重写本页。
"""
ALSO = ("macro_f1",)  # metrics that a comparison tells beside the one that decides, where it has them
QUALITY = {  # of what a generator makes, over all trainings of a cell: mean, least, most
    "two_sample_accuracy": "told apart from true ones (0.5 is best)",
    "coverage": "coverage (1 is best)",
}
WITHOUT = (
    "Without an input: the score; its difference to the same cell on complete rows, paired. "
    "缺少输入时：得分；与同一组合完整输入时的配对差值。"
)
WAYS = {  # of knocking an input out of the model, and how the page calls them
    "absent": "*this model without {kind} 缺 {kind}*",
    "swapped": "*this model with another row's {kind} 换成别行的 {kind}*",
    "unlearned": "*learned without {kind} 训练时没有 {kind}*",
}


def repeat(folder: Path, out: Path, screen: Screen) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run every YAML file of ``folder`` and make every comparison of ``folder/compare``; one that fails does not stop
    the others.

    Returns:
        run name → content of its report.json, comparison name → content of its compare.json.

    Raises:
        ConfigError: the folder holds no run.
        TuwenError: all runs failed; the last reason.
    """
    from tuwen import workflow

    files = sorted(folder.glob("*.yaml"))
    if not files:
        raise ConfigError("there is no run file", where=str(folder), allowed="*.yaml")
    reports: dict[str, Any] = {}
    compared: dict[str, Any] = {}
    last = None
    for file in [*files, *sorted((folder / "compare").glob("*.yaml"))]:
        screen.say(f"— {file.stem}")
        try:
            if file.parent == folder:
                reports[file.stem] = workflow.run(file, out / file.stem, (), screen.progress())
            else:
                into = out / "compare" / file.stem
                compared[file.stem] = workflow.compare_as_written(file, into, progress=screen.progress(), replace=True)
        except TuwenError as error:
            last = error
            screen.say(f"  left out: {error}")
    if not reports and last is not None:
        raise last
    return reports, compared


def write_results(path: Path, folder: Path, reports: Mapping[str, Any], compared: Mapping[str, Any]) -> None:
    """Write the page whole, or leave the old one."""
    with folders_above(path), whole(path) as file:
        file.write(results_page(folder, reports, compared).encode())


def results_page(folder: Path, reports: Mapping[str, Any], compared: Mapping[str, Any]) -> str:
    """The results as Markdown, one part a run and one a comparison."""
    confidence = next((r["bootstrap"]["confidence"] for r in reports.values()), 0.95)
    parts = [_part(folder, name, report) for name, report in reports.items()]
    tables = [_comparison(folder, name, result) for name, result in compared.items()]
    return "\n".join([HEAD.format(confidence=confidence), _overview(reports), *parts, *tables])


def _overview(reports: Mapping[str, Mapping[str, Any]]) -> str:
    """One line a run: what decides, and how far the model is from the best baseline on the same rows."""
    lines = [
        "| run | metric | this model 本模型 | best baseline 最佳基线 | difference, paired 配对差值 |",
        "|---|---|---|---|---|",
    ]
    for name, report in reports.items():
        metric, best = report["primary"], best_baselines(report)
        against, difference = "–", "–"
        if best:
            against = f"{', '.join(best)}: {_cell(of_all([report['baselines'][b][metric] for b in best]))}"
            found = of_all([report["comparisons"][b][metric] for b in best])
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
        f"{report['rows']:,} test rows · {report['provenance'].get('split') or report['split']} · "
        f"{_command(folder, name)}",
        "",
        "| | " + " | ".join(metrics) + " |",
        "|---" * (len(metrics) + 1) + "|",
    ]
    systems |= {
        WAYS[way].format(kind=kind): found["metrics"]
        for kind, ways in report["knock_out"].items()
        for way, found in ways.items()
        if way in WAYS
    }
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


def _command(folder: Path, name: str) -> str:
    """What repeats a run."""
    runs = folder.name == "runs"  # the folder that `make run` knows
    return f"`make run RUN={name} OUT=DIR`" if runs else f"`tuwen run {folder.name}/{name}.yaml --out DIR`"


def _comparison(folder: Path, name: str, result: Mapping[str, Any]) -> str:
    """One line a combination: score, what is left of it without an input, distance to the reference, cost."""
    primary, kinds = result["primary"], result["kinds"]
    without = [(kind, how) for kind in kinds for how in ("half", "all")]
    place = f"{folder.name}/compare/{name}.yaml"
    judged = [primary, *(m for m in ALSO if m != primary and m in result["cells"][0]["metrics"])]
    single, seeds = alone(result), "by seed" if len(result["seeds"]) > 1 else None
    against = f"against {result['reference']}", "its difference"
    heads = [primary, *(f"{how} without {kind}" for kind, how in without), seeds if single else against[0]]
    heads += [head for metric in judged[1:] for head in (metric, seeds if single else against[1])]
    heads = [head for head in heads if head]
    lines = [
        f"## {name}",
        "",
        f"[`{place}`](../{place}) · {result['rows']:,} test rows · seeds {', '.join(map(str, result['seeds']))} · "
        f"folds {result['folds']} · `tuwen compare {place} --out DIR`",
        "",
        "| | " + " | ".join([*heads, "train s"]) + " |",
        "|---" * (len(heads) + 2) + "|",
    ]
    for cell in result["cells"]:
        missing = [_without(cell["missing"].get(kind, {}).get(how), primary) for kind, how in without]
        told = [[_cell(cell["metrics"][metric]), _against(cell, metric)] for metric in judged]
        if single:
            told = [[_cell(one), *([_seeds(one)] if seeds else [])] for one in map(cell["metrics"].get, judged)]
        told[0][1:1] = missing
        cost = shown(cell["cost"]["train_seconds"])
        lines.append("| " + " | ".join([cell["name"], *(text for texts in told for text in texts), cost]) + " |")
    lines += [f"| {one['cell']} | failed: {one['what']} |" for one in result["failures"]]
    lines += ["", *([WITHOUT] if without else []), *_generators(result["cells"])]
    provenance = result["provenance"]
    origin = f"Commit {provenance.get('commit')}, data {str(provenance.get('data_hash'))[:12]}."
    return "\n".join([*lines, "", origin, ""])


def _without(found: Mapping[str, Any] | None, metric: str) -> str:
    """What is left without an input, and its difference to the same cell on complete rows."""
    if found is None:
        return "–"
    loss = found["loss"][metric]
    lost = _cell({**loss, "value": loss["difference"]})
    return f"{shown(found['metrics'][metric]['value'])}; {lost}"


def _generators(cells: Sequence[Mapping[str, Any]]) -> list[str]:
    """How good what each cell's generator makes is, and what is wrong with it."""
    lines = []
    for cell in cells:
        account = cell.get("generator", {"quality": [], "warnings": []})
        for entry in account["quality"]:
            figures = [
                f"{words} {_cell({'value': entry[key], 'low': entry['least'][key], 'high': entry['most'][key]})}"
                for key, words in QUALITY.items()
            ]
            lines += ["", f"{cell['name']}, generator of {samples.of(entry)[0]}: {', '.join(figures)}."]
        lines += [line for said in account["warnings"] for line in ("", f"{cell['name']}: {warned(account, said)[0]}")]
    return lines


def _against(cell: Mapping[str, Any], metric: str) -> str:
    """A cell's difference to the reference."""
    found = cell["difference"] and cell["difference"].get(metric)
    return _cell({**found, "value": found["difference"]}) if found else "–"


def _seeds(found: Mapping[str, Any]) -> str:
    """What each seed has, and their standard deviation."""
    return f"{', '.join(map(shown, found['seeds']))}; ±{shown(found['spread'])}"


def _cell(found: Mapping[str, Any] | None) -> str:
    if not found or found.get("value") is None:
        return "–"
    low, high = found.get("low"), found.get("high")
    return shown(found["value"]) + ("" if low is None or high is None else f" ({shown(low)} – {shown(high)})")
