"""Contrast runs from end to end, and runs that start from another bundle."""

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load_file
from typer.testing import CliRunner

from tuwen import workflow
from tuwen.apps.search import Question
from tuwen.bundle.bundle import Bundle
from tuwen.bundle.files import read_manifest
from tuwen.cli import app
from tuwen.config import Run
from tuwen.data.dataset import Dataset
from tuwen.data.sample import write_sample_shop
from tuwen.errors import BundleError, ConfigError, DataError
from tuwen.service.application import app as service
from tuwen.workflow.evaluation import bundle_rows
from tuwen.workflow.gathering import gather
from tuwen.workflow.idle import layers_of
from tuwen.workflow.indexing import Recipe
from tuwen.workflow.starting import start_of

RUN = """\
name: pairs
rows: {table: items}
modalities:
  words: {use: text, columns: [items.title], tokens: word-ngram, min_count: 1, encoder: {use: ngram, width: 16}}
  photo: {use: image, columns: [items.images], size: 24, flip: true, encoder: {use: cnn, channels: [8], pool: average}}
task: {use: contrast, pairs: [picture-text], width: 16, hidden: 32}
training: {epochs: 2, batch_size: 32}
evaluation: {samples: 100}
"""
# the same two modalities, the photo with another dropout and other changes while training
PRICES = """\
name: prices
rows: {table: items}
init: pairs
modalities:
  words: {use: text, columns: [items.title], tokens: word-ngram, min_count: 1, encoder: {use: ngram, width: 16}}
  photo:
    {use: image, columns: [items.images], size: 24, encoder: {use: cnn, channels: [8], pool: average, dropout: 0.1}}
  brand: {use: table, columns: [items.brand], encoder: {use: table, width: 4}}
task: {use: rate, target: items.price}
training: {epochs: 1, batch_size: 32}
evaluation: {samples: 100}
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    write_sample_shop(folder, items=120, seed=3)
    workflow.collect(folder / "SHOP.yaml", folder / "dataset")
    (folder / "pairs.yaml").write_text(RUN)
    (folder / "prices.yaml").write_text(PRICES)
    return folder


@pytest.fixture(scope="module")
def pairs(shop):
    bundle = workflow.train(shop / "pairs.yaml", shop / "dataset", shop / "pairs")
    return bundle, workflow.evaluate(bundle, shop / "dataset", shop / "report")


@pytest.fixture(scope="module")
def prices(shop, pairs):
    return workflow.train(shop / "prices.yaml", shop / "dataset", shop / "prices")


def test_evaluation_is_a_plain_ranking_of_the_bundles_own_embeddings(shop, pairs):
    folder, report = pairs
    bundle, dataset = Bundle.open(folder), Dataset.open(shop / "dataset")
    run = Run.model_validate(bundle.run)
    gathered = gather(run, dataset, learn=False)
    frame = gathered.frame[gathered.rows("test")]
    found = bundle.embed(bundle_rows(bundle, frame, dataset))
    both = found["picture"].any(axis=1) & found["text"].any(axis=1)
    picture, text = found["picture"][both], found["text"][both]
    titles = frame["items.title"].to_numpy()[both]
    scores = picture @ text.T
    hits = []
    for i in range(len(scores)):
        rivals = [j for j in range(len(scores)) if titles[j] != titles[i]]
        better, tied = sum(scores[i, j] > scores[i, i] for j in rivals), sum(titles == titles[i]) - 1
        hits.append(np.clip((10 - better) / (tied + 1), 0, 1))
    assert report["metrics"]["picture_to_text_recall@10"]["value"] == pytest.approx(np.mean(hits), abs=1e-6)
    assert report["rows"] == len(scores) == report["retrieval"]["answers"][0]
    np.testing.assert_allclose(np.linalg.norm(picture, axis=1), 1, atol=1e-5)


def test_an_index_keeps_the_bundle_that_its_vectors_are_of(shop, pairs, tmp_path):
    moved = tmp_path / "moved"
    shutil.copytree(pairs[0], moved)
    recipe = Recipe(text="none", picture="none", bundle=str(moved))
    told = workflow.index(shop / "dataset", tmp_path / "index", recipe)
    assert told["spaces"] == {"joint": 16}
    title = Dataset.open(shop / "dataset").table("items")["title"][0]
    before = workflow.search(tmp_path / "index", Question(title, mode="vectors"))
    shutil.rmtree(moved)  # what answers does not hang on where it was
    after = workflow.search(tmp_path / "index", Question(title, mode="vectors"))
    assert [hit["item"] for hit in after["hits"]] == [hit["item"] for hit in before["hits"]]
    added = workflow.update_index(tmp_path / "index", [{"item": "NEW", "title": title}])
    assert added["added"] == 1
    assert "NEW" in [h["item"] for h in workflow.search(tmp_path / "index", Question(title, mode="vectors"))["hits"]]
    same = Recipe(text="none", picture="none", bundle=str(pairs[0]))  # the same bundle from another place
    assert workflow.index(shop / "dataset", tmp_path / "index", same)["removed"] == 1
    (kept,) = (tmp_path / "index").glob("encoders-*/joint/model.safetensors")
    kept.write_bytes(b"other")
    with pytest.raises(DataError, match="the bundle that the index keeps") as error:
        workflow.search(tmp_path / "index", Question(title))
    assert "--replace" in str(error.value.todo)


def test_an_index_takes_no_bundle_of_another_kind(shop, prices, tmp_path):
    with pytest.raises(ConfigError, match="no vectors of items"):
        workflow.index(shop / "dataset", tmp_path / "index", Recipe(text="none", picture="none", bundle=str(prices)))


def test_the_report_stands_beside_chance_and_is_told_on_the_page_and_card(shop, pairs):
    _, report = pairs
    assert json.loads((shop / "report" / "report.json").read_text()) == report
    assert report["baselines"]["chance"]["text_to_picture_recall@10"]["value"] == pytest.approx(10 / report["rows"])
    # a photo read as pixels is no frozen vector
    assert "no encoder of picture" in report["retrieval"]["notes"]["linear maps"]
    assert report["cost"]["latency_p50_ms"] > 0 and report["warnings"] == []
    html = (shop / "report" / "report.html").read_text()
    assert "data:image/jpeg;base64," in html and "图片 → 文字" in html
    history = json.loads((shop / "pairs" / "history.json").read_text())
    assert all(epoch["score"] == epoch["validation_mean_recall@10"] for epoch in history)
    card = (shop / "pairs" / "card.md").read_text()
    assert "picture_to_text_recall@10" in card and "Fusion" not in card


def test_any_two_kinds_can_be_paired(shop, tmp_path):
    (line,) = [line for line in RUN.splitlines() if "photo:" in line]
    brand = "  brand: {use: table, columns: [items.brand], encoder: {use: table}}"
    (tmp_path / "run.yaml").write_text(RUN.replace(line, brand).replace("picture-text", "table-text"))
    bundle = workflow.train(tmp_path / "run.yaml", shop / "dataset", tmp_path / "bundle")
    report = workflow.evaluate(bundle, shop / "dataset", tmp_path / "out")
    assert set(report["metrics"]) == {
        f"{a}_to_{b}_{m}"
        for a, b in (("table", "text"), ("text", "table"))
        for m in ("recall@1", "recall@5", "recall@10", "mrr", "median_rank")
    }


def test_of_a_side_with_several_inputs_each_is_knocked_out(shop, pairs, tmp_path):
    """The table holds the brand: of the two texts only the one that says it is worth anything."""
    (line,) = [line for line in RUN.splitlines() if "photo:" in line]
    maker = "  maker: {use: text, columns: [items.brand], tokens: word-ngram, min_count: 1, encoder: ngram}"
    brand = "  brand: {use: table, columns: [items.brand], encoder: {use: table}}"
    text = RUN.replace(line, f"{maker}\n{brand}").replace("picture-text", "table-text")
    (tmp_path / "run.yaml").write_text(text.replace("epochs: 2", "epochs: 12, learning_rate: 0.01"))
    bundle = workflow.train(tmp_path / "run.yaml", shop / "dataset", tmp_path / "bundle")
    report = workflow.evaluate(bundle, shop / "dataset", tmp_path / "out")
    assert set(report["knock_out"]) == {"words", "maker"}  # the table is all there is of its side
    for way in ("absent", "swapped"):
        lost = {n: report["knock_out"][n][way]["comparison"]["table_to_text_mrr"] for n in ("words", "maker")}
        assert lost["maker"]["low"] > 0 and lost["words"]["difference"] < lost["maker"]["difference"] / 2
        assert report["knock_out"]["maker"][way]["metrics"]["table_to_text_mrr"]["high"] < 1
    assert "maker" in (tmp_path / "out" / "report.html").read_text() and pairs[1]["knock_out"] == {}


def test_a_bundle_of_pairs_gives_embeddings_to_a_file_and_refuses_to_be_served(shop, pairs, tmp_path):
    bundle = Bundle.open(pairs[0])
    one = bundle.embed([{"title": "a red mug"}])
    assert one["text"].shape == (1, 16) and not one["picture"].any()
    assert bundle.embed([])["text"].shape == (0, 16)
    (tmp_path / "new.csv").write_text("title,images\na red mug,\n,\n", encoding="utf-8")
    answers = workflow.predict(pairs[0], tmp_path / "new.csv", tmp_path / "answers.parquet")
    np.testing.assert_allclose(answers["text_embedding"][0].to_numpy(), one["text"][0], atol=1e-6)
    assert answers["picture_embedding"].to_list() == [None, None] and answers["text_embedding"][1] is None
    assert pl.read_parquet(tmp_path / "answers.parquet").equals(answers)
    told = CliRunner().invoke(app, ["predict", str(pairs[0]), str(tmp_path / "new.csv")])
    assert told.exit_code == 0, told.output
    with pytest.raises(BundleError, match="gives embeddings"):
        service(bundle)


def test_two_views_of_a_picture_train_but_leave_nothing_to_retrieve(shop, tmp_path):
    alone = "\n".join(line for line in RUN.splitlines() if "words:" not in line).replace(
        "picture-text", "picture-picture"
    )
    (tmp_path / "run.yaml").write_text(alone)
    bundle = workflow.train(tmp_path / "run.yaml", shop / "dataset", tmp_path / "bundle")
    history = json.loads((bundle / "history.json").read_text())
    assert all("validation_loss" not in epoch for epoch in history) and history[-1]["train_loss"] > 0
    with pytest.raises(BundleError, match="nothing to retrieve"):
        workflow.evaluate(bundle, shop / "dataset", tmp_path / "out")
    shopped = alone.replace("name: pairs", f"name: pairs\nshop: {shop / 'SHOP.yaml'}")
    (tmp_path / "shopped.yaml").write_text(shopped)
    with pytest.raises(ConfigError, match="nothing to evaluate"):
        workflow.run(tmp_path / "shopped.yaml", tmp_path / "whole")
    assert not (tmp_path / "whole").exists()
    with pytest.raises(ConfigError, match="both views of every picture would be the same"):
        workflow.train(tmp_path / "run.yaml", shop / "dataset", tmp_path / "other", ["modalities.photo.flip=false"])


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ("task.pairs=[picture-sound]", "there is no pair 'picture-sound'"),
        ("task.pairs=[text-text]", "the modality 'photo' is in no pair"),
        ("rows.balance=true", "'rows.balance' is about labels"),
        ("task.target=items.price", "no option 'target'"),
    ],
)
def test_settings_that_a_contrast_run_cannot_have_are_refused_by_check(shop, change, what):
    assert workflow.check(shop / "pairs.yaml")["task"]["pairs"] == ["picture-text"]
    with pytest.raises(ConfigError, match=what):
        workflow.check(shop / "pairs.yaml", [change])


def test_a_comparison_of_answers_refuses_a_run_without_any(shop, tmp_path):
    with pytest.raises(ConfigError, match="a contrast run gives embeddings"):
        workflow.compare(shop / "pairs.yaml", tmp_path, shop / "dataset", vary=["task.width=8,16"])


def test_tune_goes_by_the_validation_score_of_a_contrast_run(shop, pairs, tmp_path):
    """The first trial is the run as it is written: it scores what the bundle's best epoch scored."""
    search = ["training.learning_rate=0.00001,0.001"]
    result = workflow.tune(shop / "pairs.yaml", tmp_path, shop / "dataset", search=search, trials=2)
    manifest = read_manifest(pairs[0])
    history = json.loads((pairs[0] / "history.json").read_text())
    best = next(entry for entry in history if entry["epoch"] == manifest["best_epoch"])
    assert result["metric"] == "mean_recall@10"
    assert result["as_written"] == pytest.approx(best["validation_mean_recall@10"], abs=1e-6)
    assert result["best"]["value"] == max(trial["value"] for trial in result["trials"] if trial["value"] is not None)
    assert "Recall@10" in (tmp_path / "tune.html").read_text()
    with pytest.raises(ConfigError, match="different questions"):
        workflow.tune(shop / "pairs.yaml", tmp_path, shop / "dataset", search=["task.pairs=[picture-text]"])
    with pytest.raises(ConfigError, match="paired with itself only"):
        change = ["task.pairs=[text-text]", "modalities={words: {use: text, columns: items.title, encoder: ngram}}"]
        workflow.tune(shop / "pairs.yaml", tmp_path, shop / "dataset", search=search, overrides=change)


