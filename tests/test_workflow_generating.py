"""Runs with a generator from end to end: what travels, what is said, what a stop costs."""

import json
import tracemalloc

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.numpy import load_file

from test_training_loop import Stops
from tuwen import workflow
from tuwen.bundle.bundle import Bundle
from tuwen.bundle.network import load_network
from tuwen.cli.experiments import _show_comparison
from tuwen.cli.screen import Screen
from tuwen.config import Run
from tuwen.data.dataset import Dataset
from tuwen.data.sample import write_sample_shop
from tuwen.errors import ConfigError
from tuwen.evaluation import samples
from tuwen.models.assemble import Part, assemble
from tuwen.models.generator import Augment, Impute
from tuwen.models.tasks import Binary
from tuwen.preprocess.spec import ArraySpec
from tuwen.preprocess.target import BinaryTarget, RateTarget
from tuwen.progress import Silent
from tuwen.training.adversarial import Adversarial, train_generator, usable
from tuwen.training.batches import Examples, outputs_of
from tuwen.training.inputs import EncodedInput, SetInput, StreamedInput
from tuwen.training.loop import network_of
from tuwen.workflow.fitting import fit_network, prepare
from tuwen.workflow.gathering import gather
from tuwen.workflow.generating import as_trained, rare_classes, vectors_of, with_made_rows
from tuwen.workflow.sampling import distinct_rows, held_back, judged, trust
from tuwen.workflow.training import fingerprint, write_bundle
from twofold import collected

QUICK = ["training.epochs=2", "modalities.picture.size=32", "evaluation.samples=100"]
FILLS = [*QUICK, "gan=impute", "gan.steps=20", "gan.hidden=16", "gan.hold=0.4"]
STARS = [*QUICK, "task={use: classify, target: reviews.rating}", "gan=augment", "gan.steps=20", "gan.hidden=16"]


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    write_sample_shop(folder, items=60, seed=3)
    workflow.collect(folder / "SHOP.yaml", folder / "dataset")
    return folder


@pytest.fixture(scope="module")
def filled(shop):
    bundle = workflow.train(shop / "RUN.yaml", shop / "dataset", shop / "filled", FILLS)
    return bundle, workflow.evaluate(bundle, shop / "dataset", shop / "report")


def test_a_bundle_answers_as_the_model_that_was_saved(shop, tmp_path):
    run, dataset = Run.read(shop / "RUN.yaml", FILLS), Dataset.open(shop / "dataset")
    prepared = prepare(run, gather(run, dataset), dataset, Silent())
    fitted = fit_network(run, prepared, work=tmp_path, fingerprint="f", progress=Silent())
    write_bundle(tmp_path / "bundle", run, dataset, 0, prepared, fitted)
    inputs = {m: source.take(np.arange(40)) for m, source in prepared.inputs.items()}
    saved = outputs_of(network_of(fitted.model, torch.device("cpu")), inputs)
    bundle = Bundle.open(tmp_path / "bundle")
    assert np.array_equal(saved, outputs_of(load_network(bundle.folder, bundle.architecture, bundle.target), inputs))
    np.testing.assert_allclose(outputs_of(bundle.network, inputs), saved, atol=1e-5)


def test_an_absent_input_is_filled_when_served_and_always_alike(filled):
    bundle = Bundle.open(filled[0])
    row = {"reviews.text": "好看，质量很好"}
    first = bundle.predict([row])
    assert bundle.predict([row]) == Bundle.open(filled[0]).predict([row]) == first
    assert "generator.fixed" in load_file(filled[0] / "model.safetensors")
    together = bundle.predict([row, {"reviews.text": "Awful"}])
    assert together[0]["prediction"] == pytest.approx(first[0]["prediction"], rel=1e-5)


def test_bundle_and_report_tell_of_the_generator(shop, filled):
    bundle, report = filled
    told = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))
    histories = json.loads((bundle / "generator.json").read_text(encoding="utf-8"))
    assert histories["generator"][-1]["step"] == 20 and len(histories["encoders"]) == 2
    assert [entry["modalities"] for entry in told["generator"]["quality"]] == [["picture"], ["text"]]
    assert told["architecture"]["generator"]["groups"] == [["picture"], ["text"]]
    assert report["generator"]["quality"][0].keys() >= {
        "two_sample_accuracy",
        "coverage",
        "variance",
        "error",
        "linear",
    }
    assert told["generator"]["warnings"] and report["warnings"] == report["generator"]["warnings"]
    assert "| Generator 生成器 | impute |" in (bundle / "card.md").read_text(encoding="utf-8")
    page = (shop / "report" / "report.html").read_text(encoding="utf-8")
    assert 'id="generator"' in page and "生成器" in page
    assert told["generator"]["warnings"][0]["en"] in page and told["generator"]["warnings"][0]["zh"] in page


