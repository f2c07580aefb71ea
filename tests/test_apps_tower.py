"""The two-tower retriever: known truths, and that it learns from what came before."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from tuwen.apps.recommend.history import Catalogue, History, Shoppers
from tuwen.apps.recommend.state import read_state, write_state
from tuwen.apps.recommend.tower import BELIEVED, LATEST, MEMORIES, TwoTower, contexts

STYLES = 3


def styled(seed: int, shown: bool = True) -> tuple[History, np.ndarray, np.ndarray]:
    """Each shopper buys items of one style; only pictures show it, bent so that plain cosines say little; every item
    sells once or never.
    """
    rng = np.random.default_rng(seed)
    items, shoppers = 1500, 60
    style, taste = rng.integers(0, STYLES, items), rng.integers(0, STYLES, shoppers)
    pictures = rng.standard_normal((items, 24)).astype(np.float32)
    if shown:
        pictures[:, :STYLES] = 2.0 * np.eye(STYLES, dtype=np.float32)[style]
    pictures /= np.linalg.norm(pictures, axis=1, keepdims=True)
    what = rng.permutation(items)[:1200]
    who = np.array([rng.choice(np.flatnonzero(taste == style[item])) for item in what])
    days = np.linspace(0, 299, len(what))
    goods = Catalogue(np.arange(items).astype(str), {"picture": pictures})
    nothing = np.full(len(what), np.nan)
    return History.of(goods, Shoppers(shoppers), who, what, days, nothing, 300.0), style, taste


def right(retriever, known: History, style: np.ndarray, taste: np.ndarray) -> float:
    """The share of items never bought before, among the first ten of these, that are of the shopper's style."""
    row, item = (side.ravel() for side in np.indices((len(taste), len(style))))
    scores = retriever.score(known.asked(range(len(taste)))).at(row, item).reshape(len(taste), len(style))
    scores[:, known.sold] = -np.inf
    return float((style[np.argsort(-scores, axis=1)[:, :10]] == taste[:, None]).mean())


@pytest.fixture(scope="module")
def fitted() -> tuple[TwoTower, History, np.ndarray, np.ndarray]:
    known, style, taste = styled(0)
    tower = TwoTower(width=16, batch_size=128)
    tower.fit(known)
    return tower, known, style, taste


def test_a_style_that_only_pictures_show_is_found_in_items_that_nobody_bought(fitted) -> None:
    assert right(*fitted) > 0.95
    known, style, taste = styled(0, shown=False)
    blind = TwoTower(width=16, epochs=3, batch_size=128)
    blind.fit(known)
    assert abs(right(blind, known, style, taste) - 1 / STYLES) < 0.12


def test_on_a_checkerboard_the_withheld_item_comes_first() -> None:
    """No content at all: the items' own vectors have to tell."""
    size = 20
    pairs = [(u, i) for u in range(size) for i in range(size) if u % 2 == i % 2 and i != u]
    who, what = (np.array(side) for side in zip(*np.random.default_rng(0).permutation(pairs).tolist(), strict=True))
    goods, days = Catalogue(np.arange(size).astype(str)), np.arange(len(pairs), dtype=float)
    known = History.of(goods, Shoppers(size), who, what, days, np.ones(len(pairs)), float(len(pairs)))
    tower = TwoTower(width=8, epochs=30, batch_size=32, learning_rate=0.02)
    tower.fit(known)
    row, item = (side.ravel() for side in np.indices((size, size)))
    scores = tower.score(known.asked(range(size))).at(row, item).reshape(size, size)
    scores[known.bought.toarray() > 0] = -np.inf
    assert (scores.argmax(axis=1) == np.arange(size)).all()


def test_a_fit_can_be_repeated_and_the_seed_counts(fitted) -> None:
    known = fitted[1].before(100.0)
    first, again, other = (TwoTower(width=8, epochs=2, seed=seed) for seed in (0, 0, 1))
    for tower in (first, again, other):
        tower.fit(known)
    assert np.array_equal(first.tower["items"], again.tower["items"])
    assert not np.array_equal(first.tower["items"], other.tower["items"])


def test_what_came_before_is_weighed_as_it_should_be() -> None:
    """Held against a loop over all events."""
    rng = np.random.default_rng(0)
    who, what, day = rng.integers(0, 4, 300), rng.integers(0, 30, 300), rng.integers(0, 90, 300).astype(float)
    known = History.of(Catalogue(np.arange(30).astype(str)), Shoppers(4), who, what, day, np.ones(300), 90.0)
    places, memories, counts = contexts(known, 1000)
    seen = set()
    expected = []
    for place, pair in enumerate(zip(known.shopper.tolist(), known.item.tolist(), strict=True)):
        if pair not in seen:
            expected.append(place)
        seen.add(pair)
    assert sorted(places.tolist()) == expected
    for row, place in enumerate(places.tolist()):
        before = np.flatnonzero((known.shopper == known.shopper[place]) & (known.day < known.day[place]))[-LATEST:]
        assert counts[row] == len(before)
        for memory, half_life in zip(memories, MEMORIES, strict=True):
            weight = 0.5 ** ((known.day[place] - known.day[before]) / half_life)
            wanted = np.bincount(known.item[before], weight / (weight.sum() + BELIEVED), 30)
            assert np.allclose(memory[row].toarray(), wanted, atol=1e-5)
    latest = contexts(known, 10)[0]
    assert sorted(latest.tolist()) == expected[-10:]


def test_a_shopper_without_a_past_and_an_item_without_content_are_no_fault(fitted) -> None:
    tower, known, *_ = fitted
    nobody = known.before(0.0).asked([0, 1])
    top = tower.score(nobody).top(5)
    assert (top >= 0).all() and (top[0] == top[1]).all()
    pictures = known.catalogue.vectors["picture"].copy()
    bare = np.flatnonzero(~known.sold)[0]
    pictures[bare] = 0.0
    unknown = known.on(Catalogue(known.catalogue.items, {"picture": pictures}))
    tower = TwoTower(width=8, epochs=1)
    tower.fit(unknown)
    assert not tower.tower["known"][bare] and tower.tower["known"].sum() == len(pictures) - 1
    assert bare not in tower.score(unknown.asked([0])).top(len(pictures))


def test_towers_are_read_and_asked_without_torch(fitted, tmp_path) -> None:
    tower, known, *_ = fitted
    write_state(tmp_path / "tower", vars(tower))
    np.save(tmp_path / "expected.npy", tower.score(known.asked([3])).top(10))
    np.savez(tmp_path / "asked.npz", **{name: getattr(known.asked([3]), name) for name in ("begins", "item", "age")})
    program = """
import sys
from pathlib import Path
import numpy as np
from tuwen.apps.recommend import RETRIEVERS
from tuwen.apps.recommend.history import Asked, Catalogue
from tuwen.apps.recommend.state import read_state
tower = RETRIEVERS.build("two-tower", {})
vars(tower).update(read_state(Path("tower")))
asked = dict(np.load("asked.npz"))
goods = Catalogue(np.arange(1500).astype(str))
asked = Asked(goods, asked["begins"], asked["item"], asked["age"], np.full(len(asked["item"]), np.nan))
assert (tower.score(asked).top(10) == np.load("expected.npy")).all()
assert "torch" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert set(read_state(tmp_path / "tower")) == set(vars(tower))
