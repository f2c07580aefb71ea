"""Cells compared: exact where there is one answer, the report's own numbers where there is one seed, and both kinds of
chance where there are several."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation_tables import drawn_binary, drawn_classes, drawn_rate, rate
from tuwen.errors import DataError
from tuwen.evaluation.comparison import Bootstrap, Cell, compare, half_without, holm, lost, over_seeds
from tuwen.evaluation.intervals import Resampled, differences, intervals, resample
from tuwen.evaluation.predictions import Predictions

BOOTSTRAP = Bootstrap(samples=300, seed=4)
DRAW = {
    "rate": lambda seed: drawn_rate(150, 0.5 + 0.2 * (seed % 2), seed),
    "binary": lambda seed: drawn_binary(150, 0.6 + 0.3 * (seed % 2), seed),
    "classify": lambda seed: drawn_classes(150, 5, 1.0 + (seed % 2), seed),
}


def cell(task: str, *seeds: int) -> Cell:
    worse = tuple(DRAW[task](seed + 100) for seed in seeds)
    return Cell(tuple(DRAW[task](seed) for seed in seeds), {"text": worse})


@pytest.mark.parametrize("task", DRAW)
def test_the_reference_differs_from_itself_by_exactly_nothing(task) -> None:
    found = compare({"a": cell(task, 1, 2, 3), "b": cell(task, 1, 2, 3), "c": cell(task, 4, 5, 6)}, "a", BOOTSTRAP)
    json.dumps(found, allow_nan=False)
    for name in ("a", "b"):
        for one in found[name]["difference"].values():
            assert list(one.values()) == [0.0, 0.0, 0.0, 1.0, 1.0]
        for how in ("half", "all"):
            assert all(d["difference"] == 0.0 for d in found[name]["missing"]["text"][how]["difference"].values())
    assert any(one["difference"] != 0.0 for one in found["c"]["difference"].values())


@pytest.mark.parametrize("task", DRAW)
def test_with_one_seed_the_numbers_are_those_of_the_report(task) -> None:
    one, other = cell(task, 1), cell(task, 2)
    found = compare({"one": one, "other": other}, "one", BOOTSTRAP)
    drawn = resample({"one": one.seeds[0], "other": other.seeds[0]}, samples=300, seed=4)
    for name in ("one", "other"):
        for metric, told in intervals(drawn[name]).items():
            assert {key: found[name]["metrics"][metric][key] for key in ("value", "low", "high")} == told.plain()
            assert found[name]["metrics"][metric]["spread"] is None
    told = {m: d.plain() | {"p_holm": d.p} for m, d in differences(drawn["other"], drawn["one"]).items()}
    assert found["other"]["difference"] == told


def test_groups_are_drawn_whole() -> None:
    groups = [f"user {i // 10}" for i in range(150)]
    found = compare({"a": cell("rate", 1)}, "a", Bootstrap(samples=300, seed=4, groups=groups))
    drawn = resample({"a": cell("rate", 1).seeds[0]}, samples=300, seed=4, groups=groups)["a"]
    assert found["a"]["metrics"]["rmse"]["low"] == intervals(drawn)["rmse"].low


def test_the_mean_spread_and_seeds_are_what_they_say() -> None:
    found = compare({"a": cell("rate", 1, 2, 3)}, "none of them", BOOTSTRAP)["a"]
    each = found["metrics"]["mae"]["seeds"]
    assert each == [pytest.approx(np.abs(s.prediction - s.target).mean()) for s in cell("rate", 1, 2, 3).seeds]
    assert found["metrics"]["mae"]["value"] == pytest.approx(np.mean(each))
    assert found["metrics"]["mae"]["spread"] == pytest.approx(np.std(each, ddof=1))
    assert found["difference"] is None and found["missing"]["text"]["half"]["difference"] is None


def test_the_interval_covers_seeds_as_well_as_rows() -> None:
    """Rows that all seeds answer alike, but seeds that differ: rows alone would give an interval of width nothing."""
    target = np.arange(100.0)
    seeds = tuple(rate(target, target + shift) for shift in (1.0, 2.0, 3.0, 4.0))
    found = compare({"a": Cell(seeds)}, "a", Bootstrap(samples=2000))["a"]["metrics"]["mae"]
    assert found["value"] == pytest.approx(2.5)
    assert found["low"] == pytest.approx(1.5, abs=0.26) and found["high"] == pytest.approx(3.5, abs=0.26)
    same = compare({"a": Cell(seeds[:1] * 4)}, "a", BOOTSTRAP)["a"]["metrics"]["mae"]
    assert same["low"] == same["value"] == same["high"]


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    """Rows and seeds both drawn anew 300 times, from a world whose mean error is known to be 0."""
    rng, held, rounds = np.random.default_rng(0), 0, 300
    for turn in range(rounds):
        rows, seeds = rng.normal(0, 1, 40), rng.normal(0, 0.3, 5)
        weights = rng.multinomial(40, [1 / 40] * 40, 400) / 40
        each = [Resampled({"x": float((rows + s).mean())}, {"x": weights @ (rows + s)}) for s in seeds]
        found = intervals(over_seeds(each, turn))["x"]
        held += found.low <= 0 <= found.high
    assert 0.88 <= held / rounds <= 0.98  # 5 seeds are few, so a little below 0.95 is what one gets


@given(st.lists(st.text(max_size=6), min_size=1, max_size=200, unique=True))
@settings(max_examples=50)
def test_half_of_the_rows_depends_on_their_keys_alone(rows) -> None:
    found = dict(zip(rows, lost(rows, "text"), strict=True))
    assert dict(zip(rows[::-1], lost(rows[::-1], "text"), strict=True)) == found
    assert len(rows) < 100 or 0.25 < np.mean(list(found.values())) < 0.75


def test_half_without_takes_each_row_from_the_right_table() -> None:
    whole, without = DRAW["classify"](1), DRAW["classify"](7)
    half = half_without(whole, without, "picture")
    gone = lost(whole.frame["row"].to_list(), "picture")
    assert 50 < gone.sum() < 100
    assert half.frame["row"].equals(whole.frame["row"])
    for mask, source in ((gone, without), (~gone, whole)):
        assert half.frame.filter(pl.Series(mask)).equals(source.frame.filter(pl.Series(mask)))


def test_many_cells_make_small_p_less_sure() -> None:
    assert holm([0.01, 0.04, 0.03, None, 0.9]) == [0.04, 0.09, 0.09, None, 0.9]
    assert holm([0.5]) == [0.5] and holm([0.9, 0.8]) == [1.0, 1.0] and holm([]) == []


def test_cells_of_other_rows_or_other_seeds_are_refused() -> None:
    fewer = Predictions("rate", DRAW["rate"](1).frame[:100])
    with pytest.raises(DataError, match="same rows"):
        compare({"a": cell("rate", 1), "b": Cell((fewer,))}, "a", BOOTSTRAP)
    with pytest.raises(DataError, match="equally many seeds"):
        compare({"a": cell("rate", 1), "b": cell("rate", 1, 2)}, "a", BOOTSTRAP)
    with pytest.raises(DataError, match="nothing to compare"):
        compare({}, "a", BOOTSTRAP)