def linear(rows=600, noise=0.5):
    """Two modalities of which the one tells the other, and a third that nobody tells."""
    rng = np.random.default_rng(0)
    a = rng.normal(size=(rows, 6))
    vectors = {
        "a": a,
        "b": a @ rng.normal(size=(6, 8)) + noise * rng.normal(size=(rows, 8)),
        "c": rng.normal(size=a.shape),
    }
    inputs = {
        m: EncodedInput({"vector": v.astype(np.float32)}, np.ones(rows, bool), np.arange(rows))
        for m, v in vectors.items()
    }
    return Examples(inputs, np.zeros(rows, np.float32))


def test_a_filling_is_trusted_as_far_as_rows_that_were_held_back_bear_it_out():
    """What is told by another input is filled, what is not becomes the mean; an overfitted filling does no harm."""
    world = linear()
    torch.manual_seed(0)
    generator = Impute({"a": 6, "b": 8, "c": 6}, 0, [["a"], ["b"], ["c"]], hidden=48)
    seen, held = held_back(generator, world, 0.4, 0)
    settings = Adversarial(125, 64, 2, penalty=1.0, reconstruction=3.0, learning_rate=2e-3)
    train_generator(generator, world.take(seen[:60]), settings, seed=0)  # so few that it learns them by heart
    before = {entry["modalities"][0]: entry for entry in judged(generator, world, seen, held, [], 0)}
    trust(generator, world, held, 0)
    after = {entry["modalities"][0]: entry for entry in judged(generator, world, seen, held, [], 0)}
    assert before["c"]["error"] > 1.1 and after["c"]["error"] == pytest.approx(1, abs=0.05)
    assert after["b"]["error"] <= before["b"]["error"] + 0.02 and after["b"]["error"] < 0.5
    assert samples.warnings({"use": "impute", "made": {}, "quality": [after["b"]]}) == []
    assert "hardly better" in samples.warnings({"use": "impute", "made": {}, "quality": [after["c"]]})[0][0]


def test_a_picture_that_many_rows_share_counts_once():
    index = {"a": np.array([0, 0, 1, 1, 2]), "b": np.arange(5)}
    inputs = {
        m: EncodedInput({"vector": np.zeros((5, 1), np.float32)}, np.ones(5, bool), at) for m, at in index.items()
    }
    world = Examples(inputs, np.zeros(5))
    assert distinct_rows(world, np.arange(5), ["a"]).tolist() == [True, False, True, False, True]
    assert distinct_rows(world, np.arange(5), ["a", "b"]).all()
    assert distinct_rows(world, np.arange(0), ["a"]).shape == (0,)


def test_the_one_modality_baselines_have_nothing_to_fill_from(filled):
    assert {"text_only", "picture_only"} <= set(filled[1]["baselines"])


@pytest.mark.parametrize(
    "after", [10, 21, 30, 44]
)  # in the encoders' training, at its end, in the generator's, after it
def test_a_stopped_training_goes_on_to_the_same_bundle(shop, filled, tmp_path, after):
    with pytest.raises(KeyboardInterrupt):
        workflow.train(shop / "RUN.yaml", shop / "dataset", tmp_path / "bundle", FILLS, Stops(after, KeyboardInterrupt))
    counted = Stops(-2, KeyboardInterrupt)
    workflow.train(shop / "RUN.yaml", shop / "dataset", tmp_path / "bundle", FILLS, counted)
    whole, again = (load_file(folder / "model.safetensors") for folder in (filled[0], tmp_path / "bundle"))
    for name, values in whole.items():
        assert np.array_equal(values, again[name]), name


@pytest.mark.parametrize("off", ["gan=off", "gan=false", "gan.use=off", "gan={use: off}"])
def test_off_is_off_however_it_is_written(shop, off):
    dataset = Dataset.open(shop / "dataset")
    plain, run = Run.read(shop / "RUN.yaml"), Run.read(shop / "RUN.yaml", [off])
    assert run.gan is None
    assert fingerprint(run, dataset, 0) == fingerprint(plain, dataset, 0)
    assert workflow.check(shop / "RUN.yaml", [off])["gan"] == "off"