def test_rows_without_both_sides_are_an_error_only_when_all_are(shop):
    run = Run.read(shop / "pairs.yaml", ["rows.where=images IS NULL OR len(images) = 0"])
    with pytest.raises((DataError, ConfigError)):
        gather(run, Dataset.open(shop / "dataset"))


# --- init ---------------------------------------------------------------------------------------------------------


def test_init_takes_over_vocabulary_and_weights_exactly(shop, pairs, prices):
    there, here = (load_file(folder / "model.safetensors") for folder in (pairs[0], prices))
    assert start_of(Run.read(shop / "prices.yaml")).left == {"brand": "the bundle has no modality of that name"}
    words = "modalities/words/ngrams.safetensors"
    assert read_manifest(prices)["files"][words] == read_manifest(pairs[0])["files"][words]
    remembered = read_manifest(prices)["init"]
    assert (
        remembered["taken"] == ["photo", "words"]
        and remembered["fingerprint"] == read_manifest(pairs[0])["fingerprint"]
    )
    # one epoch moves the weights, so the start itself is looked at with a rate of nearly nothing
    still = workflow.train(
        shop / "prices.yaml", shop / "dataset", shop / "still", ["training.learning_rate=1.0e-30", "name=still"]
    )
    kept = load_file(still / "model.safetensors")
    taken = [key for key in there if key.startswith("encoders.")]
    assert taken and all(np.array_equal(kept[key], there[key]) for key in taken)
    assert not all(np.array_equal(here[key], there[key]) for key in taken)
    assert "pairs (photo, words)" in (prices / "card.md").read_text()


