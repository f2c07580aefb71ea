"""Questions by review or photo, what may be listed, and places drawn by chance."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tuwen.apps.recommend import RANKERS, RETRIEVERS
from tuwen.apps.recommend.history import Catalogue, History, Shoppers
from tuwen.apps.recommend.questions import Question, likeness, with_taste
from tuwen.apps.recommend.recommender import Recommender, Windows
from tuwen.apps.recommend.rules import Rules
from tuwen.apps.recommend.shelf import Listed, Shelf
from tuwen.errors import DataError

SIZE = 40


@dataclass(frozen=True)
class Letters:
    """Reads a text as how often each byte stands in it."""

    use: str = "text"

    def read(self, value: str | bytes) -> np.ndarray | None:
        data = value.encode() if isinstance(value, str) else value
        counts = np.bincount(np.frombuffer(data.strip(), np.uint8), minlength=256).astype(np.float32)
        return counts / np.linalg.norm(counts) if counts.any() else None


TITLES = [
    f"{colour} {thing} {'x' * n}" for colour in ("red", "blue") for thing in ("shirt", "jeans") for n in range(10)
]
PHOTOS = [bytes([n, n, 255 - n, 7]) for n in range(SIZE)]


def goods(**changes) -> Catalogue:
    text, photo = Letters(), Letters("image")
    vectors = {
        "text": np.stack([text.read(title) for title in TITLES]),
        "picture": np.stack([photo.read(data) for data in PHOTOS]),
    }
    readers = {"text": text, "picture": photo}
    return Catalogue(np.array([f"i{n}" for n in range(SIZE)]), vectors, readers=readers, **changes)


def shelf_of(per: int) -> Shelf:
    rng = np.random.default_rng(0)
    who = np.arange(600) % 12
    what = 2 * rng.integers(0, SIZE // 2 - 2, 600) + who % 2
    known = History.of(
        goods(), Shoppers(12), who, what, np.repeat(8.0 * np.arange(25), 24), np.full(600, np.nan), 200.0
    )
    makers = {
        "popularity": lambda: RETRIEVERS.build("popularity", {}),
        "together": lambda: RETRIEVERS.build("item-knn", {}),
        "alike": lambda: RETRIEVERS.build("content", {"kind": "text"}),
    }
    windows = Windows(horizon=20, step=20, count=3, least=60)
    recommender = Recommender(makers, lambda: RANKERS.build("linear", {}), per=per, windows=windows).fit(known)
    return Shelf.of(recommender, known, [f"u{n}" for n in range(12)])


@pytest.fixture(scope="module")
def shelf() -> Shelf:
    """Even shoppers buy even items, odd ones odd items; the last four are hardly bought."""
    return shelf_of(SIZE)


@pytest.fixture(scope="module")
def narrow() -> Shelf:
    """The same, of which little is proposed."""
    return shelf_of(3)


def named(listed: list[Listed]) -> list[str]:
    return [one.item for one in listed]


# --- Questions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("user", [None, "u0", "nobody"])
@pytest.mark.parametrize("clicked", [(), ("i3", "i4")])
def test_what_is_shown_itself_comes_first(shelf: Shelf, user: str | None, clicked: tuple[str, ...]) -> None:
    """Also where nobody buys it, and whatever else is known of who asks."""
    for place in (0, 7, 21, 38):
        for question in (Question(photo=PHOTOS[place]), Question(TITLES[place]), Question("a shirt", PHOTOS[place])):
            listed = shelf.for_question(question, 5, user=user, clicked=() if user else clicked)
            assert named(listed)[0] == f"i{place}" and len(set(named(listed))) == 5


def test_a_question_alone_gives_the_nearest_by_cosine(shelf: Shelf) -> None:
    vector = Letters().read("blue jean")
    expected = np.argsort(-(shelf.catalogue.vectors["text"] @ vector), kind="stable")[:7]
    assert named(shelf.for_question(Question("blue jean"), 7)) == [f"i{n}" for n in expected]
    both = Question("blue jean", PHOTOS[3]).vectors(shelf.catalogue)
    mean = (shelf.catalogue.vectors["text"] @ both["text"] + shelf.catalogue.vectors["picture"] @ both["picture"]) / 2
    mean[3] = 1.0  # it is what the photo shows
    assert np.allclose(likeness(shelf.catalogue, both), mean, atol=1e-6)


def test_a_question_gives_the_nearest_also_where_a_run_keeps_places_for_what_is_new() -> None:
    shelf = shelf_of(SIZE)
    sold = np.flatnonzero(shelf.history.sold)
    known = shelf.history.only(shelf.history.item != sold[-1])  # then there is one that nobody bought
    shelf = Shelf(shelf.recommender, known, shelf.users, shelf.baskets, {})
    for question, user in ((Question("red shirt"), None), (Question(photo=PHOTOS[1]), None), (Question("red"), "u1")):
        assert not known.sold.all()
        plain = shelf.for_question(question, 5, user=user)
        assert plain == shelf.for_question(question, 5, Rules(newcomers=0.6), user=user)


def test_who_asks_moves_the_answer_towards_what_she_buys(shelf: Shelf) -> None:
    even, odd = (named(shelf.for_question(Question("red shirt"), 10, user=user)) for user in ("u0", "u1"))
    share = [np.mean([int(item[1:]) % 2 for item in listed]) for listed in (even, odd)]
    assert share[0] < 0.5 < share[1]


@settings(max_examples=50)
@given(
    arrays(np.float32, 8, elements=st.sampled_from([-1.0, 0.0, 0.5, 1.0])),
    arrays(np.float32, 8, elements=st.sampled_from([np.nan, -3.0, 0.0, 7.0])),
)
def test_taste_never_puts_anything_before_what_is_shown(like: np.ndarray, taste: np.ndarray) -> None:
    found = with_taste(like, taste)
    assert np.isfinite(found).all()
    if (like == 1).any() and (like < 1).any():
        assert found[like == 1].min() > found[like < 1].max()


@pytest.mark.parametrize("text", ["", "   ", "\n\t"])
def test_a_review_without_words_is_told(shelf: Shelf, text: str) -> None:
    with pytest.raises(DataError, match="the review says nothing"):
        shelf.for_question(Question(text), 5)


def test_what_the_bundle_cannot_read_is_told(shelf: Shelf) -> None:
    blind = Catalogue(shelf.catalogue.items, {"text": shelf.catalogue.vectors["text"]}, readers={"text": Letters()})
    with pytest.raises(DataError, match="cannot read a photo") as caught:
        Question(photo=b"x").vectors(blind)
    assert caught.value.allowed == "a review" and "modality" in str(caught.value.todo)
    with pytest.raises(DataError, match="cannot read a review"):
        Question("x").vectors(Catalogue(shelf.catalogue.items))


# --- What may be listed -------------------------------------------------------------------------------------------


def test_rules_by_key_hold_for_every_question(shelf: Shelf) -> None:
    stock = [f"i{n}" for n in range(0, SIZE, 2)] + ["not known"]
    rules = shelf.ruled(only=stock, exclude=["i0", "i4"])
    answers = [
        shelf.for_shopper("u1", 50, rules),
        shelf.for_session(["i1"], 50, rules),
        shelf.similar("i1", 50, rules=rules),
        shelf.goes_with(["i2"], 50, rules),
        shelf.for_question(Question("red shirt"), 50, rules),
        *(listed for _, listed in shelf.for_everybody(50, rules)),
    ]
    for listed in answers:
        assert listed and set(named(listed)) <= set(stock) - {"i0", "i4"}
    pushed = shelf.for_shopper("u1", 5, shelf.ruled(boost={"i7": 100.0}))
    assert named(pushed)[0] == "i7"


def test_lists_are_filled_up_from_what_nobody_proposed(narrow: Shelf) -> None:
    """Behind what was proposed, what sells first; alone as for everybody, and never what is not allowed."""
    known, demand = narrow.history, narrow.history.demand(30.0)
    proposed = narrow.recommender.recommend(known.asked(range(12)), SIZE)
    for place, (user, listed) in enumerate(narrow.for_everybody(SIZE)):
        first = [f"i{n}" for n in proposed.items[place].tolist() if n >= 0]
        rest = [f"i{n}" for n in np.argsort(-demand, kind="stable").tolist() if f"i{n}" not in first]
        assert 3 <= len(first) < 15 and named(listed) == first + rest
        had = {f"i{n}" for n in known.item[known.shopper == place].tolist()}
        scores = [one.score for one in listed]
        assert scores == sorted(scores, reverse=True) and np.isfinite(scores).all()
        assert {one.reason[0] for one in listed[len(first) :]} == {"from the rest of the shop"}
        assert not any("rest of the shop" in one.reason[0] for one in listed[: len(first)])
        assert listed[:3] == narrow.for_shopper(user, 3)
        for rules, may in (
            (narrow.ruled(only=rest[:8]), rest[:8]),
            (narrow.ruled(exclude=first), rest),
            (narrow.ruled(Rules(diversity=0.3)), [*first, *rest]),
            (narrow.ruled(Rules(again=False)), {*first, *rest} - had),
        ):
            alone = narrow.for_shopper(user, SIZE, rules)
            assert sorted(named(alone)) == sorted(may) and alone == dict(narrow.for_everybody(SIZE, rules))[user]


def test_what_is_pushed_need_not_be_proposed(narrow: Shelf) -> None:
    last = named(narrow.for_shopper("u1", SIZE))[-2:]
    assert named(narrow.for_shopper("u1", 5, narrow.ruled(boost={last[0]: 1000.0})))[0] == last[0]
    assert named(narrow.for_shopper("u1", SIZE, narrow.ruled(boost={last[0]: -1000.0})))[-2:] == last[::-1]


def test_chance_draws_among_what_was_proposed(narrow: Shelf) -> None:
    few = np.ones(SIZE, bool)
    listed = narrow.for_shopper("u1", SIZE, Rules(explore=0.5, few=few))
    plain = narrow.recommender.recommend(narrow.history.asked([1]), SIZE).items[0]
    assert len(listed) == len(set(named(listed))) == SIZE
    drawn = [one for one in listed if one.explored]
    assert drawn and {one.item for one in drawn} <= {f"i{n}" for n in plain.tolist()}


def test_where_all_is_excluded_nothing_is_listed(shelf: Shelf) -> None:
    none = shelf.ruled(exclude=shelf.catalogue.items.tolist())
    assert shelf.for_shopper("u1", 5, none) == shelf.similar("i1", 5, rules=none) == []
    assert shelf.for_question(Question("red"), 5, none) == shelf.goes_with(["i1"], 5, none) == []


def test_rules_of_items_that_do_not_exist_are_told(shelf: Shelf) -> None:
    with pytest.raises(DataError, match="no such item"):
        shelf.ruled(exclude=["i99"])
    with pytest.raises(DataError, match="no such item"):
        shelf.ruled(boost={"i99": 1.0})
    with pytest.raises(DataError, match="none of the items") as error:
        shelf.ruled(only=["I1"])
    assert error.value.seen == "I1" and "i0" in (error.value.allowed or "")


def test_a_rule_that_names_some_unknown_items_holds_for_the_others(shelf: Shelf) -> None:
    rules = shelf.ruled(only=["i1", "i2", "x"], exclude=["i2", "x"])
    assert rules.allowed is not None and shelf.catalogue.items[rules.allowed].tolist() == ["i1"]
    assert shelf.unknown(["x", "i1", "y", "x"]) == ["x", "y"]


# --- Chance -------------------------------------------------------------------------------------------------------

TEN, FALLING = np.arange(10), np.arange(10, 0, -1).astype(np.float32)
RARE = np.array([0, 0, 0, 1, 0, 0, 1, 1, 1, 1], bool)


def drawn(key: str, count: int = 4, explore: float = 0.5, few: np.ndarray = RARE) -> tuple[list[int], list[float]]:
    rules = Rules(explore=explore, few=few, draw="2026-01-01")
    new, had = np.zeros(10, bool), np.empty(0, np.int64)
    items, _, chances = rules.listed(TEN, FALLING, count, new=new, had=had, vectors=None, key=key)
    return items.tolist(), chances.tolist()


def test_chances_are_the_shares_with_which_items_are_drawn() -> None:
    """Two of four places are drawn from the five that sell little; the others hold the ranker's first two."""
    seen: dict[int, Counter] = {1: Counter(), 3: Counter()}
    for key in range(1000):
        items, chances = drawn(str(key))
        assert [items[0], items[2]] == [0, 1] and np.isnan([chances[0], chances[2]]).all()
        assert chances[1] == chances[3] == np.float32(0.2) and items[1] != items[3]
        for place, counter in seen.items():
            counter[items[place]] += 1
    for counter in seen.values():
        assert set(counter) == set(np.flatnonzero(RARE).tolist())
        assert all(abs(times / 1000 - 0.2) < 0.04 for times in counter.values())


