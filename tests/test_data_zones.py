"""Times of the shop's own clock beside times that name theirs."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shops import Desk, refused
from tuwen.data.zones import from_zone, is_local

ZONES = ["Asia/Shanghai", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC", "Pacific/Apia"]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@given(st.datetimes(datetime(1975, 1, 1), datetime(2037, 1, 1)), st.sampled_from(ZONES))
def test_local_times_are_what_python_makes_of_them(moment: datetime, zone: str) -> None:
    expected = moment.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC).replace(tzinfo=None)
    assert from_zone(pl.Series([moment], dtype=pl.Datetime("us")), zone)[0] == expected


@given(st.sampled_from(ZONES), st.integers(2000, 2030), st.integers(0, 366 * 48))
def test_every_half_hour_of_a_year_is_what_python_makes_of_it(zone: str, year: int, half: int) -> None:
    moment = datetime(year, 1, 1) + timedelta(minutes=30 * half)
    expected = moment.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC).replace(tzinfo=None)
    assert from_zone(pl.Series([moment], dtype=pl.Datetime("us")), zone)[0] == expected


@pytest.mark.parametrize(
    ("moment", "utc"), [("2024-03-31 02:30", "2024-03-31 01:30"), ("2024-10-27 02:30", "2024-10-27 00:30")]
)
def test_an_hour_that_never_was_and_one_that_came_twice(moment: str, utc: str) -> None:
    moments = from_zone(pl.Series([datetime.fromisoformat(moment)], dtype=pl.Datetime("us")), "Europe/Berlin")
    assert moments[0] == datetime.fromisoformat(utc)


@pytest.mark.parametrize(
    ("value", "local"),
    [
        ("2024-05-01 20:00:00", True),
        ("2024-05-01", True),
        ("2024-05-01T20:00", True),
        ("20240501", True),
        ("20240501200000", True),
        ("01.05.2024 20:00", True),
        ("45413.5", True),
        ("2024-05-01T20:00:00+08:00", False),
        ("2024-05-01 20:00:00-0500", False),
        ("2024-05-01 20:00:00.123456+08", False),
        ("2024-05-01T12:00:00Z", False),
        ("20240501T120000Z", False),
        ("2024-05-01 12:00:00 UTC", False),
        ("1714564800", False),
        ("1714564800.25", False),
        ("1714564800123", False),
        (1714564800, False),
        (20240501, True),
        (None, None),
        (date(2024, 5, 1), True),
        (datetime(2024, 5, 1, 20), True),
        (datetime(2024, 5, 1, 20, tzinfo=UTC), False),
    ],
)
def test_a_time_that_names_its_zone_is_told_from_one_that_does_not(value: Any, local: bool | None) -> None:
    assert is_local(pl.Series([value])).to_list() == [local]


def _collect(desk: Desk, times: list[Any], kind: str = "jsonl", **more: Any) -> dict[str, Any]:
    rows = [{"user": f"u{i}", "item": "1", "time": time, "kind": "buy"} for i, time in enumerate(times)]
    if kind == "jsonl":
        desk.write("events.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    else:
        table = pl.DataFrame(rows)
        {"csv": table.write_csv, "parquet": table.write_parquet}[kind](desk.shop / f"events.{kind}")
    return desk.collect(events={"source": f"events.{kind}", **more})


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_local_times_and_others_meet(desk: Desk, kind: str) -> None:
    given_times = ["2024-07-01 09:00:00", "2024-07-01T09:00:00+02:00", "2024-07-01T07:00:00Z", "2024-01-01 09:00"]
    manifest = _collect(desk, given_times, kind, timezone="Europe/Berlin")
    assert manifest["warnings"] == []
    summer, winter = datetime(2024, 7, 1, 7), datetime(2024, 1, 1, 8)
    assert desk.dataset().table("events")["time"].to_list() == [summer, summer, summer, winter]


def test_without_a_zone_a_mixture_is_told_and_taken_as_utc(desk: Desk) -> None:
    manifest = _collect(desk, ["2024-07-01 09:00:00", "2024-07-01T09:00:00+02:00"])
    (warning,) = manifest["warnings"]
    assert "1 times name no time zone, as '2024-07-01 09:00:00', and 1 do" in warning and "timezone:" in warning
    assert desk.dataset().table("events")["time"].to_list() == [datetime(2024, 7, 1, 9), datetime(2024, 7, 1, 7)]
    assert _collect(desk, ["2024-07-01 09:00:00"])["warnings"] == []
    assert _collect(desk, ["2024-07-01T09:00:00Z", "1719824400"])["warnings"] == []


def test_moments_of_parquet_go_by_the_zone_of_the_shop_too(desk: Desk) -> None:
    _collect(desk, [datetime(2024, 7, 1, 9), datetime(2024, 7, 1, 9) + timedelta(hours=1)], "parquet", timezone="UTC")
    assert desk.dataset().table("events")["time"].dt.hour().to_list() == [9, 10]
    _collect(desk, [datetime(2024, 7, 1, 9)], "parquet", timezone="Asia/Tokyo")
    assert desk.dataset().table("events")["time"].dt.hour().to_list() == [0]


def test_a_zone_that_does_not_exist_is_refused(desk: Desk) -> None:
    with pytest.raises(ValueError, match="Asia/Shanghai"):
        _collect(desk, ["2024-07-01"], timezone="Peking")


def test_a_row_without_a_time_is_rejected_as_ever(desk: Desk) -> None:
    manifest = _collect(desk, ["2024-07-01 09:00", "soon", None], timezone="Asia/Tokyo")
    assert manifest["tables"]["events"]["reasons"] == {"missing key": 1, "not a date": 1}
    with refused("no row of events is good"):
        _collect(desk, ["soon"], timezone="Asia/Tokyo")


@pytest.mark.parametrize(
    ("zone", "written", "hour"),
    [
        ("Asia/Kolkata", "2024-07-01 14:30 IST", 9),
        ("Europe/Dublin", "2024-07-01 10:00 ist", 9),
        ("Asia/Jerusalem", "Mon, 1 Jan 2024 11:00:00 IST", 9),
        ("Europe/Berlin", "1. Juli 2024 11:00 CEST (Berlin)", 9),
        ("Europe/Berlin", "2024-07-01 10:00 CET", 9),
    ],
)
def test_the_word_of_the_shops_own_clock_is_read(desk: Desk, zone: str, written: str, hour: int) -> None:
    desk.write("events.csv", f'user;item;time;kind\nu;1;"{written}";view\n')
    manifest = desk.collect(events={"source": "events.csv", "timezone": zone})
    assert manifest["warnings"] == [] and desk.dataset().table("events")["time"][0].hour == hour


def test_a_word_for_several_clocks_is_refused_and_names_the_key(desk: Desk) -> None:
    desk.write("events.csv", "user,item,time,kind\nu,1,2024-07-01 14:30 IST,view\nu,2,2024-07-01 14:30,view\n")
    (note,) = desk.collect(events={"source": "events.csv"})["warnings"]
    assert "as in 2024-07-01 14:30 IST" in note and "{timezone: Asia/Kolkata}" in note
    assert desk.dataset().rejected()["reason"][0].endswith("IST is that of India, Israel or Ireland")
    desk.write("events.csv", "user,item,time,kind\nu,1,2024-07-01 14:30 CST,view\n")
    with refused("no row of events is good") as caught:
        desk.collect(events={"source": "events.csv", "timezone": "Europe/Berlin"})
    assert "timezone: Asia/Kolkata" in str(caught[0].todo) and "America, China or Cuba" in str(caught[0].seen)
    desk.write("reviews.csv", "item,rating,time\n1,4,2024-07-01 14:30 PST\n")
    warnings = desk.collect(reviews={"source": "reviews.csv"})["warnings"]
    assert any("{timezone: Asia/Kolkata}" in warning for warning in warnings)


def test_a_date_of_zeros_says_so_where_a_row_needs_a_date(desk: Desk) -> None:
    rows = "u,1,0000-00-00 00:00:00,view\nu,2,2024-07-01,view\nu,3,,view\n"
    desk.write("events.csv", "user,item,time,kind\n" + rows)
    reasons = desk.collect(events={"source": "events.csv"})["tables"]["events"]["reasons"]
    assert reasons == {"no date, zeros only": 1, "missing key": 1}
    desk.write("reviews.csv", "item,rating,time\n1,4,0000-00-00\n")
    manifest = desk.collect(reviews={"source": "reviews.csv"})
    assert manifest["warnings"] == [] and desk.dataset().table("reviews")["time"].to_list() == [None]
