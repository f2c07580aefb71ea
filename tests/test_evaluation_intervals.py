"""Intervals that hold the truth as often as they say, and comparisons that find what is there and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation_tables import binary, drawn_binary, drawn_classes, rate
from tuwen.errors import DataError
from tuwen.evaluation import intervals as module
from tuwen.evaluation.intervals import Resampled, differences, interval, intervals, resample, resample_weights


def test_an_accuracy_interval_holds_the_truth_as_often_as_it_says() -> None:
    rng, hits, trials = np.random.default_rng(1), 0, 300
    for trial in range(trials):
        right = rng.random(200) < 0.8
        drawn = resample({"model": binary(right, np.ones(200))}, samples=300, seed=trial, names=["accuracy"])
        found = intervals(drawn["model"])["accuracy"]
        hits += found.low <= 0.8 <= found.high
    assert 0.91 <= hits / trials <= 0.98  # 95 %; three standard errors are 3.8 points


def test_an_rmse_interval_has_the_textbook_width() -> None:
    """RMSE of normal errors has standard error σ / √(2n)."""
    errors = np.random.default_rng(2).normal(0, 1.0, 4000)
    found = intervals(resample({"model": rate(np.zeros(4000), errors)}, seed=3)["model"])["rmse"]
    assert found.high - found.low == pytest.approx(2 * 1.96 / np.sqrt(8000), rel=0.1)


def test_a_planted_difference_is_found_and_nothing_is_found_in_noise() -> None:
    better, worse = drawn_binary(1500, 1.2, 1), drawn_binary(1500, 1.0, 2)
    drawn = resample({"better": better, "worse": worse}, names=["accuracy", "log_loss"], samples=500)
    found = differences(drawn["better"], drawn["worse"])
    assert found["accuracy"].low > 0 and found["accuracy"].p < 0.05
    assert found["log_loss"].high < 0
    opposite = differences(drawn["worse"], drawn["better"])["accuracy"]
    assert opposite.difference == -found["accuracy"].difference
    assert opposite.p == found["accuracy"].p


def test_equal_systems_are_called_different_about_one_time_in_twenty() -> None:
    called, smallest = 0, []
    for trial in range(120):
        systems = {"one": drawn_binary(200, 0.8, 2 * trial), "two": drawn_binary(200, 0.8, 2 * trial + 1)}
        drawn = resample(systems, samples=200, seed=trial, names=["accuracy"])
        found = differences(drawn["one"], drawn["two"])["accuracy"]
        called += not found.low <= 0 <= found.high
        smallest.append(found.p)
    assert called / 120 <= 0.12
    assert np.mean(np.array(smallest) < 0.5) == pytest.approx(0.5, abs=0.2)


@pytest.mark.parametrize("confidence", [0.8, 0.9, 0.95])
@pytest.mark.parametrize("count", [39, 40, 100, 239, 400])
def test_the_interval_leaves_out_zero_exactly_where_p_is_small_enough(count: int, confidence: float) -> None:
    """Every number of resamples on the other side of zero, around the edge and far from it."""
    level = round(1 - confidence, 9)
    told = []
    for below in range(count + 1):
        samples = np.array([-2.0] * (below // 2) + [0.0] * (below - below // 2) + [1.0] * (count - below))
        one, none = Resampled({"x": 1.0}, {"x": samples}), Resampled({"x": 0.0}, {"x": np.zeros(count)})
        for found in (differences(one, none, confidence)["x"], differences(none, one, confidence)["x"]):
            assert (found.low > 0 or found.high < 0) == (found.p <= level), below
            told.append(found.p <= level)
    assert any(told) and not all(told)


def test_the_ends_are_order_statistics_beside_the_plain_quantiles() -> None:
    samples = np.random.default_rng(0).permutation(np.arange(1, 1001).astype(float))
    assert interval(500.0, samples).plain() == {"value": 500.0, "low": 25.0, "high": 976.0}
    assert interval(500.0, samples[:20], 0.9).low == samples[:20].min()  # (20 + 1) × 0.05 is just 1
    smooth = np.random.default_rng(1).normal(size=1000)
    found, (low, high) = interval(0.0, smooth), np.quantile(smooth, [0.025, 0.975])
    assert abs(found.low - low) < 0.02 * (high - low) and abs(found.high - high) < 0.02 * (high - low)


def test_a_system_does_not_differ_from_itself() -> None:
    one = drawn_classes(100, 4, 1.0, 1)
    drawn = resample({"one": one, "same": one}, samples=100)
    for found in differences(drawn["one"], drawn["same"]).values():
        assert found.plain() == {"difference": 0.0, "low": 0.0, "high": 0.0, "p": 1.0}


def test_pairing_sees_what_two_separate_intervals_cannot() -> None:
    truth = np.random.default_rng(0).normal(size=500)
    shared = np.random.default_rng(1).normal(size=500)
    one, two = rate(truth, truth + shared), rate(truth, truth + shared * 1.03)
    drawn = resample({"one": one, "two": two}, names=["rmse"])
    first, second = intervals(drawn["one"])["rmse"], intervals(drawn["two"])["rmse"]
    assert first.high > second.low  # they overlap
    assert differences(drawn["one"], drawn["two"])["rmse"].high < 0


def test_the_same_seed_gives_the_same_numbers_however_the_work_is_cut(monkeypatch) -> None:
    one = drawn_classes(300, 5, 1.0, 1)
    first = resample({"one": one}, samples=64, seed=9)["one"]
    monkeypatch.setattr(module, "CELLS", 2100)  # blocks of seven resamples
    second = resample({"one": one}, samples=64, seed=9)["one"]
    other = resample({"one": one}, samples=64, seed=10)["one"]
    for name, samples in first.samples.items():
        assert len(samples) == 64
        assert np.allclose(samples, second.samples[name], rtol=1e-6), name
        assert not np.allclose(samples, other.samples[name]), name


def test_groups_are_drawn_whole_and_widen_the_interval() -> None:
    groups = np.arange(50).repeat(20)
    weights = np.hstack(list(resample_weights(1000, 30, 0, groups.tolist())))  # [rows, samples]
    assert weights.shape == (1000, 30)
    assert (weights.reshape(50, 20, 30) == weights.reshape(50, 20, 30)[:, :1]).all()
    right = np.random.default_rng(4).random(50) < 0.7  # a user is right always or never
    predictions = binary(right.repeat(20), np.ones(1000))
    by_row = intervals(resample({"m": predictions}, names=["accuracy"])["m"])["accuracy"]
    by_group = intervals(resample({"m": predictions}, names=["accuracy"], groups=groups.tolist())["m"])["accuracy"]
    assert (by_group.high - by_group.low) > 3 * (by_row.high - by_row.low)
    with pytest.raises(DataError, match="do not fit"):
        resample({"m": predictions}, groups=["u1"])


def test_what_is_not_defined_is_none() -> None:
    assert interval(float("nan"), np.ones(10)).plain() == {"value": None, "low": None, "high": None}
    mostly = np.array([np.nan] * 6 + [1.0] * 4)
    assert interval(1.0, mostly).plain() == {"value": 1.0, "low": None, "high": None}
    with pytest.raises(DataError, match="confidence"):
        interval(1.0, np.ones(10), confidence=95)
