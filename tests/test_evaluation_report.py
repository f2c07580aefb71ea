"""What report.json says, against known truths and scikit-learn; and that it is whole or not there at all."""

from __future__ import annotations

import json
import resource
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn import metrics as oracle

from evaluation_tables import binary, classify, drawn_binary, drawn_classes, drawn_rate, rate
from tuwen.cli.results import results_page
from tuwen.errors import DataError
from tuwen.evaluation.baselines import constant, majority, trivial
from tuwen.evaluation.calibration import calibration
from tuwen.evaluation.confusion import confusion
from tuwen.evaluation.metrics import measure
from tuwen.evaluation.predictions import Predictions
from tuwen.evaluation.regression import regression
from tuwen.evaluation.render import render
from tuwen.evaluation.report import best_baseline, best_baselines, build_report, plain, summary, write_report
from tuwen.evaluation.slices import slices, worst
from tuwen.evaluation.verdict import against_best

KEYS = (
    *("format", "name", "task", "rows", "split", "primary", "bootstrap", "metrics", "baselines", "comparisons"),
    *("knock_out", "unseen", "calibration", "confusion", "regression", "history", "worst", "cost", "run"),
    *("provenance", "warnings", "leaks", "slices"),
)


def report_of(model: Predictions, other: Predictions, **more: object) -> dict:
    return build_report(model, {**trivial(model.frame["target"], model), "text_only": other}, samples=100, **more)


@pytest.mark.parametrize(
    "report",
    [
        report_of(drawn_classes(200, 7, 2.0, 1), drawn_classes(200, 7, 1.0, 2)),
        report_of(drawn_binary(200, 1.0, 1), drawn_binary(200, 0.5, 2)),
        report_of(drawn_rate(200, 0.5, 1), drawn_rate(200, 1.0, 2)),
    ],
    ids=["classify", "binary", "rate"],
)
def test_the_shape_is_the_promised_one(report: dict) -> None:
    assert tuple(report) == KEYS
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    for found in (report["metrics"], *report["baselines"].values()):
        assert all(set(interval) == {"value", "low", "high"} for interval in found.values())
    assert set(report["comparisons"]) == set(report["baselines"])
    for found in report["comparisons"].values():
        assert all(set(difference) == {"difference", "low", "high", "p"} for difference in found.values())
        assert set(found) == set(report["metrics"])
    assert report["provenance"]["seed"] == 0


def test_building_twice_gives_the_same_report() -> None:
    one, two = drawn_classes(150, 5, 2.0, 1), drawn_classes(150, 5, 1.0, 2)
    assert report_of(one, two, seed=4) == report_of(one, two, seed=4)


def test_differences_are_model_minus_baseline_and_knock_out_is_compared_too() -> None:
    model, other = drawn_rate(200, 0.5, 1), drawn_rate(200, 1.0, 2)
    report = report_of(model, other, knock_out={"picture": {"absent": other}})
    expected = measure(model)["rmse"] - measure(other)["rmse"]
    assert report["comparisons"]["text_only"]["rmse"]["difference"] == pytest.approx(expected)
    assert report["knock_out"]["picture"]["absent"]["comparison"] == report["comparisons"]["text_only"]
    assert best_baseline(report) == "text_only"
    assert best_baseline(report, "mae") == "text_only"


def test_wrong_arguments_are_refused() -> None:
    model = drawn_rate(50, 0.5, 1)
    with pytest.raises(DataError, match="'baseline other' against 'model'"):
        build_report(model, {"other": drawn_rate(40, 0.5, 1)})
    with pytest.raises(DataError, match="not a metric of the task rate"):
        build_report(model, {}, primary="accuracy")


