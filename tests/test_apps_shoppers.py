"""What is told of shoppers: categories beside numbers, found where they count, harmless where they are not known."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuwen.apps.recommend import RANKERS, RETRIEVERS
from tuwen.apps.recommend.history import Asked, Catalogue, History, Shoppers
from tuwen.apps.recommend.lists import Lists
from tuwen.apps.recommend.recommender import Recommender, Windows
from tuwen.apps.recommend.told import told_of, unheard
from tuwen.errors import DataError

COLUMN = "users.gender"
LEVELS = np.array(["female", "male"])
OPTIONS = {"lambdarank": {"rounds": 15, "smallest_leaf": 20}, "linear": {}}


def shop(kinds: bool = True, seed: int = 0) -> tuple[History, np.ndarray]:
    """Each shopper buys items of the kind that goes with her gender, once; and the kind of every item."""
    rng = np.random.default_rng(seed)
    items, shoppers, events = 80, 80, 800
    kind, gender = rng.integers(0, 2, items), rng.integers(0, 2, shoppers)
    who = rng.integers(0, shoppers, events)
    what = np.array([rng.choice(np.flatnonzero(kind == gender[one])) for one in who])
    price = (np.where(kind, 50.0, 10.0) * rng.uniform(0.9, 1.1, items)).astype(np.float32)
    goods = Catalogue(
        np.arange(items).astype(str),
        {},
        {"items.kind": (kind + 1).astype(np.int32)} if kinds else {},
        {} if kinds else {"items.price": price},
    )
    categories = {COLUMN: ((gender + 1) * (rng.random(shoppers) < 0.9)).astype(np.int32)}  # some do not tell
    people = Shoppers(shoppers, {}, categories, {COLUMN: LEVELS})
    days = np.sort(rng.uniform(0, 300, events))
    return History.of(goods, people, who, what, days, np.full(events, np.nan), 300.0), kind


def fitted(known: History, ranker: str, per: int = 80, **retrievers: dict) -> Recommender:
    makers = {"sells": {"use": "popularity"}} | retrievers
    return Recommender(
        {
            name: lambda spec=spec: RETRIEVERS.build(spec["use"], {k: v for k, v in spec.items() if k != "use"})
            for name, spec in makers.items()
        },
        lambda: RANKERS.build(ranker, OPTIONS[ranker]),
        per=per,
        windows=Windows(horizon=20, step=20, count=3, least=60),
    ).fit(known)


def stranger(known: History, **about: str) -> Asked:
    nobody = replace(known.asked([0]), begins=np.array([0, 0]), item=known.item[:0], age=known.day[:0])
    return told_of(replace(nobody, value=known.value[:0]), known, {COLUMN: None} | about)


@pytest.mark.parametrize(("ranker", "kinds"), [("lambdarank", True), ("linear", True), ("lambdarank", False)])
def test_a_preference_by_category_is_found_for_one_who_bought_nothing(ranker: str, kinds: bool) -> None:
    """Trees find it where nothing but a price tells the items apart; a linear order by what her group buys."""
    known, kind = shop(kinds=kinds)
    recommender = fitted(known, ranker)
    shares = [kind[recommender.recommend(stranger(known, **{COLUMN: gender}), 20).items[0]].mean() for gender in LEVELS]
    assert shares[0] < 0.1 and shares[1] > 0.9


def test_a_segment_of_a_category_proposes_what_it_buys() -> None:
    known, kind = shop()
    retriever = RETRIEVERS.build("segment", {"column": COLUMN})
    retriever.fit(known)
    tops = [retriever.score(stranger(known, **{COLUMN: gender})).top(30)[0] for gender in (*LEVELS, "diverse")]
    assert kind[tops[0]].mean() < 0.1 and kind[tops[1]].mean() > 0.9
    sells = RETRIEVERS.build("popularity", {"half_life": 30.0})
    sells.fit(known)
    assert (tops[2] == sells.score(stranger(known)).top(30)[0]).all()


@settings(max_examples=4)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["lambdarank", "linear"]))
def test_a_category_that_comes_after_a_moment_changes_nothing_of_it(seed: int, ranker: str) -> None:
    """Neither what the lists of that moment are, nor what a shopper of such a category gets then."""
    known, _ = shop()
    known = known.only(known.day < 200)
    rng, count = np.random.default_rng(seed), 30
    more = rng.integers(0, 5, count).astype(np.int32)
    levels = np.concatenate([known.shoppers.categories[COLUMN], more])
    people = Shoppers(80 + count, {}, {COLUMN: levels}, {COLUMN: np.array([*LEVELS, "new", "other"])})
    changed = History.of(
        known.catalogue,
        people,
        np.concatenate([known.shopper, 80 + np.arange(count)]),
        np.concatenate([known.item, rng.integers(0, 80, count)]),
        np.concatenate([known.day, rng.uniform(150, 200, count)]),
        np.full(len(known.item) + count, np.nan),
        200.0,
    )
    answers = []
    for one in (known.before(150.0), changed.before(150.0)):
        recommender = fitted(one, ranker, kin={"use": "segment", "column": COLUMN})
        asked = [one.asked(range(20)), stranger(one, **{COLUMN: "new"}), stranger(one)]
        answers.append([recommender.recommend(some, 10) for some in asked])
    for first, second in zip(*answers, strict=True):
        assert (first.items == second.items).all() and np.array_equal(first.scores, second.scores)
    unknown, missing = answers[1][1:]
    assert (unknown.items == missing.items).all()


def test_categories_run_by_onnx_are_what_lightgbm_says() -> None:
    known, _ = shop(kinds=False)
    model = fitted(known, "lambdarank").model
    assert '"decision_type": "=="' in json.dumps(model.booster.dump_model())
    place, rng = model.names.index(COLUMN), np.random.default_rng(0)
    rows = rng.standard_normal((500, len(model.names))).astype(np.float32) * 50
    rows[:, place] = rng.choice([1, 2, 3, np.nan], 500)
    rows[rng.random(rows.shape) < 0.1] = np.nan
    assert np.allclose(model.trees.predict(rows), model.booster.predict(rows), atol=1e-5)


def test_any_column_may_be_a_feature() -> None:
    rng = np.random.default_rng(0)
    features, sizes = rng.standard_normal((40, 4)).astype(np.float32), np.full(4, 10)
    names = ["group users.sex: m,f [1] items.“kind”", 'users.a"b', "users.a b", "users.a_b"]
    ranker = RANKERS.build("lambdarank", {"rounds": 2, "smallest_leaf": 2})
    ranker.fit(Lists(features, rng.random(40) < 0.5, sizes, names))
    assert set(ranker.importance()) == set(names)


def test_what_is_told_is_checked() -> None:
    known, _ = shop()
    assert (told_of(known.asked([0]), known, {}).categories[COLUMN] == known.asked([0]).categories[COLUMN]).all()
    assert told_of(known.asked([0]), known, {"gender": " male "}).categories[COLUMN].tolist() == [2]
    aged = replace(known.asked([0]), numbers={"users.age": np.zeros(1, np.float32)})
    assert told_of(aged, known, {"age": "30"}).numbers["users.age"].tolist() == [30]
    for odd in ("old", "nan", True, float("nan")):
        with pytest.raises(DataError, match=r"'users\.age' takes a number") as caught:
            told_of(aged, known, {"age": odd})
        assert caught.value.allowed == "a number such as 30" and caught.value.todo
    for large in ("inf", float("-inf"), 1e39, 10**400, 10**5000):
        with pytest.raises(DataError, match=r"'users\.age' is out of range"):
            told_of(aged, known, {"age": large})
    with pytest.raises(DataError, match=r"'users\.age' is given twice"):
        told_of(aged, known, {"age": 30, "users.age": 40})
    with pytest.raises(DataError, match=r"does not read 'users\.gendre'") as caught:
        told_of(known.asked([0]), known, {"users.gendre": "male"})
    assert "users.gender" in str(caught.value.todo)


def test_a_category_that_nobody_had_is_told() -> None:
    known, _ = shop()
    levels = known.shoppers.levels[COLUMN].tolist()
    assert unheard({COLUMN: f" {levels[0]} ", "users.age": 30, "gender": None}, known) == []
    (note,) = unheard({"gender": levels[0].upper()}, known)
    assert f"did you mean '{levels[0]}'?" in note["en"] and f"您是否要找“{levels[0]}”" in note["zh"]
    (note,) = unheard({"gender": "外星人"}, known)
    assert note["en"] == f"nobody had users.gender '外星人' before, so it tells nothing; known: {', '.join(levels)}"
    many = known.shoppers.levels | {COLUMN: np.array([*levels, *(f"n{i}" for i in range(20))])}
    bought = np.arange(len(known.shoppers.categories[COLUMN])) % 15 + 1
    shoppers = replace(known.shoppers, levels=many, categories={COLUMN: bought.astype(np.int32)})
    (note,) = unheard({"gender": "外星人"}, replace(known, shoppers=shoppers))
    assert note["en"].count(",") == 11 and note["en"].endswith(", …") and "……" in note["zh"]
