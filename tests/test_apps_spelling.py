"""Slips of Chinese words: what was meant is found again, and no word that an item has is taken for another."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tuwen.apps.query import Synonyms, Understood, understand
from tuwen.apps.spelling import Speller
from tuwen.preprocess.terms import asked, terms
from tuwen.preprocess.words import is_word

TITLES = (
    "红色连衣裙 蓝牙耳机 手工茶壶 羽绒服 洗发水 笔记本电脑 牛仔裤 防晒霜 电热水壶 儿童餐椅 不锈钢保温杯 运动鞋 双肩包 "
    "红茶 绿茶 耳环 电视柜 袜子 wireless mouse"
)
HELD = Counter(terms(TITLES))
WORDS = sorted(term for term in HELD if term.isalpha() and not term.isascii() and len(term) > 1)
SEGMENT: Any = SimpleNamespace(name="one", words=SimpleNamespace(terms=sorted(HELD)))
SPELLER = Speller()


def read(text: str) -> Understood:
    return understand(text, segments=[SEGMENT], frequency=lambda term: HELD[term], synonyms=Synonyms(), speller=SPELLER)


def looked_for(text: str) -> set[str]:
    return {term for slot in read(text).slots for way, _ in slot for term in way}


@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=3), st.sampled_from(["", " "]))
def test_no_word_of_an_item_is_taken_for_another(words: list[str], between: str) -> None:
    """Also side by side, wherever they are cut then, as long as every piece is a word of items."""
    text = between.join(words)
    if all(HELD[term] for term in terms(text)):
        assert read(text).corrected == {}
    if len(words) == 1:
        assert read(text).corrected == {} and words[0] in looked_for(text)


@settings(max_examples=200)
@given(st.sampled_from([w for w in WORDS if len(w) in (3, 4)]), st.data())
def test_one_wrong_missing_or_further_character_is_found_again(word: str, data: st.DataObject) -> None:
    """Where what is left of it is no other word of the language: 笔记几 is 笔记本, or 笔记 and 几."""
    at = data.draw(st.integers(0, len(word) - 1))
    other = data.draw(st.sampled_from("睡腹几胡恼龘"))  # no item has them
    for slip in (word[:at] + other + word[at + 1 :], word[: at or 1] + other + word[at or 1 :]):
        pieces = [whole for whole, _ in asked(slip)]
        if not any(map(is_word, pieces)):
            assert word in looked_for(slip), slip
    less = word[:at] + word[at + 1 :]
    if not any(HELD[term] or is_word(term) for term in terms(less)) and len(less) > 2:
        assert word in looked_for(less), less


def test_of_two_characters_only_what_nothing_else_is_as_near_as_is_taken() -> None:
    assert "耳几" not in read("耳几").corrected  # 耳机 or 耳环
    assert read("茶红").corrected == {"茶红": "红茶"}  # both characters
    assert "牌子" not in read("牌子").corrected  # a word, though no item has it; 袜子 or 帽子 is another
    assert read("白茶").corrected.get("白茶") not in ("红茶", "绿茶")
