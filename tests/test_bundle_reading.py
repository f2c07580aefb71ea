"""Reading what people write: as collect reads it, each value by itself, and every cell that cannot be read named."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuwen.bundle.reading import KINDS, read_column, read_rows
from tuwen.data.dialects import Dialect
from tuwen.data.schema import TABLES
from tuwen.data.values import typed
from tuwen.errors import DataError

WRITTEN = ["￥12", "1,299.00", "abc", "N/A", "", " ", "-5", "2025年1月2日", "1735776000", "nan", "1e400", "007", "7.0"]
WRITTEN += [
    "05/03/2024",
    "31/12/2024",
    "31/12/24",
    "1.299",
    "€ 3,50",
    "45352",
    "5 Mar 2024",
    "2024年3月5日 下午2点",
    "12%",
]
VALUES = st.one_of(
    st.sampled_from(WRITTEN),
    st.text(max_size=5),
    st.none() | st.booleans() | st.integers() | st.floats(),
    st.datetimes(timezones=st.none() | st.just(dt.UTC)) | st.dates() | st.decimals() | st.binary(max_size=3),
    st.lists(st.one_of(st.none(), st.text(max_size=3), st.integers(), st.lists(st.text(max_size=1))), max_size=3),
    st.just({"a": 1}) | st.sampled_from([np.float32(1.5), np.int64(7), np.datetime64("2025-01-02"), np.nan]),
)
COLUMNS = ["items.price", "reviews.time", "items.category", "reviews.user", "users.own"]


def test_what_can_be_read_in_two_ways_goes_by_its_column_or_is_refused() -> None:
    inputs = [{"column": c, "kind": k, "modality": "m"} for c, k in (("items.price", "number"), ("items.day", "date"))]
    rows = [{"price": "1.299", "day": "05/03/2024"}]
    dialect = Dialect(decimal=",", dates="day-first")
    told = read_rows(rows, inputs, {}, dialects={"items.price": dialect, "items.day": dialect})
    assert told.columns["m"]["items.price"][0] == 1299.0 and not told.unreadable
    assert told.columns["m"]["items.day"][0] == dt.datetime(2024, 3, 5)
    price, day = read_rows(rows, inputs, {}).unreadable
    assert price.error.what == "the number can have a point or a comma for decimals"
    assert day.error.what == "the date can have the day or the month first"
    assert day.error.allowed == "2025-06-14, 14.06.2025"
    for value in ("1,299", "€ 1.299", "-2,345"):
        read, errors = read_column([value], "items.price", "number")
        assert read[0] is None and errors[0].what == "the number can have a point or a comma for decimals"
    assert read_column(["1.299", "1.2990", "1,299.00", "0,125", "1299"], "x.y", "number")[0].to_list() == [
        None,
        1.299,
        1299,
        0.125,
        1299,
    ]
    read, errors = read_column(["7 M", "2 lakh"], "items.price", "number")
    assert read[1] == 2e5 and errors[0].what == "what stands behind the number has several meanings"
    read, errors = read_column(["2024-03-05 10:00 IST"], "reviews.time", "date")
    assert errors[0].what == "the date has a time zone by name: IST is that of India, Israel or Ireland"
    for value, what in (("12%", "the value is a percentage"), ("31/12/24", None)):
        read, errors = read_column([value], "items.price", "number")
        assert read[0] is None and (what is None or errors[0].what == what)


@settings(max_examples=200)
@given(st.lists(VALUES, max_size=5), st.sampled_from(COLUMNS), st.sampled_from([k for k in KINDS if k != "image"]))
def test_any_value_is_read_by_itself_or_refused(values: list[Any], column: str, kind: str) -> None:
    read, errors = read_column(values, column, kind)
    assert len(read) == len(values)
    assert all(read[i] is None and error.seen for i, error in errors.items())
    for i, value in enumerate(values):
        alone, alone_errors = read_column([value], column, kind)
        one, beside = alone.to_list()[0], read.to_list()[i]
        assert beside == (one.split("|") if isinstance(beside, list) and isinstance(one, str) else one)
        assert (i in errors) == bool(alone_errors)


@pytest.mark.parametrize(
    ("column", "kind"), [("items.price", "number"), ("reviews.time", "date"), ("items.brand", "text")]
)
@given(texts=st.lists(st.sampled_from(WRITTEN) | st.text(alphabet="0123456789.,-￥年月日: T", max_size=12), max_size=6))
def test_texts_are_read_as_collect_reads_them(column: str, kind: str, texts: list[str]) -> None:
    table, _, name = column.partition(".")
    told, reasons = typed(pl.Series(texts, dtype=pl.String), TABLES[table].columns[name])
    read, errors = read_column(texts, column, kind)
    assert read.to_list() == told.to_list()
    assert sorted(errors) == reasons.is_not_null().arg_true().to_list()


def test_a_column_of_the_shops_own_is_read_as_what_the_bundle_takes_it_for() -> None:
    cells = ["￥12", 12, 12.0, Decimal("12.0"), np.float32(12), "12元", True]
    assert read_column(cells, "users.own", "number")[0].to_list() == [12.0] * 6 + [1.0]
    day = dt.datetime(2025, 1, 2)
    dates = [day, day.date(), day.replace(tzinfo=dt.UTC), "2025年1月2日", 1735776000, "1735776000", np.datetime64(day)]
    assert read_column(dates, "users.own", "date")[0].to_list() == [day] * 7
    born = read_column([dt.date(1850, 1, 1)], "users.born", "date")  # collect keeps such a date too
    assert born[0].to_list() == [dt.datetime(1850, 1, 1)] and not born[1]
    assert read_column([7, True, "007"], "users.own", "category")[0].to_list() == ["7", "true", "007"]


def test_a_text_is_split_where_a_list_stands_beside_it() -> None:
    cells = ["a;b", ["a", "b"], None]
    assert read_column(cells, "items.tags", "list", ";")[0].to_list() == [["a", "b"], ["a", "b"], None]
    assert read_column(cells[:1], "items.tags", "list", ";")[0].to_list() == ["a;b"]  # the modality splits it


def test_one_column_may_be_read_as_two_things() -> None:
    inputs = [
        {"column": "users.own", "kind": "text", "modality": "words"},
        {"column": "users.own", "kind": "number", "modality": "who"},
    ]
    question = read_rows([{"own": "￥12"}, {"own": "dear"}], inputs, {})
    assert question.columns["words"]["users.own"].to_list() == ["￥12", "dear"]
    assert question.columns["who"]["users.own"].to_list() == [12.0, None]
    assert [(bad.row, bad.column) for bad in question.unreadable] == [(1, "users.own")]
    assert question.unreadable[0].error.where == "row 2, 'users.own'"


@pytest.mark.parametrize("row", [{5: "x"}, {"": "x"}, {"own.": 1}])
def test_a_name_that_is_none_is_refused(row: dict[Any, Any]) -> None:
    with pytest.raises(DataError, match="reads no column"):
        read_rows([row], [{"column": "users.own", "kind": "text", "modality": "m"}], {})