def test_numbers_that_are_not_defined_become_null() -> None:
    report = build_report(binary([1, 1, 1], [0.9, 0.8, 0.7]), {}, samples=100, cost={"seconds": float("inf")})
    assert report["metrics"]["auc"] == {"value": None, "low": None, "high": None}
    assert report["cost"] == {"seconds": None}
    assert plain({"a": np.float32(1.5), "b": (np.int64(2), float("nan")), "c": {1: np.array([True])}}) == {
        "a": 1.5,
        "b": [2, None],
        "c": {"1": [True]},
    }


def test_the_summary_has_the_primary_metric_first_and_the_best_baseline() -> None:
    model = drawn_binary(300, 1.0, 1)
    report = report_of(model, drawn_binary(300, 0.8, 2), primary="auc")
    first = summary(report)[0]
    assert first.metric == "auc" and first.best_baseline == "text_only"
    assert first.low <= first.value <= first.high
    assert first.baseline_value == report["baselines"]["text_only"]["auc"]["value"]
    assert [row.best_baseline for row in summary(build_report(model, {}, samples=100))] == [None] * 11


def test_baselines_that_tie_are_all_named() -> None:
    truth, right = np.arange(60) % 3, np.arange(60) % 5  # each baseline is wrong on as many rows, but on other ones
    sure = np.eye(3)[truth]
    text, picture = (np.where((right == r)[:, None], np.roll(sure, 1, axis=1), sure) for r in (0, 1))
    systems = {name: classify(truth, p) for name, p in {"text_only": text, "picture_only": picture}.items()}
    systems["majority"] = classify(truth, np.tile([1.0, 0.0, 0.0], (60, 1)))
    report = build_report(classify(truth, sure), systems, samples=200)
    assert best_baselines(report) == ["text_only", "picture_only"] and best_baseline(report) == "text_only"
    assert summary(report)[0].best_baseline == "text_only, picture_only"
    told = [report["comparisons"][name]["accuracy"] for name in best_baselines(report)]
    low, high = min(one["low"] for one in told), max(one["high"] for one in told)
    english, chinese = against_best(report)
    assert english == f"Better than text only and picture only by 20.0 points ({100 * low:.1f}–{100 * high:.1f})."
    assert "比“仅用文字”和“仅用图片”好" in chinese
    line = next(line for line in results_page(Path("runs"), {"x": report}, {}).splitlines() if line.startswith("| [x]"))
    assert "| text_only, picture_only: 0.8 (" in line


# --- Baselines ----------------------------------------------------------------------------------------------------


def test_mean_and_median_are_the_best_constants() -> None:
    train, test = pl.Series([1.0, 1.0, 1.0, 5.0, None]), rate([1.0, 5.0], [3.0, 3.0])
    assert constant(train, test, "mean").prediction.tolist() == [2.0, 2.0]
    assert constant(train, test, "median").prediction.tolist() == [1.0, 1.0]
    found = trivial(test.frame["target"], test)
    assert measure(found["mean"], ["r2"])["r2"] == pytest.approx(0.0)


def test_the_majority_answers_with_the_class_shares() -> None:
    test = classify([0, 1, 2], np.eye(3))
    found = majority(pl.Series(["b", "b", "a", "c", "unknown"]), test)
    assert found.frame["prediction"].to_list() == ["b"] * 3
    assert found.probabilities[0].tolist() == [0.25, 0.5, 0.25]
    yes = trivial(pl.Series([1, 1, 1, 0]), binary([0, 1], [0.5, 0.5]))["majority"]
    assert yes.prediction.tolist() == [1, 1] and yes.probabilities[:, 1].tolist() == [0.75, 0.75]
    assert measure(yes, ["auc"])["auc"] == 0.5


def test_a_train_part_without_targets_is_refused() -> None:
    with pytest.raises(DataError, match="no targets"):
        trivial(pl.Series("stars", [None, None], dtype=pl.Float64), rate([1.0], [1.0]))
    with pytest.raises(DataError, match="no train target"):
        majority(pl.Series(["z"]), classify([0], [[0.5, 0.5]]))


