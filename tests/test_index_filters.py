"""Conditions, facets and order, beside polars itself."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuwen.errors import ConfigError
from tuwen.index.filters import Condition, FilterLimits, facet, facet_columns, mask, masks, ordered

TABLE = pl.DataFrame(
    {
        "item": list("abcdef"),
        "brand": ["HP", "hp", "Ｄell", None, "联想", "HP"],
        "price": [10.0, 20.0, None, 40.0, 50.0, 60.0],
        "tags": [["new"], [], None, ["sale", "New"], ["sale"], None],
        "stock": [True, False, None, True, True, False],
    }
)
PRICE, BRAND = pl.col("price"), pl.col("brand")


@pytest.mark.parametrize(
    ("text", "oracle"),
    [
        ("brand=hp", BRAND.is_in(["HP", "hp"])),
        ("brand = DELL|联想", BRAND.is_in(["Ｄell", "联想"])),
        ("brand!=HP", ~BRAND.is_in(["HP", "hp"]).fill_null(False)),
        ("price<=40", PRICE <= 40),
        ("price>20", PRICE > 20),
        ("price=20..50", (PRICE >= 20) & (PRICE < 50)),
        ("price=..40", PRICE < 40),
        ("price=50..", PRICE >= 50),
        ("price!=10|20", ~PRICE.is_in([10.0, 20.0]).fill_null(False)),
        ("price=１０", PRICE == 10),
        ("price>=4e1", PRICE >= 40),
        ("price<50,5", PRICE < 50.5),
        ("price=20,5..50", (PRICE > 20.5) & (PRICE < 50)),
        ("price<1.000,00", PRICE < 1000),
        ("price<1,000.00", PRICE < 1000),
        ("price>0,299", PRICE > 0.299),
        ("price>1.299", PRICE > 1.299),
        ("price<１,000,000", PRICE < 1e6),
        ("price=￥40|5e1|60,00 €", PRICE >= 40),
        ("tags=new", pl.col("item").is_in(["a", "d"])),
        ("tags!=new", ~pl.col("item").is_in(["a", "d"])),
        ("stock=true", pl.col("stock")),
    ],
)
def test_a_condition_is_the_filter_of_polars(text: str, oracle: pl.Expr) -> None:
    expected = TABLE.filter(oracle)["item"].to_list()
    assert TABLE.filter(pl.Series(mask(TABLE, [Condition.read(text)])))["item"].to_list() == expected


@given(st.lists(st.tuples(st.sampled_from(["<", "<=", ">", ">="]), st.integers(0, 70)), max_size=4))
def test_all_conditions_hold_together(parts: list[tuple[str, int]]) -> None:
    conditions = [Condition.read(f"price{operator}{value}") for operator, value in parts]
    each = [mask(TABLE, [one]) for one in conditions]
    np.testing.assert_array_equal(mask(TABLE, conditions), np.all([np.ones(6, bool), *each], axis=0))
    np.testing.assert_array_equal(masks(TABLE, conditions), each)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("colour=red", "no column 'colour'"),
        ("price=cheap", "holds numbers"),
        ("price<nan", "this is none"),
        ("price<5%", "this is none"),
        ("price<1,00,50", "this is none"),
        ("price<1.2.3", "this is none"),
        ("price=", "this is none"),
        ("price<1,299", "two ways"),
        ("price=10|1,299", "two ways"),
        ("price=1,299..2000", "two ways"),
        ("price=..1,299", "two ways"),
        ("price<1_299", "this is none"),
        ("price=1_0..2_0", "this is none"),
        ("brand=>HP", "not a condition"),
        ("brand===HP", "not a condition"),
        ("price＝＞5", "not a condition"),
        ("brand<HP", "no order"),
        ("just words", "not a condition"),
        ("=3", "not a condition"),
    ],
)
def test_what_is_no_condition_is_told(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        mask(TABLE, [Condition.read(text)])


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["price<3"] * 4, "too many conditions"),
        (["brand=a|b|c"], "too many values"),
        (["brand=" + "a" * 100], "too long"),
    ],
)
def test_a_filter_is_measured_before_it_is_read(texts: list[str], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = FilterLimits(conditions=3, values=2, characters=20)
    assert len(Condition.read_all(["brand=a|b", "price<3", "price>1" + " " * 13], limits)) == 3
    monkeypatch.setattr("tuwen.index.filters._CONDITION", None)
    with pytest.raises(ConfigError, match=said) as refusal:
        Condition.read_all(texts, limits)
    assert str(refusal.value.allowed).startswith("up to ") and refusal.value.where == "--where"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("  brand  =  HP  ", ("brand", "=", "HP")),
        ("a b != c\nd ", ("a b", "!=", "c\nd")),
        ("a==3", ("a", "=", "3")),
        ("a<>3", ("a", "!=", "3")),
        ("品牌＝HP", ("品牌", "=", "HP")),
        ("a≥3", ("a", ">=", "3")),
        ("a＜＝3", ("a", "<=", "3")),
        ("a！＝3", ("a", "!=", "3")),
        ("a≠b≥c", ("a", "!=", "b≥c")),
        ("a<=3", ("a", "<=", "3")),
        ("a=", ("a", "=", "")),
        ("\u3000价格\u3000>\u30003", ("价格", ">", "3")),
    ],
)
def test_a_condition_is_a_column_an_operator_and_a_value(text: str, parts: tuple[str, str, str]) -> None:
    condition = Condition.read(text)
    assert (condition.column, condition.operator, condition.value) == parts


@pytest.mark.parametrize("text", [" " * 5_000, " " * 5_000 + "=3", "a!b=3", "!", ""])
def test_blanks_are_no_column(text: str) -> None:
    with pytest.raises(ConfigError, match="not a condition"):
        Condition.read(text)


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=60, unique=True))
def test_ranges_count_every_row_once(values: list[float]) -> None:
    found = facet(pl.Series("price", values))
    assert sum(one["count"] for one in found) == len(values) or len(values) > len(found) == 10
    frame = pl.DataFrame({"price": values})
    for one in found:
        if "low" in one:
            low = "" if one["low"] is None else repr(one["low"])
            high = "" if one["high"] is None else repr(one["high"])
            assert mask(frame, [Condition.read(f"price={low}..{high}")]).sum() == one["count"]


def test_what_a_person_cannot_choose_by_is_no_facet_and_years_stay_years() -> None:
    table = pl.DataFrame(
        {
            "item": [str(n) for n in range(40)],
            "description": ["A long sentence that says of many goods the very same thing."] * 20 + ["Another."] * 20,
            "size": ["S", "M"] * 20,
            "year": [float(2000 + n % 20) for n in range(40)],
        }
    )
    table = table.with_columns(pl.col("description").str.replace("Another.", "Another sentence, as long and as empty."))
    assert facet_columns(table) == ["size", "year"]
    edges = [one["low"] for one in facet(table["year"])]
    assert len(edges) >= 4 and edges[1:] == sorted(set(edges[1:])) and all(edge == int(edge) for edge in edges[1:])
    assert facet(pl.Series([2011.0, 2012.0, 2011.0]))[0] == {"value": 2011, "count": 2}


def test_a_few_prices_are_ranges_and_a_few_years_are_years() -> None:
    few = [239.9, 180.9, 154.9, 107.9]
    assert all("value" not in one for one in facet(pl.Series("price", few))) and len(facet(pl.Series("price", few))) > 1
    assert facet(pl.Series("year", [2011, 2012, 2012]))[0] == {"value": 2012, "count": 2}
    assert facet(pl.Series("price", [9.5, 9.5])) == [{"value": 9.5, "count": 2}]


def test_values_are_counted_most_frequent_first() -> None:
    assert facet(TABLE["brand"])[0] == {"value": "HP", "count": 2}
    assert facet(pl.Series("x", [None, None], dtype=pl.String)) == []
    assert facet_columns(TABLE) == ["brand", "price"]


def test_order_keeps_equals_and_puts_what_has_no_value_last() -> None:
    rows = np.array([5, 2, 0, 1])
    assert ordered(TABLE, rows, "price").tolist() == [0, 1, 5, 2]
    assert ordered(TABLE, rows, "-price").tolist() == [5, 1, 0, 2]
    assert ordered(TABLE, rows, "-brand").tolist()[:2] == [2, 1]
    with pytest.raises(ConfigError, match="did you mean 'price'"):
        ordered(TABLE, rows, "prise")
    with pytest.raises(ConfigError, match="lists"):
        ordered(TABLE, rows, "tags")
