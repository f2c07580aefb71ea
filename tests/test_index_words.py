"""BM25 over an inverted index: parity with the formula, laws of parts."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tuwen.index.words import Bm25, Postings

TERMS = st.lists(st.sampled_from(["猫", "cat", "dog", "red", "wh1000xm4", "a"]), max_size=6)
ROWS = st.lists(st.tuples(TERMS, TERMS), min_size=1, max_size=8)
WEIGHTS = {"title": 3.0, "text": 1.0}
Rows = list[tuple[list[str], list[str]]]


def postings(rows: Rows) -> Postings:
    return Postings.of({"title": [one for one, _ in rows], "text": [other for _, other in rows]}, WEIGHTS)


def by_the_formula(rows: Rows, term: str, k1: float = 1.2, b: float = 0.75) -> list[float]:
    counts = [3.0 * Counter(title)[term] + Counter(text)[term] for title, text in rows]
    lengths = [3.0 * len(title) + len(text) for title, text in rows]
    average = max(sum(lengths) / len(rows), 1e-9)
    holding = sum(count > 0 for count in counts)
    rarity = math.log(1 + (len(rows) - holding + 0.5) / (holding + 0.5))
    return [
        rarity * c * (k1 + 1) / (c + k1 * (1 - b + b * length / average)) if c else 0.0
        for c, length in zip(counts, lengths, strict=True)
    ]


def single(*terms: str) -> list[tuple[tuple[tuple[str, ...], float], ...]]:
    return [(((term,), 1.0),) for term in terms]


@given(ROWS, st.lists(st.sampled_from(["猫", "cat", "dog", "nowhere"]), min_size=1, max_size=3, unique=True))
def test_scores_are_those_of_the_formula(rows: Rows, asked: list[str]) -> None:
    scores, matched = Bm25([postings(rows)], [np.ones(len(rows), bool)]).scores(single(*asked))
    expected = np.array([by_the_formula(rows, term) for term in asked])
    np.testing.assert_allclose(scores, expected.sum(axis=0), rtol=1e-5)
    np.testing.assert_array_equal(matched, (expected > 0).sum(axis=0))


@given(ROWS, ROWS, st.data())
def test_parts_and_removals_change_nothing(first: Rows, second: Rows, data: st.DataObject) -> None:
    """Two parts with removed rows answer as one part of the rows that are left; and so does their merger."""
    every = first + second
    alive = np.array(data.draw(st.lists(st.booleans(), min_size=len(every), max_size=len(every))))
    parts = [postings(first), postings(second)]
    living = [alive[: len(first)], alive[len(first) :]]
    left = [row for row, kept in zip(every, alive, strict=True) if kept]
    split = Bm25(parts, living)
    for words in (
        Bm25([postings(left)], [np.ones(len(left), bool)]),
        Bm25([Postings.merged(parts, living)], [alive[alive]]),
    ):
        asked = single("cat", "猫")
        np.testing.assert_allclose(split.scores(asked)[0][alive], words.scores(asked)[0], rtol=1e-6)
        assert not split.scores(asked)[0][~alive].any()
        assert split.frequency("cat") == words.frequency("cat")


def test_a_slot_is_worth_its_best_alternative_and_terms_of_one_must_stand_together() -> None:
    rows: Rows = [(["ps4"], []), (["playstation", "4"], []), (["playstation"], []), (["4"], [])]
    words = Bm25([postings(rows)], [np.ones(4, bool)])
    scores, matched = words.scores([((("ps4",), 1.0), (("playstation", "4"), 0.5))])
    assert matched.tolist() == [1, 1, 0, 0] and scores[0] > 0 < scores[1]


def test_merging_gives_the_very_arrays_of_a_new_index() -> None:
    rows: Rows = [(["b", "a"], ["c"]), (["a"], ["a"]), ([], []), (["d"], [])]
    alive = [np.array([True, False]), np.array([True, True])]
    found = Postings.merged([postings(rows[:2]), postings(rows[2:])], alive)
    fresh = postings([rows[0], *rows[2:]])
    assert list(found.terms) == list(fresh.terms)
    for name in ("starts", "rows", "counts", "lengths"):
        np.testing.assert_array_equal(getattr(found, name), getattr(fresh, name))
