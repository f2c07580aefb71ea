"""Pictures as tables name them: several in a cell, in another case or Unicode form, from another system."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from shops import Desk, jpeg, refused
from tuwen.data.file_names import FileNames, fold
from tuwen.data.media import normalise
from tuwen.data.references import split

NAMES = st.from_regex(r"[a-z0-9 ]{1,6}(,[a-z ]{1,6}){0,2}\.(jpg|png)", fullmatch=True).map(str.strip)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("x.png,y.png", ["x.png", "y.png"]),
        ("x.png , y.PNG,", ["x.png", "y.PNG"]),
        ("Rue de Rivoli, Paris.jpeg", ["Rue de Rivoli, Paris.jpeg"]),
        ("Rue de Rivoli, Paris.jpeg, y.png", ["Rue de Rivoli, Paris.jpeg", "y.png"]),
        ("http://x/a.jpg,http://y/b.jpg", ["http://x/a.jpg", "http://y/b.jpg"]),
        ("http://x/a.jpg http://y/b.jpg", ["http://x/a.jpg", "http://y/b.jpg"]),
        ("http://x/w_9,h_9/a.jpg", ["http://x/w_9,h_9/a.jpg"]),
        ("http://x/fetch/http://y/b.jpg", ["http://x/fetch/http://y/b.jpg"]),
        ("a.jpg;http://y/b,1.jpg", ["a.jpg", "http://y/b,1.jpg"]),
        ("front,back", ["front,back"]),
        (",,", []),
    ],
)
def test_a_cell_is_cut_at_commas_behind_endings_and_before_addresses(text: str, parts: list[str]) -> None:
    assert split(text) == parts


@given(st.lists(NAMES, min_size=1, max_size=5, unique=True), st.sampled_from([",", ", ", " ,", ";", "|", "\n"]))
def test_names_of_files_that_exist_are_read_back_whatever_commas_they_hold(names: list[str], comma: str) -> None:
    files = {name for name in names if name}
    text = comma.join(names)
    parts = split(text, exists=files.__contains__)
    # a longer name that also exists may take the place of two: it is made of the same text
    assert set(parts) <= files
    assert len(parts) == len(names) or any("," in part for part in parts)


@pytest.mark.parametrize("text", ["a," * 100_000, "a, " * 100_000, "http://," * 50_000, "| " * 100_000, "," * 200_000])
def test_a_cell_is_cut_in_time_that_grows_with_it(text: str) -> None:
    begun = time.process_time()
    split(text)
    assert time.process_time() - begun < 2


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_several_pictures_of_a_cell_come_from_every_kind_of_file(desk: Desk, kind: str) -> None:
    for number, name in enumerate(("x.jpg", "y.jpg", "Rue de Rivoli, Paris.jpg", "front", "back, left")):
        desk.write(name, jpeg(number))
    cells = ["x.jpg,y.jpg", "Rue de Rivoli, Paris.jpg", "front,x.jpg", "back, left,front"]
    table = pl.DataFrame({"item": ["1", "2", "3", "4"], "images": cells})
    path = desk.shop / f"items.{kind}"
    {"csv": table.write_csv, "jsonl": table.write_ndjson, "parquet": table.write_parquet}[kind](path)
    desk.collect(items={"source": path.name})
    assert desk.dataset().table("items")["images"].list.len().to_list() == [2, 1, 2, 2]


def test_the_shop_says_what_stands_between_pictures(desk: Desk) -> None:
    for number, name in enumerate(("x.jpg", "y.jpg", "x.jpg,y.jpg")):
        desk.write(name, jpeg(number))
    rows = [{"item": name, "images": name} for name in ("x.jpg,y.jpg", "x.jpg/y.jpg")]
    desk.write("items.jsonl", "".join(json.dumps(row) + "\n" for row in rows))

    def counts(**more: object) -> list[int]:
        desk.collect(items={"source": "items.jsonl", **more})
        return desk.dataset().table("items")["images"].list.len().to_list()

    assert counts() == [1, 0]
    assert counts(lists={"images": ","}) == [2, 0]
    assert counts(lists={"images": "/"}) == [1, 2]
    assert counts(lists={"images": ""}) == [1, 0]
    with pytest.raises(ValueError, match="lists"):
        desk.describe(items={"source": "items.jsonl", "lists": {"title": ","}})


def test_names_of_another_system_find_their_files(desk: Desk) -> None:
    stored = ("Tea.JPG", "gru\u0308n.jpg", "w\u00e4rme.jpg", "My Pot.jpg", "Sub/Deep.Png", "50%25.jpg")
    for number, name in enumerate(stored):
        desk.write(name, jpeg(number))
    cells = ["tea.jpg", "gr\u00fcn.jpg", "wa\u0308rme.JPG", "my%20pot.jpg", "sub\\deep.png", "50%25.jpg"]
    desk.write("items.jsonl", "".join(json.dumps({"item": str(i), "images": c}) + "\n" for i, c in enumerate(cells)))
    manifest = desk.collect(items={"source": "items.jsonl"})
    assert manifest["pictures"]["quarantined"] == {} and manifest["pictures"]["stored"] == len(stored)


def test_a_name_that_two_files_fit_is_no_name_of_either(tmp_path: Path) -> None:
    for name in ("tea.jpg", "TEA.jpg"):
        (tmp_path / name).write_bytes(jpeg(1))
    files = FileNames(tmp_path)
    assert files.exists("tea.jpg") and files.exists("TEA.jpg") and not files.exists("Tea.jpg")


def test_another_spelling_leads_out_of_the_folder_no_more_than_the_name_itself(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes(jpeg(1))
    cells = ["..\\secret.jpg", "..%2Fsecret.jpg", "..\\SECRET.JPG", "%2e%2e/secret.jpg"]
    desk.write("items.jsonl", "".join(json.dumps({"item": str(i), "images": c}) + "\n" for i, c in enumerate(cells)))
    manifest = desk.collect(items={"source": "items.jsonl"})
    assert manifest["pictures"]["stored"] == 0
    assert manifest["pictures"]["quarantined"] == {"outside the picture folder": 4}


@given(st.text(max_size=20))
def test_folding_again_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@pytest.mark.parametrize("brand", [b"mif1", b"msf1", b"miaf"])
def test_an_avif_is_one_by_any_of_its_brands(brand: bytes) -> None:
    file = io.BytesIO()
    Image.new("RGB", (40, 40), (20, 180, 30)).save(file, "AVIF")
    data = bytearray(file.getvalue())
    data[8:12] = brand
    limits = {"max_bytes": 10**6, "max_pixels": 10**6, "max_side": 64, "min_side": 2}
    assert normalise(bytes(data), **limits)
    with refused("not a picture"):
        normalise(b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0heicmif1" + bytes(64), **limits)
