"""Splits: every row has one part, equal content stays together, and the future stays out of training."""

from datetime import datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuwen.data import SPLITS
from tuwen.data.examples import balanced, content_hash, normalised
from tuwen.data.splits import unit_interval
from tuwen.errors import ConfigError, DataError

OPTIONS = {
    "hash": {},
    "random": {},
    "folds": {"folds": 3},
    "column": {"column": "t.part", "test": ["b"]},
    "time": {"column": "t.time"},
}
WORDS = st.lists(st.sampled_from(["a", "b", "c", "d", "e", "f", "g", "h"]), min_size=20, max_size=120)


def frame_of(content):
    start = datetime(2020, 1, 1)
    rows = len(content)
    return pl.DataFrame(
        {
            "row": [str(i) for i in range(rows)],
            "t.part": ["b" if i % 5 == 0 else "a" for i in range(rows)],
            "t.time": [start + timedelta(hours=(i * 7919) % rows) for i in range(rows)],
            "t.label": [f"class {i % 3}" for i in range(rows)],
        }
    )


@pytest.mark.parametrize("name", sorted(SPLITS.entries()))
def test_every_split_has_options_in_this_test(name):
    assert name in OPTIONS


@pytest.mark.parametrize("name", sorted(OPTIONS))
@given(content=WORDS)
@settings(max_examples=20)
def test_every_row_has_one_part_and_the_same_one_again(name, content):
    frame, series = frame_of(content), pl.Series("content", content)
    split = SPLITS.build(name, OPTIONS[name])
    parts = split.parts(frame, series)
    assert len(parts) == len(frame)
    assert set(parts) <= {"train", "validation", "test"}
    assert parts.equals(SPLITS.build(name, OPTIONS[name]).parts(frame, series))


def test_each_value_of_a_column_is_a_fold_of_its_own():
    frame, content = frame_of("abcdefghij"), pl.Series("content", list("abcdefghij"))
    split = SPLITS.build("column", {"column": "t.label", "test": ["class 0", "class 2"], "each": True})
    assert split.folds == 2
    for fold, value in enumerate(["class 0", "class 2"]):
        assert ((split.parts(frame, content, fold) == "test") == (frame["t.label"] == value)).all()
    assert SPLITS.build("column", {"column": "t.label", "test": ["class 0", "class 2"]}).folds == 1
    with pytest.raises(ConfigError, match="several values of test"):
        SPLITS.build("column", {"column": "t.label", "test": ["class 0"], "each": True})


@pytest.mark.parametrize("name", ["hash", "folds"])
@given(content=WORDS)
@settings(max_examples=30)
def test_equal_content_stays_on_one_side(name, content):
    split = SPLITS.build(name, OPTIONS[name])
    for fold in range(split.folds):
        parts = split.parts(frame_of(content), pl.Series("content", content), fold)
        sides = pl.DataFrame({"content": content, "part": parts}).group_by("content").agg(pl.col("part").n_unique())
        assert sides["part"].max() == 1


@given(content=WORDS)
@settings(max_examples=20)
def test_each_row_is_test_in_exactly_one_fold(content):
    split = SPLITS.build("folds", {"folds": 4, "stratify": "t.label"})
    frame, series = frame_of(content), pl.Series("content", content)
    times = sum((split.parts(frame, series, fold) == "test").cast(pl.Int32) for fold in range(4))
    assert times.to_list() == [1] * len(frame)


def test_folds_spread_the_classes_evenly():
    content = pl.Series("content", [f"text {i}" for i in range(90)])
    frame = frame_of(content.to_list())
    split = SPLITS.build("folds", {"folds": 3, "stratify": "t.label"})
    for fold in range(3):
        test = frame.filter(split.parts(frame, content, fold) == "test")
        assert test["t.label"].value_counts()["count"].to_list() == [10, 10, 10]


