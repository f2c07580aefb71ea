"""Sample quality on samples whose quality is known, and against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import RidgeCV
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from tuwen.evaluation import samples

# 400 rows: the accuracy of fair guessing stays within 0.5 ± 0.1 but once in ten thousand draws
CHANCE = 0.1


def two_modes(rows, seed, share=0.5):
    rng = np.random.default_rng(seed)
    return np.where(rng.random((rows, 1)) < share, 4.0, -4.0) + rng.normal(0, 0.5, (rows, 6))


def test_samples_of_one_distribution_cannot_be_told_apart():
    found = samples.judged(two_modes(200, 0), two_modes(200, 1))
    assert abs(found["two_sample_accuracy"] - 0.5) < CHANCE
    assert found["coverage"] > 0.9
    assert found["variance"] == pytest.approx(1, abs=0.1)


def test_one_mode_of_two_is_half_covered():
    found = samples.judged(two_modes(200, 0), two_modes(200, 1, share=1.0))
    assert found["coverage"] == pytest.approx(0.5, abs=CHANCE)
    assert found["variance"] < samples.LEAST_VARIANCE


def test_a_constant_is_told_apart_covers_nothing_and_does_not_vary():
    real = two_modes(200, 0)
    found = samples.judged(real, np.zeros_like(real))
    assert found["two_sample_accuracy"] == 1
    assert found["coverage"] == 0
    assert found["variance"] == 0


def test_in_many_dimensions_only_the_variance_shows_a_collapse_onto_the_middle():
    """The middle is nearer to every row than the rows are to each other."""
    real, made = (np.random.default_rng(seed).normal(0, scale, (200, 300)) for seed, scale in ((0, 1), (1, 0.01)))
    found = samples.judged(real, made)
    assert found["coverage"] == 1
    assert abs(found["two_sample_accuracy"] - 0.5) < CHANCE
    assert found["variance"] < 0.001
    assert "collapsed" in samples.warnings(account({"modalities": ["picture"]} | found))[0][0]


def test_copies_are_nearer_than_chance():
    real = two_modes(200, 0)
    assert samples.two_sample_accuracy(real, real + 1e-6) < 0.1


@given(seed=st.integers(0, 1000), rows=st.integers(8, 40), shift=st.floats(-3, 3))
@settings(max_examples=20)
def test_accuracy_and_coverage_are_those_of_scikit_learn(seed, rows, shift):
    rng = np.random.default_rng(seed)
    real, made = rng.normal(size=(rows, 3)), rng.normal(shift, 1, (rows, 3))
    both, truth = np.concatenate([real, made]), np.arange(2 * rows) < rows
    hits = [
        KNeighborsClassifier(1).fit(np.delete(both, i, 0), np.delete(truth, i)).predict(both[i : i + 1])[0] == truth[i]
        for i in range(len(both))
    ]
    assert samples.two_sample_accuracy(real, made) == pytest.approx(np.mean(hits))
    reach = NearestNeighbors(n_neighbors=6).fit(real).kneighbors(real)[0][:, -1]  # the first one is the row itself
    nearest = NearestNeighbors(n_neighbors=1).fit(made).kneighbors(real)[0][:, 0]
    assert samples.coverage(real, made) == pytest.approx(np.mean(nearest <= reach))


def test_the_linear_guess_is_ridge_regression():
    rng = np.random.default_rng(0)
    x, asked = rng.normal(size=(60, 8)), rng.normal(size=(20, 8))
    y = x @ rng.normal(size=(8, 3)) + rng.normal(0, 2, (60, 3)) + 5
    centred = x - x.mean(axis=0)
    unit = np.trace(centred @ centred.T) / len(x)
    oracle = RidgeCV(alphas=samples.PENALTIES * unit).fit(x, y)  # leave-one-out, one penalty for all columns
    np.testing.assert_allclose(samples.linear_guess(x, y, asked), oracle.predict(asked), rtol=1e-6)


def test_the_linear_guess_survives_more_columns_than_rows_and_says_nothing_of_noise():
    rng = np.random.default_rng(1)
    x, y, asked, truth = (rng.normal(size=shape) for shape in ((80, 300), (80, 5), (80, 300), (80, 5)))
    assert samples.error(truth, samples.linear_guess(x, y, asked), y.mean(axis=0)) == pytest.approx(1, abs=0.05)


def test_the_error_is_one_for_the_mean_and_zero_for_the_truth():
    truth = two_modes(50, 0)
    mean = truth.mean(axis=0)
    assert samples.error(truth, np.broadcast_to(mean, truth.shape), mean) == 1
    assert samples.error(truth, truth, mean) == 0


GOOD = {"modalities": ["picture"], "rows": 40, "coverage": 0.9, "variance": 0.9, "error": 0.4}


def account(*quality, use="impute", made=None):
    return {"use": use, "made": made or {}, "quality": list(quality)}


def test_a_collapse_and_a_useless_filling_are_said_in_both_languages():
    assert samples.warnings(account(GOOD)) == []
    (collapsed,) = samples.warnings(account(GOOD | {"variance": 0.01}))
    assert "collapsed on picture" in collapsed[0] and "图片" in collapsed[1]
    assert "1% of their variance" in collapsed[0] and "covers" not in collapsed[0]  # only what is bad
    (both,) = samples.warnings(account(GOOD | {"variance": 0.01, "coverage": 0.2}))
    assert "covers only 20% of the true rows and has only 1% of their variance" in both[0]
    (useless,) = samples.warnings(account(GOOD | {"error": 1.02}))
    assert "hardly better" in useless[0] and "平均值" in useless[1]
    lamps = {"class": "Lamps", "rows": 30, "coverage": 0.1, "variance": 0.9}
    (of_class,) = samples.warnings(account(lamps, use="augment", made={"Lamps": 3}))
    assert "“Lamps”" in of_class[0]
    assert samples.warnings(account()) == [samples.FEW_HELD]
    assert samples.warnings(account(use="augment")) == [samples.NONE_RARE]


def test_folds_are_averaged_and_the_worst_one_is_warned_of():
    folds = [account(GOOD, made={"a": 1}), account(GOOD | {"coverage": 0.3}, made={"a": 2, "b": 1})]
    found = samples.pooled(folds)
    (entry,) = found["quality"]
    assert (entry["coverage"], entry["rows"], entry["modalities"]) == (0.6, 80, ["picture"])
    assert found["made"] == {"a": 3, "b": 1}
    (warning,) = found["warnings"]
    assert "covers only 30%" in warning["en"]
