"""``fusion: auto`` from a shop's files to answers: what the bundle holds, what it answers, and what it tells."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tuwen import workflow
from tuwen.bundle.bundle import Bundle
from tuwen.bundle.graph import GRAPH
from tuwen.bundle.network import load_network

ROWS = 260
RUN = """
name: auto
rows: {table: reviews}
modalities:
  words: {use: text, columns: [reviews.text], tokens: word-ngram, encoder: ngram}
  facts: {use: table, columns: [items.colour, items.price], encoder: table}
fusion: auto
task: {use: TASK, target: reviews.rating}
split: {use: hash}
evaluation: {samples: 100}
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with SHOP.yaml and its dataset: stars come half from the words and half from the colour."""
    folder = tmp_path_factory.mktemp("auto")
    rng = np.random.default_rng(0)
    words = {"good": 1.0, "fine": 0.4, "poor": -0.4, "awful": -1.0}
    colours = rng.choice(["red", "blue", "green"], 80)
    items = [f"i{i},{colour},{rng.integers(5, 50)}" for i, colour in enumerate(colours)]
    reviews = []
    for row in range(ROWS):
        item, word = int(rng.integers(0, 80)), str(rng.choice(list(words)))
        stars = 3 + words[word] + {"red": 1.0, "blue": -1.0, "green": 0.0}[str(colours[item])] + 0.2 * rng.normal()
        text = (
            ""
            if row % 10 == 0
            else f"a {word} thing {' '.join(rng.choice(['and', 'so', 'it', 'was', 'sent'], 3))} {row}"
        )
        reviews.append(f"u{row},i{item},{text},{np.clip(stars, 1, 5):.2f},{rng.normal():.4f}")
    (folder / "items.csv").write_text("\n".join(["item,colour,price", *items]))
    (folder / "reviews.csv").write_text("\n".join(["user,item,text,rating,noise", *reviews]))
    (folder / "SHOP.yaml").write_text(
        "name: auto\nitems: {source: items.csv}\nreviews: {source: reviews.csv}\nrating_range: [1, 5]\n"
    )
    workflow.collect(folder / "SHOP.yaml", folder / "dataset")
    return folder


def trained(shop: Path, task: str) -> Path:
    (shop / f"{task[:4]}.yaml").write_text(RUN.replace("TASK", task))
    return workflow.train(shop / f"{task[:4]}.yaml", shop / "dataset", shop / f"bundle-{task[:4]}")


@pytest.fixture(scope="module")
def bundle(shop: Path) -> Bundle:
    return Bundle.open(trained(shop, "rate"))


def test_both_modalities_count_and_the_bundle_tells_what_each_is_worth(bundle: Bundle) -> None:
    account = bundle.manifest["stack"]
    assert account["rows"] == bundle.manifest["data"]["rows"]["train"] + bundle.manifest["data"]["rows"]["validation"]
    assert {member["name"] for member in account["members"]} >= {"linear(words)", "linear(facts)", "trees"}
    assert sum(member["weight"] for member in account["members"]) == pytest.approx(1)
    assert all(worth["loss"] > 3 * worth["error"] for worth in account["worth"].values())
    assert "auto" in (bundle.folder / "card.md").read_text(encoding="utf-8")


def test_the_graph_answers_as_torch_does_with_anything_absent(bundle: Bundle) -> None:
    assert GRAPH in bundle.manifest["files"]
    rows = [
        {"reviews.text": "a good thing", "items.colour": "red", "items.price": 10},
        {"reviews.text": "an awful thing"},
        {"items.colour": "blue"},
        {},
    ]
    question = bundle.read(rows)
    graph = bundle.outputs(question)
    bundle.network = load_network(bundle.folder, bundle.architecture, bundle.target)  # type: ignore[misc]
    np.testing.assert_allclose(bundle.outputs(question), graph, atol=1e-4)
    del bundle.network
    best, words, colour, nothing = (answer["prediction"] for answer in bundle.predict(rows))
    assert best > 4.3
    assert words < 2.6
    assert colour < 2.6
    assert nothing == pytest.approx(3, abs=0.4)


def test_a_report_compares_it_with_each_modality_alone(shop: Path, bundle: Bundle) -> None:
    report = workflow.evaluate(bundle.folder, shop / "dataset", shop / "report")
    own = report["metrics"]["rmse"]["value"]
    alone = {name: one["rmse"]["value"] for name, one in report["baselines"].items() if name.endswith("_only")}
    assert set(alone) == {"text_only", "table_only"}
    assert own < 0.7 * min(alone.values())
    assert set(report["stack"]["worth"]) == {"words", "facts"}
    assert all(worth["clear"] for worth in report["stack"]["worth"].values())
    page = (shop / "report" / "report.html").read_text(encoding="utf-8")
    assert "What each modality is worth" in page
    assert "各模态的价值" in page


def test_a_modality_that_tells_nothing_is_named_with_what_it_costs(shop: Path) -> None:
    text = RUN.replace("TASK", "rate").replace("[items.colour, items.price]", "[reviews.noise]")
    (shop / "noise.yaml").write_text(text)
    folder = workflow.train(shop / "noise.yaml", shop / "dataset", shop / "bundle-noise")
    report = workflow.evaluate(folder, shop / "dataset", shop / "report-noise")
    worth = report["stack"]["worth"]
    assert worth["words"]["clear"]
    assert not worth["facts"]["clear"]
    assert worth["facts"]["mb"] >= 0
    assert "Leaving it out would save" in (shop / "report-noise" / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("task", ["binary, at_least: 3.5", "classify"])
def test_it_learns_every_task(shop: Path, task: str) -> None:
    if task == "classify":
        task = "classify, class_weights: balanced"
        target = "items.colour"
        text = (
            RUN.replace("TASK", task)
            .replace("reviews.rating", target)
            .replace("items.colour, items.price", "items.price, reviews.rating")
        )
        (shop / "clas.yaml").write_text(text)
        folder = workflow.train(shop / "clas.yaml", shop / "dataset", shop / "bundle-clas")
        answer = Bundle.open(folder).predict([{"reviews.text": "a poor thing", "reviews.rating": 3.6}])[0]
        assert answer["prediction"] == "red"
        assert sum(answer["probabilities"].values()) == pytest.approx(1)
        return
    answers = Bundle.open(trained(shop, task)).predict(
        [{"reviews.text": "a good thing", "items.colour": "red"}, {"reviews.text": "awful", "items.colour": "blue"}]
    )
    assert [answer["prediction"] for answer in answers] == [1, 0]
    assert answers[0]["probability"] > 0.9 > 0.1 > answers[1]["probability"]


def test_where_an_encoder_has_to_be_trained_it_is_a_late_fusion(shop: Path) -> None:
    text = RUN.replace("TASK", "rate").replace("tokens: word-ngram, encoder: ngram", "encoder: {use: lstm, width: 8}")
    (shop / "late.yaml").write_text(text + "training: {epochs: 3}\n")
    bundle = Bundle.open(workflow.train(shop / "late.yaml", shop / "dataset", shop / "bundle-late"))
    assert bundle.architecture["fusion"]["use"] == "auto"
    assert "stack" not in bundle.manifest
    red, blue = bundle.predict([{"items.colour": "red"}, {"items.colour": "blue"}])
    assert red["prediction"] > blue["prediction"]


def test_the_same_training_again_gives_the_same_numbers(shop: Path, bundle: Bundle) -> None:
    again = workflow.train(shop / "rate.yaml", shop / "dataset", shop / "again")
    assert (again / "model.safetensors").read_bytes() == (bundle.folder / "model.safetensors").read_bytes()
    assert json.loads((again / "bundle.json").read_text())["export"]["file"] == GRAPH


def test_tune_and_compare_judge_a_stack_as_any_network(shop: Path, bundle: Bundle) -> None:
    settings = {"search": ["fusion.members=linear,all"], "trials": 2}
    tuned = workflow.tune(shop / "rate.yaml", shop / "tuned", shop / "dataset", **settings)
    assert [trial["state"] for trial in tuned["trials"]] == ["complete", "complete"]
    vary = ["fusion=auto,{use: auto, members: linear}"]
    compared = workflow.compare(shop / "rate.yaml", shop / "compared", shop / "dataset", vary=vary, seeds=1)
    assert all(cell["metrics"]["rmse"]["value"] < 0.6 for cell in compared["cells"])
