"""The suite: all supervised runs of ``runs/`` with ``fusion: auto``, and peers on the same rows, in one table.

``python scripts/suite.py --out OUT`` (or ``make suite``). Every run is trained as it is written, but for ``fusion``;
every peer learns from the same rows, answers the same test rows, and is judged by the same metric on the same
resamples. What is done is not done again, so a suite that was stopped goes on. Writes ``docs/suite.md`` and
``docs/suite.json``.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "bench"))

from suite.exchange import Fold, pool, read_fold, write_fold  # noqa: E402
from suite.page import best_of, counts, page  # noqa: E402
from suite.peers import PEERS, Peer, answers_of, environment, forget_errors, seconds_of  # noqa: E402
from tuwen import workflow  # noqa: E402
from tuwen.config import Run  # noqa: E402
from tuwen.data.dataset import Dataset  # noqa: E402
from tuwen.errors import TuwenError  # noqa: E402
from tuwen.evaluation.intervals import differences, intervals, resample  # noqa: E402
from tuwen.evaluation.predictions import Predictions  # noqa: E402
from tuwen.files import write_json  # noqa: E402
from tuwen.progress import Silent  # noqa: E402
from tuwen.workflow.rules import split_of  # noqa: E402
from tuwen.workflow.sharing import groups_of  # noqa: E402

RUNS = (
    "houses",
    "gift-cards",
    "mission",
    "flipkart",
    "olist",
    "movie-posters",
    "skin-lesions",
    "amazon-electronics",
    "fashion",
    "womens-clothing",
    "womens-clothing-satisfied",
    "reviews-zh",
)
AUTO = ["fusion=auto"]
Row = dict[str, Any]


def own_report(name: str, out: Path) -> dict[str, Any]:
    """The run's own report in ``OUT/NAME``; made where it is not there, or of other settings."""
    file, path = out / "report.json", ROOT / "runs" / f"{name}.yaml"
    if file.is_file():
        report: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        if report["run"] == Run.read(path, AUTO).plain():
            return report
    print(f"{name}: fusion: auto", flush=True)
    return dict(workflow.run(path, out, AUTO, Silent()))


def folds_of(run: Run, dataset: Dataset, out: Path) -> list[Fold]:
    """What peers are given, fold by fold; written once."""
    found = []
    for fold in range(split_of(run).folds):
        folder = out / "given" / f"fold-{fold}"
        make = read_fold if (folder / "given.npz").is_file() else write_fold
        found.append(make(run, dataset, fold, folder))
    return found


def row_of(name: str, out: Path, peers: Mapping[Peer, str], seconds: float) -> Row:
    """One run: tuwen's score, its best single modality, and every peer on the same resamples.

    Args:
        peers: those that are to answer, with their interpreters, or why there is none; of the others only what they
            have answered before is read.
        seconds: what a peer is told that one fold may take.
    """
    report = own_report(name, out)
    run, dataset = Run.read(ROOT / "runs" / f"{name}.yaml", AUTO), Dataset.open(out / "dataset")
    model = Predictions.read(out / "predictions.parquet")
    folds, systems = folds_of(run, dataset, out), {"tuwen": model}
    told: dict[str, Row] = {}
    for peer in PEERS:
        python = peers.get(peer)
        if python is None or Path(python).is_file():
            answers = answers_of(peer, python, folds, out / "peers", seconds)
        else:
            answers = python
        if answers is None:
            continue
        if isinstance(answers, str):
            told[peer.name] = {"error": answers}
            continue
        systems[peer.name] = pool(folds, answers, model)
        told[peer.name] = {"seconds": round(seconds_of(peer, len(folds), out / "peers"), 1)}
    return _judged(name, report, run, dataset, systems, told)


def _judged(
    name: str, report: dict[str, Any], run: Run, dataset: Dataset, systems: dict[str, Predictions], told: dict[str, Row]
) -> Row:
    metric, drawn = report["primary"], report["bootstrap"]
    groups = groups_of(run, dataset, split_of(run).folds)
    resamples = resample(
        systems,
        samples=drawn["samples"],
        seed=drawn["seed"],
        groups=None if groups is None else groups.to_list(),
        names=[metric],
    )
    for peer in systems:
        if peer != "tuwen":
            found = differences(resamples["tuwen"], resamples[peer], drawn["confidence"])[metric].plain()
            told[peer] |= intervals(resamples[peer], drawn["confidence"])[metric].plain() | {"difference": found}
    singles = {n: b[metric]["value"] for n, b in report["baselines"].items() if n.endswith("_only")}
    best = best_of(singles, metric)
    cost = report["cost"]
    return {
        "run": name,
        "metric": metric,
        "rows": report["rows"],
        "commit": report["provenance"].get("commit"),
        "tuwen": report["metrics"][metric] | {"seconds": cost["train_seconds"]},
        "single": None
        if best is None
        else {"name": best, "value": singles[best], "difference": report["comparisons"][best][metric]},
        "peers": told,
        "best_peer": best_of({n: one["value"] for n, one in told.items() if "value" in one}, metric),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "suite")
    parser.add_argument("--only", nargs="*", default=RUNS, help="some of the runs")
    parser.add_argument("--peers", nargs="*", default=[peer.name for peer in PEERS])
    parser.add_argument("--seconds", type=float, default=300, help="limit of a peer in one fold")
    parser.add_argument("--install", type=float, default=1800, help="limit of one installation in seconds")
    parser.add_argument("--venvs", type=Path, default=ROOT / "out" / "suite" / "venvs")
    parser.add_argument("--again", action="store_true", help="try again what peers failed at")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="where suite.md and suite.json are written")
    asked = parser.parse_args()
    began = time.monotonic()
    peers: dict[Peer, str] = {}
    for peer in (one for one in PEERS if one.name in asked.peers):
        try:
            peers[peer] = environment(peer, asked.venvs.absolute(), asked.install)
        except (RuntimeError, OSError) as error:
            peers[peer] = str(error)
    failed = []
    for name in asked.only:
        out = asked.out.absolute() / name
        try:
            if asked.again:
                forget_errors(out / "peers")
            write_json(out / "row.json", row_of(name, out, peers, asked.seconds))
        except TuwenError as error:
            print(f"{name}: {error}", flush=True)
            failed.append(name)
            continue
        files = [asked.out / run / "row.json" for run in RUNS]
        rows = [json.loads(file.read_text(encoding="utf-8")) for file in files if file.is_file()]
        write_json(asked.docs / "suite.json", {"format": 1, "seconds_a_fold": asked.seconds, "rows": rows})
        (asked.docs / "suite.md").write_text(page(rows, asked.seconds), encoding="utf-8")
        print("\n".join(counts(rows)), flush=True)
    print(f"{asked.docs / 'suite.md'}, {time.monotonic() - began:.0f} s")
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