# --- Calibration, confusion, slices, worst ------------------------------------------------------------------------


def test_calibration_of_a_model_that_says_what_happens() -> None:
    rng = np.random.default_rng(0)
    probability = rng.random(20_000)
    honest = calibration(binary(rng.random(20_000) < probability, probability))
    assert honest["error"] < 0.02 and abs(honest["over"]) < 0.02
    assert sum(b["rows"] for b in honest["bins"]) == 20_000
    assert sum(b["observed_low"] <= b["predicted"] <= b["observed_high"] for b in honest["bins"]) >= 8
    boastful = calibration(binary(rng.random(20_000) < 0.5, np.where(probability < 0.5, 0.05, 0.95)))
    assert boastful["error"] == pytest.approx(0.45, abs=0.02) and boastful["over"] == pytest.approx(0.45, abs=0.02)


def test_calibration_of_classes_and_numbers() -> None:
    found = calibration(classify([0, 0, 1, 1], [[0.8, 0.2]] * 4))
    assert found["kind"] == "confidence"
    assert [(b["rows"], b["predicted"], b["observed"]) for b in found["bins"]] == [(4, pytest.approx(0.8), 0.5)]
    found = calibration(rate(np.arange(100.0), np.arange(100.0) + 3))
    assert found["kind"] == "value" and len(found["bins"]) == 10
    assert found["error"] == pytest.approx(3.0) and found["over"] == pytest.approx(3.0)


def test_confusion_counts_as_scikit_learn_does() -> None:
    model = drawn_classes(300, 6, 1.0, 3)
    found = confusion(model)
    matrix = np.zeros((6, 6), dtype=int)
    for truth, answer, rows in found["cells"]:
        matrix[truth, answer] = rows
    assert (matrix == oracle.confusion_matrix(model.target, model.prediction, labels=range(6))).all()
    precision, recall, f1, rows = oracle.precision_recall_fscore_support(model.target, model.prediction)
    ours = [[c["precision"], c["recall"], c["f1"], c["rows"]] for c in found["classes"]]
    assert np.allclose(ours, np.stack([precision, recall, f1, rows], axis=1))
    assert confusion(drawn_rate(10, 1.0, 1)) is None


def test_a_class_that_was_never_learned_is_counted() -> None:
    frame = pl.DataFrame({"row": ["1", "2"], "target": ["a", "new"], "prediction": ["a", "a"]})
    model = Predictions("classify", frame.with_columns(probabilities=pl.Series([[1.0, 0.0]] * 2)), ("a", "b"))
    report = build_report(model, {}, samples=100)
    assert report["unseen"] == {"classes": 1, "rows": 1, "names": ["new"]}
    assert report["warnings"][0]["en"].startswith("1 of 2 test rows")
    assert report["confusion"]["labels"] == ["a", "b", "new"]
    assert report["metrics"]["accuracy"]["value"] == 0.5


def test_a_report_decided_by_a_metric_of_its_own_has_it_everywhere_and_first() -> None:
    rng = np.random.default_rng(3)
    prices = np.expm1(rng.normal(4, 1, 200))
    near, far = (rate(prices, np.expm1(np.log1p(prices) + s * rng.normal(size=200))) for s in (0.1, 0.5))
    frame = near.frame.with_columns(slice_kind=pl.Series(["a", "b"] * 100))
    near = Predictions("rate", frame)
    report = report_of(near, far, primary="rmsle", knock_out={"text": {"absent": far}})
    assert report["primary"] == "rmsle" and summary(report)[0].metric == "rmsle"
    assert report["metrics"]["rmsle"]["value"] == pytest.approx(measure(near, ["rmsle"])["rmsle"])
    assert report["comparisons"]["text_only"]["rmsle"]["high"] < 0
    assert report["knock_out"]["text"]["absent"]["metrics"]["rmsle"] == report["baselines"]["text_only"]["rmsle"]
    assert all("rmsle" in part["metrics"] and "rmsle" in part["comparison"] for part in report["slices"]["kind"])
    assert "rmsle" not in report_of(near, far)["metrics"]
    page = render(report)
    assert "RMSLE" in page and "log(1 + y) 的典型差值" in page


