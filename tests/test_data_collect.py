"""Collect as a whole: bad input is named, good data is kept, and a second run does only what is new."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from shops import Desk, jpeg, png
from tuwen.config import Shop
from tuwen.data import download
from tuwen.data.collect import collect
from tuwen.data.dataset import Dataset
from tuwen.data.store import content_key
from tuwen.errors import ConfigError, DataError, TuwenError
from web import Web

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


def test_pictures_as_bytes_paths_and_lists(desk: Desk) -> None:
    for i in (1, 2, 3):
        desk.write(f"{i}.jpg", jpeg(i))
    table = pl.DataFrame(
        {
            "item": ["1", "2", "3", "4"],
            "photo": [jpeg(1), None, b"", jpeg(2)],
            "more": ["2.jpg|3.jpg", '["1.jpg"]', None, f"file://{desk.shop}/2.jpg;{desk.shop}/3.jpg"],
            "list": [["1.jpg", "1.jpg"], [], None, ["sub\\..\\3.jpg"]],
        }
    )
    table.write_parquet(desk.shop / "items.parquet")
    (desk.shop / "sub").mkdir()
    manifest = desk.collect(items={"source": "items.parquet", "columns": {"images": ["photo", "more", "list"]}})
    images = desk.dataset().table("items")["images"].to_list()
    assert [len(row) for row in images] == [3, 1, 0, 2]
    assert images[1][0] == images[0][0] and images[3] == images[0][1:]
    assert manifest["pictures"]["stored"] == 3
    assert manifest["pictures"]["references"] - manifest["pictures"]["duplicates"] == 3
    assert manifest["tables"]["items"]["without_picture"] == 0.25


def test_pictures_outside_the_folder_are_not_read_unless_allowed(desk: Desk, tmp_path: Path) -> None:
    outside = tmp_path / "elsewhere.jpg"
    outside.write_bytes(jpeg(1))
    desk.write("link.jpg", b"")
    (desk.shop / "link.jpg").unlink()
    (desk.shop / "link.jpg").symlink_to(outside)
    places = [str(outside), f"file://{outside}", "../../" * 9 + str(outside), "link.jpg"]
    pl.DataFrame({"item": ["1", "2", "3", "4"], "photo": places}).write_parquet(desk.shop / "items.parquet")
    source = {"source": "items.parquet", "columns": {"images": "photo"}}
    manifest = desk.collect(items=source)
    assert manifest["pictures"]["stored"] == 0
    assert manifest["pictures"]["quarantined"] == {"outside the picture folder": 4}
    manifest = desk.collect(items=source, media={"allow_outside_root": True})
    assert manifest["pictures"]["stored"] == 1


def test_bad_pictures_are_quarantined_with_reason_and_place_and_their_rows_stay(desk: Desk) -> None:
    bad = {
        "half.jpg": (jpeg(1, 60)[:900], "truncated picture"),
        "page.jpg": (b"<!DOCTYPE html><html></html>", "a web page, not a picture"),
        "one.png": (png("red", (1, 1)), "too small"),
        "wide.png": (png("red", (3000, 3)), "too narrow"),
        "empty.jpg": (b"", "empty file"),
        "large.jpg": (b"\xff\xd8\xff" + bytes(200_000), "too many bytes"),
        "bomb.png": (png("red", (3000, 3000)), "too many pixels"),
        "notes.txt": (b"hello", "not a picture"),
        "none.jpg": (None, "no such file"),
        "folder": (None, "not a file"),
    }
    for name, (data, _) in bad.items():
        if data is not None:
            desk.write(name, data)
    (desk.shop / "folder").mkdir()
    os.mkfifo(desk.shop / "pipe.jpg")
    bad["pipe.jpg"] = (None, "not a file")
    bad["x" * 5000] = (None, "the file cannot be read")
    bad["a\0b.jpg"] = (None, "the file cannot be read")
    desk.write("good.jpg", jpeg(5))
    rows = [{"item": str(i), "images": [name, "good.jpg"]} for i, name in enumerate(bad, 1)]
    desk.write("items.jsonl", "\n".join(json.dumps(row) for row in rows))
    shop = {"items": {"source": "items.jsonl"}, "media": {"max_bytes": 100_000, "max_pixels": 1_000_000}}
    manifest = desk.collect(**shop)
    dataset = desk.dataset()
    assert dataset.table("items")["images"].list.len().to_list() == [1] * len(bad)
    found = {row["reference"]: (row["reason"], row["place"]) for row in dataset.media.quarantine().to_dicts()}
    assert found == {name: (why, f"items.jsonl, row {i}") for i, (name, (_, why)) in enumerate(bad.items(), 1)}
    assert pl.read_parquet(desk.out / "quarantine.parquet").equals(dataset.media.quarantine())
    assert sum(manifest["pictures"]["quarantined"].values()) == len(bad)
    again = desk.collect(**shop)
    assert again["pictures"]["read_now"] == 0
    assert again["pictures"]["quarantined"] == manifest["pictures"]["quarantined"]
    assert desk.dataset().media.quarantine().equals(dataset.media.quarantine())


def test_pictures_from_the_web(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "BACK_OFF", 0.01)
    files = {f"/{i}.jpg": jpeg(i) for i in range(8)} | {"/page.jpg": b"<html><body>gone</body></html>"}
    with Web(files) as web:
        urls = [f"{web.url}/{i}.jpg" for i in range(8)]
        urls += [f"{web.url}{path}" for path in ("/page.jpg", "/missing.jpg", "/loop", "/drip", "/busy/1.jpg")]
        desk.write("items.csv", "item,images\n" + "".join(f"{i},{url}\n" for i, url in enumerate(urls)))
        media = {"allow_private_addresses": True, "deadline": 0.5, "timeout": 0.3}
        manifest = desk.collect(items=ITEMS, media=media)
        assert manifest["pictures"]["stored"] == 8 and manifest["pictures"]["duplicates"] == 1
        assert manifest["pictures"]["quarantined"] == {
            "HTTP 404": 1,
            "a web page, not a picture": 1,
            "took too long": 1,
            "too many redirects": 1,
        }
        assert [len(keys) for keys in desk.dataset().table("items")["images"]] == [1] * 8 + [0] * 4 + [1]
        web.asked.clear()
        web.files["/missing.jpg"] = jpeg(99)
        again = desk.collect(items=ITEMS, media=media)
        assert again["pictures"]["stored"] == 9 and again["tables"]["items"]["reused"]
        assert set(web.asked) == {"/missing.jpg", "/loop", "/drip"}  # what failed, and nothing that was had


def test_private_addresses_are_refused_by_default(desk: Desk) -> None:
    with Web({"/a.jpg": jpeg(1)}) as web:
        desk.write("items.csv", f"item,images\n1,{web.url}/a.jpg\n")
        manifest = desk.collect(items=ITEMS)
        assert manifest["pictures"]["quarantined"] == {"address not allowed": 1} and not web.asked


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


def test_ratings_out_of_range_and_absurd_numbers(desk: Desk) -> None:
    stars = ["5", "1", "5.5", "0", "NaN", "inf", "-inf", "1e300", "five", ""]
    desk.write("reviews.csv", "rating,text\n" + "".join(f"{s},t{i}\n" for i, s in enumerate(stars)))
    manifest = desk.collect(reviews={"source": "reviews.csv"}, rating_range=[1, 5])
    assert desk.dataset().table("reviews")["rating"].to_list() == [5.0, 1.0, None]
    assert manifest["tables"]["reviews"]["reasons"] == {
        "not a finite number": 3,
        "not a number": 1,
        "number out of range": 3,
    }
    wide = desk.collect(reviews={"source": "reviews.csv"})
    assert wide["tables"]["reviews"]["rows"] == 5


def test_an_optional_value_that_cannot_be_read_empties_its_cell_and_keeps_the_row(desk: Desk) -> None:
    desk.write("more.csv", "item,title,price\n7,帽子,12元起\n8,鞋,$3\n")
    lines = ["1,a,￥12", '2,b,"¥1,299.00"', "3,c,free", "4,d,-1", "5,e,NaN", "6,f,12元", ",g,dear"]
    desk.write("items.csv", "item,title,price\n" + "\n".join(lines) + "\n")
    desk.write("reviews.csv", "item,time,rating\n1,soon,4\n1,2024-01-01,four\n1,2024-01-01,４\n")
    shop = {"items": {"source": "[im]*.csv"}, "reviews": {"source": "reviews.csv"}}
    manifest = desk.collect(**shop)
    items = desk.dataset().table("items")
    assert items["item"].to_list() == ["1", "2", "3", "4", "5", "6", "7", "8"]
    assert items["price"].to_list() == [12.0, 1299.0, None, None, None, 12.0, None, 3.0]
    assert desk.dataset().table("reviews").select("time", "rating").rows() == [
        (None, 4.0),
        (datetime(2024, 1, 1), 4.0),
    ]
    assert desk.dataset().rejected().select("file", "row", "column", "seen").rows() == [
        ("items.csv", 7, "item", None),
        ("reviews.csv", 2, "rating", "four"),
    ]
    assert (
        "items: 4 values of 'price' could not be used and are left empty (2 not a number, 1 number out of range, "
        "1 not a finite number); the first: items.csv, row 3, 'free'"
    ) in manifest["warnings"]
    assert "reviews: 1 values of 'time'" in "".join(manifest["warnings"])
    assert desk.collect(**shop)["warnings"] == manifest["warnings"]  # also where the table is not read again


def test_a_root_folder_that_is_not_there_is_named_before_anything_is_read(desk: Desk) -> None:
    desk.write("items.csv", "item,images\n1,a.png\n")
    desk.write("photos/a.png", png("red"))
    for media_root, what, todo in (
        ("fotos", "there is no folder 'media.root'", "did you mean 'photos'?"),
        ("items.csv", "'media.root' is not a folder", "give the folder that holds the files"),
    ):
        text = f"name: s\nitems:\n  source: items.csv\nmedia:\n  max_side: 64\n  root: {media_root}\n"
        path = desk.write("SHOP.yaml", text)
        with refused(what) as caught:
            collect(Shop.read(path), desk.out)
        assert isinstance(caught[0], DataError) and not desk.out.exists()
        assert (caught[0].where, caught[0].todo) == (f"{path}:6", todo)
    path = desk.write("SHOP.yaml", "name: s\nroot: shp\nitems:\n  source: items.csv\n")
    with refused("there is no folder 'root'") as caught:
        collect(Shop.read(path), desk.out)
    assert caught[0].where == f"{path}:2" and caught[0].seen == str(desk.shop / "shp")


def test_a_mapping_to_nearly_a_known_name_is_noted_and_others_are_not(desk: Desk) -> None:
    for part in ("a", "b"):
        desk.write(f"{part}.csv", f"id,comment,note,sort\n{part},很好,x,y\n")
    columns = {"review": "id", "txt": "comment", "remark": "note"}
    manifest = desk.collect(reviews={"source": "?.csv", "columns": columns, "constants": {"tittle": "z"}, "keep": []})
    assert desk.dataset().table("reviews").columns == ["review", "txt", "remark", "tittle"]
    assert manifest["warnings"] == [
        "reviews: 'txt' is kept as a column of the shop's own; did you mean 'text'?",
        "reviews: 'tittle' is kept as a column of the shop's own; did you mean 'title'?",
    ]
    columns = {"review": "id", "txt": "comment", "text": "note"}  # text is there: txt is meant
    assert desk.collect(reviews={"source": "?.csv", "columns": columns, "keep": []})["warnings"] == []


def test_utf8_said_of_a_gbk_file_says_what_to_say_instead(desk: Desk) -> None:
    advice = "leave 'encoding' out of SHOP.yaml, or say gb18030"
    source = {"source": "items.csv", "encoding": "utf-8"}
    lines = [f"{i},蓝色衬衫和红色的连衣裙" for i in range(5)]
    desk.write("items.csv", "\n".join(["item,title", *lines]) + "\n", "gbk")
    with refused("no row of items is good") as caught:
        desk.collect(items=source)
    assert caught[0].todo is not None and caught[0].todo.startswith(f"{advice}; look at items.csv, row 1: ")
    desk.write("items.csv", "\n".join(["item,标题", *lines]) + "\n", "gbk")
    with refused("the header is not in utf-8") as caught:
        desk.collect(items=source)
    assert caught[0].todo == advice
    desk.write("items.csv", "\n".join(["item,title", *lines, "9,plain"]) + "\n", "gbk")
    warnings = desk.collect(items=source)["warnings"]
    assert warnings == [f"items.csv: 5 lines are not in utf-8, as SHOP.yaml has it; {advice}"]
    mixed = "\n".join(["item,title", *lines, ""]).encode() + "9,红色连衣裙\n".encode("gbk")
    desk.write("items.csv", mixed)  # it is UTF-8, but for one line: the setting is right
    assert desk.collect(items=source)["warnings"] == []


def test_duplicate_keys(desk: Desk) -> None:
    desk.write("items.csv", "item,title\n1,a\n2,b\n1,c\n 1 ,d\n")
    manifest = desk.collect(items=ITEMS)
    assert desk.dataset().table("items")["title"].to_list() == ["a", "b"]
    assert manifest["tables"]["items"]["reasons"] == {"duplicate key": 2}
    assert desk.dataset().rejected()["row"].to_list() == [3, 4]


def test_reviews_without_an_id_keep_even_what_stands_twice(desk: Desk) -> None:
    desk.write("reviews.csv", "text,label\n很好,1\n很好,1\n不好,0\n")
    desk.collect(reviews={"source": "reviews.csv"})
    ids = desk.dataset().table("reviews")["review"].to_list()
    assert len(set(ids)) == 3 and ids[1] == ids[0] + "-2"
    desk.write("reviews.csv", "label,text,new\n1,很好,x\n0,不好,y\n")
    desk.collect(reviews={"source": "reviews.csv"})
    assert desk.dataset().table("reviews")["review"].to_list() == [ids[0], ids[2]]


def test_events_need_all_keys_and_may_be_summed(desk: Desk) -> None:
    lines = ["u,1,2024-01-01,2.5", "u,1,2024-01-01,", "u,2,2024-01-01,1", ",1,2024-01-01,1", "u,1,soon,1"]
    desk.write("events.csv", "user,item,time,value\n" + "\n".join(lines) + "\n")
    source = {"source": "events.csv", "constants": {"kind": "purchase"}}
    manifest = desk.collect(events=source)
    assert manifest["tables"]["events"]["reasons"] == {"duplicate key": 1, "missing key": 1, "not a date": 1}
    manifest = desk.collect(events={**source, "duplicates": "sum"})
    events = desk.dataset().table("events")
    assert events.select("item", "quantity", "value").rows() == [("1", 2.0, 2.5), ("2", 1.0, 1.0)]
    assert events["kind"].to_list() == ["purchase"] * 2
    about = manifest["tables"]["events"]
    assert (about["rows"], about["rejected"], about["merged"], about["read"]) == (2, 2, 1, 5)


def test_a_text_of_a_megabyte_and_emoji_only(desk: Desk) -> None:
    desk.write("items.csv", f"item,title\n1,{'很' * 400_000}\n2,😀😀😀\n3,\n")
    manifest = desk.collect(items=ITEMS)
    titles = desk.dataset().table("items")["title"].to_list()
    assert titles == ["很" * 100_000, "😀😀😀", None]
    assert manifest["tables"]["items"]["languages"] == {"zh": 1, "none": 2}
    assert "items: 1 texts were longer than 100,000 characters and were cut" in manifest["warnings"]


@contextmanager
def refused(what: str) -> Iterator[list[TuwenError]]:
    caught: list[TuwenError] = []
    with pytest.raises(TuwenError, match=what) as error:
        yield caught
    caught.append(error.value)


def test_input_that_cannot_be_used_is_a_clear_error_and_the_old_dataset_stays(desk: Desk) -> None:
    desk.write("items.csv", "item,title\n1,a\n")
    before = desk.collect(items=ITEMS)
    with refused("there is no such file"):
        desk.collect(items={"source": "itms.csv"})
    with refused("'titl', mapped to 'title', is not there") as caught:
        desk.collect(items={"source": "items.csv", "columns": {"title": "titl"}})
    assert "did you mean 'title'?" in str(caught[0])
    desk.write("items.csv", "itm,title\n1,a\n")
    with refused("no column gives 'item'"):
        desk.collect(items=ITEMS)
    desk.write("items.csv", "")
    with refused("the file is empty"):
        desk.collect(items=ITEMS)
    desk.write("items.csv", "item,title\n")
    with refused("there is no row of items"):
        desk.collect(items=ITEMS)
    desk.write("items.csv", "item,title\n,a\n,b\n")
    with refused("no row of items is good") as caught:
        desk.collect(items=ITEMS)
    assert "2 × missing key" in str(caught[0]) and "items.csv, row 1" in str(caught[0])
    with refused("the shop names no table") as caught:
        desk.collect()
    assert isinstance(caught[0], ConfigError)
    assert desk.dataset().hash == before["hash"] and desk.dataset().table("items").height == 1


def test_mixed_encodings_lose_only_their_rows(desk: Desk) -> None:
    data = "item,title\n1,蓝色衬衫\n".encode() + "2,红色连衣裙\n".encode("gbk") + "3,书包\n".encode()
    desk.write("items.csv", data)
    desk.collect(items=ITEMS)
    assert desk.dataset().table("items")["title"].to_list() == ["蓝色衬衫", "书包"]
    (bad,) = desk.dataset().rejected().to_dicts()
    assert (bad["file"], bad["row"], bad["reason"]) == ("items.csv", 2, "wrong encoding")
    assert "\\xba\\xec" in bad["seen"] and json.loads(bad["record"])["text"] == bad["seen"]


def test_columns_of_bytes_that_nobody_asked_for_stay_out(desk: Desk) -> None:
    pl.DataFrame({"item": ["1"], "image": [jpeg(1)], "size": [3]}).write_parquet(desk.shop / "items.parquet")
    manifest = desk.collect(items={"source": "items.parquet"})
    assert desk.dataset().table("items").columns == ["item", "size"]
    assert any("'image' holds bytes" in warning for warning in manifest["warnings"])


def test_columns_of_every_type_are_kept_or_rejected_without_a_crash(desk: Desk) -> None:
    rows = {
        "item": ["1", None],
        "price": [1.5, -1.0],
        "a_list": [["x"], []],
        "a_struct": [{"x": 1}, None],
        "a_time": [time(12, 30), None],
        "a_day": [date(2024, 1, 1), None],
        "a_while": [timedelta(seconds=5), None],
        "a_money": [Decimal("1.50"), None],
        "a_moment": [datetime(2024, 1, 1, tzinfo=UTC), None],
        "some_bytes": [[b"x"], None],
        "nothing": [None, None],
    }
    frame = pl.DataFrame(rows).with_columns(pl.Series("a_kind", ["x", "y"], pl.Categorical))
    frame.write_parquet(desk.shop / "items.parquet")
    desk.collect(items={"source": "items.parquet"})
    schema = desk.dataset().table("items").schema
    assert schema["a_money"] == pl.Float64 and schema["a_moment"] == pl.Datetime("us") and schema["a_kind"] == pl.String
    assert "some_bytes" not in schema and len(schema) == 11
    (bad,) = desk.dataset().rejected().to_dicts()
    assert bad["reason"] == "missing key" and json.loads(bad["record"])["price"] == -1.0


def test_a_place_that_cannot_be_written(desk: Desk) -> None:
    desk.write("items.csv", "item\n1\n")
    desk.out.write_text("a file")
    with refused("the file or folder cannot be used"):
        desk.collect(items=ITEMS)


def test_a_folder_that_cannot_be_made(desk: Desk) -> None:
    desk.write("items.csv", "item\n1\n")
    with refused("the folder cannot be made") as caught:
        collect(desk.describe(items=ITEMS), "/proc/no-such-folder")
    assert isinstance(caught[0], DataError) and caught[0].where == "/proc/no-such-folder"


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"\n<!DOCTYPE html>\n<title>Log in</title>\n<p>a, b</p>\n", "a web page, not a table"),
        (b"<HTML><body>gone</body></HTML>", "a web page, not a table"),
        (bytes(500), "the file holds zero bytes only"),
    ],
)
def test_what_is_no_table_is_called_what_it_is(desk: Desk, data: bytes, what: str) -> None:
    desk.write("items.csv", data)
    with refused(what):
        desk.collect(items=ITEMS)


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


def test_datasets_that_cannot_be_opened(desk: Desk) -> None:
    with refused("there is no such dataset folder"):
        Dataset.open(desk.out)
    desk.out.mkdir()
    with refused("the folder holds no dataset"):
        desk.dataset()
    desk.write("items.csv", "item\n1\n")
    desk.collect(items=ITEMS)
    with refused("no table 'users'"):
        desk.dataset().table("users")
    assert desk.dataset().has("items") and not desk.dataset().has("users")
    path = desk.out / "manifest.json"
    manifest = json.loads(path.read_text())
    for text, what in [
        (json.dumps({**manifest, "format": 99}), "written by a newer tuwen"),
        ("{", "the manifest cannot be read"),
        ("[]", "not a manifest"),
        (json.dumps({"format": 1}), "the manifest is damaged"),
    ]:
        path.write_text(text)
        with refused(what):
            desk.dataset()
    path.write_text(json.dumps({**manifest, "format": 99}))
    with refused("written by a newer tuwen"):
        desk.collect(items=ITEMS)
    path.write_text("{")
    assert desk.collect(items=ITEMS)["hash"] == manifest["hash"]
    (desk.out / "items.parquet").unlink()
    with refused("a table cannot be read"):
        desk.dataset().table("items")


REAL = Path(__file__).parents[2] / "shared" / "data"


@pytest.mark.realdata
@pytest.mark.skipif(not REAL.is_dir(), reason="../shared/data is not here")
def test_real_shops_lose_nothing(tmp_path: Path) -> None:
    for name, rows in {"gift-cards": {"items": 475, "reviews": 2972}, "flipkart": {"items": 1050}}.items():
        shop = Shop.read(Path(__file__).parents[1] / "runs" / "shops" / f"{name}.yaml")
        manifest = collect(shop, tmp_path / name)
        assert {table: about["rows"] for table, about in manifest["tables"].items()} == rows
        assert manifest["rejected"]["rows"] == 0 and manifest["pictures"]["quarantined"] == {}
