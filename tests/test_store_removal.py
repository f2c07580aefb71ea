"""What is removed from a store is gone from its files, and goes on a full disk too."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from tuwen.apps.storefront import Parts, Storefront
from tuwen.store import Store, reserve
from tuwen.store.engine import StoreUnavailable, open_engine, writing
from tuwen.store.migrate import VERSIONS
from tuwen.workflow.asking import open_index
from tuwen.workflow.shelving import Shelver

NAME = "liese-lotte-von-der-pfalz"


def event(key: str, **more: object) -> dict:
    return {"event": key, "user": "u", "item": "i", "time": 1, "kind": "click", **more}


def traces(folder: Path, word: str = NAME) -> list[str]:
    """Files of a folder in which a word stands."""
    return [file.name for file in folder.iterdir() if file.is_file() and word.encode() in file.read_bytes()]


def test_a_forgotten_name_stands_in_no_file_of_the_store(tmp_path):
    with Store(tmp_path / "store.db") as store, Store(tmp_path / "store.db") as other:
        for number in range(300):
            store.events.add([event(f"e{number}", user=NAME if number % 3 else "v", query=f"{NAME} {number}" * 9)])
        store.people.say("f", user=NAME, text=f"{NAME} " * 2000)
        store.people.allow(NAME, "recommend", False)
        assert traces(tmp_path) and other.version.now()
        store.events.add([event("more", user="v")])
        store.people.forget(NAME)
        store.people.forget("v")  # whose events speak of her
        assert traces(tmp_path) == [] and store.people.allows(NAME, "recommend") is False
        store.items.put("i", {"title": NAME}, [NAME.encode() * 999])
        store.items.remove("i")
        assert traces(tmp_path) == []
        with store._engine.connect() as connection:
            assert connection.exec_driver_sql("PRAGMA secure_delete").scalar() == 1


def test_a_log_that_a_reader_holds_is_emptied_by_the_next_look(tmp_path):
    with Store(tmp_path / "store.db") as store, Store(tmp_path / "store.db") as other:
        store.events.add([event(f"e{number}", user=NAME) for number in range(9)])
        reader = other.events.all()
        next(reader)  # reads an older moment, and goes on
        store.people.forget(NAME)
        assert traces(tmp_path)
        reader.close()
        store.tidy()
        assert traces(tmp_path) == []


def test_what_an_older_tuwen_deleted_goes_when_its_store_is_opened(tmp_path):
    from alembic import command
    from alembic.config import Config

    engine, config = open_engine(tmp_path / "store.db"), Config()
    config.set_main_option("script_location", str(VERSIONS))
    with writing(engine) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA secure_delete = OFF")
        words = sa.text('INSERT INTO consent ("user", purpose, given, time) VALUES (:user, :purpose, true, 1)')
        for number in range(200):
            connection.execute(words, {"user": f"{NAME}{number}" * 5, "purpose": "ads"})
        connection.exec_driver_sql("DELETE FROM consent")
        connection.commit()
    engine.dispose()
    assert traces(tmp_path)
    with Store(tmp_path / "store.db"):
        assert traces(tmp_path) == []


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system of 12 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() or not shutil.which("mount"):
        pytest.skip("only root can mount a small disk")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(folder)], capture_output=True)
    if done.returncode:
        pytest.skip("no disk can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> None:
    with (folder / "filler").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return


def test_on_a_full_disk_removals_work_and_nothing_else_is_taken(small_disk, monkeypatch):
    monkeypatch.setattr(reserve, "SIZE", 2 * 2**20)
    monkeypatch.setattr(reserve, "ROOM", 4 * 2**20)
    reserve_file = small_disk / "store.db-reserve"
    with Store(small_disk / "store.db") as store:
        assert reserve_file.stat().st_size == 2 * 2**20 and reserve_file.stat().st_mode & 0o077 == 0
        for number in range(40):
            store.events.add([event(f"e{number}-{n}", user=NAME) for n in range(20)])
        store.items.put("i", {"title": "lamp"}, [bytes(10_000)])
        fill(small_disk)
        for _ in range(2):
            with pytest.raises(StoreUnavailable) as raised:
                store.events.add([event(f"late{number}", query="x" * 5000) for number in range(500)])
            assert raised.value.full and reserve_file.exists()  # who adds gets none of it
        with pytest.raises(StoreUnavailable):
            store.items.put("j", {"title": "x" * 3_000_000})
        assert store.people.forget(NAME)["events"] == 800 and not reserve_file.exists()
        store.people.allow("u", "recommend", False)
        store.items.remove("i")
        assert store.people.show(NAME)["events"] == [] and traces(small_disk) == []
        (small_disk / "filler").unlink()
        store.tidy()
        assert reserve_file.exists()  # for the next time
        assert store.events.add([event("after")]) == 1


def test_on_a_full_disk_an_item_leaves_the_index_too(small_disk, made_home, monkeypatch):
    monkeypatch.setattr(reserve, "SIZE", 2**20)
    monkeypatch.setattr(reserve, "ROOM", 2**20)
    shutil.copytree(made_home / "index", small_disk / "index")
    searcher = open_index(small_disk / "index")
    with Store(small_disk / "store.db") as store:
        front = Storefront(Parts(searcher=searcher, shelve=Shelver(searcher)), store)
        front.put(store, "NEW", {"title": "zeppelin"}, [])
        fill(small_disk)
        assert front.remove(store, "NEW")[1] is False and not (small_disk / "store.db-reserve").exists()
        assert searcher.refresh().row_of("NEW") is None and front.outbox.backlog() == 0


def test_a_small_disk_gets_no_reserve_and_the_store_works(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 10**6))
    with Store(tmp_path / "store.db") as store:
        assert store.events.add([event("a")]) == 1 and store.people.forget("u")["events"] == 1
    assert not (tmp_path / "store.db-reserve").exists()
