"""Numbers and dates as shops write them: read by the evidence of their column, by a key, or not at all."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shops import Desk, refused
from tuwen.amounts import MULTIPLIER, PERCENT, TWO_MEANINGS, marks
from tuwen.data.dates import NAMED_ZONE, SHORT_YEAR, TWO_ORDERS
from tuwen.data.dialects import Dialect, Evidence
from tuwen.data.values import numbers, times


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def number(text: str, **dialect: Any) -> tuple[float | None, str | None]:
    values, reasons = numbers(pl.Series([text]), -1e12, 1e12, dialect=Dialect(**dialect))
    return values[0], reasons[0]


def moment(text: str | float, **dialect: Any) -> tuple[datetime | None, str | None]:
    values, reasons = times(pl.Series([text]), Dialect(**dialect))
    return values[0], reasons[0]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("USD 15.00", 15.0),
        ("15.00 CHF", 15.0),
        ("15 kr", 15.0),
        ("15 kr.", 15.0),
        ("Rs.15", 15.0),
        ("Rs 15", 15.0),
        ("₹1,29,900.50", 129900.5),
        ("zł 12,50", 12.5),
        ("12,50 Kč", 12.5),
        ("R$ 1.299,90", 1299.9),
        ("₩15000원", 15000.0),
        ("CHF 1'299.00", 1299.0),
        ("CHF 1’299.-", 1299.0),
        ("12,-", 12.0),
        ("12,-- €", 12.0),
        ("1 299 kr", 1299.0),
        ("1\u202f299,00 €", 1299.0),
        ("1\u00a0299,00\u00a0€", 1299.0),
        ("1\u2009299.5", 1299.5),
        ("1.234.567", 1234567.0),
        ("(12.50)", -12.5),
        ("($12.50)", -12.5),
        ("12.50-", -12.5),
        ("-€ 3", -3.0),
        ("€ -3", -3.0),
        ("$.50", 0.5),
        ("NT$15", 15.0),
        ("15.00 eur", 15.0),
        ("EUR15", 15.0),
        ("٣٫٥", 3.5),
        ("१५", 15.0),
        ("12345.678", 12345.678),
        ("12345,678", 12345.678),
        ("0,125", 0.125),
        ("Rs 750/-", 750.0),
        ("24,500/-", 24500.0),
        ("KSh 2,000/=", 2000.0),
        ("Rs. 3,25,000/-", 325000.0),
        ("1.299,-", 1299.0),
        ("2.5 lakh", 250000.0),
        ("Rs 7 lacs", 700000.0),
        ("₹1.1 Crore", 11000000.0),
        ("1.1万", 11000.0),
        ("3,4萬元", 34000.0),
        ("￥２．２亿", 220000000.0),
        ("5千円", 5000.0),
        ("-8 만 원", -80000.0),
        ("1.1k", 1100.0),
        ("$2.5K", 2500.0),
        ("3 тыс. руб.", 3000.0),
        ("1,5 Mio. €", 1500000.0),
        ("7€90", 7.9),
        ("1.299€50", 1299.5),
        ("1 299€05", 1299.05),
    ],
)
def test_amounts_that_mean_one_thing(text: str, value: float) -> None:
    for decimal in (None, ".", ",", "mixed"):
        assert number(text, decimal=decimal) == (value, None)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("12%", PERCENT),
        *((t, MULTIPLIER) for t in ("7M", "$2.5m", "€ 4 bn", "9 Cr", "6L", "3 T", "5 mil")),
        ("12,5 %", PERCENT),
        *(
            (t, "not a number")
            for t in (
                "12 kg",
                "12-15",
                "1 2 3",
                "ab. 12",
                "12 ABC",
                "1万5",
                "万",
                "2 dozen",
                "18 kk",
                "12/3",
                "1.23.4",
                "1'2",
                "1 29 900",
                "(12",
                "12)",
                "--3",
                "€",
                "12€5",
            )
        ),
    ],
)
def test_what_is_no_amount(text: str, reason: str) -> None:
    assert number(text) == (None, reason)


@pytest.mark.parametrize("sign", ["", "-", "€ ", "EUR "])
def test_amounts_of_two_meanings_go_by_their_column(sign: str) -> None:
    minus = -1 if sign == "-" else 1
    for text, point, comma in (("1.299", 1.299, 1299.0), ("12,345", 12345.0, 12.345)):
        text = sign + text
        assert number(text) == (None, TWO_MEANINGS)
        assert number(text, decimal=".") == (minus * point, None)
        assert number(text, decimal=",") == (minus * comma, None)
        assert number(text, decimal="mixed") == (None, TWO_MEANINGS)


FIFTH, HALF_PAST_TWO = datetime(2024, 3, 5), datetime(2024, 3, 5, 14, 30)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("05.03.2024", FIFTH),
        ("5.3.2024", FIFTH),
        ("5. März 2024", FIFTH),
        ("5 March 2024", FIFTH),
        ("March 5, 2024", FIFTH),
        ("Mar. 5, 2024", FIFTH),
        ("05-Mar-2024", FIFTH),
        ("5 mars 2024", FIFTH),
        ("5 de marzo de 2024", FIFTH),
        ("05.03.24", FIFTH),
        ("1er mars 2024", datetime(2024, 3, 1)),
        ("mardi 5 mars 2024", FIFTH),
        ("mar. 5 mars 2024", FIFTH),
        ("Mar 5 2024", FIFTH),
        ("martes 5 de marzo de 2024", FIFTH),
        ("terça-feira, 5 de março de 2024", FIFTH),
        ("dinsdag 5 maart 2024", FIFTH),
        ("tisdag 5 mars 2024 14:30", HALF_PAST_TWO),
        ("wtorek, 5 marca 2024", FIFTH),
        ("вторник, 5 марта 2024 г.", FIFTH),
        ("вт 5 марта 2024 г. 14:30", HALF_PAST_TWO),
        ("Di 5.3.2024", FIFTH),
        ("2024-03-05 Tue 14:30", HALF_PAST_TWO),
        ("5 mars 2024, mardi", FIFTH),
        ("31/12/2024", datetime(2024, 12, 31)),
        ("12/31/2024", datetime(2024, 12, 31)),
        ("05/05/2024", datetime(2024, 5, 5)),
        ("５．３．２０２４", FIFTH),
        ("5.3.2024, 14:30 Uhr", HALF_PAST_TWO),
        ("31.12.69", datetime(1969, 12, 31)),
        ("2024年3月5日 下午2点30分", HALF_PAST_TWO),
        ("2024年3月5日 星期二 下午2:30", HALF_PAST_TWO),
        ("2024-03-05 2:30 PM", HALF_PAST_TWO),
        ("2024年3月5日 上午12点", FIFTH),
        ("Mar 5 2024 12:00 a.m.", FIFTH),
        ("5 mars 2024 14h30", HALF_PAST_TWO),
        ("20240305T143000Z", HALF_PAST_TWO),
        ("20240305143000", HALF_PAST_TWO),
        ("202403051430", HALF_PAST_TWO),
        ("Tue, 05 Mar 2024 15:30:00 +0100", HALF_PAST_TWO),
        ("Tue Mar 05 2024 15:30:00 GMT+0100 (Central European Standard Time)", HALF_PAST_TWO),
        ("2024-03-05T15:30:00+01:00[Europe/Berlin]", HALF_PAST_TWO),
        ("45356", FIFTH),
        ("45356.5", datetime(2024, 3, 5, 12)),
        ("45356,5", datetime(2024, 3, 5, 12)),
    ],
)
def test_dates_that_mean_one_thing(text: str, value: datetime) -> None:
    for order in (None, "day-first"):
        assert moment(text, dates=order, short=order) == (value, None)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("05/03/2024", TWO_ORDERS),
        ("5-3-2024 14:30", TWO_ORDERS),
        ("31/12/24", SHORT_YEAR),
        ("24/12/31", SHORT_YEAR),
        ("2024-03-05 14:30 CET", NAMED_ZONE),
        ("2024-03-05 14:30 Europe/Berlin", NAMED_ZONE),
        ("5 Mar 2024 3:00 MESZ", NAMED_ZONE),
        ("5 Mar 2024 3:00 EST", f"{NAMED_ZONE}: EST is that of America or Australia"),
        ("2024-03-05 14:30 bst", f"{NAMED_ZONE}: BST is that of Britain or Bangladesh"),
        *(
            (t, "not a date")
            for t in (
                "31.04.2024",
                "32/01/2024",
                "13/13/2024",
                "05/03-2024",
                "2024",
                "202403",
                "14:30",
                "5 Brumaire 2024",
                "2024-W10-2",
                "12/31/2024 13:30 PM",
                "2024-03-05 24:00",
                "0",
                "86400",
                "99999",
                "week 3, 2024",
            )
        ),
    ],
)
def test_what_is_no_date(text: str, reason: str) -> None:
    assert moment(text) == (None, reason)


@pytest.mark.parametrize(
    "text",
    ["0000-00-00", "0000-00-00T00:00:00", "0000-00-00 00:00:00.000", "00/00/0000", "0.0.0000", "00000000000000"],
)
def test_a_date_of_zeros_is_none(text: str) -> None:
    assert moment(text) == (None, None)


def test_no_number_is_a_moment_of_1970() -> None:
    for size in range(-8, 20):
        for value in (10.0**size, 2.7 * 10.0**size, 0.0):
            read, _ = moment(value)
            assert read is None or (read.year, read.month) >= (1973, 1), value
    assert moment(45352.0) == (datetime(2024, 3, 1), None)
    assert moment(45353.5) == (datetime(2024, 3, 2, 12), None)


def evidence(kind: Any, values: list[str]) -> Evidence:
    counts = Evidence("c", kind)
    counts.add(pl.Series(values))
    return counts


@pytest.mark.parametrize(
    ("values", "order"),
    [
        (["05/03/2024", "31/12/2024"], "day-first"),
        (["05/03/2024", "12/31/2024"], "month-first"),
        (["05/03/2024", "04/03/2024"], None),
        (["31/12/2024", "12/31/2024"], None),
        (["31/12/2024"] * 40 + ["12/31/2024"], "day-first"),
        (["31.12.2024", "05/03/2024"], "day-first"),
    ],
)
def test_the_order_of_days_and_months(values: list[str], order: str | None) -> None:
    assert evidence("time", values).dialect().dates == order


@pytest.mark.parametrize(
    ("values", "order"),
    [
        (["31/12/24", "05/03/24"], "day-first"),
        (["12/31/24", "03/05/24"], "month-first"),
        (["24/03/01", "24/03/02"], None),
        (["23/03/01", "24/04/01"], None),
        (["31/12/24"], None),
        (["05/03/24", "04/03/24"], None),
        (["31/12/2024", "05/03/24"], "day-first"),
    ],
)
def test_the_order_where_years_have_two_digits(values: list[str], order: str | None) -> None:
    assert evidence("time", values).dialect().short == order


@pytest.mark.parametrize(
    ("values", "decimal"),
    [
        (["1.299,00", "999,00", "1.299", "12,50"], ","),
        (["1,299.00", "1,299"], "."),
        (["1.299", "999"], None),
        (["-1.299", "$ 2,499"], None),
        (["1,299", "2,499"], None),
        (["12.50", "12,50", "1.299"], "mixed"),
        (["12.50"] * 30 + ["12,50"], "."),
        (["1.234.567"], ","),
        (["0.125"], "."),
        (["7€90", "1.299"], None),
        (["1.299€50"], ","),
        (["1.299,-"], ","),
        (["12,500/-"], "."),
    ],
)
def test_the_mark_of_decimals(values: list[str], decimal: str | None) -> None:
    assert evidence("number", values).dialect().decimal == decimal


@given(st.from_regex(r"\A-?[0-9]{1,6}[.,][0-9]{1,5}\Z"))
def test_plain_numbers_prove_what_the_parser_says(value: str) -> None:
    counts = evidence("number", [value]).marks
    mark = marks(pl.Series([value]))["mark"][0]
    assert {name: n for name, n in counts.items() if n} == ({} if mark is None else {mark: 1})


@settings(max_examples=50)
@given(data=st.data(), kind=st.sampled_from(["number", "time"]))
def test_evidence_knows_neither_order_nor_batches(data: st.DataObject, kind: str) -> None:
    texts = ["1.299", "12,50", "9.5", "1,299", "€ 3", "3 USD", "x", None, "05/03/2024", "31/12/2024", "1/2/24", "45352"]
    values = data.draw(st.lists(st.sampled_from(texts), min_size=1, max_size=12))
    cut = data.draw(st.integers(0, len(values)))
    shuffled = data.draw(st.permutations(values))
    whole, parts = Evidence("c", kind), Evidence("c", kind)  # type: ignore[arg-type]
    whole.add(pl.Series(values, dtype=pl.String))
    for some in (shuffled[:cut], shuffled[cut:]):
        more = Evidence("c", kind)  # type: ignore[arg-type]
        more.add(pl.Series(some, dtype=pl.String))
        parts.merge(more)
    assert whole == parts and whole.dialect() == parts.dialect()


def as_german(value: float) -> str:
    return f"{value:,.2f}".translate(str.maketrans(",.", ".,"))


WRITERS = {
    "german": lambda v: as_german(v),
    "german code": lambda v: f"EUR {as_german(v)}",
    "american": lambda v: f"${v:,.2f}",
    "swiss": lambda v: f"CHF {v:,.2f}".replace(",", "’"),
    "french": lambda v: f"{v:,.2f} €".replace(",", "\u202f").replace(".", ","),
    "plain": lambda v: f"{v:.2f}",
    "whole": lambda v: as_german(v).removesuffix(",00"),
}


@settings(max_examples=40)
@given(
    values=st.lists(st.integers(0, 10**8).map(lambda cents: cents / 100), min_size=1, max_size=8),
    writer=st.sampled_from(sorted(WRITERS)),
)
def test_prices_in_any_dialect_are_the_same_prices(values: list[float], writer: str) -> None:
    texts = [WRITERS[writer](v) for v in [*values, 12.5]]  # 12.50 is what proves the dialect
    dialect = evidence("number", texts).dialect()
    read, reasons = numbers(pl.Series(texts), 0, 1e12, dialect=dialect)
    assert read.to_list() == [*values, 12.5] and reasons.null_count() == len(texts)


FORMS = [
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d.%m.%Y",
    "%d-%m-%Y %H:%M",
    "%m/%d/%Y %I:%M %p",
    "%Y-%m-%d",
    "%B %d, %Y",
    "%d %b %Y",
    "%d/%m/%y",
    "%m/%d/%y",
]


@settings(max_examples=60)
@given(
    days=st.lists(st.datetimes(datetime(2010, 1, 1), datetime(2029, 12, 31)), min_size=1, max_size=8),
    form=st.sampled_from(FORMS),
)
def test_dates_in_any_dialect_are_the_same_dates(days: list[datetime], form: str) -> None:
    days = [
        day.replace(second=0, microsecond=0) if "%M" in form else datetime(day.year, day.month, day.day) for day in days
    ]
    days += [datetime(2024, 1, day, 12 if "%M" in form else 0) for day in range(1, 32)]  # what proves the dialect
    texts = [day.strftime(form) for day in days]
    dialect = evidence("time", texts).dialect()
    read, reasons = times(pl.Series(texts), dialect)
    assert read.to_list() == days and reasons.null_count() == len(texts)


def write_events(desk: Desk, form: str, dates: list[Any]) -> dict[str, Any]:
    rows = [{"user": f"u{i}", "item": "1", "time": date, "kind": "view"} for i, date in enumerate(dates)]
    name = f"events.{form}"
    if form == "csv":
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, ["user", "item", "time", "kind"])
        writer.writeheader()
        writer.writerows(rows)
        desk.write(name, buffer.getvalue())
    elif form == "jsonl":
        desk.write(name, "".join(json.dumps(row) + "\n" for row in rows))
    elif form == "parquet":
        pl.DataFrame(rows).write_parquet(desk.shop / name)
    else:
        with sqlite3.connect(desk.shop / "shop.db") as connection:
            connection.execute("CREATE TABLE events (user, item, time, kind)")
            connection.executemany("INSERT INTO events VALUES (:user, :item, :time, :kind)", rows)
        connection.close()
        return {"source": "sqlite:///shop.db", "query": "SELECT * FROM events"}
    return {"source": name}


DOORS = ["csv", "jsonl", "parquet", "sql"]


@pytest.mark.parametrize("form", DOORS)
def test_every_door_reads_dates_by_their_column(form: str, desk: Desk) -> None:
    source = write_events(desk, form, ["05/03/2024", "06/03/2024 10:00", "31/12/2024"])
    assert desk.collect(events=source)["warnings"] == []
    days = [datetime(2024, 3, 5), datetime(2024, 3, 6, 10), datetime(2024, 12, 31)]
    assert desk.dataset().table("events")["time"].to_list() == days


@pytest.mark.parametrize("form", DOORS)
def test_every_door_refuses_what_its_column_leaves_open_and_takes_the_key(form: str, desk: Desk) -> None:
    source = write_events(desk, form, ["05/03/2024", "06/03/2024", "2024-03-07"])
    manifest = desk.collect(events=source)
    assert manifest["tables"]["events"]["reasons"] == {TWO_ORDERS: 2}
    assert manifest["warnings"] == [
        "events: 'time' can be read with the day or the month first, and nothing in it tells which; dates as "
        "'05/03/2024' are left out; say dates: day-first or dates: month-first in SHOP.yaml"
    ]
    for order, month in (("day-first", 3), ("month-first", 5)):
        manifest = desk.collect(events={**source, "dates": order})
        assert manifest["warnings"] == [] and desk.dataset().table("events")["time"][0].month == month


def test_years_of_two_digits_name_the_key_and_take_it(desk: Desk) -> None:
    source = write_events(desk, "csv", ["05/03/24", "06/03/24", "07.03.24"])
    manifest = desk.collect(events=source)
    assert manifest["tables"]["events"]["reasons"] == {SHORT_YEAR: 2}
    assert "dates as '05/03/24' are left out; say dates: day-first" in manifest["warnings"][0]
    assert desk.collect(events={**source, "dates": "day-first"})["warnings"] == []
    assert [day.month for day in desk.dataset().table("events")["time"]] == [3, 3, 3]
    desk.collect(events={**source, "dates": "month-first"})
    assert [day.month for day in desk.dataset().table("events")["time"]] == [5, 6, 7]


@pytest.mark.parametrize("form", DOORS)
def test_every_door_reads_days_since_1900_and_says_so(form: str, desk: Desk) -> None:
    for days in ([45352, 45353], [45352.0, 45353.5], ["45352", "45353.5"]):
        (desk.shop / "shop.db").unlink(missing_ok=True)
        manifest = desk.collect(events=write_events(desk, form, days))
        assert desk.dataset().table("events")["time"][0] == datetime(2024, 3, 1)
        assert "days since 1900, as spreadsheets count them; 45352 is 2024-03-01" in manifest["warnings"][0]


def test_all_dates_of_two_meanings_name_the_key(desk: Desk) -> None:
    source = write_events(desk, "csv", ["05/03/2024", "06/03/2024"])
    with refused("no row of events is good") as caught:
        desk.collect(events=source)
    assert str(caught[0].todo).startswith("say dates: day-first or dates: month-first in SHOP.yaml")


def test_a_file_that_proves_nothing_goes_by_its_neighbours(desk: Desk) -> None:
    desk.write("e-1.csv", "user,item,time,kind\nu,1,05/03/2024,view\n")
    desk.write("e-2.csv", "user,item,time,kind\nu,1,31/12/2024,view\n")
    desk.write("e-3.csv", "user,item,time,kind\nu,1,06/03/2024,view\n")
    assert desk.collect(events={"source": "e-*.csv"})["warnings"] == []
    assert [day.month for day in desk.dataset().table("events")["time"]] == [3, 12, 3]
    desk.write("e-4.csv", "user,item,time,kind\nu,1,12/30/2024,view\n")
    desk.collect(events={"source": "e-*.csv"})
    assert [day.month for day in desk.dataset().table("events")["time"]] == [12, 12]  # the files contradict each other


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_prices_of_two_meanings(form: str, desk: Desk) -> None:
    def collected(prices: list[str], **more: Any) -> tuple[list[float | None], str]:
        rows = [{"item": str(i), "price": price} for i, price in enumerate(prices)]
        if form == "parquet":
            pl.DataFrame(rows).write_parquet(desk.shop / "items.parquet")
        elif form == "jsonl":
            desk.write("items.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
        else:
            desk.write("items.csv", "item;price\n" + "".join(f"{row['item']};{row['price']}\n" for row in rows))
        manifest = desk.collect(items={"source": f"items.{form}", **more})
        return desk.dataset().table("items")["price"].to_list(), " ".join(manifest["warnings"])

    assert collected(["1.299,00", "999,00", "1.299", "12,50"]) == ([1299.0, 999.0, 1299.0, 12.5], "")
    read, warnings = collected(["1.299", "999"])
    assert read == [None, 999.0]
    assert "numbers as '1.299' are left out; say decimal: '.' or decimal: ',' in SHOP.yaml" in warnings
    assert collected(["1.299", "999"], decimal=",") == ([1299.0, 999.0], "")
    assert collected(["1.299", "999"], decimal=".") == ([1.299, 999.0], "")
    read, warnings = collected(["1.299", "12.50", "12,50"])
    assert read == [None, 12.5, 12.5] and "a point for decimals in some rows and a comma in others" in warnings


def test_other_columns_and_tables_tell_thousands(desk: Desk) -> None:
    def prices(rows: str, header: str = "item;price;size", **more: Any) -> tuple[list[float | None], str]:
        desk.write("items.csv", f"{header}\n{rows}")
        manifest = desk.collect(items={"source": "items.csv"}, **more)
        return desk.dataset().table("items")["price"].to_list(), " ".join(manifest["warnings"])

    read, warnings = prices("1;3.450;0,75\n2;699;1,25\n")
    assert read == [3450.0, 699.0] and "'3.450' is read as 3,450, since 'size' has '0,75'" in warnings
    assert prices("1;3.450;0.75\n2;699;1.25\n")[0] == [None, 699.0]  # programs write points in every country
    assert prices('1;"3,450";0.75\n2;699;1.25\n')[0] == [3450.0, 699.0]
    assert prices('1;"3,450";0.75\n2;6.990;1.25\n')[0] == [None, None]
    assert prices("1;3.450;\n2;699;XL\n")[0] == [None, 699.0]
    desk.write("events.csv", "user;item;time;kind;value\nu;1;2024-03-01;buy;17,90\n")
    more = {"events": {"source": "events.csv"}}
    read, warnings = prices("1;3.450;\n2;699;XL\n", **more)
    assert read == [3450.0, 699.0] and "since 'events.value' has '17,90'" in warnings
    desk.write("events.csv", "user;item;time;kind;value\nu;1;2024-03-01;buy;17.90\n")
    assert prices("1;3.450;\n2;699;XL\n", **more)[0] == [None, 699.0]  # the items are read anew
    assert prices("1;3.450;0,75\n2;699;1.5\n")[0] == [None, 699.0]  # both marks are in use


def test_a_range_tells_what_a_rating_means(desk: Desk) -> None:
    desk.write("reviews.csv", "item,rating\n1,4.125\n2,3.875\n")
    source = {"reviews": {"source": "reviews.csv"}}
    assert desk.collect(**source, rating_range=[1, 5])["warnings"] == []
    assert desk.dataset().table("reviews")["rating"].to_list() == [4.125, 3.875]


EITHER = ["1.299", "05/03/2024", "2,499", "06/07/2024"]
CLEAR = ["12,50", "31/12/2024", "9.50", "12/31/2024", "2024-03-01", "€ 3", "45352", "x", ""]


@settings(max_examples=8)
@given(
    cells=st.lists(st.sampled_from([*EITHER, *CLEAR]), min_size=1, max_size=8),
    data=st.data(),
    size=st.integers(1, 4),
    form=st.sampled_from(["csv", "jsonl", "parquet"]),
)
def test_what_is_read_knows_neither_order_nor_batches(
    cells: list[str], data: st.DataObject, size: int, form: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rows = [{"review": str(i), "time": cell, "rating": cell} for i, cell in enumerate(cells)]
    shop = Desk(tmp_path_factory.mktemp("law"))
    tables = []
    for order, batch in ((rows, 65_536), (data.draw(st.permutations(rows)), size)):
        with pytest.MonkeyPatch.context() as patch:
            for module in ("jsonlines", "delimited", "parquet"):
                patch.setattr(f"tuwen.data.{module}.BATCH_ROWS", batch)
            lines = ["review;time;rating", "0 ;;1", *(";".join(row.values()) for row in order)]
            shop.write("r.csv", "\n".join(lines))
            shop.write("r.jsonl", "".join(json.dumps(row) + "\n" for row in [{"review": "0 ", "rating": "1"}, *order]))
            pl.DataFrame([{"review": "0 ", "time": "", "rating": "1"}, *order]).write_parquet(shop.shop / "r.parquet")
            manifest = shop.collect(reviews={"source": f"r.{form}"})
            rejected = shop.dataset().rejected().select("reason", "seen", "column").sort("reason", "seen", "column")
            tables.append((shop.dataset().table("reviews").sort("review").to_dicts(), rejected.to_dicts()))
            tables[-1][1].append({"about": len(manifest["warnings"])})
    assert tables[0] == tables[1]


def test_prices_in_several_currencies_are_told(desk: Desk) -> None:
    desk.write("items.csv", "item,price\n1,€ 12\n2,12 EUR\n3,12 Euro\n")
    assert desk.collect(items={"source": "items.csv"})["warnings"] == []
    desk.write("items.csv", "item,price\n1,$ 12\n2,USD 12\n3,12 US$\n4,¥12\n5,12元\n")
    warnings = desk.collect(items={"source": "items.csv"})["warnings"]
    assert warnings == ["items: 'price' is in several currencies (CNY, USD), which are read as one"]
    desk.write("items.csv", "item,price\n1,$ 12\n2,€12\n")
    assert "in several currencies ($, EUR)" in desk.collect(items={"source": "items.csv"})["warnings"][0]
    desk.write("items.csv", "item,price\n1,€ 12\n2,12 USD\n3,12\n")
    warnings = desk.collect(items={"source": "items.csv"})["warnings"]
    assert warnings == ["items: 'price' is in several currencies (EUR, USD), which are read as one"]
