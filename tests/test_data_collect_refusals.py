"""Collect refuses what cannot be used in words, and the dataset that was there stays."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from shops import Desk, png, refused
from tuwen.config import Shop
from tuwen.data.collect import collect
from tuwen.data.dataset import Dataset
from tuwen.errors import ConfigError, DataError

ITEMS = {"source": "items.csv"}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


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


def test_a_place_that_cannot_be_written(desk: Desk) -> None:
    desk.write("items.csv", "item\n1\n")
    desk.out.write_text("a file")
    with refused("a file stands where a folder is to be written"):
        desk.collect(items=ITEMS)


def test_a_folder_that_cannot_be_made(desk: Desk) -> None:
    desk.write("items.csv", "item\n1\n")
    with refused("the folder cannot be made") as caught:
        collect(desk.describe(items=ITEMS), "/proc/no-such-folder")
    assert isinstance(caught[0], DataError) and caught[0].where == "/proc/no-such-folder"


@pytest.mark.parametrize("name", ["items.csv", "items.jsonl", "items.parquet"])
@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"\n<!DOCTYPE html>\n<title>Log in</title>\n<p>a, b</p>\n", "a web page, not a table"),
        (b"<HTML><body>gone</body></HTML>", "a web page, not a table"),
        (bytes(500), "the file holds zero bytes only"),
    ],
)
def test_what_is_no_table_is_called_what_it_is(desk: Desk, name: str, data: bytes, what: str) -> None:
    desk.write(name, data)
    with refused(what):
        desk.collect(items={"source": name})


@pytest.mark.parametrize("name", ["notes.txt", "items.parquet", "manifest.json", "media/a.jpg"])
def test_a_folder_that_holds_something_else_is_left_as_it_is(desk: Desk, name: str) -> None:
    desk.write("items.csv", "item\n1\n")
    (desk.out / name).parent.mkdir(parents=True)
    (desk.out / name).write_text('{"name": "a web app"}')
    before = sorted(desk.out.rglob("*"))
    with refused("the folder is not empty and holds no dataset") as caught:
        desk.collect(items=ITEMS)
    assert (caught[0].where, caught[0].todo) == (str(desk.out), "name an empty or a new folder")
    assert caught[0].seen == name.partition("/")[0]
    assert sorted(desk.out.rglob("*")) == before and (desk.out / name).read_text() == '{"name": "a web app"}'


def test_an_empty_folder_and_one_that_a_stopped_collect_left_are_taken(desk: Desk) -> None:
    desk.write("items.csv", "item\n,\n")
    desk.out.mkdir()
    (desk.out / ".DS_Store").write_bytes(b"")
    with refused("there is no row of items"):
        desk.collect(items=ITEMS)
    desk.write("items.csv", "item\n1\n")
    assert desk.collect(items=ITEMS)["tables"]["items"]["rows"] == 1
    shutil.rmtree(desk.out / "media")
    assert desk.collect(items=ITEMS)["tables"]["items"]["rows"] == 1


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
