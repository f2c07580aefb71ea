"""Cleaning, words, sub-words and n-grams, in Chinese and English."""

import re
import subprocess
import sys
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import FeatureUnion

from tuwen.errors import BundleError, ConfigError
from tuwen.preprocess import MODALITIES
from tuwen.preprocess.cleaning import _without_hidden, clean
from tuwen.preprocess.modality import load
from tuwen.preprocess.ngrams import Ngrams
from tuwen.preprocess.text import Text
from tuwen.preprocess.words import characters, words

CLEANED = [
    ("Ｈｅｌｌｏ，世界！１２３", "hello,世界!123"),
    ("①②③ ㍿ ﬁne Ⅷ", "123 株式会社 fine viii"),
    ("<p>质量<b>很好</b></p>&nbsp;推荐", "质量 很好 推荐"),
    ("Tom &amp; Jerry &lt;br/&gt; &#128077;", "tom & jerry 👍"),
    ("&amp;lt;b&amp;gt;twice escaped&amp;lt;/b&amp;gt;", "twice escaped"),
    ("a < b and c > d <3", "a < b and c > d <3"),
    ("price<100 元", "price<100 元"),
    ("<script>alert('x')</script>nice<!-- hidden -->", "nice"),
    ("<a href='http://x.y/?a=1&b=2'>link</a>", "link"),
    ("zero\u200bwidth\ufeff and\u00ad soft", "zerowidth and soft"),
    ("line\r\n\tbreak\u3000宽空格\xa0x", "line break 宽空格 x"),
    ("bell\x07null\x00", "bellnull"),
    ("lone \ud83d surrogate", "lone surrogate"),
    ("👍🏿 👍 ❤️ ❤", "👍 👍 ❤ ❤"),
    ("👩\u200d👩\u200d👧", "👩👩👧"),
    ("很好很好\n很好", "很好很好 很好"),
    ("繁體字 简体字", "繁體字 简体字"),
    ("Straße É é", "straße é é"),
    ("می‌خواهم", unicodedata.normalize("NFKC", "می‌خواهم")),
    ("", ""),
    ("<br>", ""),
]
WORDS = [
    ("我来到北京清华大学", ["我", "来到", "北京", "清华大学"]),
    ("it's a well-made dress, isn’t it?", ["it's", "a", "well", "made", "dress", "isn’t", "it"]),
    ("iphone手机壳 3件 100%", ["iphone", "手机", "壳", "3", "件", "100"]),
    ("好看👍👍 ok 🇨🇳", ["好看", "👍", "👍", "ok", "🇨🇳"]),
    ("안녕 세계 カメラ", ["안녕", "세계", "カメラ"]),
    ("!!! ... ——", []),
]
REVIEWS = [
    "this red dress is lovely and it fits well",
    "the dress is too small, not well made",
    "质量很好，物流也很快，很喜欢",
    "红色连衣裙质量不好，不推荐",
    "lovely lovely dress 👍 质量很好",
    "a red bag, well made and not too small",
]


@pytest.mark.parametrize(("text", "expected"), CLEANED)
def test_cleaning(text, expected):
    assert clean(text) == expected


HIDDEN = re.compile(r"<(script|style)\b[^>]{0,1000}>.*?</\1\s*>|<!--.*?-->", re.DOTALL | re.IGNORECASE)


@settings(max_examples=300)
@given(
    st.lists(
        st.sampled_from(
            ["<script>", "</script>", "<STYLE a=1>", "</style >", "<!--", "-->", "<scripts>", "<b", ">", "x", " "]
        ),
        max_size=12,
    ).map("".join)
)
def test_scripts_styles_and_comments_are_hidden_as_the_pattern_hid_them(text):
    assert _without_hidden(text) == HIDDEN.sub(" ", text)


def test_case_is_kept_when_asked():
    assert clean("Red ＤＲＥＳＳ", lower=False) == "Red DRESS"