def test_rare_classes_get_rows_until_they_have_enough(shop):
    bundle = workflow.train(shop / "RUN.yaml", shop / "dataset", shop / "stars", STARS)
    run, dataset = Run.read(shop / "RUN.yaml", STARS), Dataset.open(shop / "dataset")
    gathered = gather(run, dataset)
    counts = gathered.truth[gathered.rows("train")].cast(pl.Int64).value_counts()
    rows = dict(zip(counts["reviews.rating"].to_list(), counts["count"].to_list(), strict=True))
    account = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))["generator"]
    least = int(np.median(list(rows.values())))
    assert account["made"]
    for name, made in account["made"].items():
        assert made == least - rows[int(float(name))] > 0
    assert Bundle.open(bundle).predict([{"reviews.text": "Awful"}])


def test_balanced_weights_are_of_the_rows_that_are_trained_on(shop, tmp_path):
    """Made rows count: where every class has been given as many as the largest, none weighs more than another."""
    asked = [*STARS, "task.class_weights=balanced", "gan.most=999", "gan.floor=200"]
    bundle = workflow.train(shop / "RUN.yaml", shop / "dataset", tmp_path / "even", asked)
    told = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))
    made = [told["generator"]["made"].get(name, 0) for name in told["target"]["classes"]]
    counts = np.array(told["target"]["counts"]) + made
    assert sum(made) and max(told["target"]["counts"]) <= 200
    weight = load_file(bundle / "model.safetensors")["task.error.weight"]
    np.testing.assert_allclose(weight, counts.sum() / (len(counts) * counts), rtol=1e-6)


def test_a_yes_or_no_is_weighted_by_the_rows_that_are_trained_on():
    target = as_trained(BinaryTarget(1.0, None, 0.1), np.array([1, 1, 0, 0], np.float32))
    assert target.mean == 0.5 and Binary(2, target, target="y", class_weights="balanced").mean == 0.5
    rate = RateTarget(1, 5, 3.0)
    assert as_trained(rate, np.ones(4, np.float32)) is rate


@pytest.mark.parametrize(
    ("floor", "most", "wanted"),
    [(None, 5.0, {2: 5}), (10, 5.0, {1: 2, 2: 7}), (10, 1.0, {1: 2, 2: 3}), (1, 5.0, {})],
)
def test_which_classes_are_rare(floor, most, wanted):
    targets = np.repeat([0, 1, 2], [20, 8, 3])  # and a class 3 without any row
    assert rare_classes(targets, 4, floor=floor, most=most) == wanted


def test_without_a_rare_class_nothing_is_made_and_that_is_said(shop):
    bundle = workflow.train(shop / "RUN.yaml", shop / "dataset", shop / "none", [*STARS, "gan.floor=1"])
    told = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))
    assert "No class is rare" in told["generator"]["warnings"][0]["en"]
    assert "generator" not in told["architecture"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["gan=augment"], "no classes"),
        (["gan=impute", "modalities={text: {use: text, columns: reviews.text, encoder: lstm}}"], "nothing to fill"),
        (["gan=imput"], "no generator called"),
        (["gan=impute", "gan.step=3"], "no option 'step'"),
        (["gan=true"], "gan"),
    ],
)
def test_what_a_run_cannot_have_is_told_before_training(shop, settings, message):
    with pytest.raises(ConfigError, match=message):
        workflow.check(shop / "RUN.yaml", settings)


def test_a_generator_that_would_see_no_row_is_refused(shop):
    run, dataset = Run.read(shop / "RUN.yaml", [*FILLS, "gan.hold=0.99999"]), Dataset.open(shop / "dataset")
    with pytest.raises(ConfigError, match=r"every row is held back") as caught:
        prepared = prepare(run, gather(run, dataset), dataset, Silent())
        fit_network(run, prepared, work=shop / "held", fingerprint="f", progress=Silent())
    assert "lower gan.hold" in caught.value.todo and "--set gan.hold=0.99999" in caught.value.where


