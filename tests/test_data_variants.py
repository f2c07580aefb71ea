"""One product over several rows, by the key of the product and by that of its variants."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shops import Desk, jpeg
from tuwen.data.validate import FILE, ROW
from tuwen.data.variants import filled, gathered

LINES = """parent,name,vendor,size,sku,photo
lamp,Brass lamp,Glow,S,L-S,l1.jpg
lamp,,,M,L-M,l2.jpg
lamp,,,,,l3.jpg
rug,Wool rug,Loom,,R,r1.jpg
vase,Glass vase,Kiln,S,V-S,
vase,,,L,V-L,
"""


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    for number, name in enumerate(("l1.jpg", "l2.jpg", "l3.jpg", "r1.jpg")):
        desk.write(name, jpeg(number))
    return desk


def _collect(desk: Desk, key: str, kind: str = "csv", lines: str = LINES) -> dict[str, Any]:
    table = pl.read_csv(io.StringIO(lines))
    {"csv": table.write_csv, "jsonl": table.write_ndjson, "parquet": table.write_parquet}[kind](
        desk.shop / f"items.{kind}"
    )
    columns = {"item": key, "title": "name", "images": "photo"}
    return desk.collect(items={"source": f"items.{kind}", "columns": columns})


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_by_the_key_of_the_product_its_pictures_are_gathered(desk: Desk, kind: str) -> None:
    manifest = _collect(desk, "parent", kind)
    items = desk.dataset().table("items")
    assert items["item"].to_list() == ["lamp", "rug", "vase"]
    assert items["images"].list.len().to_list() == [3, 1, 0]
    about = manifest["tables"]["items"]
    assert (about["read"], about["rows"], about["merged"], about["rejected"]) == (6, 3, 3, 0)
    assert "3 rows continue an item above" in manifest["warnings"][0]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_by_the_key_of_a_variant_each_has_the_title_of_its_product(desk: Desk, kind: str) -> None:
    manifest = _collect(desk, "sku", kind)
    items = desk.dataset().table("items")
    assert items["item"].to_list() == ["L-S", "L-M", "R", "V-S", "V-L"]
    assert items["title"].to_list() == ["Brass lamp", "Brass lamp", "Wool rug", "Glass vase", "Glass vase"]
    assert items["vendor"].to_list() == ["Glow", "Glow", "Loom", "Kiln", "Kiln"]
    assert items["size"].to_list() == ["S", "M", None, "S", "L"]  # of the variant, and not filled
    assert items["images"].list.len().to_list() == [2, 1, 1, 0, 0]
    assert manifest["tables"]["items"]["rejected"] == 0 and manifest["tables"]["items"]["merged"] == 1
    assert "same 'parent' (with title, vendor)" in manifest["warnings"][0]


def test_another_title_is_another_item_and_stays_rejected(desk: Desk) -> None:
    lines = "parent,name,photo\nlamp,Brass lamp,l1.jpg\nlamp,Tin lamp,l2.jpg\nlamp,Brass lamp,l1.jpg\n"
    manifest = _collect(desk, "parent", lines=lines)
    assert manifest["tables"]["items"]["reasons"] == {"duplicate key": 2}
    assert desk.dataset().table("items")["images"].list.len().to_list() == [1]


@pytest.mark.parametrize(
    "lines",
    [
        "group,name,sku,photo\na,Lamp,1,\na,Rug,2,\na,,3,\n",  # two titles in a group: not one product
        "group,name,sku,photo\na,Lamp,1,\n,,2,\n",  # a row without a group
        "group,name,sku,photo\na,,1,\na,Lamp,2,\n",  # the title is not in the first row
        "group,name,sku,photo\na,Lamp,1,\na,,2,\nb,Rug,3,\na,Vase,4,\n",  # the group comes back
    ],
)
def test_what_is_no_pattern_moves_nothing(desk: Desk, lines: str) -> None:
    _collect(desk, "sku", lines=lines)
    titles = pl.read_csv(io.StringIO(lines))["name"].to_list()
    assert desk.dataset().table("items")["title"].to_list() == titles


PRODUCTS = st.lists(st.lists(st.sampled_from(["a.jpg", "b.jpg", None]), min_size=1, max_size=4), min_size=1, max_size=5)


@settings(max_examples=60)
@given(PRODUCTS)
def test_both_ways_tell_of_the_same_products(products: list[list[str | None]]) -> None:
    rows = [
        {"item": f"P{p}", "sku": f"P{p}-{v}", "title": f"title {p}" if v == 0 else None, "images": [i] if i else []}
        for p, pictures in enumerate(products)
        for v, i in enumerate(pictures)
    ]
    frame = pl.DataFrame(rows, schema_overrides={"images": pl.List(pl.String), "title": pl.String})
    frame = frame.with_columns(pl.lit("f").alias(FILE), pl.int_range(pl.len()).alias(ROW))
    whole, count, _ = gathered(frame)
    assert whole["item"].to_list() == [f"P{p}" for p in range(len(products))]
    assert count == frame.height - len(products)
    expected = [list(dict.fromkeys(i for i in pictures if i)) for pictures in products]
    assert whole["images"].to_list() == expected
    variants, _, _ = filled(frame.rename({"item": "handle", "sku": "item"}))
    assert variants["title"].to_list() == [f"title {p}" for p, pictures in enumerate(products) for _ in pictures]
    assert variants.drop("title").equals(frame.rename({"item": "handle", "sku": "item"}).drop("title"))


def test_rows_of_jsonl_that_do_not_share_a_type_are_read_as_they_are(desk: Desk) -> None:
    rows = [{"item": "1", "title": "a", "images": ["l1.jpg"]}, {"item": "2", "title": "b", "images": "l2.jpg"}]
    desk.write("items.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    desk.collect(items={"source": "items.jsonl"})
    assert desk.dataset().table("items")["images"].list.len().to_list() == [1, 1]
