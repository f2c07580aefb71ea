"""A run with raters, from a shop's files to answers: what it reports, what it serves, and what it refuses."""

import json

import numpy as np
import polars as pl
import pytest

from tuwen import workflow
from tuwen.bundle.bundle import Bundle
from tuwen.errors import ConfigError
from tuwen.workflow.evaluation import evaluate_folds

RUN = """
name: raters
shop: SHOP.yaml
rows: {table: reviews}
content: [reviews.user, reviews.item]
modalities:
  shopper: {use: table, columns: [reviews.user, users.age], encoder: table}
  thing: {use: table, columns: [reviews.item, items.colour], encoder: table}
task: {use: rate, target: reviews.rating}
raters:
  biases: biases
  taste: {use: factors, width: 2, samples: 30, warm_up: 20, kept: 20}
  alike: {use: neighbours, neighbours: 10}
stacking: {folds: 2}
split: {use: column, column: reviews.part, test: [1, 2], validation_share: 0, each: true}
evaluation: {samples: 100}
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """(RUN.yaml, dataset): the young like red and the old like blue, and some are generous."""
    folder = tmp_path_factory.mktemp("raters")
    rng = np.random.default_rng(0)
    ages, colours = rng.integers(0, 2, 50) * 40 + 20, rng.choice(["red", "blue"], 40)
    generous = rng.normal(size=50) * 0.5
    lines = {"users": ["user,age"], "items": ["item,colour"], "reviews": ["user,item,rating,part"]}
    lines["users"] += [f"u{u},{age}" for u, age in enumerate(ages)]
    lines["items"] += [f"i{i},{colour}" for i, colour in enumerate(colours)]
    for user in range(50):
        for item in rng.permutation(40)[:16]:
            fits = (ages[user] == 20) == (colours[item] == "red")
            stars = int(np.clip(round(3 + (1.2 if fits else -1.2) + generous[user] + rng.normal() * 0.3), 1, 5))
            lines["reviews"].append(f"u{user},i{item},{stars},{rng.integers(0, 4)}")
    for name, rows in lines.items():
        (folder / f"{name}.csv").write_text("\n".join(rows))
    (folder / "SHOP.yaml").write_text(
        "name: raters\nitems: {source: items.csv}\nusers: {source: users.csv}\n"
        "reviews: {source: reviews.csv}\nrating_range: [1, 5]\n"
    )
    (folder / "RUN.yaml").write_text(RUN)
    workflow.collect(folder / "SHOP.yaml", folder / "dataset")
    return folder / "RUN.yaml", folder / "dataset"


@pytest.fixture(scope="module")
def bundles(shop, tmp_path_factory):
    out = tmp_path_factory.mktemp("bundles")
    return [workflow.train(*shop, out / f"{fold}", fold=fold) for fold in range(2)]


@pytest.fixture(scope="module")
def report(shop, bundles, tmp_path_factory):
    out = tmp_path_factory.mktemp("report")
    return evaluate_folds(bundles, shop[1], out), out


def test_the_blend_beats_the_mean_and_stands_beside_each_of_its_raters(report):
    found, out = report
    systems = {name: one["rmse"]["value"] for name, one in found["baselines"].items()}
    own = found["metrics"]["rmse"]["value"]
    assert set(systems) == {"mean", "median", "biases", "taste", "alike"}
    assert own < 0.5 * systems["mean"] and own < 0.6 * systems["biases"]
    assert own < 1.05 * min(systems.values())
    assert set(found["raters"]) == {"biases", "taste", "alike"}
    assert found["raters"]["taste"]["weight"] > 0.5
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "How the answer is put together" in page and "答案如何合成" in page
    assert {one["value"] for one in found["slices"]["fold"]} == {"1", "2"}


def test_the_bundle_tells_its_blend(bundles):
    opened = Bundle.open(bundles[0])
    members = opened.manifest["raters"]["members"]
    assert opened.manifest["raters"]["rmse"] <= min(one["rmse"] for one in members.values()) + 1e-9
    assert "taste" in (bundles[0] / "card.md").read_text(encoding="utf-8")
    assert opened.manifest["best_epoch"] is None


def test_the_same_training_again_gives_the_same_numbers(shop, bundles, tmp_path):
    again = workflow.train(*shop, tmp_path / "again")
    assert (again / "model.safetensors").read_bytes() == (bundles[0] / "model.safetensors").read_bytes()


def test_new_shoppers_and_new_items_are_rated_by_what_is_known_of_them(bundles):
    young = {("reviews", "user"): "nobody", ("users", "age"): 20}
    old = young | {("users", "age"): 60}
    new = {("reviews", "item"): "never seen"}
    red, blue = new | {("items", "colour"): "red"}, new | {("items", "colour"): "blue"}
    bundle = Bundle.open(bundles[0])

    def ask(*rows):
        named = [{f"{table}.{column}": value for (table, column), value in row.items()} for row in rows]
        return [one["prediction"] for one in bundle.predict(named)]

    fits, not_, not_either, fits_too = ask(young | red, young | blue, old | red, old | blue)
    assert min(fits, fits_too) > max(not_, not_either) + 1
    blank, nothing = ask(young | new, {("reviews", "item"): "never seen"})
    assert 2 < blank < 4 and 2 < nothing < 4


def test_predict_answers_a_file_of_ratings_to_come(bundles, tmp_path):
    rows = pl.DataFrame({"user": ["u1", "u2", None], "item": ["i1", "nothing known", None], "note": ["a", "b", "c"]})
    rows.write_csv(tmp_path / "rows.csv")
    answers = workflow.predict(bundles[0], tmp_path / "rows.csv", tmp_path / "answers.csv")
    assert answers["prediction"].is_between(1, 5).all()
    assert answers["problem"].to_list()[:2] == [None, None] and "nothing to go by" in answers["problem"][2]
    assert answers["note"].to_list() == ["a", "b", "c"]


def test_check_tells_a_run_completed_with_the_raters_options(shop):
    found = workflow.check(shop[0], dataset=shop[1])
    assert found["raters"]["taste"]["answers"] == "numbers"
    assert found["raters"]["alike"]["shrink"] == 100
    assert len(found["data"]["rows"]) == 2
    assert len(workflow.without_effect(shop[0], ["training.epochs=3", "fusion=sum"])) == 2


REFUSED = {
    "raters.taste.use=factor": "there is no rater called 'factor'",
    "raters.taste.widht=3": "has no option 'widht'",
    "task={use: binary, target: reviews.rating, at_least: 4}": "raters are of the task rate",
    "modalities.thing.columns=[items.colour]": "one table that reads 'reviews.item'",
    "modalities.shopper.columns=[reviews.user, items.colour]": "tells of users and of items",
    "modalities.shopper.columns=[reviews.user, reviews.text]": "is of a single review",
    "modalities.thing.lists=[reviews.item]": "is a key",
    "modalities.words={use: text, columns: [items.title], encoder: ngram}": "has to be trained",
    "gan=impute": "raters take its place",
    "init=nowhere": "raters take its place",
    "stacking.folds=1": "stacking.folds",
}


@pytest.mark.parametrize("setting", REFUSED)
def test_what_does_not_go_with_raters_is_told_with_its_place(setting, shop):
    with pytest.raises(ConfigError) as error:
        workflow.check(shop[0], [setting])
    assert REFUSED[setting] in f"{error.value.what} {error.value.where}"
    assert error.value.where


def test_nothing_starts_from_a_bundle_of_raters(shop, bundles):
    with pytest.raises(ConfigError, match="nothing of the bundle fits") as error:
        workflow.check(shop[0], ["raters=null", f"init={bundles[0]}"])
    assert "train no encoder" in error.value.seen


def test_compare_varies_a_run_with_raters(shop, tmp_path):
    overrides = ["split={use: column, column: reviews.part, test: [1]}", "raters={biases: biases}"]
    found = workflow.compare(shop[0], tmp_path / "out", shop[1], vary=["rows.labels=0.5,1.0"], overrides=overrides)
    assert not found["failures"]
    assert json.loads((tmp_path / "out" / "compare.json").read_text())["cells"]


def test_raters_are_served_without_torch(bundles):
    for told in (Bundle.open(folder).manifest["export"] for folder in bundles):
        assert told["file"] == "network.onnx", told
        assert told["rows_with_absent"] > 0 and told["difference"] <= told["tolerance"] < 1e-3
