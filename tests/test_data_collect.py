"""Collect as a whole: four tables from a shop's own files, and a second run does only what is new."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from shops import Desk, jpeg, png, refused
from tuwen.config import Shop
from tuwen.data.collect import collect
from tuwen.data.dataset import Dataset
from tuwen.data.store import content_key
from tuwen.errors import DataError

ITEMS = {"source": "items.csv"}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def a_shop(desk: Desk) -> dict[str, Any]:
    """Four tables in four formats and four encodings, names of their own, pictures as paths."""
    desk.write(
        "items.csv",
        "sku;名称;价格;图1;图2\n1;蓝色衬衫;9,5;a.png;b.png\n2;连衣裙;10;b.png;\n3;书包;;;\n;帽子;1;a.png;\n",
        "gbk",
    )
    desk.write("users.csv", "user,city\nu1,北京\nu2,Berlin\n", "utf-8-sig")
    lines = [{"id": i, "u": "u1", "sku": 2, "when": "2024-01-02", "stars": 4, "text": "很好"} for i in (1, 2)]
    desk.write("reviews.jsonl", "\n".join(json.dumps(line) for line in lines))
    events = {"user": ["u1", "u3"], "item": ["1", "9"], "time": [datetime(2024, 1, 1)] * 2, "kind": ["view"] * 2}
    pl.DataFrame(events).write_parquet(desk.shop / "events.parquet")
    desk.write("photos/a.png", png("red"))
    desk.write("photos/b.png", png("blue"))
    return {
        "items": {
            "source": "items.csv",
            "columns": {"item": "sku", "title": "名称", "price": "价格", "images": ["图1", "图2"]},
        },
        "users": {"source": "users.csv"},
        "reviews": {
            "source": "reviews.jsonl",
            "columns": {"review": "id", "user": "u", "item": "sku", "time": "when", "rating": "stars"},
        },
        "events": {"source": "events.parquet"},
        "media": {"root": "photos"},
    }


def test_a_whole_shop(desk: Desk) -> None:
    manifest = desk.collect(**a_shop(desk))
    dataset = desk.dataset()
    assert dataset.manifest == manifest
    items = dataset.table("items")
    assert items.columns == ["item", "title", "price", "images"]
    assert items["item"].to_list() == ["1", "2", "3"]
    assert items["price"].to_list() == [9.5, 10.0, None]
    assert [len(keys) for keys in items["images"]] == [2, 1, 0]
    assert dataset.rejected().select("file", "row", "column", "reason", "seen").rows() == [
        ("items.csv", 4, "item", "missing key", None)
    ]
    assert dataset.table("users")["city"].to_list() == ["北京", "Berlin"]
    reviews = dataset.table("reviews")
    assert reviews["time"].to_list() == [datetime(2024, 1, 2)] * 2
    assert reviews.schema["rating"] == pl.Float64 and reviews["item"].to_list() == ["2", "2"]
    key = items["images"][0][0]
    assert dataset.media.read(key)[:2] == b"\xff\xd8" and key == content_key(dataset.media.read(key))
    assert manifest["tables"]["items"]["languages"] == {"zh": 3}
    assert manifest["tables"]["items"]["without_picture"] == 0.333333
    assert manifest["tables"]["reviews"]["without_text"] == 0.0
    assert manifest["tables"]["items"]["reasons"] == {"missing key": 1}
    assert manifest["rejected"]["rows"] == 1
    assert "events: 1 rows speak of an unknown user" in manifest["warnings"]
    assert "events: 1 rows speak of an unknown item" in manifest["warnings"]
    assert any("items.csv: read as gb18030, which is a guess" in warning for warning in manifest["warnings"])
    assert not list(desk.out.glob(".*.half")) and not (desk.out / ".placing").exists()


def test_the_same_input_gives_the_same_hash_and_other_input_another(desk: Desk, tmp_path: Path) -> None:
    shop = a_shop(desk)
    first = desk.collect(**shop)
    second = collect(desk.describe(**shop), tmp_path / "other")
    assert first["hash"] == second["hash"] == Dataset.open(tmp_path / "other").hash
    desk.write("photos/b.png", png("green"))
    third = collect(desk.describe(**shop), tmp_path / "third")
    assert third["hash"] != first["hash"]


def test_a_second_run_does_only_what_is_new(desk: Desk) -> None:
    shop = a_shop(desk)
    first = desk.collect(**shop)
    assert first["pictures"]["read_now"] == 2 and not any(t["reused"] for t in first["tables"].values())
    again = desk.collect(**shop)
    assert again["pictures"]["read_now"] == 0 and all(t["reused"] for t in again["tables"].values())
    assert again["hash"] == first["hash"]
    for key in ("rows", "read", "rejected", "reasons", "languages", "sha256"):
        assert again["tables"]["items"][key] == first["tables"]["items"][key]
    assert again["warnings"] == first["warnings"] and again["rejected"] == first["rejected"]

    desk.write("photos/b.png", png("green"))  # a changed picture under an unchanged table
    changed = desk.collect(**shop)
    assert changed["pictures"]["read_now"] == 1 and changed["tables"]["items"]["reused"]
    assert changed["hash"] != first["hash"]

    desk.write("users.csv", "user,city\nu1,北京\nu3,Paris\n")
    changed = desk.collect(**shop)
    assert {n: t["reused"] for n, t in changed["tables"].items()} == {
        "items": True,
        "users": False,
        "reviews": True,
        "events": True,
    }
    assert changed["pictures"]["read_now"] == 0

    shop["media"] = {"root": "photos", "max_side": 16}  # other limits: every picture anew
    smaller = desk.collect(**shop)
    assert smaller["pictures"]["read_now"] == 2
    dataset = desk.dataset()
    assert dataset.media.size(dataset.table("items")["images"][0][0]) == (16, 11)


def test_a_lost_picture_store_or_table_is_made_anew(desk: Desk) -> None:
    table = pl.DataFrame({"item": ["1", "2"], "image": [jpeg(1), jpeg(2)]})
    table.write_parquet(desk.shop / "items.parquet")
    shop = {"items": {"source": "items.parquet", "columns": {"images": "image"}}}
    first = desk.collect(**shop)
    shutil.rmtree(desk.out / "media")
    again = desk.collect(**shop)
    assert again["hash"] == first["hash"] and again["pictures"]["read_now"] == 2
    (desk.out / "items.parquet").write_bytes(b"damaged")
    with pytest.raises(DataError, match="not the one the manifest speaks of"):
        desk.dataset().table("items")
    third = desk.collect(**shop)
    assert third["hash"] == first["hash"] and third["pictures"]["read_now"] == 0
    assert desk.dataset().table("items").height == 2


def test_sql_and_jsonl_and_patterns(desk: Desk) -> None:
    with sqlite3.connect(desk.shop / "shop.db") as connection:
        connection.execute("CREATE TABLE goods (sku INTEGER, name TEXT, photo BLOB)")
        connection.executemany("INSERT INTO goods VALUES (?, ?, ?)", [(i, "书", jpeg(i)) for i in range(3)])
    connection.close()
    for day in (1, 2):
        desk.write(f"log/day-{day}.csv", f"user,item,time,kind\nu,{day},2024-01-0{day} 10:00:00,view\n")
    desk.write("log/day-3.csv", "")
    manifest = desk.collect(
        items={
            "source": "sqlite:///shop.db",
            "query": "SELECT * FROM goods",
            "columns": {"item": "sku", "title": "name", "images": "photo"},
        },
        events={"source": "log/day-*.csv"},
    )
    assert manifest["pictures"]["stored"] == 3
    assert desk.dataset().table("events")["item"].to_list() == ["1", "2"]
    assert "log/day-3.csv: the file is empty" in manifest["warnings"]
    again = desk.collect(
        items={
            "source": "sqlite:///shop.db",
            "query": "SELECT * FROM goods",
            "columns": {"item": "sku", "title": "name", "images": "photo"},
        },
        events={"source": "log/day-*.csv"},
    )
    assert again["hash"] == manifest["hash"] and again["pictures"]["read_now"] == 0
    assert not again["tables"]["items"]["reused"] and again["tables"]["events"]["reused"]


def test_only_events_can_be_summed(desk: Desk) -> None:
    with refused("only events can be summed"):
        desk.collect(items={**ITEMS, "duplicates": "sum"})


def test_progress_counts_rows_and_pictures(desk: Desk) -> None:
    class Counting:
        def __init__(self) -> None:
            self.done: dict[str, int] = {}

        @contextmanager
        def task(self, name: str, total: int | None = None) -> Iterator[Any]:
            counting = self

            class Task:
                def advance(self, n: int = 1) -> None:
                    counting.done[name] = counting.done.get(name, 0) + n

            yield Task()

    progress = Counting()
    desk.collect(progress, **a_shop(desk))
    assert progress.done == {
        "read users.csv": 2,
        "read events.parquet": 2,
        "read reviews.jsonl": 2,
        "read items.csv": 4,
        "read pictures": 2,
    }


REAL = Path(__file__).parents[2] / "shared" / "data"


@pytest.mark.realdata
@pytest.mark.skipif(not REAL.is_dir(), reason="../shared/data is not here")
def test_real_shops_lose_nothing(tmp_path: Path) -> None:
    for name, rows in {"gift-cards": {"items": 475, "reviews": 2972}, "flipkart": {"items": 1050}}.items():
        shop = Shop.read(Path(__file__).parents[1] / "runs" / "shops" / f"{name}.yaml")
        manifest = collect(shop, tmp_path / name)
        assert {table: about["rows"] for table, about in manifest["tables"].items()} == rows
        assert manifest["rejected"]["rows"] == 0 and manifest["pictures"]["quarantined"] == {}
