"""The language of a text, by script and simple evidence."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuwen.data.language import ENOUGH, LANGUAGES, languages


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("蓝色棉质衬衫", "zh"),
        ("Apple iPhone 15 Pro 手机", "zh"),
        ("這本書很好", "zh"),
        ("Blue cotton shirt", "en"),
        ("This is the best café in town, and I love it", "en"),
        ("The 茶 was very good and not too hot", "en"),
        ("青い綿のシャツ", "other"),
        ("파란 면 셔츠", "other"),
        ("синяя рубашка", "other"),
        ("Chemise légère à manches, très élégante", "other"),
        ("Das ist nicht mein Hemd und der Kragen ist zu eng", "other"),
        ("La camisa es muy buena y el color con las mangas", "other"),
        ("😀😀😀", "none"),
        ("12.50 !!", "none"),
        ("", "none"),
        (None, "none"),
        ("ＢＬＵＥ　ＳＨＩＲＴ 蓝色", "zh"),
    ],
)
def test_known_texts(text: str | None, language: str) -> None:
    assert languages(pl.Series("t", [text], pl.String)).to_list() == [language]


@given(st.lists(st.one_of(st.none(), st.text(max_size=50))))
def test_each_text_for_itself(texts: list[str | None]) -> None:
    series = pl.Series("t", texts, pl.String)
    together = languages(series).to_list()
    assert together == [languages(series[i : i + 1])[0] for i in range(len(texts))]
    assert set(together) <= set(LANGUAGES)


def test_only_the_beginning_is_looked_at() -> None:
    assert languages(pl.Series("t", ["a" * ENOUGH + "衫" * 10_000]))[0] == "en"
