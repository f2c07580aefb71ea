"""The loop is closed: what a service kept is collected with the shop's own files, and learned from."""

from __future__ import annotations

import io
from pathlib import Path

import polars as pl
import pytest
from PIL import Image

from tuwen import workflow
from tuwen.data.dataset import Dataset
from tuwen.errors import DataError
from tuwen.store import Store

ITEMS = "item,title,price\na,茶壶,10\nb,lamp,20\nc,mug,30\n"
EVENTS = "user,item,time,kind\nu,a,2025-01-01T00:00:00,purchase\n"


def jpeg() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (20, 20), (10, 200, 10)).save(out, "JPEG")
    return out.getvalue()


@pytest.fixture
def shop(tmp_path) -> Path:
    (tmp_path / "items.csv").write_text(ITEMS, encoding="utf-8")
    (tmp_path / "events.csv").write_text(EVENTS, encoding="utf-8")
    spec = "name: loop\nitems: {source: items.csv}\nevents: {source: events.csv}\nstore: store.db\n"
    (tmp_path / "SHOP.yaml").write_text(spec, encoding="utf-8")
    return tmp_path / "SHOP.yaml"


def event(key: str, **more: object) -> dict:
    return {"event": key, "user": "v", "item": "b", "time": 1_750_000_000_000_000, "kind": "click", **more}


def test_what_a_service_kept_joins_the_shops_own(shop, tmp_path):
    with Store(tmp_path / "store.db") as store:
        store.events.add([event("e1"), event("e2", user="u", item="a", time=1_735_689_600_000_000, kind="purchase")])
        store.items.put("d", {"title": "新品 new", "price": 5.5}, [jpeg()])
        store.items.put("b", {"title": "a better lamp", "colour": "red"})
        store.items.remove("c")
        store.people.say("f1", user="v", item="b", rating=4.0, text="好")
    manifest = workflow.collect(shop, tmp_path / "dataset")
    dataset = Dataset.open(tmp_path / "dataset")
    items = {row["item"]: row for row in dataset.table("items").to_dicts()}
    assert set(items) == {"a", "b", "d"}
    assert (items["b"]["title"], items["b"]["price"], items["b"]["colour"]) == ("a better lamp", None, "red")
    assert len(items["d"]["images"]) == 1 and dataset.media.read(items["d"]["images"][0])
    events = dataset.table("events")
    assert events.height == 2  # the purchase that the export tells too is one
    assert manifest["tables"]["events"]["merged"] == 1 and manifest["rejected"]["rows"] == 0
    assert dataset.table("reviews").select("user", "item", "rating", "text").rows() == [("v", "b", 4.0, "好")]
    again = workflow.collect(shop, tmp_path / "dataset")
    assert again["hash"] == manifest["hash"] and all(table["reused"] for table in again["tables"].values())
    with Store(tmp_path / "store.db") as store:
        store.events.add([event("e3", time=1_760_000_000_000_000)])
    later = workflow.collect(shop, tmp_path / "dataset")
    assert later["tables"]["events"]["rows"] == 3 and later["tables"]["items"]["reused"]


def test_a_store_alone_is_a_shop(tmp_path):
    with Store(tmp_path / "store.db") as store:
        store.events.add([event(f"e{n}", time=n) for n in range(3)])
        store.items.put("b", {"title": "lamp"})
    (tmp_path / "SHOP.yaml").write_text("name: alone\nstore: store.db\n", encoding="utf-8")
    workflow.collect(tmp_path / "SHOP.yaml", tmp_path / "dataset")
    dataset = Dataset.open(tmp_path / "dataset")
    assert dataset.table("events").height == 3 and dataset.table("items")["title"].to_list() == ["lamp"]
    assert dataset.table("events").schema["time"] == pl.Datetime("us")


def test_a_store_that_is_not_there_is_told(shop, tmp_path):
    with pytest.raises(DataError, match="there is no such store") as found:
        workflow.collect(shop, tmp_path / "dataset")
    assert "SHOP.yaml:4" in str(found.value) and not (tmp_path / "store.db").exists()