@settings(max_examples=200)
@given(st.text(st.characters(exclude_characters="&<"), max_size=60))
def test_cleaning_ends_in_one_visible_normal_line(text):
    once = clean(text)
    assert once == " ".join(once.split())
    assert not {unicodedata.category(c) for c in once} & {"Cc", "Cs", "Zl", "Zp"}
    assert clean(clean(once)) == clean(once)
    once.encode()  # no lone surrogate is left


@pytest.mark.parametrize(("text", "expected"), WORDS)
def test_words(text, expected):
    assert words(clean(text)) == expected


def test_characters_keep_words_apart():
    assert characters(clean("好 it is")) == ["好", " ", "i", "t", " ", "i", "s"]


def test_vocabulary_is_by_frequency_then_code_point():
    text = Text(tokens="word", vocabulary=5, length=6)
    text.fit(["b a c c", "b d", None])
    arrays, present = text.encode(["c b a d zzz", None, "!!!"])
    assert text.spec.sizes == (5,)
    assert arrays["ids"].tolist() == [[3, 2, 4, 1, 1, 0], [0] * 6, [0] * 6]  # b before c (twice each), a before d
    assert present.tolist() == [True, False, False]


def test_long_texts_lose_their_end_or_their_middle():
    numbers = " ".join(map(str, range(10)))
    for truncate, kept in (("end", [0, 1, 2, 3]), ("middle", [0, 1, 8, 9])):
        text = Text(length=4, truncate=truncate)
        text.fit([numbers])
        assert (text.encode([numbers])[0]["ids"][0] - 2).tolist() == kept


@pytest.mark.parametrize("tokens", ["word", "character", "subword", "ngram"])
def test_absurd_texts_are_taken_as_they_are(tokens):
    text = Text(tokens=tokens, length=20, min_count=1)
    text.fit(REVIEWS)
    million = "质量很好 well made " * 60_000
    arrays, present = text.encode([million, "👍" * 1000, "\ud83d", "\x00", "<" * 100_000, "&" * 100_000])
    assert present[0]
    assert not present[3]
    assert arrays["ids"].shape == (6, 20)


def test_fitting_on_nothing_gives_only_unknown_words():
    text = Text()
    text.fit([None, "", "  "])
    arrays, present = text.encode(["word", None])
    assert arrays["ids"][0, :2].tolist() == [1, 0]
    assert present.tolist() == [True, False]


@pytest.mark.parametrize("tokens", ["subword", "ngram"])
def test_fitting_the_others_on_nothing_works_too(tokens):
    text = Text(tokens=tokens)
    text.fit([None, ""])
    text.encode(["word", None])


SUBWORDS = """
import sys
from tuwen.preprocess.tokenisers import trained
texts = [line.strip() for line in sys.stdin]
print(__import__("hashlib").sha256(trained(texts, 120, 1).to_str().encode()).hexdigest())
"""


def test_subwords_are_the_same_in_every_process():
    lines = "\n".join(REVIEWS * 20)
    found = {
        subprocess.run(
            [sys.executable, "-c", SUBWORDS],
            input=lines,
            text=True,
            encoding="utf-8",
            capture_output=True,
            check=True,
            env={"RAYON_NUM_THREADS": threads, "PYTHONHASHSEED": threads, "PYTHONUTF8": "1"},
        ).stdout
        for threads in ("1", "2")
    }
    assert len(found) == 1


def test_subwords_learn_words_and_know_padding_and_unknown():
    text = Text(tokens="subword", vocabulary=150, length=30)
    text.fit(REVIEWS * 20)
    tokenizer = text._tokeniser
    assert tokenizer.token_to_id("<pad>") == 0
    assert tokenizer.token_to_id("<unk>") == 1
    assert "▁dress" in tokenizer.get_vocab()
    assert "质量" in tokenizer.get_vocab()
    ids = text.encode(["dress 龘"])[0]["ids"][0]
    assert 1 in ids
    assert tokenizer.token_to_id("▁dress") in ids


