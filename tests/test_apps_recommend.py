"""Recommenders: known truths, laws, oracles, and that the future stays shut."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import sparse

from tuwen.apps.recommend import RANKERS, RETRIEVERS
from tuwen.apps.recommend.history import Asked, Catalogue, History, Shoppers
from tuwen.apps.recommend.ranker import LambdaRank
from tuwen.apps.recommend.recommender import Recommender, Windows, candidates
from tuwen.apps.recommend.rules import Rules, varied, with_newcomers
from tuwen.apps.recommend.scores import NOTHING, ByLevel, Dense, Grouped, Levels, Sparse, best, firsts
from tuwen.apps.recommend.vectors import Reduction
from tuwen.errors import ConfigError, DataError

OPTIONS = {
    "content": {"kind": "picture"},
    "favourites": {"column": "items.kind"},
    "newcomers": {"column": "items.kind"},
    "two-tower": {"epochs": 2, "width": 8},
}


def catalogue(items: int, rng: np.random.Generator, width: int = 8, **changes) -> Catalogue:
    vectors = rng.standard_normal((items, width)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    kinds = rng.integers(1, 4, items).astype(np.int32)
    found = Catalogue(
        np.array([f"i{n}" for n in range(items)]),
        {"picture": vectors},
        {"items.kind": kinds},
        {},
        np.arange(items, dtype=float),
    )
    return replace(found, **changes)


def history(events: int = 600, shoppers: int = 40, items: int = 60, seed: int = 0, now: float = 200.0) -> History:
    rng = np.random.default_rng(seed)
    return History.of(
        catalogue(items, rng),
        Shoppers(shoppers, {"users.age": rng.uniform(18, 70, shoppers).astype(np.float32)}),
        rng.integers(0, shoppers, events),
        rng.integers(0, items, events),
        rng.uniform(0, now, events).round(2),
        rng.uniform(1, 9, events),
        now,
    )


def bought(pairs: list[tuple[int, int]], items: int, shoppers: int, goods: Catalogue | None = None) -> History:
    """Purchases on days 0, 1, 2, …"""
    who, what = (np.array(side, np.int64) for side in zip(*pairs, strict=True))
    goods = goods or Catalogue(np.array([f"i{n}" for n in range(items)]))
    days = np.arange(len(pairs), dtype=float)
    return History.of(goods, Shoppers(shoppers), who, what, days, np.ones(len(pairs)), float(len(pairs)))


def built(use: str):
    return RETRIEVERS.build(use, OPTIONS.get(use, {}))


# --- Known truths -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("use", "options"), [("item-knn", {}), ("ease", {"regularisation": 1.0})])
def test_on_a_checkerboard_the_withheld_item_comes_first(use: str, options: dict) -> None:
    """Even shoppers buy even items, odd ones odd items; one purchase of each is withheld."""
    size = 20
    pairs = [(u, i) for u in range(size) for i in range(size) if u % 2 == i % 2 and i != u]
    known = bought(pairs, size, size)
    retriever = RETRIEVERS.build(use, options)
    retriever.fit(known)
    asked = known.asked(range(size))
    scores = retriever.score(asked).at(*(side.ravel() for side in np.indices((size, size)))).reshape(size, size)
    scores[known.bought.toarray() > 0] = -np.inf  # what was bought is no news
    assert (scores.argmax(axis=1) == np.arange(size)).all()


@pytest.mark.parametrize("kind", ["picture", "text"])
def test_an_item_that_nobody_bought_but_looks_or_reads_like_a_favourite_is_found(kind: str) -> None:
    goods = catalogue(30, np.random.default_rng(1))
    goods.vectors["text"] = np.roll(goods.vectors["picture"], 7, axis=0).copy()
    goods.vectors[kind][29] = goods.vectors[kind][3]
    known = bought([(0, 3), (1, 4), (0, 5)], 30, 2, goods)
    retriever = RETRIEVERS.build("content", {"kind": kind})
    retriever.fit(known)
    assert retriever.score(known.asked([0])).top(1)[0, 0] == 29


def families(seed: int) -> tuple[History, np.ndarray, np.ndarray]:
    """Items of 30 families look and read alike; each shopper buys of two of them. Of every family one item was never
    bought and is the twin of one that was, in picture and text.

    Returns:
        What was bought; int64 [twins], the unsold items; int64 [twins], the items that they are twins of.
    """
    rng = np.random.default_rng(seed)
    kinds, each, shoppers = 30, 12, 60
    family = np.repeat(np.arange(kinds), each)
    vectors = {}
    for name in ("picture", "text"):
        centres = rng.standard_normal((kinds, 12))
        found = centres[family] + 0.4 * rng.standard_normal((len(family), 12))
        found[::each] = found[1::each]  # the first of a family is the twin of the second
        vectors[name] = (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)
    taste = np.stack([rng.permutation(kinds)[:2] for _ in range(shoppers)])
    who = rng.integers(0, shoppers, 1500)
    what = taste[who, rng.integers(0, 2, 1500)] * each + rng.integers(1, each, 1500)
    days = np.sort(rng.uniform(0, 300, 1500))
    goods = Catalogue(np.arange(len(family)).astype(str), vectors)
    known = History.of(goods, Shoppers(shoppers), who, what, days, np.full(1500, np.nan), 300.0)
    return known, np.arange(0, len(family), each), np.arange(1, len(family), each)


@pytest.mark.parametrize(("ranker", "options"), [("lambdarank", {"rounds": 20, "smallest_leaf": 10}), ("linear", {})])
def test_the_unsold_twin_of_a_favourite_is_found_by_the_whole_system(ranker: str, options: dict) -> None:
    """Retrievers, features, ranker, rules: who bought an item is shown its twin, who bought nothing like it is not."""
    known, unsold, twins = families(0)
    content = {
        f"like the {kind}": lambda kind=kind: RETRIEVERS.build("content", {"kind": kind})
        for kind in known.catalogue.vectors
    }
    recommender = Recommender(
        content | {"sells": lambda: RETRIEVERS.build("popularity", {"half_life": 30}), "again": lambda: built("again")},
        lambda: RANKERS.build(ranker, options),
        per=40,
        windows=Windows(horizon=20, step=20, count=4, least=100),
    ).fit(known)
    assert not np.isin(unsold, known.item).any()
    listed = recommender.recommend(known.asked(range(60)), 10, Rules(again=False)).items
    had = known.bought.toarray() > 0
    fans = had[:, twins]  # [shoppers, families]
    shown = np.array([[np.isin(item, listed[one]) for item in unsold] for one in range(60)])
    assert fans.sum() > 50 and shown[fans].mean() > 0.8  # of ten places, among 24 items of two families
    strangers = ~had.reshape(60, 30, 12).any(axis=2)
    assert shown[strangers].mean() < 0.02


def styled(seed: int, shown: bool) -> tuple[History, np.ndarray, np.ndarray]:
    """Each shopper buys items of one of two styles; only pictures tell the style, and every item sells once."""
    rng = np.random.default_rng(seed)
    items, shoppers = 1200, 60
    style, taste = rng.integers(0, 2, items), rng.integers(0, 2, shoppers)
    vectors = rng.standard_normal((items, 6)).astype(np.float32)
    if shown:
        vectors[:, 0] = 3.0 * (2 * style - 1)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    goods = Catalogue(np.arange(items).astype(str), {"picture": vectors})
    who, what = [], []
    for item in rng.permutation(items)[:900].tolist():
        who.append(int(rng.choice(np.flatnonzero(taste == style[item]))))
        what.append(item)
    days = np.linspace(0, 299, len(who))
    return (
        History.of(goods, Shoppers(shoppers), np.array(who), np.array(what), days, np.full(len(who), np.nan), 300.0),
        style,
        taste,
    )


def test_a_style_that_only_pictures_show_is_found_and_without_it_there_is_nothing() -> None:
    shares = {}
    for shown in (True, False):
        known, style, taste = styled(0, shown)
        recommender = Recommender(
            {"looks": lambda: RETRIEVERS.build("content", {"kind": "picture"}), "again": lambda: built("again")},
            lambda: LambdaRank(rounds=30, smallest_leaf=20),
            per=100,
            windows=Windows(horizon=20, step=20, count=5, least=100),
        ).fit(known)
        who = np.arange(60)
        listed = recommender.recommend(known.asked(who), 10).items
        new = ~known.bought.toarray()[who[:, None], listed].astype(bool) & (listed != NOTHING)
        shares[shown] = (style[listed] == taste[:, None])[new].mean()
    assert shares[True] > 0.9
    assert abs(shares[False] - 0.5) < 0.1


def test_popularity_counts_and_forgets() -> None:
    known = bought([(0, 1), (1, 1), (0, 2)], 4, 2)  # 1 was bought on days 0 and 1, 2 on day 2
    plain, decayed = RETRIEVERS.build("popularity", {}), RETRIEVERS.build("popularity", {"half_life": 0.5})
    for retriever in (plain, decayed):
        retriever.fit(known)
    assert plain.score(known.asked([0])).top(4).tolist() == [[1, 2, NOTHING, NOTHING]]
    assert decayed.score(known.asked([0])).top(2).tolist() == [[2, 1]]
    assert np.allclose(decayed.demand, [0, 0.5 ** (3 / 0.5) + 0.5 ** (2 / 0.5), 0.5 ** (1 / 0.5), 0])


def test_a_segment_buys_what_those_alike_buy() -> None:
    ages = np.array([20, 21, 22, 60, 61, 62, np.nan], np.float32)
    goods = Catalogue(np.array(["young", "old"]))
    who, what = np.array([0, 1, 2, 3, 4, 5, 5]), np.array([0, 0, 0, 1, 1, 1, 1])
    known = History.of(goods, Shoppers(7, {"users.age": ages}), who, what, np.zeros(7), np.ones(7), 1.0)
    retriever = RETRIEVERS.build("segment", {"bins": 2, "spread": 0.3})
    retriever.fit(known)
    assert retriever.score(known.asked([0, 3, 6])).top(1).ravel().tolist() == [0, 1, 1]


# --- Oracles ------------------------------------------------------------------------------------------------------


def test_ease_solves_its_own_problem() -> None:
    """Least squares with λ on every column, the own item kept out: solved one column at a time."""
    known = history()
    retriever = RETRIEVERS.build("ease", {"regularisation": 3.0})
    retriever.fit(known)
    matrix = known.bought.toarray().astype(float)
    for item in (0, 7, 33):
        others = np.delete(np.arange(matrix.shape[1]), item)
        rest = matrix[:, others]
        weights = np.linalg.solve(rest.T @ rest + 3.0 * np.eye(len(others)), rest.T @ matrix[:, item])
        assert np.allclose(retriever.weights[others, item], weights, atol=1e-5)


def test_item_knn_is_the_cosine_of_columns() -> None:
    known = history()
    retriever = RETRIEVERS.build("item-knn", {"neighbours": 1000, "half_life": None})
    retriever.fit(known)
    columns = known.bought.toarray()
    columns = columns / np.linalg.norm(columns, axis=0)
    expected = columns.T @ columns
    np.fill_diagonal(expected, 0.0)
    assert np.allclose(retriever.alike.toarray(), expected, atol=1e-5)


@settings(max_examples=60)
@given(arrays(np.float32, (3, 12), elements=st.sampled_from([0.0, 0.5, 1.0, 2.0])), st.integers(1, 15))
def test_scores_say_the_same_however_they_are_kept(values: np.ndarray, count: int) -> None:
    dense, thin = Dense(values), Sparse(sparse.csr_matrix(values))
    row, item = (side.ravel() for side in np.indices(values.shape))
    assert (dense.top(count) == thin.top(count)).all()
    assert (dense.at(row, item) == thin.at(row, item)).all()
    grouped = Grouped(values, firsts(values, 4), np.array([2, 0, 0, 1]))
    assert (grouped.top(count) == dense.top(count)[[2, 0, 0, 1]]).all()
    assert (grouped.at(row, item) == values[np.array([2, 0, 0, 1])[row], item]).all()
    some = Dense(
        values[:, [1, 4, 7]], np.array([1, 4, 7]), np.where(np.isin(np.arange(12), [1, 4, 7]), np.arange(12) // 3, -1)
    )
    only = np.where(np.isin(np.arange(12), [1, 4, 7]), values, 0.0)
    assert (some.top(count) == Dense(only).top(count)).all()
    assert (some.at(row, item) == only[row, item]).all()
    expected = [i for i in sorted(range(12), key=lambda i: (-values[0, i], i)) if values[0, i] > 0][:count]
    assert [i for i in best(values[0], count) if i != NOTHING] == expected


@settings(max_examples=60)
@given(
    arrays(np.float32, 60, elements=st.sampled_from([0.0, 0.5, 1.0, 2.0])),
    arrays(np.int32, 60, elements=st.integers(0, 4)),
    arrays(np.float32, (3, 5), elements=st.sampled_from([0.0, 1.0, 3.0])),
    st.integers(1, 70),
)
def test_merged_levels_are_the_whole_product(
    worth: np.ndarray, level: np.ndarray, lift: np.ndarray, count: int
) -> None:
    merged, whole = ByLevel(lift, Levels.of(level, worth, 5)), Dense(lift[:, level] * worth)
    row, item = (side.ravel() for side in np.indices((3, 60)))
    assert (merged.top(count) == whole.top(count)).all()
    assert (merged.at(row, item) == whole.at(row, item)).all()


def test_reduced_vectors_are_centred_of_length_one_and_zero_where_absent() -> None:
    rng = np.random.default_rng(0)
    vectors = (rng.standard_normal((50, 20)) + 10.0).astype(np.float32)
    present = rng.random(50) < 0.8
    reduction = Reduction.of(vectors, present, 8)
    found = reduction.turned(vectors, present)
    assert found.shape == (50, 8)
    assert np.allclose(np.linalg.norm(found[present], axis=1), 1.0, atol=1e-5)
    assert not found[~present].any()
    assert abs((found[present] @ found[present].T).mean()) < 0.1 < (10.0 / np.sqrt(101)) ** 2
    alone = reduction.turned(vectors[:1], np.ones(1, bool))
    assert np.allclose(alone[0], found[0] if present[0] else alone[0], atol=1e-6)  # a new one goes the same way
    nobody = np.zeros(50, bool)
    assert not Reduction.of(vectors, nobody, 8).turned(vectors, nobody).any()


# --- Laws ---------------------------------------------------------------------------------------------------------


def whole(known: History) -> Recommender:
    return Recommender(
        {use: lambda use=use: built(use) for use in RETRIEVERS.entries()},
        lambda: RANKERS.build("lambdarank", {"rounds": 10, "smallest_leaf": 5}),
        per=10,
        windows=Windows(horizon=20, step=20, count=3, least=60, negatives=15),
    ).fit(known)


def test_the_future_never_leaks() -> None:
    """Whatever happens after a moment, the answers of that moment stay the same to the last bit: what was bought, by
    whom, for how much, and who came only then, how many of them, and what the table says of them.
    """
    first, rng = history(), np.random.default_rng(9)
    late = first.day >= 150.0
    place = np.sort(rng.permutation(60)[:40])  # of the shoppers who were there; others come in between
    ages = rng.uniform(60, 90, 60).astype(np.float32)
    ages[place] = first.shoppers.numbers["users.age"]
    changed = History.of(
        first.catalogue,
        Shoppers(60, {"users.age": ages}),
        np.where(late, np.cumsum(late) % 60, place[first.shopper]),
        np.where(late, rng.permutation(first.item), first.item),
        first.day,
        np.where(late, 1000.0, first.value),
        first.now,
    )
    answers = []
    for known, who in ((first, np.arange(40)), (changed, place)):
        then = known.before(150.0)
        assert (np.unique(then.shopper) == who).all() and len(np.unique(known.shopper)) == known.shoppers.count
        answers.append(whole(then).recommend(then.asked(who), 10))
    assert (answers[0].items == answers[1].items).all()
    assert np.array_equal(answers[0].scores, answers[1].scores, equal_nan=True)


@pytest.mark.parametrize("use", list(RETRIEVERS.entries()))
def test_what_is_fitted_knows_no_later_shopper(use: str) -> None:
    """Each retriever by itself, to the last bit: no rounding of a ranker hides a difference."""
    known = history().before(150.0)
    more = np.linspace(60, 90, 25).astype(np.float32)
    later = Shoppers(65, {"users.age": np.concatenate([known.shoppers.numbers["users.age"], more])})
    says = []
    for then in (known, replace(known, shoppers=later)):
        retriever = built(use)
        retriever.fit(then)
        row, item = (one.ravel() for one in np.indices((40, 60)))
        says.append(retriever.score(then.asked(range(40))).at(row, item))
    assert np.array_equal(*says)


def test_lists_that_are_kept_are_those_that_would_be_made() -> None:
    """At a later cut the lists of earlier moments are read from what was made before."""
    known, made = history(), {}
    first = whole(known)
    first.fit(known.before(160.0), made=made)
    again = first.fit(known.before(180.0), made=made).recommend(known.before(180.0).asked(range(40)), 10)
    fresh = whole(known.before(180.0)).recommend(known.before(180.0).asked(range(40)), 10)
    assert (again.items == fresh.items).all()


def test_the_order_of_events_does_not_matter() -> None:
    known = history()
    order = np.random.default_rng(3).permutation(len(known.item))
    shuffled = History.of(
        known.catalogue,
        known.shoppers,
        known.shopper[order],
        known.item[order],
        known.day[order],
        known.value[order],
        known.now,
    )
    assert (
        whole(known).recommend(known.asked(range(40)), 10).items
        == whole(shuffled).recommend(shuffled.asked(range(40)), 10).items
    ).all()


def test_a_shopper_of_a_hundred_thousand_events_is_one_of_many() -> None:
    """In any order, most of them twice: she and the others get lists, and hers is of what she buys."""
    few, rng = history(), np.random.default_rng(0)
    item = rng.integers(0, 30, 50_000).repeat(2)
    day = rng.uniform(0, 200, 50_000).repeat(2)
    known = History.of(
        few.catalogue,
        few.shoppers,
        np.r_[few.shopper, np.full(100_000, 7)],
        np.r_[few.item, item],
        np.r_[few.day, day],
        np.r_[few.value, np.full(100_000, np.nan)],
        200.0,
    )
    listed = whole(known).recommend(known.asked([7, 3]), 5).items
    assert (listed != NOTHING).all() and (listed[0] < 30).all()


@pytest.mark.parametrize("use", list(RETRIEVERS.entries()))
def test_rows_do_not_mix_and_nobody_needs_to_be_known(use: str) -> None:
    """A shopper gets the same alone as among others, and a new one with the same events the same as a known one."""
    known = history()
    retriever = built(use)
    retriever.fit(known)
    asked = known.asked([3, 7, 11])
    together = retriever.score(asked).top(20)
    for place in range(3):
        alone = asked.rows(slice(place, place + 1))
        assert (retriever.score(alone).top(20)[0] == together[place]).all()
    mine = known.shopper == 7
    numbers = {name: values[[7]] for name, values in known.shoppers.numbers.items()}
    stranger = Asked(
        known.catalogue, np.array([0, mine.sum()]), known.item[mine], known.age[mine], known.value[mine], numbers
    )
    assert (retriever.score(stranger).top(20)[0] == together[1]).all()


@pytest.mark.parametrize("use", list(RETRIEVERS.entries()))
def test_no_events_no_vectors_and_no_catalogue_are_no_faults(use: str) -> None:
    known = history()
    nobody = known.before(-1.0)
    bare = Catalogue(known.catalogue.items)
    for view in (known, nobody, known.on(bare), nobody.on(bare)):
        retriever = built(use)
        retriever.fit(view)
        asked = view.asked([0, 1])
        listed = retriever.score(asked).top(100)
        assert listed.shape == (2, 100)
        assert retriever.score(asked).at(np.array([0, 1]), np.array([5, 6])).shape == (2,)
        assert retriever.score(view.asked([])).top(3).shape == (0, 3)


def test_candidates_stand_once_in_order() -> None:
    scores = {"a": Dense(np.eye(3, 6, dtype=np.float32) + 0.1), "b": Dense(np.ones((3, 6), np.float32))}
    row, item = candidates(scores, 2)
    pairs = list(zip(row.tolist(), item.tolist(), strict=True))
    assert pairs == sorted(set(pairs))
    assert pairs == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2)]


def test_a_list_is_ordered_distinct_and_short_where_there_is_no_more() -> None:
    known = history(items=12)
    answer = whole(known).recommend(known.asked(range(40)), 30)
    for items, scores in zip(answer.items, answer.scores, strict=True):
        there = items != NOTHING
        assert there.sum() <= 12 and len(set(items[there].tolist())) == there.sum()
        assert (np.diff(scores[there]) <= 0).all()
        assert not there[there.sum() :].any()


def test_events_that_cannot_be_are_refused() -> None:
    goods = Catalogue(np.array(["a"]))
    one = np.zeros(1, np.int64)
    with pytest.raises(DataError, match="item that does not exist"):
        History.of(goods, Shoppers(1), one, one + 1, np.zeros(1), np.ones(1), 1.0)
    with pytest.raises(DataError, match="no time"):
        History.of(goods, Shoppers(1), one, one, np.array([np.nan]), np.ones(1), 1.0)


# --- Rules --------------------------------------------------------------------------------------------------------

NOBODY = np.zeros(6, bool)
SIX, FALLING = np.arange(6), np.arange(6, 0, -1).astype(np.float32)


def six(rules: Rules, count: int = 3, new: np.ndarray = NOBODY, had: tuple[int, ...] = (), vectors=None) -> list[int]:
    return rules.listed(SIX, FALLING, count, new=new, had=np.array(had, np.int64), vectors=vectors)[0].tolist()


def test_rules_keep_out_push_and_remember() -> None:
    assert six(Rules()) == [0, 1, 2]
    assert six(Rules(allowed=np.array([0, 1, 0, 1, 1, 0], bool))) == [1, 3, 4]
    assert six(Rules(allowed=NOBODY)) == []
    assert six(Rules(boost=np.array([0, 0, 0, 0, 0, 10.0]))) == [5, 0, 1]
    assert six(Rules(again=False), had=(0, 2)) == [1, 3, 4]
    assert six(Rules(), had=(0, 2)) == [0, 1, 2]
    assert six(Rules(), count=100) == list(range(6))


def test_newcomers_get_their_share_of_the_places_and_no_more() -> None:
    new = np.array([0, 0, 0, 0, 1, 1], bool)
    assert six(Rules(newcomers=0.3), new=new) == [0, 1, 4]
    assert six(Rules(newcomers=1.0), new=new) == [0, 4, 5]
    assert six(Rules(newcomers=0.3), new=np.array([1, 1, 0, 0, 0, 0], bool)) == [0, 1, 2]
    assert six(Rules(newcomers=0.3)) == [0, 1, 2]


@settings(max_examples=100)
@given(arrays(bool, st.integers(0, 12)), st.integers(1, 12), st.integers(0, 12))
def test_a_list_with_newcomers_is_in_order_full_and_changed_as_little_as_can_be(
    new: np.ndarray, count: int, places: int
) -> None:
    places = min(places, count)
    chosen = with_newcomers(new, count, places)
    assert len(chosen) == min(count, len(new))
    assert (np.diff(chosen) > 0).all()
    assert new[chosen].sum() >= min(places, new.sum())
    if new[:count].sum() >= places:
        assert chosen.tolist() == list(range(len(chosen)))


def test_a_varied_list_skips_what_is_like_the_first() -> None:
    vectors = np.eye(4, dtype=np.float32)[[0, 0, 0, 1, 2, 3]]
    assert six(Rules(diversity=0.9), vectors=vectors) == [0, 3, 4]
    assert six(Rules(diversity=0.9)) == [0, 1, 2]
    assert varied(FALLING, vectors, 0.0, 6).tolist() == list(range(6))


def test_a_share_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="newcomers"):
        Rules(newcomers=2.0)
