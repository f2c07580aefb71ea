"""Ranked lists: every figure against plain loops, laws that hold for any lists, and intervals over whole shoppers."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuwen.errors import DataError
from tuwen.evaluation.intervals import differences, intervals
from tuwen.evaluation.ranking import NOTHING, Chosen, coverage, diversity, figures, novelty, resampled

CATALOGUE = 30


def drawn(seed, shoppers=12, depth=8):
    rng = np.random.default_rng(seed)
    lists = np.stack([rng.permutation(CATALOGUE)[:depth] for _ in range(shoppers)])
    for row in range(0, shoppers, 3):
        lists[row, rng.integers(1, depth) :] = NOTHING
    chosen = [rng.permutation(CATALOGUE)[: rng.integers(1, 12)].tolist() for _ in range(shoppers)]
    return lists, chosen


def by_hand(listed, chosen, depth, kept):
    """One shopper at a time, as the definitions say."""
    listed = [item for item in listed[:depth] if item != NOTHING]
    places = [place for place, item in enumerate(listed, 1) if item in chosen]
    best = sum(1 / math.log2(1 + place) for place in range(1, min(depth, len(chosen)) + 1))
    those = [item for item in chosen if kept[item]]
    return {
        "ndcg": sum(1 / math.log2(1 + place) for place in places) / best,
        "recall": len(places) / len(chosen),
        "map": sum((n + 1) / place for n, place in enumerate(places)) / min(depth, len(chosen)),
        "mrr": 1 / places[0] if places else 0.0,
        "hit": float(bool(places)),
        "precision": len(places) / depth,
        "cold_recall": len([i for i in listed if i in those]) / len(those) if those else math.nan,
    }


@given(seed=st.integers(0, 10_000), depth=st.integers(1, 8))
@settings(max_examples=60)
def test_every_figure_is_what_its_definition_says(seed, depth):
    lists, chosen = drawn(seed)
    kept = np.random.default_rng(seed + 1).random(CATALOGUE) < 0.3
    found = figures(lists, Chosen.of(chosen), depth, {"cold": kept})
    for row, (listed, wanted) in enumerate(zip(lists.tolist(), chosen, strict=True)):
        for name, value in by_hand(listed, set(wanted), depth, kept).items():
            np.testing.assert_allclose(found[f"{name}@{depth}"][row], value, err_msg=name)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=30)
def test_what_was_chosen_first_is_best_and_what_stands_behind_the_depth_counts_nothing(seed):
    lists, chosen = drawn(seed)
    perfect = np.stack([[*sorted(one), *(i for i in range(CATALOGUE) if i not in one)][:8] for one in chosen])
    best = figures(perfect, Chosen.of(chosen), 8)
    for name in ("ndcg@8", "map@8", "mrr@8", "hit@8"):
        np.testing.assert_allclose(best[name], 1.0)
    longer = np.concatenate([lists[:, :5], np.full((len(lists), 2), NOTHING)], axis=1)
    for name, values in figures(lists, Chosen.of(chosen), 5).items():
        np.testing.assert_array_equal(values, figures(longer, Chosen.of(chosen), 5)[name])


def test_a_choice_made_twice_is_one_choice():
    lists = np.array([[1, 2, 3]])
    once, twice = (figures(lists, Chosen.of(c), 3) for c in ([[1, 9]], [[1, 9, 1, 9, 9]]))
    assert once == twice


@pytest.mark.parametrize(
    ("lists", "depth", "message"),
    [
        (np.array([[1, 2]]), 3, "too short"),
        (np.array([[1, 1]]), 2, "twice"),
        (np.array([[1, 2], [1, 2]]), 2, "other shoppers"),
    ],
)
def test_lists_that_cannot_be_judged_are_refused(lists, depth, message):
    with pytest.raises(DataError, match=message):
        figures(lists, Chosen.of([[1]]), depth)
    with pytest.raises(DataError, match="chose nothing"):
        Chosen.of([[1], []])


def test_means_leave_out_who_has_no_figure_and_whole_shoppers_are_drawn():
    first, other = {"a": np.array([1.0, np.nan, 0.0, 0.5])}, {"a": np.array([0.0, np.nan, 0.0, 0.5])}
    found = resampled({"model": first, "other": other}, samples=400, groups=["x", "x", "y", "z"])
    assert found["model"].values["a"] == 0.5
    inside = intervals(found["model"])["a"]
    assert inside.low == 0.0 and inside.high == 1.0  # only x, or no x at all
    assert differences(found["model"], found["other"])["a"].difference == pytest.approx(1 / 3)
    alike = resampled({"model": first, "other": first})
    assert differences(alike["model"], alike["other"])["a"].high == 0.0


def test_coverage_novelty_and_diversity_of_known_lists():
    lists = np.array([[0, 1], [1, NOTHING]])
    assert coverage(lists, 4, 2) == 0.5
    assert coverage(lists, 4, 1) == 0.5 and coverage(np.array([[0], [0]]), 4, 1) == 0.25
    np.testing.assert_allclose(novelty(lists, np.array([4, 1, 0, 0]), 4, 2), [1.0, 2.0])  # 0 and 2 bits; 2 bits
    vectors = np.array([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0], [3.0, 0.0]])
    np.testing.assert_allclose(diversity(lists, vectors, 2), [1.0, np.nan])
    np.testing.assert_allclose(diversity(np.array([[0, 3]]), vectors, 2), [0.0], atol=1e-9)
    np.testing.assert_allclose(diversity(np.array([[0, 2]]), vectors, 2), [1 - math.sqrt(0.5)])
