"""Peers of the recommender in the harness of a rank run, each from its own package in its own environment.

``python bench/peers/compare.py RUN.yaml --out OUT`` (or ``make bench-peers RUN=hm OUT=DIR``). The model's lists and
those of the baselines are the ones of the run itself (``OUT/model``; made when they are not there). Every peer gets the
same number of trials, judged at cuts before the first test cut; the best then answers at the test cuts, once. What is
finished is not done again. A peer that cannot be installed, or fails, is told and the others go on.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from exchange import read_lists, score, told, write_known
from grids import HORIZONS, PEERS, Peer, trials

from tuwen.config import RankRun, Rolling, Shop
from tuwen.data.collect import collect
from tuwen.data.dataset import Dataset
from tuwen.errors import ConfigError, TuwenError
from tuwen.evaluation.ranking import figures, resampled
from tuwen.evaluation.recommendation import Cut
from tuwen.evaluation.render import render
from tuwen.evaluation.report import write_report
from tuwen.files import write_json
from tuwen.progress import Silent
from tuwen.workflow import cuts as kept
from tuwen.workflow.history import history_of
from tuwen.workflow.recommending import completed, judge, report_of

HERE = Path(__file__).resolve().parent


@dataclass
class Bench:
    """One comparison.

    Attributes:
        tuning, test: the cuts.
        python: package → its interpreter.
        until: the moment (``time.monotonic``) at which no more work is begun.
    """

    out: Path
    depth: int
    horizon: float
    again: bool
    tuning: list[kept.Held]
    test: list[kept.Held]
    python: dict[str, str]
    until: float

    def write(self) -> None:
        for held in [*self.tuning, *self.test]:
            write_known(self.out / "cuts" / held.name, held, self.depth)

    def place(self, peer: Peer, trial: dict[str, Any], held: kept.Held) -> Path:
        given = "-".join(f"{name}={value}" for name, value in {"days": trial["days"], **trial["options"]}.items())
        return self.out / "lists" / peer.system / held.name / f"{given}.lists"

    def work(self, peers: Sequence[Peer], wanted: list[tuple[Peer, dict[str, Any], kept.Held]]) -> None:
        """Have every job done that is not; those of one package in one process."""
        for package in dict.fromkeys(peer.package for peer in peers):
            jobs = []
            for peer, trial, held in wanted:
                out = self.place(peer, trial, held)
                if peer.package == package and (told(out) or {"error": "not begun"})["error"]:
                    out.parent.mkdir(parents=True, exist_ok=True)
                    cut = str(self.out / "cuts" / held.name)
                    jobs.append({"peer": peer.name, "cut": cut, "out": str(out), **trial})
            left = self.until - time.monotonic()
            if jobs and left > 0:
                file = self.out / f"jobs-{package}.json"
                write_json(file, jobs)
                print(f"{package}: {len(jobs)} fits", flush=True)
                _ask(self.python[package], package, file, self.out / f"log-{package}.txt", left)


def _ask(python: str, package: str, jobs: Path, log: Path, seconds: float) -> None:
    """One thread each, so that seconds compare."""
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | one
    with log.open("ab") as file:
        try:
            command = [python, str(HERE / "worker.py"), package, str(jobs)]
            subprocess.run(command, env=environment, stdout=file, stderr=file, timeout=seconds, check=False)
        except subprocess.TimeoutExpired:
            print(f"{package}: stopped, the time is over; run it again to go on")


# --- Environments -------------------------------------------------------------------------------------------------


def environment(package: str, folder: Path) -> str:
    """The interpreter of a package's own environment, made once.

    Raises:
        RuntimeError: it cannot be installed; the last lines that pip said.
    """
    if package == "numpy":
        return sys.executable
    python, done, needs = folder / package / "bin" / "python", folder / f"{package}.done", _needs(package)
    if done.is_file() and done.read_text(encoding="utf-8") == needs and python.is_file():
        return str(python)
    print(f"installing {package}", flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder / package)], check=True)
    command = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--no-compile", "-q"]
    found = subprocess.run(
        [*command, "-r", str(HERE / "requirements" / f"{package}.txt")], capture_output=True, text=True, check=False
    )
    if found.returncode:
        said = [line for line in found.stderr.splitlines() if "ERROR" in line or "error" in line]
        raise RuntimeError(f"{package} cannot be installed: {' / '.join(said[-2:])[:300]}")
    done.write_text(needs, encoding="utf-8")
    return str(python)


def _needs(package: str) -> str:
    return (HERE / "requirements" / f"{package}.txt").read_text(encoding="utf-8")


def environments(packages: Sequence[str], folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Interpreters, and what is wrong with the packages that have none."""
    folder.mkdir(parents=True, exist_ok=True)
    found, failed = {}, {}
    for package in packages:
        try:
            found[package] = environment(package, folder)
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:
            failed[package] = str(error)
            print(failed[package], flush=True)
    return found, failed


