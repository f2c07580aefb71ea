"""The media store: every picture once, readable by many, and whole whatever happened to its writer."""

from __future__ import annotations

import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from shops import jpeg
from tuwen.data import store as module
from tuwen.data.store import MediaStore, MediaWriter, content_key
from tuwen.errors import DataError


def test_what_goes_in_comes_out_once(tmp_path: Path) -> None:
    pictures = [jpeg(i) for i in range(20)]
    with MediaWriter(tmp_path) as writer:
        keys = writer.put(pictures)
        assert writer.put(pictures[:5]) == keys[:5]
        assert writer.read(keys[3]) == pictures[3] and keys[3] in writer
    with MediaWriter(tmp_path) as writer:
        assert writer.put(pictures) == keys
    store = MediaStore(tmp_path)
    assert keys == [content_key(p) for p in pictures]
    assert [store.read(key) for key in keys] == pictures
    assert list(store.keys()) == sorted(keys) and len(store) == 20
    assert store.size(keys[0]) == (24, 24)
    assert "x" not in store and keys[0] in store
    assert sum(p.stat().st_size for p in tmp_path.glob("*.shard")) == sum(map(len, pictures))
    with pytest.raises(DataError):
        store.read("x")


def test_shards_fill_up_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHARD_BYTES", 2_000)
    pictures = [jpeg(i) for i in range(20)]
    with MediaWriter(tmp_path) as writer:
        keys = writer.put(pictures)
    assert len(list(tmp_path.glob("*.shard"))) > 3
    assert [MediaStore(tmp_path).read(key) for key in keys] == pictures


def test_sources_are_remembered_by_state(tmp_path: Path) -> None:
    with MediaWriter(tmp_path) as writer:
        (key,) = writer.keep([("a.jpg", "size=1", jpeg(1))])
        writer.refuse("b.jpg", "size=2", DataError("broken picture", seen="png: bad"))
        for _ in range(2):  # before and after the rows reach the index
            assert writer.known({"a.jpg": "size=1", "b.jpg": "size=2", "c.jpg": ""}) == {"a.jpg": key, "b.jpg": None}
            assert writer.known({"a.jpg": "size=9"}) == {}
            writer.commit()
        writer.settle({"a.jpg": "items.csv, row 1", "b.jpg": "items.csv, row 2"})
        assert writer.quarantine().rows() == [("b.jpg", "items.csv, row 2", "broken picture", "png: bad")]
        writer.settle({"a.jpg": "items.csv, row 1"})
        assert writer.quarantine().is_empty()


def test_an_empty_store_is_empty(tmp_path: Path) -> None:
    store = MediaStore(tmp_path / "none")
    assert len(store) == 0 and "x" not in store and list(store.keys()) == []
    assert store.quarantine().is_empty()


def test_many_threads_and_a_fork_read_at_once(tmp_path: Path) -> None:
    pictures = [jpeg(i) for i in range(50)]
    with MediaWriter(tmp_path) as writer:
        keys = writer.put(pictures)
    store = MediaStore(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(store.read, keys * 4)) == pictures * 4
    child = os.fork()
    if child == 0:
        os._exit(0 if [store.read(key) for key in keys] == pictures else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_writer_that_dies_leaves_what_it_committed(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        writer = MediaWriter(tmp_path)
        writer.put([jpeg(1)])
        writer.commit()
        writer.put([jpeg(2)])
        writer._shard.flush()
        os._exit(0)
    os.waitpid(child, 0)
    store = MediaStore(tmp_path)
    assert list(store.keys()) == [content_key(jpeg(1))]
    assert store.read(content_key(jpeg(1))) == jpeg(1)
    with MediaWriter(tmp_path) as writer:
        writer.put([jpeg(2), jpeg(3)])
    assert set(map(store.read, store.keys())) == {jpeg(1), jpeg(2), jpeg(3)}


def test_a_writer_that_dies_in_the_middle_of_a_commit_leaves_a_store_that_reads(tmp_path: Path) -> None:
    with MediaWriter(tmp_path) as writer:
        writer.put([jpeg(1)])
    child = os.fork()
    if child == 0:
        index = sqlite3.connect(tmp_path / "index.sqlite")
        index.execute("PRAGMA cache_size = 1")
        index.execute("PRAGMA synchronous = OFF")
        index.executemany(
            "INSERT INTO pictures VALUES (?, 0, 0, 1, 1, 1)", [(f"{i:064}",) for i in range(5_000)]
        )  # spills into the file before any commit, so that only the journal knows what was there
        os._exit(0)
    os.waitpid(child, 0)
    assert (tmp_path / "index.sqlite-journal").stat().st_size > 0
    store = MediaStore(tmp_path)
    assert list(store.keys()) == [content_key(jpeg(1))]
    assert store.read(content_key(jpeg(1))) == jpeg(1)


def test_what_a_full_disk_takes_back_it_takes_back_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = MediaWriter(tmp_path)
    writer._index.execute("PRAGMA max_page_count = 8")  # SQLite's own full disk
    with pytest.raises(OSError, match="No space left"), writer:
        for i in range(200):
            writer.keep([(f"{i}.jpg", "", jpeg(i))])
            writer.commit()
    with MediaWriter(tmp_path) as writer:
        known = writer.known({f"{i}.jpg": "" for i in range(200)})
        assert 0 < len(known) < 200
        assert all(key is not None and writer.read(key) for key in known.values())


def test_damage_is_named(tmp_path: Path) -> None:
    with MediaWriter(tmp_path) as writer:
        (key,) = writer.put([jpeg(1)])
    shard = tmp_path / "00000.shard"
    shard.write_bytes(shard.read_bytes()[:-5])
    with pytest.raises(DataError, match="cut short"):
        MediaStore(tmp_path).read(key)
    shard.unlink()
    with pytest.raises(DataError, match="cannot be read"):
        MediaStore(tmp_path).read(key)
    (tmp_path / "index.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(DataError, match="index of the media store"):
        MediaStore(tmp_path).read(key)
