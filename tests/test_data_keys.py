"""Keys: guards for spreadsheets, words for nothing, and the same key written in two ways."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shops import Desk
from tuwen.data.joins import join_keys
from tuwen.data.keys import plain_keys

KEYS = st.from_regex(r"[A-Za-z0-9_\-.]{1,8}", fullmatch=True).filter(lambda key: plain_keys(pl.Series([key]))[0] == key)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def _write(desk: Desk, kind: str, name: str, rows: list[dict[str, Any]]) -> str:
    table = pl.DataFrame(rows)
    path = desk.shop / f"{name}.{kind}"
    {"csv": table.write_csv, "jsonl": table.write_ndjson, "parquet": table.write_parquet}[kind](path)
    return path.name


@given(KEYS, st.sampled_from(['="{}"', '= "{}"', "\t{}", "{}\u200b", "\ufeff{}", " {}\u00a0", "\x1f{}\x00"]))
def test_a_guarded_key_is_the_key(key: str, guard: str) -> None:
    assert plain_keys(pl.Series([guard.format(key)])).to_list() == [key]


@given(st.lists(st.text(max_size=12), max_size=5))
def test_plain_keys_stay_as_they_are(texts: list[str]) -> None:
    plain = plain_keys(pl.Series(texts, dtype=pl.String))
    once = [key for key in plain.to_list() if key is not None and not key.startswith(("=", "'"))]
    assert plain_keys(pl.Series(once, dtype=pl.String)).to_list() == once


@pytest.mark.parametrize("key", ["'00123", "'=1+1", "'-7", "'+49", "'@me"])
def test_an_apostrophe_guards_what_a_spreadsheet_would_change(key: str) -> None:
    assert plain_keys(pl.Series([key])).to_list() == [key[1:]]


@pytest.mark.parametrize("key", ["O'Neil", "'tis", "nano", "NAB", "na", "n", "0", "no-name", "无印"])
def test_a_key_that_resembles_nothing_is_one(key: str) -> None:
    assert plain_keys(pl.Series([key])).to_list() == [key]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("word", ["undefined", "Null", "NaN", "#N/A", "<NA>", "NA", "(null)", "\\N", "--", "无"])
def test_a_word_for_nothing_is_no_shopper(desk: Desk, kind: str, word: str) -> None:
    rows = [{"user": user, "item": "1", "time": "2024-03-04", "kind": "click"} for user in ("U1", word)]
    manifest = desk.collect(events={"source": _write(desk, kind, "events", rows)})
    assert desk.dataset().table("events")["user"].to_list() == ["U1"]
    assert manifest["tables"]["events"]["reasons"] == {"missing key": 1}
    assert desk.dataset().rejected()["seen"].to_list() == [word]


def _shop(desk: Desk, kind: str, items: list[str], events: list[str], **more: Any) -> dict[str, Any]:
    rows = [{"user": "u", "item": item, "time": f"2024-01-{d:02}", "kind": "buy"} for d, item in enumerate(events, 1)]
    names = [_write(desk, kind, "items", [{"item": item} for item in items]), _write(desk, kind, "events", rows)]
    return desk.collect(items={"source": names[0]}, events={"source": names[1], **more})


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_keys_written_in_another_way_find_their_items(desk: Desk, kind: str) -> None:
    items = ["2001", "00777", "abc-1", "K 9", "Ｗ５"]
    manifest = _shop(desk, kind, items, ["2001.0", "777", "ABC-1", "k9", "W5", "2001"])
    assert desk.dataset().table("events")["item"].to_list() == [*items, "2001"]
    (warning,) = manifest["warnings"]
    assert warning.startswith("events: 5 rows write the item in another way than items does ('2001.0' / '2001')")


def test_a_key_that_fits_two_items_is_of_neither(desk: Desk) -> None:
    manifest = _shop(desk, "csv", ["0042", "042", "7"], ["42", "7.0"])
    assert desk.dataset().table("events")["item"].to_list() == ["42", "7"]
    assert any("speak of an unknown item" in warning for warning in manifest["warnings"])


def test_a_few_that_resemble_an_item_among_many_unknown_are_told_and_not_joined(desk: Desk) -> None:
    manifest = _shop(desk, "csv", ["aB3x", "q"], ["ab3X", "zzz", "yyy", "q"])
    assert desk.dataset().table("events")["item"].to_list() == ["ab3X", "zzz", "yyy", "q"]
    assert "'ab3X' / 'aB3x'" in manifest["warnings"][0] and "1 of 3 unknown keys" in manifest["warnings"][0]


def test_when_no_event_joins_the_warning_says_so_and_shows_both(desk: Desk) -> None:
    manifest = _shop(desk, "csv", ["SKU-1"], ["77", "78"])
    assert manifest["warnings"] == [
        "events: all 2 rows speak of an unknown item: '77' is none of items, which begin with 'SKU-1'"
    ]


def test_events_that_share_a_key_once_joined_are_one_or_rejected(desk: Desk) -> None:
    rows = [{"user": "u", "item": item, "time": "2024-01-01", "kind": "buy"} for item in ("5", "5.0")]
    desk.write("items.csv", "item\n5\n")
    desk.write("events.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    source = {"source": "events.jsonl"}
    manifest = desk.collect(items={"source": "items.csv"}, events=source)
    assert manifest["tables"]["events"]["reasons"] == {"duplicate key": 1}
    manifest = desk.collect(items={"source": "items.csv"}, events={**source, "duplicates": "sum"})
    assert desk.dataset().table("events")["quantity"].to_list() == [2.0]
    assert manifest["tables"]["events"]["merged"] == 1


def test_collecting_again_joins_anew(desk: Desk) -> None:
    _shop(desk, "csv", ["5"], ["5.0", "05"])
    assert desk.dataset().table("events")["item"].to_list() == ["5", "5"]
    _shop(desk, "csv", ["5.0", "05"], ["5.0", "05"])
    assert desk.dataset().table("events")["item"].to_list() == ["5.0", "05"]


@given(st.sets(KEYS, min_size=1, max_size=6), st.sets(KEYS, min_size=1, max_size=6))
def test_a_join_changes_no_key_that_is_there_and_makes_no_new_one(items: set[str], used: set[str]) -> None:
    listed = pl.Series(sorted(items))
    before = pl.DataFrame({"item": sorted(used)})
    after = join_keys("events", "item", before, listed).frame
    for was, now in zip(before["item"], after["item"], strict=True):
        assert now == was if was in items else now in {*items, was}