# --- One comparison -----------------------------------------------------------------------------------------------


def tuned(bench: Bench, peers: Sequence[Peer], count: int) -> dict[str, dict[str, Any]]:
    """System → its best trial by NDCG pooled over the cuts of tuning, with all trials; a peer none of whose trials
    succeeded has ``error`` alone.
    """
    days = [None if h is None else h * bench.horizon for h in HORIZONS]
    tried = {peer.system: trials(peer, count, days) for peer in peers}
    bench.work(peers, [(peer, trial, held) for peer in peers for trial in tried[peer.system] for held in bench.tuning])
    found = {}
    for peer in peers:
        each = [one for trial in tried[peer.system] for one in _judged(bench, peer, trial)]
        good = [one for one in each if one["ndcg"] is not None]
        unfinished = [one for one in each if one["error"] == "not begun"]
        if unfinished or not good:
            error = "out of time: run it again to go on" if unfinished else each[0]["error"]
            found[peer.system] = {"error": error, "trials": each}
        else:
            found[peer.system] = {"best": max(good, key=lambda one: one["ndcg"]), "trials": each}
    return found


def _judged(bench: Bench, peer: Peer, trial: dict[str, Any]) -> list[dict[str, Any]]:
    """A trial's figure with and without what shoppers bought before: one fit tells both."""
    places = [bench.place(peer, trial, held) for held in bench.tuning]
    said = [told(place) or {"error": "not begun", "seconds": 0.0} for place in places]
    error = next((one["error"] for one in said if one["error"]), None)
    seconds = sum(one["seconds"] for one in said)
    found = []
    for kind in ("again", "new") if bench.again else ("new",):
        ndcg = None
        if error is None:
            lists = [
                read_lists(place, kind, held, bench.depth) for place, held in zip(places, bench.tuning, strict=True)
            ]
            ndcg = score(lists, bench.tuning, bench.depth)
        found.append({**trial, "kind": kind, "ndcg": ndcg, "seconds": round(seconds, 2), "error": error})
    return found


def answered(bench: Bench, peers: Sequence[Peer], chosen: dict[str, dict[str, Any]]) -> list[dict[str, np.ndarray]]:
    """Each test cut's lists by system; a peer that fails at one of them is told in ``chosen`` and left out."""
    best = {peer: chosen[peer.system]["best"] for peer in peers if "best" in chosen[peer.system]}
    plain = {peer: {"days": one["days"], "options": one["options"]} for peer, one in best.items()}
    bench.work(list(best), [(peer, plain[peer], held) for peer in best for held in bench.test])
    found: list[dict[str, np.ndarray]] = [{} for _ in bench.test]
    for peer, trial in plain.items():
        places = [bench.place(peer, trial, held) for held in bench.test]
        said = [told(place) or {"error": "out of time: run it again to go on"} for place in places]
        error = next((one["error"] for one in said if one["error"]), None)
        if error:
            chosen[peer.system]["error"] = error
            continue
        chosen[peer.system]["test_seconds"] = round(sum(one["seconds"] for one in said), 2)
        for turn, (place, held) in enumerate(zip(places, bench.test, strict=True)):
            found[turn][peer.system] = read_lists(place, best[peer]["kind"], held, bench.depth)
    return found