def test_hash_shares_are_as_asked_and_adding_rows_moves_none():
    content = pl.Series("content", [f"text {i}" for i in range(20_000)])
    split = SPLITS.build("hash", {"test": 0.2, "validation": 0.1})
    parts = split.parts(frame_of(content.to_list()), content)
    assert (parts == "test").mean() == pytest.approx(0.2, abs=0.01)
    assert (parts == "validation").mean() == pytest.approx(0.08, abs=0.01)  # a tenth of the rest
    few = split.parts(frame_of(content[:100].to_list()), content[:100])
    assert few.equals(parts[:100])


def test_time_keeps_the_future_out_of_training():
    frame = frame_of(["x"] * 200)
    parts = SPLITS.build("time", {"column": "t.time", "test": 0.25, "validation": 0.2}).parts(frame, frame["row"])
    last = {part: frame.filter(parts == part)["t.time"] for part in ("train", "validation", "test")}
    assert last["train"].max() < last["validation"].min() <= last["validation"].max() < last["test"].min()
    assert len(last["test"]) == 50


def test_time_at_a_named_date():
    frame = frame_of(["x"] * 100)
    parts = SPLITS.build("time", {"column": "t.time", "cut": "2020-01-03"}).parts(frame, frame["row"])
    assert frame.filter(parts == "test")["t.time"].min() == datetime(2020, 1, 3)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("time", {"column": "t.tim"}, r"did you mean 't.time'"),
        ("time", {"column": "t.label"}, "not a time"),
        ("time", {"column": "t.time", "cut": "yesterday"}, "not a date"),
        ("hash", {"test": 1.5}, "between 0 and 1"),
        ("hash", {"tset": 0.1}, "did you mean 'test'"),
        ("folds", {"folds": 1}, "2 or more"),
        ("column", {"column": "t.part"}, "test"),
    ],
)
def test_a_bad_split_says_what_is_wrong(name, options, message):
    frame = frame_of(["x"] * 20)
    with pytest.raises((ConfigError, DataError), match=message):
        SPLITS.build(name, options).parts(frame, frame["row"])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Great  card!", "great card"),
        ("Ｇｒｅａｔ card", "great card"),
        ("很好，很喜欢。", "很好 很喜欢"),
        ("a_b-c", "A b C"),
    ],
)
def test_near_duplicates_hash_alike(one, other):
    assert normalised(one) == normalised(other)
    frame = pl.DataFrame({"row": ["1", "2"], "t.text": [one, other], "t.images": [["k"], ["k"]]})
    hashes = content_hash(frame, ["t.text", "t.images"])
    assert hashes[0] == hashes[1]


def test_content_hash_tells_columns_apart():
    frame = pl.DataFrame({"row": ["1", "2"], "t.a": ["x y", "x"], "t.b": ["z", "y z"]})
    hashes = content_hash(frame, ["t.a", "t.b"])
    assert hashes[0] != hashes[1]


def test_rows_without_any_content_do_not_share_a_side_by_accident():
    frame = pl.DataFrame({"row": ["1", "2"], "t.a": [None, None]}, schema_overrides={"t.a": pl.String})
    assert content_hash(frame, []).n_unique() == 2


def test_balanced_keeps_as_many_rows_of_each_label():
    frame = pl.DataFrame({"row": [str(i) for i in range(50)]})
    labels = pl.Series("label", [1] * 40 + [0] * 10)
    content = pl.Series("content", frame["row"])
    kept = balanced(frame, labels, content)
    assert len(kept) == 20
    assert kept["row"].cast(pl.Int64).is_sorted()
    assert (kept["row"].cast(pl.Int64) >= 40).sum() == 10


def test_unit_interval_is_uniform_and_salted():
    content = pl.Series("content", [str(i) for i in range(5000)])
    place = unit_interval(content, "a")
    assert abs(place.mean() - 0.5) < 0.02 and place.min() >= 0 and place.max() < 1
    assert abs(pl.DataFrame({"a": place, "b": unit_interval(content, "b")}).select(pl.corr("a", "b")).item()) < 0.05
