"""What makes recommendation fast says the same as what is plain."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from tuwen.apps.recommend import neighbours as near
from tuwen.apps.recommend import together
from tuwen.apps.recommend.history import Catalogue, History, Shoppers
from tuwen.apps.recommend.popularity import Popularity
from tuwen.apps.recommend.ranker import LambdaRank, Lists
from tuwen.apps.recommend.recommender import Recommender, Windows
from tuwen.apps.recommend.state import read_state, write_state
from tuwen.errors import BundleError


def history(events: int = 400, shoppers: int = 30, items: int = 50, seed: int = 0) -> History:
    rng = np.random.default_rng(seed)
    who, what = rng.integers(0, shoppers, events), rng.integers(0, items, events)
    goods = Catalogue(np.array([f"i{n}" for n in range(items)]))
    days = rng.uniform(0, 100, events)
    return History.of(goods, Shoppers(shoppers), who, what, days, np.ones(events), 100.0)


@pytest.fixture(scope="module")
def ranker() -> LambdaRank:
    """Learned from numbers of which some are missing, some are always there and some are 0."""
    rng = np.random.default_rng(0)
    features = rng.standard_normal((3000, 5)).astype(np.float32)
    features[rng.random((3000, 5)) < [0.2, 0.0, 0.5, 0.0, 0.9]] = np.nan
    features[:, 3] = np.maximum(features[:, 3], 0.0)
    wanted = np.nan_to_num(features[:, 0], nan=1.0) + features[:, 3] - np.nan_to_num(features[:, 2]) > 1.0
    made = LambdaRank(rounds=40, smallest_leaf=5)
    made.fit(Lists(features, wanted, np.full(30, 100), [f"feature {n}" for n in range(5)]))
    return made


def test_trees_say_what_lightgbm_says(ranker: LambdaRank) -> None:
    rng = np.random.default_rng(1)
    features = rng.standard_normal((2000, 5)).astype(np.float32)
    features[rng.random(features.shape) < 0.3] = np.nan  # also where none was missing before
    features[rng.random(features.shape) < 0.1] = 0.0
    cut = [node.split("=")[1] for node in ranker.text().splitlines() if node.startswith("threshold")]
    cuts = np.array([float(value) for line in cut for value in line.split()])
    features[:1000] = rng.choice(cuts[(np.abs(cuts) < 1e30) & (np.abs(cuts) > 1e-30)], (1000, 5)).astype(
        np.float32
    )  # at an edge, rounded
    assert np.allclose(ranker.order(features), ranker.booster.predict(features), rtol=0, atol=1e-5)
    again = LambdaRank()
    again.read(ranker.text(), ranker.names)
    assert (again.order(features) == ranker.order(features)).all()
    assert ranker.order(features[:0]).shape == (0,)


@pytest.mark.parametrize("most", [1, 500, 10**9])
def test_pairs_are_counted_in_blocks_as_at_once(monkeypatch, most: int) -> None:
    known = history()
    monkeypatch.setattr(together, "MOST_PAIRS", most)
    knn = together.ItemKnn(neighbours=7, shrink=2.0)
    knn.fit(known)
    bought = known.bought.toarray().astype(float)
    count = bought.T @ bought
    np.fill_diagonal(count, 0.0)
    alike = count / np.sqrt(np.outer(bought.sum(axis=0), bought.sum(axis=0))) * count / (count + 2.0 + 1e-30)
    for row, expected in zip(knn.alike.toarray(), alike, strict=True):
        assert np.allclose(np.sort(row)[::-1][:7], np.sort(expected)[::-1][:7], atol=1e-6)
        assert np.allclose(row[row > 0], expected[row > 0], atol=1e-6)


def test_of_a_shopper_of_many_events_the_latest_count(monkeypatch) -> None:
    known = history()
    kept = known.latest(5)
    for one in range(30):
        expected = known.day[known.shopper == one][-5:]
        assert (kept.day[kept.shopper == one] == expected).all()
    assert (np.diff(kept.day) >= 0).all()
    assert known.latest(10**6) is known


def test_a_moment_has_no_more_shoppers_than_asked_and_always_the_same() -> None:
    known = history()
    makers = {"popularity": Popularity}
    few, all_of_them = (Recommender(makers, LambdaRank, windows=Windows(shoppers=most)) for most in (5, 500))
    lists = few.lists(known, 60.0)
    assert len(lists.sizes) == 5 < len(all_of_them.lists(known, 60.0).sizes)
    assert (few.lists(known, 60.0).features == lists.features).all()


def test_who_bought_what_in_some_days() -> None:
    known = history()
    who, bought = known.buying(20.0, 30.0)
    there = (known.day >= 20.0) & (known.day < 30.0)
    assert who.tolist() == sorted(set(known.shopper[there].tolist()))
    for one, items in zip(who.tolist(), bought, strict=True):
        assert items.tolist() == sorted(set(known.item[there & (known.shopper == one)].tolist()))
    assert known.buying(500.0, 600.0)[1] == []


@settings(max_examples=20)
@given(st.integers(1, 30), st.integers(0, 1000))
def test_an_inverse_is_one(size: int, seed: int) -> None:
    bought = np.random.default_rng(seed).integers(0, 3, (40, size)).astype(float)
    gram = bought.T @ bought + np.eye(size)
    assert np.allclose(together.inverse(gram.copy()) @ gram, np.eye(size), atol=1e-8)


def test_above_a_size_most_of_the_true_neighbours_are_found(monkeypatch) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((1000, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[5] = 0.0  # without a picture
    vectors[6:80] = vectors[6]  # more twins than are kept
    exact = near.neighbours(vectors)
    monkeypatch.setattr(near, "EXACT_UP_TO", 100)
    found = near.neighbours(vectors)
    assert not found.diagonal().any()
    assert not exact.diagonal().any()
    assert found[5].nnz == exact[5].nnz == 0
    assert (np.diff(found.indptr)[80:] == near.NEIGHBOURS).all()
    both = sparse.csr_matrix.multiply(found[80:] > 0, exact[80:] > 0).sum()
    assert both / exact[80:].nnz > 0.95
    assert np.isclose(found[10].max(), 1.0, atol=1e-5)


def test_a_state_is_read_as_maps_that_cannot_be_changed(tmp_path: Path) -> None:
    matrix = sparse.random(20, 30, 0.2, format="csr", rng=np.random.default_rng(0), dtype=np.float32)
    state = {"names": np.array(["a", "图"]), "inner": {"x/../y": np.arange(6.0).reshape(2, 3)}, "many": matrix, "n": 3}
    write_state(tmp_path / "state", state)
    found = read_state(tmp_path / "state")
    assert found["names"].tolist() == ["a", "图"]
    assert (found["inner"]["x/../y"] == state["inner"]["x/../y"]).all()
    assert (found["many"] != matrix).nnz == 0
    assert found["n"] == 3
    assert not found["inner"]["x/../y"].flags.writeable
    (tmp_path / "state" / "0.npy").unlink()
    with pytest.raises(BundleError, match="cannot be read"):
        read_state(tmp_path / "state")
