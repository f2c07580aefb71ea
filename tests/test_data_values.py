"""Values as shops write them, one kind after the other."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shops import Desk
from tuwen.bundle.reading import read_column
from tuwen.data.dialects import Dialect
from tuwen.data.schema import KEY_LIMIT, TABLES, TEXT_LIMIT
from tuwen.data.validate import FILE, ROW, check_keys, check_rows, emptied_note
from tuwen.data.values import identifiers, inferred, numbers, texts, times

NOON = datetime(2024, 2, 29, 12, 30, 15)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2024-02-29 12:30:15", NOON),
        ("2024-02-29T12:30:15", NOON),
        ("2024-02-29T12:30:15Z", NOON),
        ("2024-02-29T20:30:15+08:00", NOON),
        ("2024-02-29 20:30:15 +0800", NOON),
        ("2024-02-29 20:30:15+08", NOON),
        ("2024-02-29T07:00:15-05:30", NOON),
        ("2024-02-29 12:30:15.25", NOON + timedelta(milliseconds=250)),
        ("2024-02-29T12:30:15.123456Z", NOON + timedelta(microseconds=123456)),
        ("2024-02-29T12:30:15.123456789Z", NOON + timedelta(microseconds=123456)),
        ("2024-02-29 12:30", NOON.replace(second=0)),
        ("2024-02-29", datetime(2024, 2, 29)),
        ("2024/2/29", datetime(2024, 2, 29)),
        ("2024.02.29", datetime(2024, 2, 29)),
        ("2024年2月29日", datetime(2024, 2, 29)),
        ("2024年2月29日 12时30分15秒", NOON),
        ("20240229", datetime(2024, 2, 29)),
        ("1709209815", NOON),
        ("1709209815000", NOON),
        ("1709209815000000", NOON),
        ("1709209815.5", NOON + timedelta(milliseconds=500)),
        ("  2024-02-29 12:30:15  ", NOON),
    ],
)
def test_times_as_people_write_them(written: str, meant: datetime) -> None:
    values, reasons = times(pl.Series([written]))
    assert values.dtype == pl.Datetime("us")
    assert (values[0], reasons[0]) == (meant, None)


@pytest.mark.parametrize(
    "written", ["2023-02-29", "2024-13-01", "yesterday", "12:30", "30.02.2024", "2024-02-29 25:00:00", "2024-01-02-05"]
)
def test_what_is_no_date(written: str) -> None:
    values, reasons = times(pl.Series([written]))
    assert (values[0], reasons[0]) == (None, "not a date")


@pytest.mark.parametrize("written", ["0001-01-01", "2999-12-31", "1709209815000000000000"])
def test_dates_beyond_belief(written: str) -> None:
    assert times(pl.Series([written]))[1][0] in ("date out of range", "not a date")


@settings(max_examples=40)  # of eight tables each, which take 25 ms
@given(moment=st.datetimes(datetime(1971, 1, 1), datetime(2099, 12, 31)), hours=st.integers(-12, 14))
def test_the_same_moment_however_it_is_typed(moment: datetime, hours: int) -> None:
    there = moment.replace(tzinfo=UTC).astimezone(timezone(timedelta(hours=hours)))
    seconds = moment.replace(microsecond=0)
    epoch = int(seconds.replace(tzinfo=UTC).timestamp())
    assert times(pl.Series([moment]))[0][0] == moment
    assert times(pl.Series([moment], dtype=pl.Datetime("us", "UTC")))[0][0] == moment
    assert times(pl.Series([there.isoformat()]))[0][0] == moment
    assert times(pl.Series([moment.isoformat(" ")]))[0][0] == moment
    assert times(pl.Series([moment.date()]))[0][0] == datetime.combine(moment.date(), datetime.min.time())
    if epoch > 200_000_000:
        assert times(pl.Series([epoch]))[0][0] == seconds
        assert times(pl.Series([epoch * 1000]))[0][0] == seconds
        assert times(pl.Series([str(epoch)]))[0][0] == seconds


@pytest.mark.parametrize("written", ["", " ", "NULL", "\\N", "0000-00-00 00:00:00", None])
def test_no_date_at_all(written: str | None) -> None:
    values, reasons = times(pl.Series([written], dtype=pl.String))
    assert (values[0], reasons[0]) == (None, None)


def test_zoned_datetimes_become_utc() -> None:
    zoned = pl.Series([NOON]).dt.replace_time_zone("Asia/Shanghai")
    assert times(zoned)[0][0] == NOON - timedelta(hours=8)


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("4.5", None),
        (" 4 ", None),
        ("", None),
        ("N/A", None),
        ("NULL", None),
        ("five", "not a number"),
        ("4.5.1", "not a number"),
        ("NaN", "not a finite number"),
        ("inf", "not a finite number"),
        ("-Infinity", "not a finite number"),
        ("1e999", "not a finite number"),
        ("1e300", "number out of range"),
        ("5.01", "number out of range"),
        ("-1", "number out of range"),
    ],
)
def test_numbers(written: str, reason: str | None) -> None:
    values, reasons = numbers(pl.Series([written]), 0, 5)
    assert reasons[0] == reason
    assert values.dtype == pl.Float64
    assert values[0] == {"4.5": 4.5, " 4 ": 4.0}.get(written)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("￥12", 12.0),
        ("¥1,299.00", 1299.0),
        ("¥ 12.5元", 12.5),
        ("$12", 12.0),
        ("12 €", 12.0),
        ("12元", 12.0),
        ("CNY 12", 12.0),
        ("-¥12", -12.0),
        ("¥-12", -12.0),
        ("−3", -3.0),
        ("1,200.00", 1200.0),
        ("1,234,567", 1234567.0),
        ("１２．５", 12.5),
        ("１，２００", 1200.0),
        ("\u3000４\u3000", 4.0),
        ("4,5", 4.5),
        ("9,50", 9.5),
        ("0,5", 0.5),
        ("0,125", 0.125),
        ("1,2,3", None),
        ("1,234,5", None),
        ("1.234,56", 1234.56),
        ("1,23,456", 123456.0),
        ("12,3,456", None),
        ("-¥-12", None),
        ("12元起", None),
        ("5²", None),
        ("½", None),
        ("¥", None),
        (",", None),
    ],
)
def test_numbers_as_people_write_them(written: str, meant: float | None) -> None:
    values, reasons = numbers(pl.Series(["1", written]), -1e9, 1e9, dialect=Dialect(decimal="."))
    assert values.to_list() == [1.0, meant]
    assert reasons[1] == (None if meant is not None else "not a number")


@given(value=st.integers(0, 10**12), cents=st.integers(0, 99), sign=st.sampled_from(["", "-"]))
def test_a_price_is_the_same_in_every_spelling(value: int, cents: int, sign: str) -> None:
    wide = str.maketrans("0123456789,.-", "０１２３４５６７８９，．－")
    grouped, plain = f"{sign}{value:,}.{cents:02}", f"{sign}{value}.{cents:02}"
    spellings = [
        plain,
        grouped,
        f"{plain}元",
        f"￥{grouped}",
        f"$ {plain}",
        grouped.translate(wide),
        f"{sign}{value},{cents:02}",
    ]
    values, reasons = numbers(pl.Series(spellings), -1e13, 1e13)
    assert values.to_list() == [float(plain)] * len(spellings) and reasons.null_count() == len(spellings)


def test_numbers_of_other_types() -> None:
    assert numbers(pl.Series([True, False]), 0, 1)[0].to_list() == [1.0, 0.0]
    assert numbers(pl.Series([float("nan"), None, 2.0]), 0, 5)[1].to_list() == ["not a finite number", None, None]
    assert numbers(pl.Series([[1.0]]), 0, 5)[1].to_list() == ["not a number"]
    assert numbers(pl.Series([date(2024, 1, 1)]), 0, 5)[1].to_list() == ["not a number"]
    whole, reasons = numbers(pl.Series(["3", "3.5"]), 0, 5, whole=True)
    assert (whole.to_list(), reasons.to_list()) == ([3, None], [None, "not a whole number"])


@given(value=st.floats(allow_nan=False, allow_infinity=False), low=st.integers(-10, 0), high=st.integers(1, 10))
def test_a_number_is_kept_exactly_or_refused(value: float, low: int, high: int) -> None:
    values, reasons = numbers(pl.Series([repr(value)]), low, high)
    assert (reasons[0] is None) == (low <= value <= high)
    assert values[0] == (value if low <= value <= high else None)


def test_texts_and_keys() -> None:
    assert texts(pl.Series(["a", " ", "", None, " b "]))[0].to_list() == ["a", None, None, None, " b "]
    assert identifiers(pl.Series([" a ", "", "\t"]))[0].to_list() == ["a", None, None]
    assert identifiers(pl.Series([7.0, 7.5, None]))[0].to_list() == ["7", "7.5", None]
    assert identifiers(pl.Series([7, 12345678901234567]))[0].to_list() == ["7", "12345678901234567"]
    assert identifiers(pl.Series(["x" * (KEY_LIMIT + 1)]))[1].to_list() == ["key too long"]
    assert texts(pl.Series([["a"], None]))[1].to_list() == ["not a text", None]
    assert texts(pl.Series([b"a"]))[1].to_list() == ["not a text"]


def test_a_text_of_a_megabyte_is_cut() -> None:
    for long in ("x" * 1_000_000, "衫" * 1_000_000, "😀" * 300_000):
        assert texts(pl.Series([long]))[0][0] == long[:TEXT_LIMIT]
    assert texts(pl.Series(["衫" * (TEXT_LIMIT // 2)]))[0][0] == "衫" * (TEXT_LIMIT // 2)


def test_a_shop_s_own_columns_get_a_type_only_where_nothing_is_lost() -> None:
    for written, kind in [
        (["1", "-2", None], pl.Int64),
        (["1.5", "2", "-0.25"], pl.Float64),
        (["9.99", "12.50", "-3.00"], pl.Float64),
        (["1.5", "2", "3e4"], pl.String),
        (["1E5", "2E3"], pl.String),
        (["90.750", "90.75"], pl.String),
        (["90.750", "91.250"], pl.String),
        (["1.299", "999"], pl.String),
        (["1.299", "12.5"], pl.Float64),
        (["0.125", "0.500"], pl.Float64),
        (["12.0", "3.25", "4.5"], pl.Float64),
        (["12.5000", "3.0000"], pl.Float64),
        (["12.0", "3.250"], pl.String),
        (["-0.00", "1.00"], pl.String),
        (["1.10", "1.5"], pl.String),
        (["-0", "1"], pl.String),
        (["+1", "2"], pl.String),
        (["0.1234567890123456"], pl.String),
        (["1234567890123456.5"], pl.String),
        (["2024-01-01", "2024-02-29"], pl.Datetime("us")),
        (["007", "1"], pl.String),
        (["1", "x"], pl.String),
        (["2024-01-01", "soon"], pl.String),
        (["2023-02-29"], pl.String),
        ([None, None], pl.String),
        (["12345678901234567890"], pl.String),
    ]:
        assert inferred(pl.Series(written, dtype=pl.String)).dtype == kind, written


figures = st.from_regex(r"-?[0-9]{1,18}(\.[0-9]{1,17})?([eE]-?[0-9]{1,2})?", fullmatch=True)


@given(st.lists(figures, min_size=1, max_size=4))
def test_what_became_a_number_can_be_written_as_it_was(written: list[str]) -> None:
    read = inferred(pl.Series(written))
    forms = {
        pl.Int64: ["{}"],
        pl.Float64: ["{:.15g}", "{!r}", *(f"{{:.{n}f}}" for n in range(1, 18))],
        pl.String: ["{}"],
    }[read.dtype.base_type()]
    for text, value in zip(written, read, strict=True):
        back = {form.format(value) for form in forms}
        assert text in back, (text, value)
    assert read.n_unique() == len(set(written))


def frame(**columns: list[object]) -> pl.DataFrame:
    height = len(next(iter(columns.values())))
    return pl.DataFrame({**columns, FILE: ["f.csv"] * height, ROW: list(range(1, height + 1))}, strict=False)


def test_each_bad_row_is_rejected_once_with_all_it_held() -> None:
    rows = frame(
        review=["1", None, "3", "4", "5"],
        rating=["4.5", "x", "good", "1e9", None],
        colour=["red", "blue", "green", "grey", "black"],
    )
    checked = check_rows(rows, "reviews", TABLES["reviews"])
    assert checked.good["review"].to_list() == ["1", "5"] and not checked.emptied
    bad = pl.concat(checked.rejected).sort("row")
    assert bad.select("table", "file", "row", "column", "reason", "seen").rows() == [
        ("reviews", "f.csv", 2, "review", "missing key", None),
        ("reviews", "f.csv", 3, "rating", "not a number", "good"),
        ("reviews", "f.csv", 4, "rating", "number out of range", "1e9"),
    ]
    assert bad["record"][1] == '{"review":"3","rating":"good","colour":"green"}'


def test_what_a_row_can_do_without_is_emptied_and_told() -> None:
    rows = frame(
        user=["u", "u", "u", None],
        item=["1", "2", "3", "4"],
        time=["2024-01-01"] * 4,
        kind=["view"] * 4,
        quantity=["1", "many", "1e12", "few"],
        position=["3.5", "2", "1", "x"],
        session=["s", "s" * (KEY_LIMIT + 1), "s", "s"],
    )
    checked = check_rows(rows, "events", TABLES["events"])
    assert checked.good.select("item", "quantity", "position", "session").rows() == [
        ("1", 1.0, None, "s"),
        ("2", None, 2, None),
        ("3", None, 1, "s"),
    ]
    assert [bad["row"].to_list() for bad in checked.rejected] == [[4]]
    told = {cells.column: emptied_note("events", [cells, cells]) for cells in checked.emptied}
    assert told["quantity"] == (
        "events: 4 values of 'quantity' could not be used and are left empty (2 not a number, 2 number out of range); "
        "the first: f.csv, row 2, 'many'"
    )
    assert "2 not a whole number" in told["position"] and told["session"].endswith("sss…")
    assert len(told) == 3 and len(told["session"]) < 250


def test_a_time_that_names_an_event_rejects_it() -> None:
    rows = frame(user=["u"], item=["1"], time=["soon"], kind=["view"])
    checked = check_rows(rows, "events", TABLES["events"])
    assert checked.good.is_empty() and not checked.emptied and checked.rejected[0]["reason"].to_list() == ["not a date"]


def test_nan_in_a_column_of_the_shop_s_own_is_missing() -> None:
    rows = frame(item=["1", "2", "3"], weight=[1.0, float("nan"), float("inf")])
    assert check_rows(rows, "items", TABLES["items"]).good["weight"].to_list() == [1.0, None, None]


def test_the_first_row_of_a_key_stays() -> None:
    rows = frame(item=["1", "2", "1"], title=["a", "b", "c"])
    checked = check_keys(rows, "items", TABLES["items"])
    assert checked.good["title"].to_list() == ["a", "b"]
    assert checked.rejected[0].select("row", "column", "reason", "seen").rows() == [(3, "item", "duplicate key", "1")]


@given(
    st.lists(
        st.tuples(st.sampled_from(["1", "2", "", None]), st.sampled_from(["1", "x", "-1", "nan", None])), min_size=1
    )
)
def test_no_row_is_lost(rows: list[tuple[str | None, str | None]]) -> None:
    table = frame(item=[r[0] for r in rows], price=[r[1] for r in rows]).with_columns(
        pl.col("item", "price").cast(pl.String)
    )
    checked = check_rows(table, "items", TABLES["items"])
    unique = check_keys(checked.good, "items", TABLES["items"])
    seen = [*unique.good[ROW], *(row for bad in (*checked.rejected, *unique.rejected) for row in bad["row"])]
    assert sorted(seen) == list(range(1, len(rows) + 1))


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_true_is_no_number(form: str, tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    frame = pl.DataFrame({"item": ["a", "b", "c"], "price": [True, False, None], "new": [True, None, False]})
    frame.write_parquet(desk.shop / "items.parquet")
    desk.write("items.jsonl", "".join(json.dumps(row) + "\n" for row in frame.to_dicts()))
    manifest = desk.collect(items={"source": f"items.{form}"})
    assert desk.dataset().table("items")["price"].to_list() == [None] * 3
    assert desk.dataset().table("items")["new"].to_list() == [True, None, False]
    assert "2 values of 'price' could not be used and are left empty (2 not a number)" in manifest["warnings"][0]
    read, errors = read_column([True, 1.5, False], "items.price", "number")
    assert read.to_list() == [None, 1.5, None] and sorted(errors) == [0, 2]
