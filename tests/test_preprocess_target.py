"""Targets: fitted on the train part, decoded the same way everywhere."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuwen.errors import DataError
from tuwen.preprocess.target import BinaryTarget, ClassifyTarget, RateTarget, from_plain


def test_rate_answers_stay_in_the_range_that_was_seen():
    target = RateTarget.fit(pl.Series("stars", [1, 5, 4]))
    assert target.decode(np.array([[7.2], [-3.0], [2.5]], np.float32))["prediction"].tolist() == [5.0, 1.0, 2.5]


@given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=20))
def test_a_sigmoid_never_overflows(logits):
    outputs = np.array(logits, np.float32)[:, None]
    decoded = BinaryTarget(1.0, None, 0.5).decode(outputs)
    assert ((decoded["probability"] >= 0) & (decoded["probability"] <= 1)).all()
    clear = np.abs(outputs[:, 0]) > 1e-6  # nearer to even, rounding decides
    assert (decoded["prediction"][clear] == (outputs[clear, 0] > 0)).all()


def test_binary_by_threshold_and_by_value():
    stars = pl.Series("stars", [5.0, 4.0, 3.0])
    assert BinaryTarget.fit(stars, at_least=4).encode(stars).tolist() == [1, 1, 0]
    colour = pl.Series("colour", ["red", "blue", None])
    assert BinaryTarget.fit(colour.drop_nulls(), equals="red").encode(colour).tolist()[:2] == [1, 0]


def test_one_answer_only_is_an_error():
    with pytest.raises(DataError, match="same answer"):
        BinaryTarget.fit(pl.Series("stars", [5.0, 5.0]), at_least=4)
    with pytest.raises(DataError, match="fewer than two classes"):
        ClassifyTarget.fit(pl.Series("kind", ["a", "a"]))


def test_a_price_is_learned_as_its_logarithm_and_answered_as_a_price():
    prices = pl.Series("price", [0, 9, 99_999])
    target = RateTarget.fit(prices, "log")
    np.testing.assert_allclose(target.encode(prices), [0, np.log(10), np.log(100_000)], rtol=1e-6)
    assert target.mean == pytest.approx(np.log(10) * 2)
    outputs = np.array([[np.log(41)], [-3.0], [900.0]], np.float32)
    np.testing.assert_allclose(target.decode(outputs)["prediction"], [40, 0, 99_999], rtol=1e-6)
    np.testing.assert_allclose(target.decode(target.encode(prices)[:, None])["prediction"], prices, rtol=1e-5)


def test_a_price_below_zero_has_no_logarithm_and_its_row_is_named():
    prices = pl.Series("price", [3.0, 4.0, -2.5, -1.0])
    for learn in (lambda: RateTarget.fit(prices, "log"), lambda: RateTarget(0, 9, 1, "log").encode(prices)):
        with pytest.raises(DataError, match="below 0") as raised:
            learn()
        assert raised.value.seen == "-2.5 in row '2' and 1 other rows"
    assert RateTarget.fit(prices).low == -2.5


def test_a_target_of_a_bundle_before_scales_is_linear():
    old = from_plain({"task": "rate", "low": 1.0, "high": 5.0, "mean": 4.0})
    assert old.decode(np.array([[3.0]]))["prediction"].tolist() == [3.0]


def test_words_are_no_numbers():
    with pytest.raises(DataError, match="not a number"):
        RateTarget.fit(pl.Series("kind", ["a", "b"]))


def test_classes_are_sorted_counted_and_unknown_ones_told():
    target = ClassifyTarget.fit(pl.Series("kind", ["包", "mug", "mug", None]))
    assert target.classes == ("mug", "包") and target.counts == (2, 1)
    assert target.encode(pl.Series("kind", ["包", "lamp", "mug"])).tolist() == [1, -1, 0]
    decoded = target.decode(np.array([[1000.0, -1000.0], [0.0, 0.1]], np.float32))
    assert decoded["prediction"] == ["mug", "包"]
    assert np.allclose(decoded["probabilities"].sum(axis=1), 1)


@pytest.mark.parametrize(
    "target",
    [
        RateTarget(1.0, 5.0, 4.2),
        RateTarget(0.0, 500.0, 2.1, "log"),
        BinaryTarget(4.0, None, 0.3),
        BinaryTarget(None, "红", 0.3),
        ClassifyTarget(("a", "b"), (1, 2)),
    ],
)
def test_the_plain_form_is_the_target(target):
    assert from_plain(target.plain()) == target
