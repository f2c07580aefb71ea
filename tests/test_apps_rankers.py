"""Rankers: one contract for all of them, and what stands in where there is nothing to learn from."""

from __future__ import annotations

import builtins

import numpy as np
import pytest

from tuwen.apps.recommend import RANKERS, RETRIEVERS
from tuwen.apps.recommend.blend import Blend
from tuwen.apps.recommend.history import Catalogue, History, Shoppers
from tuwen.apps.recommend.lists import Lists
from tuwen.apps.recommend.recommender import Recommender, Windows
from tuwen.errors import MissingExtra

OPTIONS = {"lambdarank": {"rounds": 30, "smallest_leaf": 20}}
NAMES = ["retriever a", "retriever b.c", "price"]


def planted(seed: int = 0, lists: int = 80, each: int = 40) -> Lists:
    """What retriever a puts high is bought; the others are noise, and some is not known."""
    rng = np.random.default_rng(seed)
    features = rng.random((lists * each, 3)).astype(np.float32)
    bought = rng.random(len(features)) < 0.2 * features[:, 0] ** 3
    features[rng.random(len(features)) < 0.3, 2] = np.nan
    return Lists(features, bought, np.full(lists, each), NAMES)


def built(use: str):
    return RANKERS.build(use, OPTIONS.get(use, {}))


@pytest.fixture(params=list(RANKERS.entries()))
def use(request) -> str:
    return request.param


def test_a_planted_order_is_found_and_told(use: str) -> None:
    ranker = built(use)
    ranker.fit(planted())
    assert ranker.learned
    new = planted(seed=1)
    order = ranker.order(new.features)
    assert order.dtype == np.float32 and np.isfinite(order).all()
    assert np.corrcoef(order, new.features[:, 0])[0, 1] > (0.6 if use == "blend" else 0.9)
    importance = ranker.importance()
    assert list(importance) == NAMES and abs(sum(importance.values()) - 1.0) < 1e-6
    assert max(importance, key=importance.__getitem__) == "retriever a"
    assert use == "blend" or importance["retriever a"] > 0.6


def test_what_a_ranker_writes_it_reads_again_to_the_last_bit(use: str) -> None:
    first, second = built(use), built(use)
    first.fit(planted())
    second.read(first.text(), NAMES)
    features = planted(seed=2).features
    assert np.array_equal(first.order(features), second.order(features))
    assert second.importance() == pytest.approx(first.importance()) and second.learned


def test_pairs_do_not_mix_and_a_fit_can_be_repeated(use: str) -> None:
    first, second = built(use), built(use)
    first.fit(planted())
    second.fit(planted())
    features = planted(seed=2).features[:50]
    alone = np.concatenate([first.order(features[place : place + 1]) for place in range(50)])
    assert np.allclose(alone, first.order(features), atol=1e-6)
    assert np.array_equal(first.order(features), second.order(features))


def test_features_that_tell_nothing_are_no_fault(use: str) -> None:
    """All unknown, all the same, or out of all that was seen; a list without a purchase, and an empty one."""
    lists = planted(lists=5)
    lists.features[:, 1], lists.features[:, 2] = np.nan, 3.0
    lists.bought[:40] = False
    sizes = np.array([40, 0, 40, 40, 40, 40])
    ranker = built(use)
    ranker.fit(Lists(lists.features, lists.bought, sizes, NAMES))
    far = np.array([[1e30, -1e30, np.nan], [np.nan, np.nan, np.nan], [-1e30, 0.0, 1e30]], np.float32)
    assert np.isfinite(ranker.order(far)).all()
    assert ranker.order(far[:0]).shape == (0,)


def test_that_something_is_unknown_can_itself_tell() -> None:
    lists = planted()
    lists.features[:, 2] = np.where(lists.bought, np.nan, 1.0)
    ranker = built("linear")
    ranker.fit(lists)
    order = ranker.order(lists.features)
    assert order[lists.bought].min() > order[~lists.bought].max()


def test_a_blend_is_reciprocal_rank_where_every_list_is_the_mean_one() -> None:
    """Two retrievers say of ten items in each list 10, 9, … 1 in orders of their own."""
    rng = np.random.default_rng(0)
    ranks = np.stack([np.concatenate([rng.permutation(10) + 1 for _ in range(6)]) for _ in range(2)], axis=1)
    features = (11.0 - ranks).astype(np.float32)
    ranker = Blend()
    ranker.fit(Lists(features, np.zeros(60, bool), np.full(6, 10), NAMES[:2]))
    expected = (1.0 / (60.0 + ranks)).sum(axis=1)
    assert np.allclose(ranker.order(features), expected, rtol=1e-6)


def tiny() -> History:
    """20 items and 10 shoppers, who buy of the even or of the odd items; one item sells best."""
    rng = np.random.default_rng(0)
    who = np.arange(240) % 10
    what = np.where(rng.random(240) < 0.3, 18 + who % 2, 2 * rng.integers(0, 10, 240) + who % 2)
    days = np.linspace(0, 199, 240)
    goods = Catalogue(np.array([f"i{n}" for n in range(20)]))
    return History.of(goods, Shoppers(10), who, what, days, np.full(240, np.nan), 200.0)


def small(use: str) -> Recommender:
    makers = {name: lambda name=name: RETRIEVERS.build(name, {}) for name in ("popularity", "item-knn")}
    windows = Windows(horizon=20, count=1, least=60)
    return Recommender(makers, lambda: RANKERS.build(use, {}), per=20, windows=windows).fit(tiny())


@pytest.mark.parametrize("use", ["lambdarank", "linear"])
def test_a_tiny_shop_gets_lists_of_what_its_shoppers_buy_and_not_the_catalogue(use: str) -> None:
    """Trees find no split in so few pairs: the retrievers' reciprocal rank stands in."""
    recommender = small(use)
    assert recommender.blended == (use == "lambdarank")
    asked = tiny().asked(range(10))
    listed = recommender.recommend(asked, 5).items
    assert (listed % 2 == np.arange(10)[:, None] % 2).mean() > 0.7  # the catalogue's order: 0.5
    assert (listed == 18 + np.arange(10)[:, None] % 2).any(axis=1).all()


def test_without_lightgbm_the_message_offers_what_works_without_it(monkeypatch) -> None:
    plain = builtins.__import__

    def missing(name, *given, **more):
        if name == "lightgbm":
            raise ImportError(name)
        return plain(name, *given, **more)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(MissingExtra) as caught:
        RANKERS.build("lambdarank", {})
    assert "ranker: linear" in str(caught.value.todo) and "pip install" in str(caught.value.todo)
    assert small("linear").recommend(tiny().asked([0]), 5).items.shape == (1, 5)
