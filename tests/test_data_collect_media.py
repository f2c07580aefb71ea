"""Collect with sounds and shapes: read as pictures are, kept apart from them, bad ones quarantined."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from media import CUBE, ball, obj, ply, sound, stl, tone, wav
from shops import Desk, jpeg, refused
from tuwen.data.audio import decoded
from tuwen.data.kinds import COLUMNS, MEDIA
from tuwen.data.shape import read
from tuwen.preprocess import MODALITIES
from web import Web

ALL = {"max_bytes": 10**8, "max_seconds": 99.0, "max_channels": 9}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_every_kind_of_media_has_a_modality_and_limits_in_shop_yaml(desk: Desk) -> None:
    limits = desk.describe().media.limits()
    for name, medium in MEDIA.items():
        assert name in MODALITIES.entries()
        assert set(medium.limited(limits)) == set(medium.limits)


def test_sounds_and_shapes_as_paths_bytes_and_lists(desk: Desk) -> None:
    desk.write("a.wav", sound(tone(300)))
    desk.write("s/b.flac", sound(tone(700, rate=44_100), 44_100, "FLAC"))
    desk.write("cube.obj", obj(*CUBE))
    table = pl.DataFrame(
        {
            "item": ["1", "2", "3"],
            "sounds": ["a.wav|s/b.flac", '["s/b.flac"]', None],
            "demo": [None, sound(tone(900)), b""],
            "shapes": [[obj(*CUBE)], [stl(*ball(4)), ply(*CUBE)], []],
            "images": [[jpeg(1)], [], []],
        }
    )
    table.write_parquet(desk.shop / "items.parquet")
    source = {"source": "items.parquet", "columns": {"sounds": ["sounds", "demo"]}}
    manifest = desk.collect(items=source)
    items, media = desk.dataset().table("items"), desk.dataset().media
    assert [len(row) for row in items["sounds"]] == [2, 2, 0]
    assert [len(row) for row in items["shapes"]] == [1, 2, 0]
    samples, rate = decoded(media.read(items["sounds"][0][1]), **ALL)
    assert (rate, len(samples)) == (16_000, 8_000)
    vertices, faces = read(media.read(items["shapes"][0][0]), max_bytes=10**6, max_vertices=99, max_faces=99)
    assert len(vertices) == 8 and len(faces) == 12
    assert items["shapes"][0][0] == items["shapes"][1][1], "the same surface from OBJ and from PLY is stored once"
    assert manifest["sounds"]["stored"] == 3 and manifest["shapes"]["stored"] == 2
    assert manifest["shapes"]["duplicates"] == 1 and manifest["pictures"]["stored"] == 1
    assert manifest["tables"]["items"]["without_sound"] == pytest.approx(1 / 3, abs=1e-5)
    assert media.size(items["shapes"][0][0]) == (0, 0)
    again = desk.collect(items=source)
    assert again["tables"]["items"]["reused"] and again["hash"] == manifest["hash"]
    assert [again[kind]["read_now"] for kind in ("pictures", "sounds", "shapes")] == [0, 0, 0]


def test_reviews_have_them_too_and_other_shops_hear_nothing_of_it(desk: Desk) -> None:
    desk.write("a.wav", wav(800))
    desk.write("reviews.csv", "review,rating,sounds\nr1,5,a.wav\nr2,1,\n")
    manifest = desk.collect(reviews={"source": "reviews.csv"})
    assert desk.dataset().table("reviews")["sounds"].list.len().to_list() == [1, 0]
    assert "shapes" not in manifest and "without_shape" not in manifest["tables"]["reviews"]


def test_one_column_may_hold_pictures_and_sounds(desk: Desk) -> None:
    desk.write("a.jpg", jpeg(1))
    desk.write("b.wav", wav(800))
    desk.write("items.csv", "item,media\n1,a.jpg|b.wav\n")
    manifest = desk.collect(items={"source": "items.csv", "columns": {"images": "media", "sounds": "media"}})
    row = desk.dataset().table("items").row(0, named=True)
    assert len(row["images"]) == len(row["sounds"]) == 1
    assert manifest["pictures"]["quarantined"] == {"not a picture": 1}
    assert manifest["sounds"]["quarantined"] == {"not a sound that is read": 1}
    quarantine = desk.dataset().media.quarantine()
    assert set(quarantine["reference"]) == {"b.wav", "sound:a.jpg"}
    assert set(quarantine["place"]) == {"items.csv, row 1"}


def test_bad_ones_are_quarantined_with_their_reason_and_their_rows_stay(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "outside.wav").write_bytes(wav(100))
    bad = {
        "half.wav": (sound(tone(440))[:5_000], "truncated sound"),
        "page.wav": (b"<!DOCTYPE html><html></html>", "a web page, not a sound"),
        "hour.flac": (sound(np.zeros(8_000 * 3_600, np.int16), 8_000, "FLAC"), "too long"),
        "claims.wav": (wav(100, claimed=2**30), "truncated sound"),
        "nan.wav": (sound(np.full(99, np.nan, np.float32), subtype="FLOAT"), "broken sound"),
        "large.wav": (wav(700_000), "too many bytes"),
        "none.wav": (None, "no such file"),
        str(tmp_path / "outside.wav"): (None, "outside the sound folder"),
    }
    shapes = {
        "point.obj": (obj(np.zeros((3, 3)), np.array([[0, 1, 2]])), "a shape without a surface"),
        "claims.ply": (ply(*CUBE, said=10**9), "too many vertices"),
    }
    for name, (data, _) in {**bad, **shapes}.items():
        if data is not None:
            desk.write(name, data)
    rows = [{"item": name, "sounds": [name]} for name in bad] + [{"item": name, "shapes": [name]} for name in shapes]
    desk.write("items.jsonl", "\n".join(map(json.dumps, rows)))
    manifest = desk.collect(items={"source": "items.jsonl"}, media={"sound": {"max_bytes": 1_000_000}})
    dataset = desk.dataset()
    assert len(dataset.table("items")) == len(rows)
    found = dict(dataset.media.quarantine().select("reference", "reason").iter_rows())
    assert found == {f"sound:{n}": r for n, (_, r) in bad.items()} | {f"shape:{n}": r for n, (_, r) in shapes.items()}
    assert manifest["sounds"]["stored"] == manifest["shapes"]["stored"] == 0
    assert manifest["media_limits"]["sound"]["max_bytes"] == 1_000_000


def test_other_limits_read_the_sounds_again_and_leave_the_pictures(desk: Desk) -> None:
    desk.write("a.wav", sound(tone(440)))
    desk.write("a.jpg", jpeg(1))
    desk.write("items.csv", "item,images,sounds\n1,a.jpg,a.wav\n")
    desk.collect(items={"source": "items.csv"})
    manifest = desk.collect(items={"source": "items.csv"}, media={"sound": {"rate": 8_000}})
    assert manifest["sounds"]["read_now"] == 1 and manifest["pictures"]["read_now"] == 0
    key = desk.dataset().table("items")["sounds"][0][0]
    assert decoded(desk.dataset().media.read(key), **ALL)[1] == 8_000


def test_they_are_fetched_from_the_web(desk: Desk) -> None:
    with Web({"/a.wav": wav(800), "/cube.stl": stl(*CUBE)}) as web:
        desk.write("items.csv", f"item,sounds,shapes\n1,{web.url}/a.wav,{web.url}/cube.stl\n")
        manifest = desk.collect(items={"source": "items.csv"}, media={"allow_private_addresses": True})
    assert manifest["sounds"]["stored"] == manifest["shapes"]["stored"] == 1


def test_without_the_extra_collect_says_so_and_the_dataset_stays(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.write("a.wav", wav(800))
    desk.write("items.csv", "item,sounds\n1,\n")
    before = desk.collect(items={"source": "items.csv"})
    desk.write("items.csv", "item,sounds\n1,a.wav\n")
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with refused("'audio'"):
        desk.collect(items={"source": "items.csv"})
    assert desk.dataset().manifest["hash"] == before["hash"]
    monkeypatch.undo()
    assert desk.collect(items={"source": "items.csv"})["sounds"]["stored"] == 1


def test_columns_are_those_of_the_schema() -> None:
    from tuwen.data.schema import TABLES

    for table in ("items", "reviews"):
        assert [name for name, column in TABLES[table].columns.items() if column.kind == "media"] == list(COLUMNS)
