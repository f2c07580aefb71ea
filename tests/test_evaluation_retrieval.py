"""Retrieval: ranks against a plain sort, ties as chance, intervals, linear maps that find what is planted."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.cross_decomposition import CCA
from sklearn.linear_model import Ridge

from shops import jpeg
from tuwen.errors import DataError
from tuwen.evaluation.linear import linear_maps
from tuwen.evaluation.render import render
from tuwen.evaluation.report import summary
from tuwen.evaluation.retrieval import (
    Ranks,
    Searched,
    example,
    measure,
    names_of,
    rank,
    rank_any,
    resample,
    retrieval_report,
)

PAIR, BACK = ("picture", "text"), ("text", "picture")


def embeddings(rows, seed, noise=1.0, width=8):
    rng = np.random.default_rng(seed)
    one = rng.normal(size=(rows, width))
    other = one + noise * rng.normal(size=(rows, width))
    return one.astype(np.float32), other.astype(np.float32)


def test_ranks_and_metrics_are_those_of_a_plain_sort():
    one, other = embeddings(300, 0)
    places = []
    for i in range(300):
        order = sorted(range(300), key=lambda j, i=i: -float(one[i] @ other[j]))
        places.append(order.index(i) + 1)
    places = np.array(places)
    ranks = rank(one, other)
    np.testing.assert_array_equal(ranks.middle, places)
    found = measure({PAIR: ranks})
    for depth in (1, 5, 10):
        assert found[f"picture_to_text_recall@{depth}"] == pytest.approx(np.mean(places <= depth))
    assert found["picture_to_text_mrr"] == pytest.approx(np.mean(1 / places))
    assert found["picture_to_text_median_rank"] == np.median(places)


@given(better=st.integers(0, 20), tied=st.integers(0, 20))
def test_ties_count_as_if_in_random_order(better, tied):
    """Every place that the own answer may have is equally likely."""
    ranks, places = Ranks(np.array([better]), np.array([tied])), np.arange(better + 1, better + tied + 2)
    assert ranks.middle[0] == places.mean()
    assert ranks.reciprocal()[0] == pytest.approx(np.mean(1 / places))
    for depth in (1, 5, 10):
        assert ranks.recall(depth)[0] == pytest.approx(np.mean(places <= depth))


def test_a_system_that_scores_all_alike_is_chance():
    same = np.ones((50, 4), np.float32)
    assert measure({PAIR: rank(same, same)}) == measure({PAIR: Ranks.chance(50)})
    assert measure({PAIR: Ranks.chance(50)})["picture_to_text_recall@10"] == pytest.approx(10 / 50)


def test_copies_of_an_answer_cannot_be_told_apart_and_twins_count_only_in_the_lenient_figure():
    one = np.eye(4, dtype=np.float32)
    other = one[[0, 0, 2, 3]]  # rows 0 and 1 have the same text
    one = one[[0, 0, 2, 3]]
    content = np.array([0, 0, 1, 2])
    strict, lenient = rank(one, other, content), rank_any(one, other, content[:, None])
    assert strict.recall(1).tolist() == [0.5, 0.5, 1.0, 1.0]
    assert lenient.recall(1).tolist() == [1.0, 1.0, 1.0, 1.0]
    # the same picture under two texts: each is a right answer to the lenient question
    twins = np.array([[0, 5], [1, 5], [2, 6], [3, 7]])
    query, answers = (
        np.array([[1, 0], [1, 0], [0, 1], [0, 1]], np.float32),
        np.array([[1, 0], [0.9, 0], [0, 1], [0, 0.9]]),
    )
    assert rank(query, answers.astype(np.float32)).middle.tolist() == [1, 2, 1, 2]
    assert rank_any(query, answers.astype(np.float32), twins).middle.tolist() == [1, 1, 1, 2]


def test_intervals_hold_the_value_and_a_median_is_that_of_the_resample():
    one, other = embeddings(400, 1)
    drawn = resample({"model": {PAIR: rank(one, other)}, "chance": {PAIR: Ranks.chance(400)}}, samples=300)
    values = drawn["model"].values
    assert list(values) == names_of(PAIR)
    for name, samples in drawn["model"].samples.items():
        low, high = np.quantile(samples, [0.025, 0.975])
        assert low <= values[name] <= high and len(samples) == 300
    rng = np.random.default_rng(0)
    counts = np.bincount(rng.integers(0, 400, 400), minlength=400)  # the first resample
    plain = np.median(np.repeat(rank(one, other).middle, counts))
    assert drawn["model"].samples["picture_to_text_median_rank"][0] == plain


def test_rows_that_do_not_pair_up_are_refused():
    with pytest.raises(DataError, match="do not pair up"):
        rank(np.ones((2, 3), np.float32), np.ones((3, 3), np.float32))
    with pytest.raises(DataError, match="same queries"):
        resample({"a": {PAIR: Ranks.chance(3)}, "b": {PAIR: Ranks.chance(4)}})


@pytest.mark.parametrize("name", ["ridge", "cca"])
def test_linear_maps_find_two_linear_views_of_one_latent_and_nothing_in_noise(name):
    rng = np.random.default_rng(0)
    latent, a, b = rng.normal(size=(900, 6)), rng.normal(size=(6, 20)), rng.normal(size=(6, 15))
    left, right = (latent @ m + 0.01 * rng.normal(size=(900, m.shape[1])) for m in (a, b))
    best = max(
        float(rank(*m.embed(left[600:], right[600:])).recall(1).mean())
        for m in linear_maps(left[:600], right[:600])[name]
    )
    assert best > 0.95
    left, right = rng.normal(size=(900, 20)), rng.normal(size=(900, 15))
    best = max(
        float(rank(*m.embed(left[600:], right[600:])).recall(10).mean())
        for m in linear_maps(left[:600], right[:600])[name]
    )
    assert best < 0.1  # chance: 0.033


def test_the_maps_are_those_of_scikit_learn():
    rng = np.random.default_rng(1)
    left, right = rng.normal(size=(200, 7)) * 3 + 1, rng.normal(size=(200, 5))
    right[:, 0] += left[:, 0]
    maps = linear_maps(left, right)
    penalty = 1.0 * left.var(axis=0).mean() * 200  # of the sum of squares
    (found,) = [m for m in maps["ridge"] if m.note == "left to right, penalty 1"]
    expected = Ridge(alpha=penalty).fit(left, right)
    np.testing.assert_allclose(found.left, expected.coef_.T, atol=1e-9)
    loose = next(m for m in maps["cca"] if m.note.endswith("penalty 0.001"))
    ours = (left - loose.centres[0]) @ loose.left, (right - loose.centres[1]) @ loose.right
    theirs = CCA(n_components=1).fit(left, right).transform(left, right)
    assert abs(np.corrcoef(ours[0][:, 0], theirs[0][:, 0])[0, 1]) > 0.999
    assert abs(np.corrcoef(ours[1][:, 0], theirs[1][:, 0])[0, 1]) > 0.999


def searched(rows=120, seed=3):
    one, other = embeddings(rows, seed, noise=0.5)
    model = {PAIR: rank(one, other), BACK: rank(other, one)}
    chance = {pair: Ranks.chance(rows) for pair in model}
    names = [f"item {i}" for i in range(rows)]
    twins = np.arange(rows)[:, None]
    shown = example(PAIR, 7, one[7], other, float(model[PAIR].middle[7]), names, twins)
    return Searched({"model": model, "chance": chance}, model, 0, rows, {"ridge": "penalty 1"}, [shown])


def report_of(parts):
    return retrieval_report(parts, history=[], cost={}, run={}, provenance={}, name="shop", split="hash", samples=200)


def test_the_report_names_its_metrics_compares_in_pairs_and_is_strict_json():
    report = report_of([searched()])
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert list(report["metrics"]) == [*names_of(PAIR), *names_of(BACK)]
    assert report["primary"] == "picture_to_text_recall@10"
    gain = report["comparisons"]["chance"]["text_to_picture_recall@10"]
    assert gain["low"] > 0 and gain["p"] < 0.05
    lower = report["comparisons"]["chance"]["picture_to_text_median_rank"]
    assert lower["high"] < 0
    shown = report["retrieval"]["examples"][0]
    assert shown["row"] == "item 7" and len(shown["found"]) == 5
    assert report["retrieval"]["twins"] == report["metrics"]
    first = summary(report)[0]
    assert first.metric == "picture_to_text_recall@10" and first.best_baseline == "chance"


def test_folds_are_pooled_each_among_its_own_answers():
    one, two = searched(120, 3), searched(80, 4)
    report = report_of([one, two])
    assert report["rows"] == 200 and report["retrieval"]["answers"] == [120, 80]
    expected = np.concatenate([one.systems["model"][PAIR].recall(10), two.systems["model"][PAIR].recall(10)]).mean()
    assert report["metrics"]["picture_to_text_recall@10"]["value"] == pytest.approx(expected)


def test_the_page_shows_the_queries_what_they_found_and_the_lenient_figures_in_both_languages():
    found = searched()
    twins = Searched(found.systems, found.twins, 12, found.answers, found.notes, found.examples)
    report = report_of([twins])
    rows = [hit["row"] for hit in found.examples[0]["found"]]
    html = render(report, {"item 7": [jpeg(1)]}, {row: f"words of {row} <b>" for row in rows})
    assert "data:image/jpeg;base64," in html
    assert all(f"words of {row} &lt;b&gt;" in html for row in rows)
    for told in ("Picture → text: Recall@10", "图片 → 文字：Recall@10", "Chance", "随机"):
        assert told in html
    assert "12 of the rows share" in html and "有 12 行" in html
    assert "find their own answer among the first ten" in html
    assert 'id="calibration"' not in html and 'id="worst"' not in html
