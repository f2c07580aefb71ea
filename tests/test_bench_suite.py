"""The suite: what peers are given, how their answers are judged, and that it goes on where it was stopped."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tuwen import workflow
from tuwen.config import Run
from tuwen.data.dataset import Dataset

ROOT = Path(__file__).resolve().parent.parent
RUN = """\
name: stars
shop: SHOP.yaml
rows: {table: items}
content: [items.item]
modalities:
  words: {use: text, columns: [items.title], tokens: word-ngram, encoder: ngram}
  facts: {use: table, columns: [items.kind, items.sent, items.came], dates: [items.sent, items.came], encoder: table}
fusion: {use: sum, width: 8}
task: {use: TASK, target: items.TARGET}
split: {use: folds, folds: 2, validation: 0}
training: {epochs: 1}
evaluation: {samples: 100}
"""


@pytest.fixture(scope="module")
def suite() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "bench")
        yield importlib.import_module("suite.exchange")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("suite")
    rng = np.random.default_rng(0)
    lines = ["item,title,kind,sent,came,price,colour"]
    for row in range(60):
        day = rng.integers(1, 9)
        lines.append(
            f"i{row},thing {row % 4},{'ab'[row % 2]},2024-03-0{day},2024-03-1{day},{10 * row + 1},{'红蓝绿'[row % 3]}"
        )
    (folder / "items.csv").write_text("\n".join(lines), encoding="utf-8")
    (folder / "SHOP.yaml").write_text("name: stars\nitems: {source: items.csv}\n")
    workflow.collect(folder / "SHOP.yaml", folder / "dataset")
    return folder


def run_of(shop: Path, task: str, target: str) -> Run:
    path = shop / f"{target}.yaml"
    path.write_text(RUN.replace("TASK", task).replace("TARGET", target))
    return Run.read(path)


def test_a_peer_never_sees_the_truth_of_a_test_row_and_every_row_is_test_once(suite, shop, tmp_path) -> None:
    run, dataset = run_of(shop, "rate, scale: log", "price"), Dataset.open(shop / "dataset")
    folds = [suite.write_fold(run, dataset, fold, tmp_path / f"{fold}") for fold in range(2)]
    rows = [row for fold in folds for row in fold.base["row"].to_list()]
    assert sorted(rows) == sorted(f"i{row}" for row in range(60))
    for fold in folds:
        with np.load(fold.folder / "given.npz") as given:
            assert (
                np.isnan(given["target"][~given["train"]]).all() and np.isfinite(given["target"][given["train"]]).all()
            )
            assert given["target"][given["train"]].max() <= np.log(592) + 1e-6
            plain = json.loads((fold.folder / "given.json").read_text(encoding="utf-8"))
            assert plain["numbers"] == ["items.sent", "items.came", "items.came - items.sent"]
            np.testing.assert_allclose(given["numbers"][:, 2], 10)
        assert str(fold.base["target"].to_list()) not in (fold.folder / "given.json").read_text(encoding="utf-8")
        perfect = np.log1p(fold.base["target"].to_numpy().astype(float))[:, None]
        predictions = fold.predictions(perfect)
        inside = (predictions.target >= fold.target.low) & (predictions.target <= fold.target.high)
        np.testing.assert_allclose(predictions.prediction[inside], predictions.target[inside], rtol=1e-5)


def test_answers_of_folds_are_pooled_in_the_order_of_the_model(suite, shop, tmp_path) -> None:
    run, dataset = run_of(shop, "classify", "colour"), Dataset.open(shop / "dataset")
    folds = [suite.write_fold(run, dataset, fold, tmp_path / f"{fold}") for fold in range(2)]
    exact = [np.eye(3)[[fold.target.classes.index(c) for c in fold.base["target"]]] for fold in folds]
    whole = suite.pool(folds, exact, suite.pooled([f.predictions(e) for f, e in zip(folds, exact, strict=True)]))
    turned = whole.frame.sample(fraction=1.0, shuffle=True, seed=1)
    model = type(whole)("classify", turned, whole.classes)
    again = suite.pool(folds, exact, model)
    assert again.frame["row"].to_list() == turned["row"].to_list()
    assert (again.prediction == again.target).all()


def test_a_peer_answers_in_a_process_of_its_own_and_a_failure_is_told_once(suite, shop, tmp_path) -> None:
    peers = importlib.import_module("suite.peers")
    run, dataset = run_of(shop, "rate", "price"), Dataset.open(shop / "dataset")
    folds = [suite.write_fold(run, dataset, 0, tmp_path / "given")]
    good, bad = peers.Peer("lightgbm", "", own=False), peers.Peer("missing", "", own=False)
    assert peers.answers_of(good, None, folds, tmp_path / "out", 9) is None
    answers = peers.answers_of(good, sys.executable, folds, tmp_path / "out", 9)
    assert not isinstance(answers, str), answers
    assert answers[0].shape == (len(folds[0].base), 1)
    assert peers.seconds_of(good, 1, tmp_path / "out") > 0
    reason = peers.answers_of(bad, sys.executable, folds, tmp_path / "out", 9)
    assert "ModuleNotFoundError" in reason and peers.answers_of(bad, None, folds, tmp_path / "out", 9) == reason
    plain = json.loads((folds[0].folder / "given.json").read_text(encoding="utf-8"))
    (folds[0].folder / "given.json").write_text(json.dumps(plain | {"text": [None] * len(plain["text"])}))
    linear = peers.Peer("linear", "", own=False)
    assert peers.answers_of(linear, sys.executable, folds, tmp_path / "out", 9) == "there is no text"
    peers.forget_errors(tmp_path / "out")
    assert peers.answers_of(bad, None, folds, tmp_path / "out", 9) is None
    assert peers.answers_of(good, None, folds, tmp_path / "out", 9)[0].shape == answers[0].shape


def row(difference: tuple[float, float, float], error: str | None = None) -> dict[str, Any]:
    value = dict(zip(("difference", "low", "high"), difference, strict=True))
    peers: dict[str, Any] = {"linear": {"value": 0.5, "seconds": 3.0, "difference": value}}
    peers |= {"ludwig": {"error": error}} if error else {}
    return {
        "run": "stars",
        "metric": "rmse",
        "rows": 9,
        "tuwen": {"value": 0.4, "low": 0.3, "high": 0.5, "seconds": 7.0},
        "single": {"name": "text_only", "value": 0.6, "difference": value},
        "peers": peers,
        "best_peer": "linear",
    }


def test_the_page_counts_wins_ties_and_losses_and_tells_what_was_not_measured(suite) -> None:
    page = importlib.import_module("suite.page")
    rows = [row((-0.2, -0.3, -0.1)), row((-0.1, -0.2, 0.1), "no wheel for this Python"), row((0.2, 0.1, 0.3))]
    assert [page.standing(one) for one in rows] == ["win", "tie", "loss"]
    text = page.page(rows, 60)
    assert "1 wins, 1 ties and 1 losses" in text and "clearly worse on 1 of 3" in text
    assert "ludwig: no wheel for this Python (stars)" in text and "**-0.2000 (-0.3000 – -0.1000)** text_only" in text
    assert page.best_of({"a": 1.0, "b": 2.0}, "rmse") == "a" and page.best_of({"a": 1.0, "b": 2.0}, "accuracy") == "b"
    assert page.best_of({}, "rmse") is None