def test_a_schedule_holds_still_what_init_brought_and_nothing_else(shop, pairs):
    there = load_file(pairs[0] / "model.safetensors")
    asked = ["training.unfreeze_epoch=1", "training.learning_rate=0.01"]
    kept = load_file(workflow.train(shop / "prices.yaml", shop / "dataset", shop / "held", asked) / "model.safetensors")
    taken = [key for key in there if key.startswith("encoders.")]
    assert taken and all(np.array_equal(kept[key], there[key]) for key in taken)
    run = Run.read(shop / "prices.yaml", [*asked, "training.learning_rate=1.0e-30"])
    still = load_file(workflow.train(run, shop / "dataset", shop / "held-still") / "model.safetensors")
    assert not np.array_equal(kept["encoders.brand.dense.weight"], still["encoders.brand.dense.weight"])
    slow = ["training.encoder_learning_rate=1.0e-30", "training.learning_rate=0.01"]
    kept = load_file(workflow.train(shop / "prices.yaml", shop / "dataset", shop / "slow", slow) / "model.safetensors")
    assert all(np.array_equal(kept[key], there[key]) for key in taken)


def test_settings_of_pretrained_weights_count_where_init_brings_some(shop, pairs):
    asked = ["training.epochs=3", "training.unfreeze_epoch=1", "training.layer_decay=0.5"]
    assert workflow.without_effect(shop / "prices.yaml", asked) == []
    found = workflow.without_effect(shop / "prices.yaml", [*asked, "init=null"])
    assert len(found) == 2 and all("or init)" in line for line in found)
    assert workflow.without_effect(shop / "prices.yaml", ["training.epochs=1", "training.unfreeze=gradual"]) == []
    deep = Run.read(shop / "prices.yaml", ["modalities.photo.encoder.channels=[8, 8, 8]"])
    assert [layers_of(deep, name, brought=True) for name in ("photo", "words", "brand")] == [3, 1, 2]
    found = workflow.without_effect(shop / "prices.yaml", ["training.unfreeze_epoch=1", "training.layer_decay=0.5"])
    assert "training.layer_decay has no effect" in found[0]
    assert "holds pretrained weights still for good: the training ends after 1 epochs" in found[1]


