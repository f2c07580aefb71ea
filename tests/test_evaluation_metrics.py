"""Every metric against scikit-learn (SciPy for rank correlation), on tables with ties and absent classes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats
from sklearn import metrics as oracle

from evaluation_tables import binary, classify, drawn_classes, rate
from tuwen.errors import DataError
from tuwen.evaluation.metrics import METRICS, Scored, Weighted, measure, metrics_of
from tuwen.evaluation.predictions import Predictions

CASES = settings(max_examples=30, derandomize=True)


@st.composite
def binary_tables(draw) -> tuple[Predictions, np.ndarray]:
    rows = draw(st.integers(1, 30))
    target = draw(arrays.arrays(np.int64, rows, elements=st.integers(0, 1)))
    probability = draw(arrays.arrays(np.float64, rows, elements=st.integers(0, 10).map(lambda n: n / 10)))
    return binary(target, probability), draw(weights_of(rows))


@st.composite
def class_tables(draw) -> tuple[Predictions, np.ndarray]:
    rows, classes = draw(st.integers(1, 30)), draw(st.integers(2, 5))
    target = draw(arrays.arrays(np.int64, rows, elements=st.integers(0, classes - 1)))
    scores = draw(arrays.arrays(np.float64, (rows, classes), elements=st.integers(1, 6).map(float)))
    return classify(target, scores / scores.sum(axis=1, keepdims=True)), draw(weights_of(rows))


@st.composite
def rate_tables(draw) -> tuple[Predictions, np.ndarray]:
    rows = draw(st.integers(2, 30))
    stars = arrays.arrays(np.float64, rows, elements=st.integers(2, 10).map(lambda n: n / 2))
    return rate(draw(stars), draw(stars)), draw(weights_of(rows))


def weights_of(rows: int):
    """Counts as a resample has them; at least one row is drawn."""
    return arrays.arrays(np.int64, rows, elements=st.integers(0, 3)).filter(lambda counts: counts.sum() > 0)


def weighted(predictions: Predictions, weights: np.ndarray, name: str) -> float:
    return float(METRICS[name].measure(Weighted(Scored(predictions), weights[:, None].astype(float)))[0])


def same(ours: float, theirs: float) -> None:
    assert ours == pytest.approx(theirs, rel=1e-9, abs=1e-9)


@CASES
@given(binary_tables())
def test_binary_agrees_with_scikit_learn(table: tuple[Predictions, np.ndarray]) -> None:
    predictions, counts = table
    truth, answer, probability = predictions.target, predictions.prediction, predictions.probabilities[:, 1]
    for weights, of in ((None, lambda name: measure(predictions, [name])[name]), (counts, None)):
        ours = of or (lambda name: weighted(predictions, counts, name))
        same(ours("accuracy"), oracle.accuracy_score(truth, answer, sample_weight=weights))
        for name, function in (
            ("precision", oracle.precision_score),
            ("recall", oracle.recall_score),
            ("f1", oracle.f1_score),
        ):
            same(ours(name), function(truth, answer, sample_weight=weights, zero_division=0))
        same(ours("log_loss"), oracle.log_loss(truth, probability, sample_weight=weights, labels=[0, 1]))
        same(ours("brier"), oracle.brier_score_loss(truth, probability, sample_weight=weights, labels=[0, 1]))
        drawn = truth if weights is None else truth[weights > 0]
        if len(set(drawn.tolist())) == 2:
            same(ours("auc"), oracle.roc_auc_score(truth, probability, sample_weight=weights))
        else:
            assert math.isnan(ours("auc"))
    macro_agrees(predictions)


@CASES
@given(class_tables())
def test_classify_agrees_with_scikit_learn(table: tuple[Predictions, np.ndarray]) -> None:
    predictions, counts = table
    truth, probabilities = predictions.target, predictions.probabilities
    labels = list(range(len(predictions.labels)))
    macro_agrees(predictions)
    for weights, ours in (
        (None, measure(predictions)),
        (counts, {name: weighted(predictions, counts, name) for name in ("accuracy", "log_loss", "brier")}),
    ):
        same(ours["accuracy"], oracle.accuracy_score(truth, predictions.prediction, sample_weight=weights))
        theirs = oracle.log_loss(truth, probabilities, sample_weight=weights, labels=labels)
        same(ours["log_loss"], theirs)
        if len(labels) > 2:
            theirs = oracle.brier_score_loss(truth, probabilities, sample_weight=weights, labels=labels)
            same(ours["brier"], theirs)
    areas = [
        oracle.roc_auc_score(truth == c, probabilities[:, c]) for c in labels if 0 < (truth == c).sum() < len(truth)
    ]
    auc = measure(predictions, ["auc"])["auc"]
    if areas:
        same(auc, float(np.mean(areas)))
    else:
        assert math.isnan(auc)


def macro_agrees(predictions: Predictions) -> None:
    truth, answer, ours = predictions.target, predictions.prediction, measure(predictions)
    for name, function in (
        ("precision", oracle.precision_score),
        ("recall", oracle.recall_score),
        ("f1", oracle.f1_score),
    ):
        same(ours[f"macro_{name}"], function(truth, answer, average="macro", zero_division=0))
    same(ours["micro_f1"], oracle.f1_score(truth, answer, average="micro", zero_division=0))


@CASES
@given(rate_tables())
def test_rate_agrees_with_scikit_learn_and_scipy(table: tuple[Predictions, np.ndarray]) -> None:
    predictions, counts = table
    truth, answer = predictions.target, predictions.prediction
    for weights in (np.ones(len(truth), dtype=int), counts):
        same(
            weighted(predictions, weights, "rmse"), oracle.root_mean_squared_error(truth, answer, sample_weight=weights)
        )
        same(
            weighted(predictions, weights, "rmsle"),
            oracle.root_mean_squared_log_error(truth, answer, sample_weight=weights),
        )
        same(weighted(predictions, weights, "mae"), oracle.mean_absolute_error(truth, answer, sample_weight=weights))
        left, right = np.repeat(truth, weights), np.repeat(answer, weights)
        r2, spearman = weighted(predictions, weights, "r2"), weighted(predictions, weights, "spearman")
        if np.ptp(left) > 0:
            same(r2, oracle.r2_score(left, right))
        else:
            assert math.isnan(r2)
        if np.ptp(left) > 0 and np.ptp(right) > 0:
            same(spearman, stats.spearmanr(left, right).statistic)
        else:
            assert math.isnan(spearman)


def test_macro_auc_on_a_resample_is_close_to_sorting_anew() -> None:
    """The first-order expansion against the exact value on many resamples: the same spread, hardly an offset."""
    predictions = drawn_classes(400, 6, 1.0, 3)
    rng, ours, exact = np.random.default_rng(0), [], []
    for _ in range(120):
        counts = np.bincount(rng.integers(0, 400, 400), minlength=400)
        ours.append(weighted(predictions, counts, "auc"))
        areas = [
            oracle.roc_auc_score(predictions.target == c, predictions.probabilities[:, c], sample_weight=counts)
            for c in range(6)
        ]
        exact.append(np.mean(areas))
    spread = np.std(exact)
    assert np.abs(np.array(ours) - exact).max() < 0.25 * spread
    assert np.std(ours) == pytest.approx(spread, rel=0.05)


def test_a_resample_that_misses_rare_classes_does_not_move_macro_averages() -> None:
    """60 of 70 classes with one row each, answered right half of the time: resamples must centre on the value."""
    target = np.concatenate([np.arange(10).repeat(30), np.arange(10, 70)])
    rng = np.random.default_rng(5)
    answer = np.where(rng.random(len(target)) < 0.5, target, rng.integers(0, 10, len(target)))
    probabilities = np.full((len(target), 70), 0.1 / 70)
    probabilities[np.arange(len(target)), answer] += 0.9
    predictions = classify(target, probabilities, tuple(map(str, range(70))))
    counts = np.stack(
        [np.bincount(rng.integers(0, len(target), len(target)), minlength=len(target)) for _ in range(300)]
    )
    drawn = Weighted(Scored(predictions), counts.T.astype(float))
    for name in ("macro_recall", "macro_precision"):
        value, samples = measure(predictions, [name])[name], METRICS[name].measure(drawn)
        assert np.quantile(samples, 0.1) < value < np.quantile(samples, 0.9), name


def test_the_registry_names_what_report_json_promises() -> None:
    names = {task: {metric.name for metric in metrics_of(task)} for task in ("rate", "binary", "classify")}
    assert names["rate"] == {"rmse", "mae", "r2", "spearman"}
    shared = {"accuracy", "macro_precision", "macro_recall", "macro_f1", "micro_f1", "auc", "log_loss", "brier"}
    assert names["classify"] == shared
    assert names["binary"] == shared | {"precision", "recall", "f1"}
    with pytest.raises(DataError, match="did you mean 'rmse'"):
        metrics_of("rate", ["rmsee"])
    assert [metric.name for metric in metrics_of("rate", ["rmsle"])] == ["rmsle"]


def test_an_error_of_half_the_value_counts_alike_for_a_small_and_a_large_one() -> None:
    prices = np.array([9.0, 99.0, 9_999.0])
    assert measure(rate(prices, (prices + 1) / 2 - 1), ["rmsle"])["rmsle"] == pytest.approx(math.log(2))
    assert measure(rate(prices, -prices), ["rmsle"]) == measure(rate(prices, 0 * prices), ["rmsle"])
    assert math.isnan(measure(rate(np.array([2.0, -1.0]), np.zeros(2)), ["rmsle"])["rmsle"])
