"""Graded NDCG: known truths, parity with scikit-learn and with numbers that ranx gave, and laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from tuwen.errors import DataError
from tuwen.evaluation.graded import Judged, graded_figures

GRADES = [{0: 3, 1: 2, 2: 3, 3: 0, 4: 1, 5: 2}, {2: 1, 7: 3}, {9: 2}]
LISTS = np.array([[0, 8, 2, 1, 3, 4], [7, 3, 9, 1, 2, -1], [1, 2, 3, -1, -1, -1]])

NDCG = [0.7507851465979837, 0.9327783893101107, 0.0]
BURGES = [0.8079283296341391, 0.9680147827042069, 0.0]


def test_parity_with_ranx() -> None:
    """ranx 0.3.21, metrics ``ndcg@5`` and ``ndcg_burges@5`` on these very lists."""
    found = graded_figures(LISTS, Judged.of(GRADES), 5)
    np.testing.assert_allclose(found["ndcg@5"], NDCG, atol=1e-12)
    np.testing.assert_allclose(found["burges_ndcg@5"], BURGES, atol=1e-12)


def test_what_was_not_judged_is_left_out_of_the_condensed_list() -> None:
    found = graded_figures(LISTS, Judged.of(GRADES), 5)
    assert found["judged@5"].tolist() == [0.8, 0.4, 0.0]
    without = np.array([[0, 2, 1, 3, 4, -1], [7, 2, -1, -1, -1, -1], [-1] * 6])
    again = graded_figures(without, Judged.of(GRADES), 5)
    np.testing.assert_allclose(found["condensed_ndcg@5"], again["ndcg@5"])
    assert np.isnan(again["judged@5"][2]) and again["ndcg@5"][2] == 0.0


@given(st.data(), st.integers(1, 12))
def test_parity_with_scikit_learn(data: st.DataObject, depth: int) -> None:
    """A list of the whole catalogue, where nothing is left to chance; both ways to gain."""
    grades = data.draw(st.lists(st.integers(0, 4), min_size=12, max_size=30).filter(any))
    order = np.array(data.draw(st.permutations(range(len(grades)))))
    scores = np.empty(len(grades))
    scores[order] = -np.arange(len(grades))
    found = graded_figures(order[None], Judged.of([dict(enumerate(grades))]), depth)
    truth = np.array([grades], np.float64)
    assert found[f"ndcg@{depth}"][0] == pytest.approx(ndcg_score(truth, scores[None], k=depth), abs=1e-12)
    burges = ndcg_score(np.exp2(truth) - 1, scores[None], k=depth)
    assert found[f"burges_ndcg@{depth}"][0] == pytest.approx(burges, abs=1e-12)


def test_the_best_list_has_one_and_an_item_that_is_not_relevant_changes_nothing_behind_the_end() -> None:
    judged = Judged.of(GRADES[:1])
    assert graded_figures(np.array([[2, 0, 5, 1, 4, 3]]), judged, 5)["ndcg@5"] == pytest.approx(1.0)
    one, other = (graded_figures(np.array([[1, 0, 2, last]]), judged, 3) for last in (3, 8))
    assert one["ndcg@3"] == other["ndcg@3"]


@pytest.mark.parametrize(
    ("lists", "each", "said"),
    [
        ([[1, 2]], [{1: 0}], "without a relevant item"),
        ([[1, 2]], [{1: -1, 2: 1}], "below 0"),
        ([[1, 1]], [{1: 1}], "stands twice"),
        ([[1]], [{1: 1}], "too short"),
        ([[1, 2], [1, 2]], [{1: 1}], "other queries"),
    ],
)
def test_what_cannot_be_judged_is_refused(lists: list[list[int]], each: list[dict[int, float]], said: str) -> None:
    with pytest.raises(DataError, match=said):
        graded_figures(np.array(lists), Judged.of(each), 2)