def earlier(run: RankRun, first: str, end: date | None) -> RankRun:
    """The same run at as many cuts before the first test cut."""
    assert isinstance(run.split, Rolling)
    last = end or date.fromisoformat(first) - timedelta(days=1)
    if last >= date.fromisoformat(first):
        raise ConfigError("peers are tuned before the first test cut", seen=str(last), allowed=f"before {first}")
    return run.model_copy(update={"split": run.split.model_copy(update={"end": last})})


def data_of(run: RankRun, folder: Path, out: Path) -> Dataset:
    """``OUT/dataset``, collected where it is not there.

    Args:
        folder: of the run file.
    """
    if not (out / "dataset" / "manifest.json").is_file():
        if run.shop is None:
            raise ConfigError("the run names no shop to collect from", allowed="shop: PATH/TO/SHOP.yaml")
        collect(Shop.read((folder / run.shop).resolve()), out / "dataset")
    return Dataset.open(out / "dataset")


def claim(run: RankRun, dataset: Dataset, out: Path) -> None:
    """Lists that are kept are of one question to one shop.

    Raises:
        ConfigError: those in ``out`` are of another.
    """
    plain = run.plain()
    asked = {name: plain[name] for name in ("task", "events", "modalities", "width", "facts", "split")}
    now, file = {"data_hash": dataset.hash, **asked}, out / "question.json"
    if file.is_file() and json.loads(file.read_text(encoding="utf-8")) != now:
        raise ConfigError("the lists in this folder answer another run", where=str(out), todo="name another --out")
    write_json(file, now)


def ensure_model(run: RankRun, dataset: Dataset, out: Path) -> None:
    """The run's own lists in ``OUT/model``; made when they are not there, or of another run."""
    file = out / "model" / "report.json"
    report = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {"run": None}
    if report["run"] != run.plain() or report["provenance"]["data_hash"] != dataset.hash:
        print("the run itself", flush=True)
        judge(run, dataset, out / "model", Silent())


