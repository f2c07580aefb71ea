"""Collect and pictures: as paths, bytes and URLs; bad ones are quarantined and their rows stay."""

from __future__ import annotations

import json
import os
from pathlib import Path

import polars as pl
import pytest

from shops import Desk, jpeg, png
from tuwen.data import download
from tuwen.workflow.indexing import items_of
from web import Web

ITEMS = {"source": "items.csv"}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


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


def _items(desk: Desk, rows: list[tuple[str, str, str]]) -> None:
    desk.write("items.csv", "item,title,images\n" + "".join(",".join(row) + "\n" for row in rows))


def _things(names: str) -> list[tuple[str, str, str]]:
    return [(f"I{i}", name, "photos/Coming-Soon.jpg") for i, name in enumerate(names.split())]


def test_one_picture_of_many_items_of_no_common_name_is_told(desk: Desk) -> None:
    desk.write("photos/Coming-Soon.jpg", jpeg(1))
    desk.write("own.jpg", jpeg(2))
    things = _things("hose lamp kettle chair rug shelf mirror clock vase basket")
    _items(desk, [*things, *((f"P{i}", f"pot {i}", "own.jpg") for i in range(9))])
    manifest = desk.collect(items=ITEMS)
    (warning,) = manifest["warnings"]
    assert "'photos/Coming-Soon.jpg', is that of 10 of 19 items" in warning
    assert len(manifest["pictures"]["placeholders"]) == 1
    assert desk.dataset().table("items")["images"].list.len().to_list() == [1] * 19
    # what compares items by looks goes without it: the index and the catalogue of a recommender
    assert items_of(desk.dataset())["images"].list.len().to_list() == [0] * 10 + [1] * 9
    # the shop says so, of one of its names: all items go without it
    manifest = desk.collect(items=ITEMS, media={"placeholders": ["coming-soon.JPG"]})
    assert manifest["warnings"] == []
    assert desk.dataset().table("items")["images"].list.len().to_list() == [0] * 10 + [1] * 9


def test_sizes_of_one_product_may_share_its_picture(desk: Desk) -> None:
    desk.write("photos/Coming-Soon.jpg", jpeg(1))
    _items(desk, [(item, f"steel screw {item}", image) for item, _, image in _things("x " * 30)])
    assert desk.collect(items=ITEMS)["warnings"] == []
