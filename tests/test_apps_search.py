"""The search box over a small shop: Chinese and English, words and pictures, and everything a person can do wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuwen.apps.matching import Blend
from tuwen.apps.query import Synonyms, corrected
from tuwen.apps.search import Question, Searcher, in_the_way
from tuwen.errors import ConfigError
from tuwen.index.segments import Batch
from tuwen.index.store import Index
from tuwen.preprocess.terms import asked, terms

ITEMS: list[tuple[str, str, str, float | None, int]] = [
    ("a", "Red wireless mouse", "Logi", 20.0, 5),
    ("b", "Wireless headset WH-1000XM4", "Sony", 300.0, 9),
    ("c", "Blue laptop bag", "HP", 35.0, 1),
    ("d", "HP laptop 16 GB", "HP", 900.0, 3),
    ("e", "红色连衣裙 夏季新款", "花店", 99.0, 2),
    ("f", "蓝色男士衬衫", "花店", None, 0),
    ("g", "Laptops stand, batteries included", "Sony", 40.0, 4),
]
AXES = {
    "mouse": 0,
    "headset": 1,
    "bag": 2,
    "laptop": 3,
    "连衣裙": 4,
    "dress": 4,
    "衬衫": 5,
    "shirt": 5,
    "red": 6,
    "红色": 6,
}


class Axes:
    """An encoder that knows what it was told: words on one axis each, whatever the language; a photo is its word."""

    def of_text(self, text: str) -> np.ndarray | None:
        vector = np.zeros(8, np.float32)
        for term in terms(text):
            if term in AXES:
                vector[AXES[term]] = 1.0
        return vector / np.linalg.norm(vector) if vector.any() else None

    def of_picture(self, data: bytes) -> np.ndarray | None:
        return self.of_text(data.decode())


class Pictures(Axes):
    def of_text(self, text: str) -> np.ndarray | None:
        return None

    def of_picture(self, data: bytes) -> np.ndarray | None:
        return Axes().of_text(data.decode())


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Searcher:
    table = pl.DataFrame(
        {
            "item": [one[0] for one in ITEMS],
            "title": [one[1] for one in ITEMS],
            "brand": [one[2] for one in ITEMS],
            "price": [one[3] for one in ITEMS],
            "_popularity": [one[4] for one in ITEMS],
        }
    )
    vectors = np.array([v if (v := Axes().of_text(one[1])) is not None else np.zeros(8) for one in ITEMS], np.float32)
    fields = {"title": [terms(one[1]) for one in ITEMS], "brand": [terms(one[2]) for one in ITEMS]}
    index = Index.create(
        tmp_path_factory.mktemp("shop") / "index",
        Batch(table, fields, {"text": vectors, "picture": vectors}),
        {"fields": {"title": 3.0, "brand": 1.0}, "facets": ["brand", "price"]},
        weights={"title": 3.0},
    )
    synonyms = Synonyms.of("笔记本电脑, laptop, notebook\ncans => headset")
    return Searcher(index, {"text": Axes(), "picture": Pictures()}, synonyms=synonyms)


def ask(shop: Searcher, words: str | None = None, **how: Any) -> dict[str, Any]:
    answer = shop.search(Question(words, **how))
    json.dumps(answer, allow_nan=False)
    return answer


def found(answer: dict[str, Any]) -> list[str]:
    return [hit["item"] for hit in answer["hits"]]


@pytest.mark.parametrize("mode", ["words", "hybrid"])
@pytest.mark.parametrize(
    ("words", "first"),
    [
        ("red mouse", "a"),
        ("MOUSES", "a"),
        ("wh1000xm4", "b"),
        ("ＷＨ-1000ＸＭ4", "b"),
        ("连衣裙", "e"),
        ("红色裙", "e"),
        ("蓝色衬衫", "f"),
        ("battery", "g"),
        ("红色连依裙", "e"),
        ("连衣群", "e"),
        ("连裙", "e"),
        ("连衣衣裙", "e"),
        ("hp 16gb", "d"),
        ("hadset", "b"),
        ("head set", "b"),
        ("laptopbag", "c"),
        ("cans", "b"),
        ("笔记本电脑 16 GB", "d"),
    ],
)
def test_the_right_item_is_first(shop: Searcher, words: str, first: str, mode: Any) -> None:
    assert found(ask(shop, words, mode=mode))[0] == first


def test_vectors_find_what_words_cannot(shop: Searcher) -> None:
    assert found(ask(shop, "dress", mode="vectors"))[0] == "e"
    answer = ask(shop, "dress")
    assert found(answer)[0] == "e" and answer["hits"][0]["reasons"][0]["by"] == "text"


def test_a_photo_finds_its_like_and_words_change_it(shop: Searcher) -> None:
    assert set(found(ask(shop, picture=b"laptop"))[:2]) == {"d", "g"}
    assert found(ask(shop, "blue", picture=b"laptop"))[0] == "c"
    assert "e" not in found(ask(shop, like="e"))
    assert found(ask(shop, like="d"))[0] == "g"


@pytest.mark.parametrize("looks", [{"picture": b"laptop"}, {"like": "d"}])
@pytest.mark.parametrize("sort", ["price", "-price", "popular"])
def test_in_any_order_a_photo_and_words_both_count(shop: Searcher, looks: dict[str, Any], sort: str) -> None:
    """Sony has a headset and a laptop stand, HP a bag and a laptop: by words alone each order has both of them."""
    answer = ask(shop, "Sony", sort=sort, **looks)
    assert found(answer) == ["g"]
    assert [(one["value"], one["count"]) for one in answer["facets"]["brand"]] == [("Sony", 1)]
    answer = ask(shop, "mouse", sort=sort, **looks)
    assert "a" not in found(answer) and "g" in found(answer) and "nothing that is near" in answer["notes"][0]["en"]


@pytest.mark.parametrize("looks", [{"picture": b"laptop"}, {"like": "d"}])
def test_what_words_alone_leave_out_is_told(shop: Searcher, looks: dict[str, Any]) -> None:
    answer = ask(shop, "mouse", mode="words", **looks)
    assert found(answer) == ["a"] and "was left out" in answer["notes"][0]["en"]
    for words in (None, " ?"):
        answer = ask(shop, words, mode="words", **looks)
        assert "g" in found(answer)[:2] and "looked by the" in answer["notes"][0]["en"]
        assert "没有文字" in answer["notes"][0]["zh"]


def test_an_item_that_alone_meets_a_condition_leaves_nobody_empty_handed(shop: Searcher) -> None:
    for where, left in ((["item=d"], "item=d"), (["brand=HP", "price>500"], "price>500")):
        answer = ask(shop, like="d", where=where)
        assert found(answer) and "d" not in found(answer)
        assert answer["left_out"] == [left] and "no other item" in answer["notes"][0]["en"]
    assert found(ask(shop, like="d", where=["brand=HP"])) == ["c"]


@pytest.mark.parametrize(
    ("typed", "taken", "suggested"),
    [("sunglases", "sunglass", "sunglasses"), ("wireles", "wireless", "wireless"), ("batterie", "battery", "battery")],
)
def test_a_suggestion_has_the_ending_that_was_typed(typed: str, taken: str, suggested: str) -> None:
    (whole, _), *_ = asked(typed)
    assert corrected(f"two {typed}", {whole: taken}) == f"two {suggested}"


def test_reasons_and_suggestions_tell_what_was_done(shop: Searcher) -> None:
    answer = ask(shop, "wireles mouse")
    assert answer["suggestions"] == ["wireless mouse"]
    assert answer["notes"][0]["en"] == "no item has 'wireles': looked for 'wireless'"  # not its stem
    assert ask(shop, "zeppelins")["notes"][0]["en"] == "no item has 'zeppelins'"
    reason = answer["hits"][0]["reasons"][0]
    assert (reason["by"], reason["field"], set(reason["words"])) == ("words", "title", {"wireless", "mouse"})


def test_a_wrong_character_is_told_and_a_right_one_left_alone(shop: Searcher) -> None:
    answer = ask(shop, "红色连依裙")
    assert answer["suggestions"] == ["红色连衣裙"] and "连衣裙" in answer["notes"][0]["zh"]
    right = ask(shop, "红色连衣裙")
    assert right["suggestions"] == [] and right["notes"] == [] and found(answer)[0] == found(right)[0]


def test_filters_facets_and_order(shop: Searcher) -> None:
    answer = ask(shop, "laptop", where=["price<=100"], sort="-price")
    assert found(answer) == ["g", "c"] and answer["total"] == 2
    assert {one["value"]: one["count"] for one in answer["facets"]["brand"]} == {"HP": 1, "Sony": 1}
    assert found(ask(shop, "laptop", sort="popular"))[0] == "g"
    assert found(ask(shop, where=["brand=花店"], sort="price")) == ["e", "f"]


def test_a_facet_counts_as_if_its_own_column_were_not_asked_for(shop: Searcher) -> None:
    def counts(answer: dict[str, Any], name: str) -> dict[Any, int]:
        return {one.get("value", (one.get("low"), one.get("high"))): one["count"] for one in answer["facets"][name]}

    for words in ("laptop", None):
        free, chosen = ask(shop, words), ask(shop, words, where=["brand=HP"])
        assert counts(chosen, "brand") == counts(free, "brand")
        assert 0 < sum(counts(chosen, "price").values()) < sum(counts(free, "price").values())
        other = ask(shop, words, where=["brand=HP", "price<100"])
        below = ask(shop, words, where=["price<100"])
        assert counts(other, "brand") == counts(below, "brand") and {h["brand"] for h in other["hits"]} == {"HP"}


def test_colours_are_known_in_both_languages(shop: Searcher) -> None:
    assert found(ask(shop, "红色 mouse", mode="words"))[0] == "a"
    assert found(ask(shop, "blue 衬衫", mode="words"))[0] == "f"


def test_words_that_no_item_has_are_left_to_the_vectors(shop: Searcher) -> None:
    # "dress" is in no title; that a bag and a shirt are blue must not put them first
    assert found(ask(shop, "blue dress"))[0] == "e"


def test_a_value_that_no_item_has_names_the_nearest(shop: Searcher) -> None:
    answer = ask(shop, "laptop", where=["brand=Sonny"])
    assert answer["left_out"] == ["brand=Sonny"] and "did you mean brand=Sony?" in answer["notes"][0]["en"]
    assert "brand=Sony" in answer["notes"][0]["zh"]


def test_the_index_s_own_columns_are_no_ones_business(shop: Searcher) -> None:
    for how in ({"where": ["_popularity>1"]}, {"sort": "_popularity"}):
        with pytest.raises(ConfigError) as told:
            ask(shop, "mouse", **how)
        assert "_popularity" not in str(told.value.allowed)


def test_pages_hold_every_hit_once(shop: Searcher) -> None:
    pages = [found(ask(shop, "laptop wireless", page=page, size=2)) for page in range(1, 5)]
    every = [item for page in pages for item in page]
    assert len(every) == len(set(every)) == ask(shop, "laptop wireless")["total"]
    assert found(ask(shop, "laptop", page=99)) == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("the of and", "nothing about an item"),
        ("的", "nothing about an item"),
        ("qzxv 7", "no item has"),
        ("鼹鼠", "no item has"),
        ("x" * 10_000, "only the beginning"),
        ("mouse " * 5000, "only the beginning"),
        ("\x00\x1b[2J\u202e", "no item has"),
        ("!!! ???", "most popular"),
        ("\ud800", "most popular"),
    ],
)
def test_it_is_never_empty_handed_and_says_so(shop: Searcher, words: str, told: str) -> None:
    answer = ask(shop, words)
    assert answer["hits"] and any(told in note["en"] for note in answer["notes"])
    assert all(note["zh"] for note in answer["notes"])
    said = [one["zh"] for hit in answer["hits"] for one in hit["reasons"] if one["by"] == "words"]
    assert all(text.startswith(("标题包含", "描述包含", "类别包含", "品牌包含")) for text in said)


def test_conditions_that_nothing_meets_are_loosened_one_by_one(shop: Searcher) -> None:
    answer = ask(shop, "laptop", where=["brand=HP", "price<1"])
    assert set(found(answer)) == {"c", "d"} and answer["where"] == ["brand=HP"]
    assert answer["left_out"] == ["price<1"]
    assert "left out price<1" in answer["notes"][0]["en"]


@pytest.mark.parametrize(
    "how", [{"where": ["colour=red"]}, {"where": ["nonsense"]}, {"sort": "weight"}, {"like": "nobody"}]
)
def test_what_cannot_be_asked_is_told(shop: Searcher, how: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        ask(shop, "mouse", **how)


@pytest.mark.parametrize("how", [{"page": 0}, {"size": 0}, {"size": 10**9}])
def test_pages_that_cannot_be_are_told(how: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="no such page"):
        Question("mouse", **how)


def test_a_mode_that_cannot_be_is_told() -> None:
    with pytest.raises(ConfigError, match="no such mode"):
        Question("mouse", mode="nonsense")  # type: ignore[arg-type]


def test_a_way_to_make_rankings_one_that_cannot_be_is_told() -> None:
    with pytest.raises(ConfigError, match="no such way"):
        Question("mouse", fuse="nonsense")  # type: ignore[arg-type]


def test_a_question_chooses_how_words_and_vectors_become_one(shop: Searcher) -> None:
    """By reciprocal rank the scores are those of the paper, from the places of each ranking; the next question is asked
    as the index keeps it.
    """
    before = ask(shop, "red laptop")
    answer = ask(shop, "red laptop", fuse="reciprocal-rank")
    words, vectors = (found(ask(shop, "red laptop", mode=mode, size=100)) for mode in ("words", "vectors"))
    for hit in answer["hits"]:
        places = [one.index(hit["item"]) for one in (words, vectors) if hit["item"] in one]
        assert hit["score"] <= round(sum(1 / (61 + place) for place in places), 6) + 1e-6
    assert answer["hits"][0]["score"] > 1 / 61 and max(hit["score"] for hit in answer["hits"]) <= 2 / 61 + 1e-6
    assert [hit["score"] for hit in ask(shop, "red laptop")["hits"]] == [hit["score"] for hit in before["hits"]]
    assert ask(shop, "red laptop", fuse="scores")["hits"] == before["hits"] != answer["hits"]


@pytest.mark.parametrize("reciprocal", [False, True])
def test_answers_are_the_same_each_time_and_in_whatever_order_items_came(
    tmp_path: Path, shop: Searcher, reciprocal: bool
) -> None:
    now = shop.index.snapshot
    order = [3, 6, 0, 2, 5, 1, 4]
    fields = {n: [terms(t) for t in now.table[n][order]] for n in ("title", "brand")}
    vectors = {space: now.take(space, np.array(order)) for space in now.spaces}
    settings = dict(shop.index.settings)
    index = Index.create(tmp_path, Batch(now.table[order], fields, vectors), settings, weights={"title": 3.0})
    blend = Blend(reciprocal=reciprocal)
    one, other = (
        Searcher(i, shop.matcher.encoders, synonyms=shop.matcher.synonyms, blend=blend) for i in (shop.index, index)
    )
    for words in ("laptop", "wireless", "红色", "zzz"):
        assert found(ask(one, words)) == found(ask(other, words)) == found(ask(one, words))


def test_an_empty_index_answers(tmp_path: Path, shop: Searcher) -> None:
    index = Index.create(
        tmp_path,
        Batch(shop.index.snapshot.table.head(0), {"title": [], "brand": []}, {"text": np.zeros((0, 8), np.float32)}),
        dict(shop.index.settings),
        weights={},
    )
    answer = ask(Searcher(index, {"text": Axes()}), "mouse", where=["price<3"])
    assert answer["hits"] == [] and answer["total"] == 0


@pytest.mark.parametrize("text", ["just one", "a, ,", "=> b", "a =>"])
def test_synonyms_that_are_none_name_their_line(text: str) -> None:
    with pytest.raises(ConfigError, match="names no synonyms") as told:
        Synonyms.of(f"# good\ntv, television\n{text}", "synonyms.txt")
    assert told.value.where == "synonyms.txt:3"


@given(
    st.lists(st.lists(st.booleans(), min_size=7, max_size=7), max_size=5),
    st.lists(st.booleans(), min_size=7, max_size=7),
)
def test_the_condition_is_dropped_without_which_most_rows_are_left(each: list[list[bool]], rows: list[bool]) -> None:
    def left(without: list[int]) -> int:
        return sum(row and all(met[n] for i, met in enumerate(each) if i not in without) for n, row in enumerate(rows))

    expected: list[int] = []
    while len(expected) < len(each) and not left(expected):
        others = [i for i in range(len(each)) if i not in expected]
        expected.append(max(others, key=lambda i: left([*expected, i])))
    assert in_the_way([np.array(met) for met in each], np.array(rows)) == expected


def test_synonyms_have_limits(tmp_path: Path) -> None:
    assert len(Synonyms.of(", ".join(f"w{n}" for n in range(100))).ways) == 100
    with pytest.raises(ConfigError, match="too many synonyms") as refusal:
        Synonyms.of("tv, television\n" + ", ".join(f"w{n}" for n in range(101)), "s.txt")
    assert refusal.value.where == "s.txt:2"
    (tmp_path / "s.txt").write_text("# " + "x" * 5_000_000)
    with pytest.raises(ConfigError, match="too large"):
        Synonyms.read(tmp_path / "s.txt")


def test_synonyms_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "s.txt").write_text("ps4 => play station 4\ntv，电视, television # three\n", encoding="utf-8-sig")
    synonyms = Synonyms.read(tmp_path / "s.txt")
    assert synonyms.of_phrase(("ps4",)) == [("play", "station", "4")] and not synonyms.of_phrase(
        ("play", "station", "4")
    )
    assert synonyms.of_phrase(("电视",)) == [("tv",), ("television",)]
    with pytest.raises(ConfigError, match="cannot be read"):
        Synonyms.read(tmp_path / "none.txt")