def compare(run: RankRun, given: argparse.Namespace, peers: Sequence[Peer]) -> dict[str, Any]:
    """See the module."""
    if not isinstance(run.split, Rolling):
        raise ConfigError("peers are tuned at earlier cuts", where=run.where("split"), allowed="rolling")
    out, depth = given.out, run.task.depth
    out.mkdir(parents=True, exist_ok=True)
    dataset = data_of(run, given.run.parent, out)
    claim(run, dataset, out)
    history, users = history_of(run, dataset, Silent())
    test = kept.held_out(run, history)
    before = kept.held_out(earlier(run, test[0].name, given.end), history)
    count = max(1, min(given.tuned_on, len(before)))
    ends = [len(before) * (turn + 1) // count - 1 for turn in range(count)]
    python, failed = environments(list(dict.fromkeys(peer.package for peer in peers)), given.venvs)
    bench = Bench(
        out,
        depth,
        run.task.horizon,
        run.rules.again,
        [before[place] for place in ends],
        test,
        python,
        time.monotonic() + 60 * given.minutes,
    )
    bench.write()
    there = [peer for peer in peers if peer.package in python]
    chosen = tuned(bench, there, given.trials)
    lists = answered(bench, there, chosen)
    chosen |= {peer.system: {"error": failed[peer.package]} for peer in peers if peer.package in failed}
    ensure_model(run, dataset, out)
    own = kept.read_lists(out / "model" / kept.LISTS, test, users, history.catalogue.items, depth)
    cuts: list[Cut] = [held.cut(users, ours | theirs) for held, ours, theirs in zip(test, own, lists, strict=True)]
    spent = sum(one["seconds"] for told_of in chosen.values() for one in told_of.get("trials", ()))
    report = report_of(run, dataset, cuts, {}, {})
    report["peers"] = {
        "trials": given.trials,
        "tuned_on": [held.name for held in bench.tuning],
        "trial_seconds": round(spent, 1),
        "systems": chosen,
        "over_best": over_best(report, cuts),
    }
    write_report(out, report, render(report))
    return report


def over_best(report: dict[str, Any], cuts: Sequence[Cut]) -> dict[str, Any]:
    """The model as a multiple of the best of all others, paired: both on the same resamples of shoppers."""
    metric, depth, drawn = report["primary"], report["ranking"]["depth"], report["bootstrap"]
    best = max(report["baselines"], key=lambda name: report["baselines"][name][metric]["value"])
    each = {
        name: {metric: np.concatenate([figures(cut.systems[name], cut.chosen, depth)[metric] for cut in cuts])}
        for name in ("model", best)
    }
    shoppers = [key for cut in cuts for key in cut.shoppers]
    found = resampled(each, samples=drawn["samples"], seed=drawn["seed"], groups=shoppers)
    ratios = found["model"].samples[metric] / found[best].samples[metric]
    low, high = np.quantile(ratios, [(1 - drawn["confidence"]) / 2, (1 + drawn["confidence"]) / 2])
    value = found["model"].values[metric] / found[best].values[metric]
    return {"best": best, "metric": metric, "value": value, "low": float(low), "high": float(high)}


def table(report: dict[str, Any]) -> list[str]:
    """Every system, best first, with how much the model is above it."""
    metric = report["primary"]
    recall = metric.replace("ndcg", "recall")
    rows = {"model": report["metrics"], **report["baselines"]}
    lines = [f"{'':24}{metric:>10}{recall:>11}{'cold':>8}{'':4}model − it (95 %)"]
    for name in sorted(rows, key=lambda name: -rows[name][metric]["value"]):
        told_of = rows[name]
        line = f"{name:24}{told_of[metric]['value']:10.4f}{told_of[recall]['value']:11.4f}"
        cold = told_of[f"cold_{recall}"]["value"]
        line += f"{cold if cold is not None else float('nan'):8.3f}"
        if name != "model":
            less = report["comparisons"][name][metric]
            line += f"    {less['difference']:+.4f} ({less['low']:+.4f} to {less['high']:+.4f})"
        lines.append(line)
    over = report["peers"]["over_best"]
    lines.append(f"model / {over['best']}: {over['value']:.2f} ({over['low']:.2f} to {over['high']:.2f})")
    failed = {name: one["error"] for name, one in report["peers"]["systems"].items() if one.get("error")}
    return lines + [f"{name}: left out: {said}" for name, said in failed.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path, help="RUN.yaml of the task rank, with a rolling split")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--trials", type=int, default=6, help="fits of each peer and cut of tuning")
    parser.add_argument("--tuned-on", type=int, default=2, help="how many of the earlier cuts, evenly spread")
    parser.add_argument("--end", type=date.fromisoformat, help="last day of tuning; default: before the first test cut")
    parser.add_argument("--minutes", type=float, default=120, help="after which no more is fitted; run again to go on")
    parser.add_argument("--only", nargs="*", help="packages or PACKAGE_PEER")
    parser.add_argument("--venvs", type=Path, default=Path("out/peers/venvs"))
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    given = parser.parse_args()
    peers = [peer for peer in PEERS if not given.only or {peer.package, peer.system} & set(given.only)]
    try:
        run = RankRun.read(given.run, ["evaluation.knock_out=false", *given.overrides])
        completed(run)
        given.out, given.venvs = given.out.resolve(), given.venvs.resolve()
        report = compare(run, given, peers)
    except TuwenError as error:
        sys.exit(f"error: {error}")
    print("\n".join([*table(report), f"{given.out / 'report.html'}"]))


if __name__ == "__main__":
    main()
