"""``docs/suite.md``: one table of all runs and peers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from suite.peers import PEERS
from tuwen.evaluation.metrics import METRICS
from tuwen.evaluation.verdict import outcome

Row = dict[str, Any]


def best_of(values: Mapping[str, float], metric: str) -> str | None:
    """The name of the best value of a metric; None where there is none."""
    better = max if METRICS[metric].greater_is_better else min
    return better(values, key=lambda name: values[name]) if values else None


def standing(row: Row) -> str:
    """``win``, ``tie`` or ``loss`` against the best peer; nothing where none answered."""
    if row["best_peer"] is None:
        return ""
    found = outcome(row["peers"][row["best_peer"]]["difference"], row["metric"])
    return {"better": "win", "worse": "loss"}.get(found, "tie")


def page(rows: Sequence[Row], limit: float) -> str:
    """``docs/suite.md``."""
    names = [peer.name for peer in PEERS]
    heads = ["run", "metric", "tuwen, `fusion: auto`", "− best single modality", "− best peer", "", *names]
    lines = [
        "# Suite · 套件",
        "",
        "All supervised runs with `fusion: auto` and no other setting of the network, beside peers on the same rows,",
        "folds, metric and resamples; written by `make suite`. Scores on the test part alone, with 95 % bootstrap",
        "intervals; differences are paired (tuwen minus the other, **bold** where the interval leaves out 0). `s` is",
        "seconds of training on one thread beside other work, over all folds; frozen vectors are cached for tuwen and",
        f"for the peers that read them. A peer is told to take {limit:g} seconds a fold (it is ended at twice that and",
        "two minutes) and has its own default settings; with `scale: log` it learns log(1 + y) too. An empty cell",
        f"without a reason below the table was not run, and counts for nobody. tuwen: {_commits(rows)}.",
        "",
        "全部监督任务均只用 `fusion: auto`，对手在相同的行、折、指标和重采样上比较。",
        "",
        f"| {' | '.join(heads)} |",
        f"|{'---|' * len(heads)}",
        *(_line(row, names) for row in rows),
        "",
        *counts(rows),
        "",
        "Peers · 对手:",
        "",
        *(f"- **{peer.name}**: {peer.about}" for peer in PEERS),
        "",
        *_reasons(rows),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _commits(rows: Sequence[Row]) -> str:
    """The commits that the runs were trained with."""
    names = dict.fromkeys(row["commit"] for row in rows if row.get("commit"))
    return f"commit {', '.join(names)}" if names else "no commit is known"


def _line(row: Row, names: Sequence[str]) -> str:
    own, single, best = row["tuwen"], row["single"], row["best_peer"]
    cells = [
        row["run"],
        row["metric"],
        f"{own['value']:.4f} ({own['low']:.4f} – {own['high']:.4f}), {own['seconds']:.0f} s",
        "–" if single is None else f"{_difference(single['difference'], row['metric'])} {single['name']}",
        "–" if best is None else f"{_difference(row['peers'][best]['difference'], row['metric'])} {best}",
        standing(row),
    ]
    for name in names:
        one = row["peers"].get(name, {"error": ""})
        cells.append("–" if "value" not in one else f"{one['value']:.4f}, {one['seconds']:.0f} s")
    return f"| {' | '.join(cells)} |"


def _difference(found: Row, metric: str) -> str:
    text = f"{found['difference']:+.4f} ({found['low']:+.4f} – {found['high']:+.4f})"
    return text if outcome(found, metric) == "unclear" else f"**{text}**"


def counts(rows: Sequence[Row]) -> list[str]:
    results = [standing(row) for row in rows]
    singles = [outcome(row["single"]["difference"], row["metric"]) for row in rows if row["single"]]
    return [
        f"Against the best single modality: clearly better on {singles.count('better')}, no clear difference on "
        f"{singles.count('unclear')}, clearly worse on {singles.count('worse')} of {len(singles)}.",
        f"Against the best peer of those that answered: {results.count('win')} wins, {results.count('tie')} ties and "
        f"{results.count('loss')} losses.",
    ]


def _reasons(rows: Sequence[Row]) -> list[str]:
    reasons: dict[str, list[str]] = {}
    for row in rows:
        for name, one in row["peers"].items():
            if "error" in one:
                reasons.setdefault(f"{name}: {one['error']}", []).append(row["run"])
    if not reasons:
        return []
    lines = [
        f"- {reason} ({', '.join(runs) if len(runs) < len(rows) else 'all runs'})" for reason, runs in reasons.items()
    ]
    return ["Not measured · 未测得:", "", *lines]