def test_a_comparison_tells_how_good_each_cells_generator_is(tmp_path, capsys):
    vary = "gan=off,{use: impute, steps: 2, hold: 0.6},{use: impute, steps: 2}"
    settings = ["training.epochs=1", "evaluation.samples=100", "split.validation=0"]
    (run, dataset), out = collected(tmp_path), tmp_path / "out"
    result = workflow.compare(run, out, dataset, vary=[vary], seeds=2, overrides=settings)
    assert json.loads((out / "compare.json").read_text(encoding="utf-8")) == result
    off, judged, few = result["cells"]
    assert "generator" not in off and judged["generator"]["trainings"] == few["generator"]["trainings"] == 2
    entry = judged["generator"]["quality"][0]
    kept = [json.loads(f.read_text(encoding="utf-8")) for f in (out / "trainings").glob("*hold*/training.json")]
    each = [one["generator"]["quality"][0] for one in kept]
    for name in ("two_sample_accuracy", "coverage"):
        values = [one[name] for one in each]
        assert entry[name] == pytest.approx(np.mean(values), abs=1e-4)
        assert (entry["least"][name], entry["most"][name]) == (min(values), max(values))
    assert few["generator"]["quality"] == [] and few["generator"]["warned"] == 2
    _show_comparison(Screen(as_json=False, quiet=False), result, out)
    told = " ".join(capsys.readouterr().out.split())
    page = (out / "compare.html").read_text(encoding="utf-8")
    for place in (told, page):
        assert "Too few rows could be held back" in place and "(2 of 2 trainings warned.)" in place
    assert "told apart" in told and f"{100 * entry['coverage']:.0f} %" in told and 'id="generator"' in page
    for file in (out / "trainings").glob("*/training.json"):  # as an earlier tuwen kept them
        plain = json.loads(file.read_text(encoding="utf-8"))
        plain.pop("generator", None)
        file.write_text(json.dumps(plain), encoding="utf-8")
    again = workflow.compare(run, out, dataset, vary=[vary], seeds=2, overrides=settings)
    assert [{k: v for k, v in cell.items() if k != "generator"} for cell in result["cells"]] == again["cells"]
    assert 'id="generator"' not in (out / "compare.html").read_text(encoding="utf-8")


def test_the_vectors_of_the_stages_lie_in_files_and_not_in_memory(tmp_path):
    """4,000 rows of 2 × 512 numbers are 16 MB; a batch of them is held at once, and the numbers are the same."""
    rng, rows, width = np.random.default_rng(0), 4000, 512
    numbers = rng.normal(size=(rows, 4)).astype(np.float32)
    there, none = rng.random(rows) < 0.9, np.zeros((rows, 0), np.int32)
    inputs = {m: EncodedInput({"numbers": numbers, "categories": none}, there, np.arange(rows)) for m in "ab"}
    encoders = {m: (Part("table", {"width": width}), ArraySpec("table", (4, 0))) for m in "ab"}
    torch.manual_seed(0)
    model = assemble(encoders, Part("sum"), Part("binary", {"target": "y"}), BinaryTarget(1.0, None, 0.5))
    examples = Examples(inputs, (rng.random(rows) < 0.2).astype(np.float32))
    generator = Augment(dict.fromkeys("ab", width), 2, [["a"], ["b"]])
    tracemalloc.start()
    vectors = vectors_of(model, examples, tmp_path)
    seen = usable(generator, vectors)
    both = with_made_rows(generator, vectors, {1: 500}, 0, tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3e6 and not list(tmp_path.iterdir())
    np.testing.assert_array_equal(seen, np.flatnonzero(there))
    some = np.array([0, 999, 3999])
    with torch.no_grad():
        expected = model.encoders["a"](torch.from_numpy(numbers[some]), torch.from_numpy(none[some])).numpy()
    np.testing.assert_allclose(both.inputs["a"].batch(some)[0]["vector"], expected, rtol=1e-5, atol=1e-6)
    assert len(both) == rows + 500 and both.targets[rows:].all()
    arrays, present = both.inputs["b"].batch(np.arange(rows, rows + 500))
    assert present.all() and np.abs(arrays["vector"]).sum(axis=1).min() > 0


def test_presence_alone_is_what_a_batch_says_of_it(tmp_path):
    """Of every kind of input, a broken value among those that are read when they are asked for."""
    index, rows = np.array([2, 0, 1, 1, 2]), np.array([4, 0, 2, 3])
    known = np.array([True, False, True])
    kept = EncodedInput({"x": np.arange(3.0)}, known, index)
    read = StreamedInput(
        [1, None, 3], lambda values: ({"x": np.zeros(len(values))}, np.array([v is not None for v in values])), index
    )
    sets = SetInput(EncodedInput({"x": np.arange(3.0)}, known, np.arange(3)), np.array([[0, 1], [1, 1], [2, 1]]), index)
    for source in (kept, read, sets):
        np.testing.assert_array_equal(source.there(rows), source.batch(rows)[1])
        assert source.there(rows).tolist() == [True, True, False, False]