def test_a_supervised_bundle_is_a_start_too_and_its_own_start_is_remembered(shop, prices, tmp_path):
    run = tmp_path / "run.yaml"
    run.write_text(PRICES.replace("init: pairs", f"init: {prices}").replace("name: prices", "name: again"))
    again = workflow.train(run, shop / "dataset", tmp_path / "again")
    init = read_manifest(again)["init"]
    assert init["name"] == "prices" and init["taken"] == ["brand", "photo", "words"] and init["left"] == {}
    assert init["init"]["name"] == "pairs"


def test_the_fingerprint_is_that_of_the_start_not_of_its_place(shop, pairs, prices, tmp_path):
    moved = tmp_path / "elsewhere"
    shutil.copytree(pairs[0], moved)
    same = [f"init={moved}"]
    assert workflow.is_trained(shop / "prices.yaml", shop / "dataset", prices, same)
    assert not workflow.is_trained(shop / "prices.yaml", shop / "dataset", prices, ["init=null"])
    other = workflow.train(shop / "pairs.yaml", shop / "dataset", tmp_path / "other", ["seed=1"])
    assert not workflow.is_trained(shop / "prices.yaml", shop / "dataset", prices, [f"init={other}"])


def test_a_start_that_does_not_fit_or_is_not_there_is_told(shop, pairs, monkeypatch):
    with pytest.raises(ConfigError, match="nothing of the bundle fits") as error:
        run = Run.read(shop / "prices.yaml", ["modalities.words.encoder.width=8", "modalities.photo.size=32"])
        start_of(run)
    assert "width is 16 there, 8 here" in error.value.seen and "size is [24, 24] there" in error.value.seen
    assert error.value.where.endswith("prices.yaml:3")
    with pytest.raises(BundleError, match="cannot start from this bundle: not a bundle"):
        workflow.train(shop / "prices.yaml", shop / "dataset", shop / "none", ["init=nowhere"])
    # a path of the command line starts where the person is
    monkeypatch.chdir(shop.parent)
    assert Run.read(shop / "prices.yaml", [f"init={shop.name}/pairs"]).init == str(shop / "pairs")
    assert Run.read(shop / "prices.yaml").init == str(shop / "pairs")