def test_slices_are_the_metrics_of_their_rows() -> None:
    part = np.array(["zh", "en", "en"] * 40)
    model, other = drawn_binary(120, 1.0, 1, slice_language=part), drawn_binary(120, 0.5, 2, slice_language=part)
    found = slices(model, other, samples=100)
    assert [(s["value"], s["rows"]) for s in found["language"]] == [("en", 80), ("zh", 40)]
    only = model.take(part == "zh")
    zh = found["language"][1]
    assert zh["metrics"]["f1"]["value"] == pytest.approx(measure(only)["f1"])
    assert zh["share"] == pytest.approx(1 / 3)
    assert zh["comparison"]["auc"]["difference"] == pytest.approx(
        measure(only)["auc"] - measure(other.take(part == "zh"))["auc"]
    )


def test_a_slice_with_many_values_keeps_the_largest() -> None:
    part = [f"brand {i // 2}" if i < 80 else "large" for i in range(120)]
    found = slices(drawn_rate(120, 1.0, 1, slice_brand=part), samples=100)["brand"]
    assert len(found) == 20 and found[0]["value"] == "large"


def test_the_worst_rows_are_wrong_ones_with_the_highest_loss() -> None:
    model = classify([0, 0, 1, 2], [[0.9, 0.1, 0.0], [0.4, 0.6, 0.0], [0.99, 0.01, 0.0], [0.2, 0.2, 0.6]])
    found = worst(model, 10)
    assert [one["row"] for one in found] == ["r2", "r1"]
    assert found[0]["loss"] == pytest.approx(-np.log(0.01))
    assert (found[0]["target"], found[0]["prediction"], found[0]["probability"]) == ("b", "a", pytest.approx(0.99))
    found = worst(rate([1, 2, 3], [1, 5, 2]), 2)
    assert [(one["row"], one["loss"]) for one in found] == [("r1", 3.0), ("r2", 1.0)]


def test_regression_keeps_few_points_and_the_spread_at_each_star() -> None:
    model = drawn_rate(5000, 0.5, 1)
    found = regression(model)
    assert len(found["points"]) == 1500
    assert [g["target"] for g in found["by_target"]] == [1, 2, 3, 4, 5]
    middle = next(g for g in found["by_target"] if g["target"] == 3)
    assert middle["median"] == pytest.approx(np.median(model.prediction[model.target == 3]))
    assert sum(found["residuals"]["counts"]) == 5000
    assert regression(rate(np.arange(30.0), np.arange(30.0)))["by_target"] is None


# --- Files --------------------------------------------------------------------------------------------------------


def test_a_report_is_written_whole_or_the_old_one_stays(tmp_path) -> None:
    folder = tmp_path / "out"
    paths = write_report(folder, {"metrics": {"名": 1.0}}, "<p>一</p>")
    assert json.loads(paths[0].read_text("utf-8")) == {"metrics": {"名": 1.0}}
    with pytest.raises(DataError, match="strict JSON"):
        write_report(folder, {"metrics": float("nan")}, "<p>two</p>")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))  # a full disk, as far as this process can tell
    try:
        with pytest.raises(DataError, match="the disk is full"):
            write_report(folder, {"metrics": 2.0}, "x" * 20_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert paths[1].read_text("utf-8") == "<p>一</p>"
    assert sorted(path.name for path in folder.iterdir()) == ["report.html", "report.json"]


def test_a_folder_that_is_a_file_is_refused(tmp_path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(DataError, match="cannot be used"):
        write_report(tmp_path / "out", {}, "")
    assert (tmp_path / "out").read_text() == "mine"
