"""Peers in the harness of a rank run: what they are told, and that their lists are judged as a baseline's."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tuwen.data.sample import write_sample_shop

BENCH = Path(__file__).resolve().parent.parent / "bench" / "peers"
RUN = """\
name: next
shop: SHOP.yaml
task: {use: rank, depth: 5, horizon: 30}
events: {where: kind = 'purchase'}
facts: [items.category]
retrievers: {lately: {use: popularity, half_life: 30}}
per: 20
ranker: {use: lambdarank, rounds: 5, smallest_leaf: 10}
windows: {count: 2, least: 30, negatives: 30}
baselines: {popularity: popularity}
split: {use: rolling, cuts: 2}
evaluation: {samples: 100}
"""


@pytest.fixture(scope="module")
def bench() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCH)
        grids, compare = importlib.import_module("grids"), importlib.import_module("compare")
        told = grids.PEERS
        patch.setattr(compare, "PEERS", (grids.Peer("numpy", "popularity", {}), grids.Peer("numpy", "broken", {})))

        def run(folder: Path, *more: str) -> None:
            command = ["compare.py", str(folder / "NEXT.yaml"), "--out", str(folder / "out"), "--trials", "1"]
            patch.setattr(sys, "argv", [*command, "--venvs", str(folder / "venvs"), *more])
            compare.main()

        yield SimpleNamespace(run=run, peers=told, trials=grids.trials, table=compare.table)


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    write_sample_shop(folder, items=40, seed=0)
    (folder / "NEXT.yaml").write_text(RUN, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def report(shop, bench) -> dict:
    bench.run(shop)
    return json.loads((shop / "out" / "report.json").read_text(encoding="utf-8"))


def test_a_peer_that_lists_what_sells_scores_exactly_what_the_baseline_scores(report) -> None:
    chosen = report["peers"]["systems"]["numpy_popularity"]["best"]
    assert chosen["days"] is None and chosen["kind"] == "again"
    peer, baseline = (report["baselines"][name] for name in ("numpy_popularity", "popularity"))
    assert peer == baseline
    assert report["comparisons"]["numpy_popularity"] == report["comparisons"]["popularity"]


def test_the_models_figures_are_those_of_the_run(shop, report) -> None:
    own = json.loads((shop / "out" / "model" / "report.json").read_text(encoding="utf-8"))
    assert own["metrics"] == report["metrics"] and own["rows"] == report["rows"]


def test_how_many_times_the_best_of_the_others_is_paired(report) -> None:
    over, best = report["peers"]["over_best"], max(one["ndcg@5"]["value"] for one in report["baselines"].values())
    assert over["value"] == pytest.approx(report["metrics"]["ndcg@5"]["value"] / best)
    assert over["low"] <= over["value"] <= over["high"]


def test_tuning_ends_before_the_first_test_cut(report) -> None:
    first = report["ranking"]["cuts"][0]["day"]
    assert len(report["peers"]["tuned_on"]) == 2 and max(report["peers"]["tuned_on"]) < first


def test_a_peer_that_fails_is_told_and_the_others_go_on(report, bench) -> None:
    assert "numpy_broken" not in report["baselines"]
    assert "fails on purpose" in report["peers"]["systems"]["numpy_broken"]["error"]
    assert bench.table(report)[-1].startswith("numpy_broken: left out: RuntimeError: this one fails on purpose")


def test_what_is_finished_is_not_done_again(shop, report, bench) -> None:
    files = {file: file.stat().st_mtime_ns for file in (shop / "out" / "lists" / "numpy_popularity").rglob("*.npz")}
    assert len(files) == 4  # two cuts of tuning, two of the test
    bench.run(shop)
    assert {file: file.stat().st_mtime_ns for file in files} == files


def test_kept_lists_of_another_question_are_refused(shop, report, bench) -> None:
    with pytest.raises(SystemExit) as caught:
        bench.run(shop, "--set", "task.horizon=20")
    assert "answer another run" in str(caught.value)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--set", "split=random"), "peers are tuned at earlier cuts"),
        (("--end", "2030-01-01"), "before the first test cut"),
        (("--set", "task.depht=3"), "unknown key"),
    ],
)
def test_what_cannot_be_compared_is_told(shop, report, bench, more: tuple[str, ...], said: str) -> None:
    with pytest.raises(SystemExit) as caught:
        bench.run(shop, *more)
    assert said in str(caught.value)


def test_a_peer_is_told_nothing_that_happens_after_a_cut(shop, report) -> None:
    days = []
    for cut in report["ranking"]["cuts"]:
        with np.load(shop / "out" / "cuts" / cut["day"] / "known.npz", allow_pickle=False) as known:
            assert known["day"].max() < known["now"]
            assert np.datetime64("1970-01-01") + int(known["now"]) == np.datetime64(cut["day"])
            assert len(known["asked"]) == cut["rows"] and known["facts"].shape == (len(known["vectors"]), 1)
            days.append(len(known["day"]))
    assert days[0] < days[1]


def test_every_peer_has_the_same_number_of_trials(bench) -> None:
    assert len(bench.peers) == 12
    for peer in bench.peers:
        each = bench.trials(peer, 6, [None, 364, 112, 28])
        assert len(each) == 6 and len({json.dumps(one) for one in each}) == 6
        assert {one["days"] for one in each} == {None, 364, 112, 28}
        assert each == bench.trials(peer, 6, [None, 364, 112, 28])
