"""Text files in any common encoding; mixed ones never become mojibake silently."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuwen.data.encoding import MARK, decode, readable
from tuwen.errors import DataError

CHINESE = [
    "蓝色棉质衬衫",
    "夏季新款连衣裙",
    "儿童书包轻便",
    "这本书很好",
    "物流太慢了",
    "质量不错,推荐购买",
    "茶",
    "屏幕碎了",
]
WESTERN = ["Chemise bleue légère", "Robe d'été très élégante", "Für schöne Tage", "Más cómodo", "Smörgåsbord", "Café"]
UNICODE = ["utf-8", "utf-8-sig", "utf-16", "utf-32"]

lines = st.lists(st.sampled_from(CHINESE), min_size=1, max_size=30)
western = st.lists(st.sampled_from(WESTERN), min_size=1, max_size=30)


def table(texts: list[str]) -> str:
    return "sku,title\n" + "".join(f"{i},{text}\n" for i, text in enumerate(texts))


@given(texts=lines, encoding=st.sampled_from([*UNICODE, "gbk", "gb18030", "utf-16-le", "utf-16-be"]))
def test_chinese_comes_back_in_every_encoding(texts: list[str], encoding: str) -> None:
    decoded = decode(table(texts).encode(encoding), None, "file")
    assert decoded.data.decode() == table(texts)
    assert decoded.wrong == 0
    assert decoded.guessed == (encoding in ("gbk", "gb18030"))


@given(texts=western, encoding=st.sampled_from([*UNICODE, "cp1252", "latin-1"]))
def test_western_text_comes_back_in_every_encoding(texts: list[str], encoding: str) -> None:
    assert decode(table(texts).encode(encoding), None, "file").data.decode() == table(texts)


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("big5", "藍色棉質襯衫,紅色連衣裙 夏季新款,兒童書包 小學生 輕便,質量非常好"),
        ("shift_jis", "青い綿のシャツ,夏の赤いドレス,子供用のかばん"),
        ("euc_jp", "青い綿のシャツ,夏の赤いドレス,子供用のかばん"),
        ("euc_kr", "파란 면 셔츠,여름 빨간 드레스,어린이 가방"),
        ("cp1251", "синяя рубашка из хлопка,летнее красное платье"),
        ("cp1250", "niebieska koszula bawełniana,piękna sukienka,torba dziecięca żółta"),
    ],
)
def test_other_encodings(encoding: str, text: str) -> None:
    data = table(text.split(",")).encode(encoding)
    assert decode(data, None, "file").data.decode() == table(text.split(","))
    assert decode(data, encoding, "file").guessed is False


@given(
    texts=st.lists(st.sampled_from([t for t in CHINESE if len(t) > 4]), min_size=3, max_size=40),
    main=st.sampled_from(["utf-8", "gb18030"]),
    data=st.data(),
)
def test_lines_in_another_encoding_are_marked_and_the_others_are_whole(
    texts: list[str], main: str, data: st.DataObject
) -> None:
    other = "gb18030" if main == "utf-8" else "utf-8"
    strange = data.draw(st.sets(st.integers(0, len(texts) - 1), min_size=1, max_size=(len(texts) - 1) // 2))
    raw = b"\n".join(text.encode(other if i in strange else main) for i, text in enumerate(texts))
    decoded = decode(raw, None, "file")
    assert decoded.encoding == main
    assert decoded.wrong == len(strange)
    for i, line in enumerate(decoded.data.decode().split("\n")):
        assert (MARK in line) if i in strange else (line == texts[i])


def test_a_cut_character_spoils_its_own_line_only() -> None:
    raw = "衬衫".encode() + b"\n" + "连衣裙".encode()[:-1] + b"\nok\n"
    decoded = decode(raw, None, "file")
    first, second, third, _ = decoded.data.decode().split("\n")
    assert (first, third) == ("衬衫", "ok")
    assert readable(second) == "连衣\\xe8\\xa3"


@settings(max_examples=200)
@given(raw=st.binary(max_size=300), encoding=st.sampled_from(["utf-8", "gb18030", "cp1252", "utf-16", "big5", None]))
def test_any_bytes_give_utf8_or_a_clear_error(raw: bytes, encoding: str | None) -> None:
    try:
        decode(raw, encoding, "file").data.decode("utf-8")
    except DataError as error:
        assert error.where == "file"


def test_wrong_names_are_refused() -> None:
    with pytest.raises(DataError, match="no such encoding"):
        decode(b"a", "utf-9", "file")
    with pytest.raises(DataError, match="not in gb18030"):
        decode("衬衫衬衫".encode(), "gbk", "file")


def test_what_the_shop_says_is_taken() -> None:
    assert decode("é".encode("cp1252"), "cp1252", "file").data.decode() == "é"
    assert decode("衬衫".encode("utf-8-sig"), "utf-8", "file").data.decode() == "衬衫"
    assert decode("衬衫".encode("utf-16"), "utf-16", "file").data.decode() == "衬衫"