def test_the_report_warns_where_the_start_saw_another_split(shop, prices, tmp_path):
    alike = workflow.evaluate(prices, shop / "dataset", tmp_path / "alike")
    assert alike["warnings"] == [] and alike["provenance"]["starts_from"][0]["same_split"]
    assert {"picture_only", "text_only", "table_only"} <= set(alike["baselines"])
    bundle = workflow.train(
        shop / "prices.yaml", shop / "dataset", tmp_path / "bundle", ["split={use: hash, test: 0.3}"]
    )
    report = workflow.evaluate(bundle, shop / "dataset", tmp_path / "out")
    assert "pretrained on other data or another split" in report["warnings"][0]["en"]
    assert "另一种划分" in (tmp_path / "out" / "report.html").read_text()
    labelled = tmp_path / "labelled.yaml"
    labelled.write_text(PRICES.replace("init: pairs", f"init: {bundle}"))
    second = workflow.train(labelled, shop / "dataset", tmp_path / "second")
    found = workflow.evaluate(second, shop / "dataset", tmp_path / "second-out")
    assert "trained with labels" in found["warnings"][0]["en"] and len(found["warnings"]) == 1


def test_a_start_that_is_gone_costs_only_the_baselines_that_need_it(shop, pairs, tmp_path):
    shutil.copytree(pairs[0], tmp_path / "start")
    bundle = workflow.train(shop / "prices.yaml", shop / "dataset", tmp_path / "bundle", [f"init={tmp_path / 'start'}"])
    shutil.rmtree(tmp_path / "start")
    report = workflow.evaluate(bundle, shop / "dataset", tmp_path / "out")
    plain = {"tfidf_linear", "picture_linear", "table_linear"}
    assert set(report["baselines"]) == {"mean", "median", *plain} and "no longer there" in report["warnings"][0]["en"]
    assert Path(tmp_path / "out" / "report.html").is_file()