def dense(arrays: dict, size: int) -> np.ndarray:
    out = np.zeros((len(arrays["ids"]), size))
    for row, (ids, weights) in enumerate(zip(arrays["ids"], arrays["weights"], strict=True)):
        out[row, ids[ids > 0]] += weights[ids > 0]
    return out


@pytest.mark.parametrize("min_count", [1, 2])
@pytest.mark.parametrize(
    ("tokens", "word_range", "character_range"),
    [
        ("word-ngram", (1, 2), None),
        ("character-ngram", None, (1, 4)),
        ("ngram", (1, 3), (2, 3)),
        ("ngram", (2, 2), (1, 1)),
    ],
)
def test_ngrams_agree_with_scikit_learn(tokens, word_range, character_range, min_count):
    text = Text(
        tokens=tokens,
        min_count=min_count,
        **({"word_ngrams": word_range} if word_range else {}),
        **({"character_ngrams": character_range} if character_range else {}),
    )
    text.fit(REVIEWS)
    seen = [*REVIEWS, "another lovely dress 质量", "nothing known: zzz"]
    parts = []
    settled = {"min_df": min_count, "sublinear_tf": True, "lowercase": False, "preprocessor": clean}
    if word_range:
        parts.append(("w", TfidfVectorizer(tokenizer=words, token_pattern=None, ngram_range=word_range, **settled)))
    if character_range:
        parts.append(("c", TfidfVectorizer(analyzer="char", ngram_range=character_range, **settled)))
    oracle = FeatureUnion(parts).fit(REVIEWS)
    expected = oracle.transform(seen).toarray()
    expected /= np.maximum(np.linalg.norm(expected, axis=1, keepdims=True), 1e-12)
    found = dense(text.encode(seen)[0], text.spec.sizes[0])
    ngrams: Ngrams = text._tokeniser
    places = {(i >= ngrams.first_character, name): i for i, name in enumerate(ngrams.names, 1)}
    columns = [places[name.startswith("c__"), name[3:]] for name in oracle.get_feature_names_out()]
    assert len(columns) == len(places)
    np.testing.assert_allclose(found[:, columns], expected, atol=1e-6)


def test_the_heaviest_ngrams_are_kept():
    long = " ".join(f"w{i}" for i in range(30)) + " w0 w0 w0"
    whole, short = (Text(tokens="word-ngram", word_ngrams=(1, 1), min_count=1, length=n) for n in (40, 5))
    for text in (whole, short):
        text.fit([long, "w1 w2 w3"])
    all_, some = whole.encode([long])[0], short.encode([long])[0]
    expected = dict(
        sorted(zip(all_["ids"][0], all_["weights"][0], strict=True), key=lambda pair: (-pair[1], pair[0]))[:5]
    )
    assert dict(zip(some["ids"][0], some["weights"][0], strict=True)) == expected


def test_ngrams_counted_in_pieces_are_the_same(monkeypatch):
    whole = Text(tokens="ngram", vocabulary=60, min_count=1)
    whole.fit(REVIEWS)
    expected = whole.encode(REVIEWS)[0]
    monkeypatch.setattr("tuwen.preprocess.ngrams.CHUNK", 30)
    pieces = Text(tokens="ngram", vocabulary=60, min_count=1)
    pieces.fit(REVIEWS)
    assert pieces._tokeniser.names == whole._tokeniser.names
    for name, array in pieces.encode(REVIEWS)[0].items():
        np.testing.assert_array_equal(array, expected[name])


@pytest.mark.parametrize(
    "options",
    [{"length": 0}, {"vocabulary": 2}, {"word_ngrams": [2, 1]}, {"character_ngrams": [1, 9]}, {"tokens": "wrods"}],
)
def test_impossible_options_are_refused(options):
    with pytest.raises(ConfigError):
        MODALITIES.build("text", options)


def test_a_damaged_tokeniser_is_refused(tmp_path):
    text = Text(tokens="subword", vocabulary=50)
    text.fit(REVIEWS)
    text.save(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(BundleError, match="tokeniser"):
        load(tmp_path)
