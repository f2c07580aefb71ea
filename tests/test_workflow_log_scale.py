"""``scale: log`` from a shop's files to a report: prices over orders of magnitude, judged by their ratio."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tuwen import workflow
from tuwen.bundle.bundle import Bundle
from tuwen.errors import DataError

RUN = """
name: prices
rows: {table: items}
content: [items.item]
modalities:
  facts: {use: table, columns: [items.kind, items.weight], encoder: table}
  words: {use: text, columns: [items.title], tokens: word-ngram, encoder: ngram}
training: {epochs: 60, batch_size: 32, learning_rate: 0.02}
task: {use: rate, target: items.price, scale: log}
fusion: sum
split: {use: hash}
evaluation: {samples: 100, baselines: [trivial]}
"""
FACTOR = {"pin": 1.0, "lamp": 6.0, "sofa": 40.0}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prices from 2 to 8,000: a kind multiplies them, and so does a word of the title."""
    folder = tmp_path_factory.mktemp("prices")
    rng = np.random.default_rng(0)
    lines = ["item,title,kind,weight,price"]
    for row in range(200):
        kind, plain = str(rng.choice(list(FACTOR))), bool(rng.integers(0, 2))
        price = 20 * FACTOR[kind] * (0.3 if plain else 1) * np.exp(0.1 * rng.normal())
        lines.append(f"i{row},a {'plain' if plain else 'royal'} thing {row},{kind},{rng.integers(1, 9)},{price:.2f}")
    (folder / "items.csv").write_text("\n".join(lines))
    (folder / "SHOP.yaml").write_text("name: prices\nitems: {source: items.csv}\n")
    (folder / "RUN.yaml").write_text(RUN)
    workflow.collect(folder / "SHOP.yaml", folder / "dataset")
    return folder


def test_the_report_is_decided_by_the_ratio_and_answers_are_prices(shop: Path) -> None:
    bundle = workflow.train(shop / "RUN.yaml", shop / "dataset", shop / "bundle")
    report = workflow.evaluate(bundle, shop / "dataset", shop / "out")
    assert report["primary"] == "rmsle" and report["metrics"]["rmsle"]["value"] < 0.2
    assert report["comparisons"]["median"]["rmsle"]["high"] < 0
    answers = Bundle.open(bundle).predict(
        [{"items.kind": kind, "items.weight": 3, "items.title": "a royal thing"} for kind in FACTOR]
    )
    for answer, factor in zip(answers, FACTOR.values(), strict=True):
        assert answer["prediction"] == pytest.approx(20 * factor, rel=0.25)


def test_a_network_is_watched_compared_and_searched_by_the_ratio_too(shop: Path, tmp_path: Path) -> None:
    settings = ["training.epochs=2"]
    bundle = workflow.train(shop / "RUN.yaml", shop / "dataset", tmp_path / "bundle", overrides=settings)
    history = json.loads((Path(bundle) / "history.json").read_text(encoding="utf-8"))
    assert history[0]["rmsle"] == -history[0]["score"] and "rmse" not in history[0]
    compared = workflow.compare(
        shop / "RUN.yaml", tmp_path / "c", shop / "dataset", vary=["task.scale=log,linear"], seeds=1, overrides=settings
    )
    assert compared["primary"] == "rmsle"
    for cell in compared["cells"]:
        assert cell["metrics"]["rmsle"]["value"] > 0 and "rmsle" in cell["missing"]["text"]["all"]["metrics"]
    assert "RMSLE" in (tmp_path / "c" / "compare.html").read_text(encoding="utf-8")
    tuned = workflow.tune(
        shop / "RUN.yaml", tmp_path / "t", shop / "dataset", search=["training.learning_rate=0.001,0.1"], trials=2,
        overrides=settings,
    )  # fmt: skip
    assert tuned["metric"] == "rmsle"


def test_a_price_below_zero_is_refused_with_its_row_and_the_line_of_the_run(shop: Path, tmp_path: Path) -> None:
    lines = (shop / "items.csv").read_text().replace(",price", ",profit").splitlines()
    (tmp_path / "items.csv").write_text("\n".join([*lines[:6], "odd,a royal thing,pin,3,-4", *lines[6:]]))
    (tmp_path / "SHOP.yaml").write_text("name: prices\nitems: {source: items.csv}\n")
    (tmp_path / "RUN.yaml").write_text(RUN.replace("items.price", "items.profit"))
    workflow.collect(tmp_path / "SHOP.yaml", tmp_path / "dataset")
    with pytest.raises(DataError, match="below 0") as raised:
        workflow.train(tmp_path / "RUN.yaml", tmp_path / "dataset", tmp_path / "bundle")
    assert raised.value.seen == "-4 in row 'odd'" and "RUN.yaml:9" in str(raised.value.where)
    workflow.check(tmp_path / "RUN.yaml", ["task.scale=linear"], tmp_path / "dataset")