@settings(max_examples=40)
@given(arrays(bool, 10), st.integers(1, 12), st.floats(0, 1), st.text(max_size=3))
def test_a_list_with_chance_in_it_is_full_distinct_and_repeated(few, count, explore, key) -> None:
    items, chances = drawn(key, count, explore, few)
    assert (items, str(chances)) == (drawn(key, count, explore, few)[0], str(drawn(key, count, explore, few)[1]))
    assert len(items) == min(count, 10) == len(set(items))
    luck = ~np.isnan(chances)
    assert few[np.array(items)[luck]].all() and luck.sum() <= np.ceil(explore * len(items))
    rest = np.array(items)[~luck]
    assert rest.tolist() == list(range(len(rest)))  # the ranker's first, in its order


def test_chance_is_drawn_anew_for_every_shopper_and_day(shelf: Shelf) -> None:
    rules = [Rules(explore=0.4, draw=day) for day in ("2026-01-01", "2026-01-02")]
    first = shelf.for_shopper("u0", 10, rules[0])
    assert sum(one.explored for one in first) == 4 and all(one.probability == 1 for one in first if not one.explored)
    assert first == shelf.for_shopper("u0", 10, rules[0])
    assert first == dict(shelf.for_everybody(10, rules[0]))["u0"]
    days = [[(one.item, one.explored) for one in shelf.for_shopper("u0", 10, rule)] for rule in rules]
    assert days[0] != days[1]
    assert [one.item for one in first if one.explored] != [
        one.item for one in shelf.for_shopper("u2", 10, rules[0]) if one.explored
    ]
    plain = [one.item for one in shelf.for_shopper("u0", 10)]
    assert [one.item for one in first if not one.explored] == plain[:6]


def test_an_item_that_came_later_is_compared_by_what_it_looks_and_reads_like(shelf) -> None:
    asked = {"text": Letters().read(TITLES[7]), "picture": Letters("image").read(PHOTOS[7])}
    assert named(shelf.alike(asked, 3))[0] == "i7"
    assert shelf.alike({}, 3) == []
