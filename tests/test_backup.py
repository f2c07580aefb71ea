"""A home as one file: taken while it is served and changed, checked whole before anything is written, and served again
with the same answers.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from disks import REASON, mounts, small_disk
from homes import Shop, home_in
from test_home import bundle, good
from tuwen import workflow
from tuwen.bundle import archive as archives
from tuwen.bundle.home import Home
from tuwen.bundle.revisions import KEPT
from tuwen.cli import app
from tuwen.errors import ConfigError, DataError
from tuwen.index.segments import Batch
from tuwen.index.store import Index
from tuwen.store import Store
from tuwen.store.journal import Journal
from tuwen.workflow import archiving as backups


def event(number: int) -> dict[str, object]:
    return {"event": f"e{number}", "user": "u", "item": "SKU-0001", "time": number, "kind": "click"}


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A home with a bundle and a store, and its backup beside it."""
    Home(tmp_path / "home").promote(bundle(tmp_path / "one"), good)
    with Store(tmp_path / "home" / "store.db") as store:
        store.events.add([event(1)])
    workflow.backup(tmp_path / "home", tmp_path / "home.backup")
    return tmp_path


def test_a_served_home_and_the_one_restored_from_it_answer_alike(made_home: Path, tmp_path: Path) -> None:
    folder = home_in(tmp_path / "shop", made_home)
    requests = [
        ("POST", "/v1/recommend", {"user": "u", "count": 5}),
        ("POST", "/v1/recommend", {"count": 5}),
        ("GET", "/v1/search?words=cup", None),
        ("GET", "/v1/search?words=brandnew", None),
        ("GET", "/v1/items/new", None),
        ("GET", "/v1/items/SKU-0001", None),
        ("GET", "/v1/users/u", None),
    ]
    shop = Shop(folder, folder / "store.db")
    shop.ask("POST", "/v1/events", {"events": [{"event": "e", "user": "u", "item": "SKU-0003", "kind": "click"}]})
    shop.ask("POST", "/v1/items", {"item": "new", "columns": {"title": "brandnew teapot"}})
    shop.ask("DELETE", "/v1/items/SKU-0002")
    before = [shop.ask(*request).json() for request in requests]
    manifest = workflow.backup(folder, tmp_path / "copy")
    assert manifest["store"] == {"kind": "sqlite", "included": True} and manifest["revision"] == 4
    shop.store.close()
    shutil.rmtree(tmp_path / "shop")  # on another machine there is nothing of it
    workflow.restore(tmp_path / "copy", tmp_path / "elsewhere" / "home")
    restored = Shop(tmp_path / "elsewhere" / "home", tmp_path / "elsewhere" / "home" / "store.db")
    after = [restored.ask(*request).json() for request in requests]
    restored.store.close()
    for reply in (*before, *after):
        reply.pop("milliseconds", None)  # that it took
    assert after == before
    assert any(hit["item"] == "new" for hit in after[3]["hits"])


def test_backups_of_a_store_that_is_written_to_hold_every_event_that_was_acknowledged(small: Path) -> None:
    acknowledged, stop = [1], threading.Event()

    def write() -> None:
        with Store(small / "home" / "store.db") as store:
            while not stop.is_set():
                store.events.add([event(len(acknowledged) + 1)])
                acknowledged.append(len(acknowledged) + 1)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for number in range(4):
            least = len(acknowledged)
            workflow.backup(small / "home", small / f"b{number}")
            most = len(acknowledged) + 1
            workflow.restore(small / f"b{number}", small / f"h{number}")
            with Store(small / f"h{number}" / "store.db") as store:
                stored = [row["event"] for row in store.events.all()]
            assert least <= len(stored) <= most and stored == [f"e{i + 1}" for i in range(len(stored))]
    finally:
        stop.set()
        thread.join()


def test_promotions_meanwhile_do_not_tear_it(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More of them than a home keeps revisions, between the first look and the last read."""
    home, plain = Home(small / "home"), archives.write

    def slowly(*arguments: object) -> object:
        for number in range(KEPT + 2):
            home.promote(bundle(small / f"n{number}", f"words {number}"), good)
        return plain(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(backups, "write", slowly)
    workflow.backup(home.folder, small / "torn")
    workflow.restore(small / "torn", small / "again")
    again = Home(small / "again")
    part = again.part("predict")
    assert again.live().number == 1 and part is not None and (part / "weights.npz").read_bytes() == b"words"
    assert len(list((home.folder / "parts").iterdir())) == KEPT + 1  # the pinned one too
    home.promote(bundle(small / "last"), good)
    assert len(list((home.folder / "parts").iterdir())) == KEPT


def test_the_pin_of_a_process_that_was_killed_holds_nothing(small: Path) -> None:
    home = Home(small / "home")
    (home.folder / ".pins" / "dead").write_text("parts/none")
    home.sweep()
    assert list((home.folder / ".pins").iterdir()) == []


def test_an_index_that_is_rebuilt_meanwhile_is_one_state_of_it(tmp_path: Path) -> None:
    from test_index_store import answers, batch, create

    create(tmp_path / "index", batch(list(range(40))))
    home = Home(tmp_path / "home")
    home.promote(tmp_path / "index", lambda kind, folder: None)
    part = home.part("search")
    assert part is not None
    stop = threading.Event()

    def change() -> None:
        index, number = Index(part), 40
        while not stop.is_set():
            more: Batch = batch([number % 60])
            index.add(more)
            index.rebuild()
            number += 1

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for number in range(3):
            workflow.backup(home.folder, tmp_path / f"b{number}")
            workflow.restore(tmp_path / f"b{number}", tmp_path / f"h{number}")
            again = Home(tmp_path / f"h{number}").part("search")
            assert again is not None
            words, vectors, _ = answers(Index(again))
            assert len(vectors) == 5 and len(set(words)) == len(words) and 40 <= len(Index(again).snapshot) <= 60
            time.sleep(0.05)
    finally:
        stop.set()
        thread.join()


# --- Archives that are damaged, or hostile --------------------------------------------------------------------


def rewritten(file: Path, change: Callable[[dict[str, bytes], dict[str, object]], None], **options: object) -> None:
    """The archive with other members: name → data; ``manifest.json`` last, from the second argument."""
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(members.pop("manifest.json"))
    change(members, manifest)
    with zipfile.ZipFile(file, "w", options.get("how", zipfile.ZIP_STORED)) as archive:  # type: ignore[call-overload]
        for name, data in {**members, "manifest.json": json.dumps(manifest).encode()}.items():
            entry = zipfile.ZipInfo(name)
            entry.compress_type = options.get("how", zipfile.ZIP_STORED)  # type: ignore[assignment]
            entry.external_attr = options.get("mode", 0o100600) << 16  # type: ignore[operator]
            archive.writestr(entry, data)


def named(name: str) -> Callable[[dict[str, bytes], dict[str, dict[str, object]]], None]:
    def change(members: dict[str, bytes], manifest: dict[str, dict[str, object]]) -> None:
        manifest["files"][name] = manifest["files"]["live.json"]

    return change


def other_bytes(members: dict[str, bytes], manifest: dict[str, object]) -> None:
    name = max(members, key=lambda name: len(members[name]))
    members[name] = members[name][:-1] + b"?"


def lies_of_its_size(members: dict[str, bytes], manifest: dict[str, dict[str, dict[str, object]]]) -> None:
    manifest["files"]["live.json"]["bytes"] = 10**15


HOSTILE: dict[str, tuple[Callable[..., None], dict[str, object]]] = {
    "above": (named("../outside"), {}),
    "absolute": (named("/tmp/outside"), {}),
    "deep": (named("parts/../../outside"), {}),
    "backslash": (named("..\\outside"), {}),
    "hidden": (named(".lock"), {}),
    "a file for a folder": (named("parts"), {}),
    "control": (named("a\nb"), {}),
    "empty": (named(""), {}),
    "member above": (lambda members, _: members.update({"../outside": b"x"}), {}),
    "member more": (lambda members, _: members.update({"blobs/" + "0" * 64: b"x"}), {}),
    "member less": (lambda members, _: members.pop(next(iter(members))), {}),
    "bytes": (other_bytes, {}),
    "size": (lies_of_its_size, {}),
    "newer": (lambda _, manifest: manifest.update(format=99), {}),
    "no format": (lambda _, manifest: manifest.update(format="x"), {}),
    "no files": (lambda _, manifest: manifest.update(files=[]), {}),
    "no checksum": (lambda _, manifest: manifest["files"].update(a={"sha256": "x", "bytes": 1}), {}),
    "links": (lambda members, _: None, {"mode": 0o120777}),
    "compressed": (lambda members, _: None, {"how": zipfile.ZIP_DEFLATED}),
    "bomb": (lambda members, _: members.update({"blobs/" + "0" * 64: bytes(50_000_000)}), {"how": zipfile.ZIP_BZIP2}),
}


@pytest.mark.parametrize("kind", list(HOSTILE))
def test_a_hostile_archive_is_refused_before_anything_is_written(kind: str, small: Path) -> None:
    change, options = HOSTILE[kind]
    rewritten(small / "home.backup", change, **options)
    here = sorted(small.iterdir())
    with pytest.raises(DataError, match=r"damaged|newer tuwen") as refused:
        workflow.restore(small / "home.backup", small / "again")
    assert sorted(small.iterdir()) == here and not (small.parent / "outside").exists()
    assert refused.value.where == str(small / "home.backup") and refused.value.todo


def test_entries_that_lie_over_one_another_are_refused(small: Path) -> None:
    """A bomb without compression: many names for the same bytes."""
    file = small / "home.backup"
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
    data = bytearray(file.read_bytes())
    first = entries[1].header_offset.to_bytes(4, "little")
    offset = data.rfind(entries[2].filename.encode()) - 4  # in the central directory: the offset of its header
    data[offset : offset + 4] = first
    file.write_bytes(data)
    with pytest.raises(DataError, match="damaged"):
        workflow.restore(file, small / "again")
    assert not (small / "again").exists()


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.9, 0.999])
def test_an_archive_that_is_cut_short_is_refused(share: float, small: Path) -> None:
    file = small / "home.backup"
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(DataError, match="the backup is damaged" if share else "this file is no backup") as refusal:
        workflow.restore(file, small / "again")
    assert refusal.value.seen == ("it is cut short: its end is missing" if share else "it is empty")
    assert not (small / "again").exists()


def test_any_other_byte_is_noticed(small: Path) -> None:
    file = small / "home.backup"
    data = file.read_bytes()
    rng = random.Random(0)
    whole = digest_of(small / "home")
    for number in range(60):
        offset = rng.randrange(len(data))
        file.write_bytes(data[:offset] + bytes([data[offset] ^ (1 << rng.randrange(8))]) + data[offset + 1 :])
        try:
            workflow.restore(file, small / f"again{number}")
        except DataError:
            assert not (small / f"again{number}").exists()
        else:  # a byte of the archive that nothing hangs on, such as a date
            assert digest_of(small / f"again{number}") == whole


def digest_of(home: Path) -> str:
    part = Home(home).part("predict")
    assert part is not None
    with Store(home / "store.db") as store:
        events = [row["event"] for row in store.events.all()]
    files = sorted(path.relative_to(part).as_posix() for path in part.rglob("*") if path.is_file())
    digests = [(name, hashlib.sha256((part / name).read_bytes()).hexdigest()) for name in files]
    return repr((events, digests, Home(home).live()))


def test_a_store_that_is_damaged_inside_is_refused(small: Path) -> None:
    def change(members: dict[str, bytes], manifest: dict[str, dict[str, dict[str, object]]]) -> None:
        old = str(manifest["files"]["store.db"]["sha256"])
        data = bytearray(members.pop(f"blobs/{old}"))
        data[4096:8192] = os.urandom(4096)
        digest = hashlib.sha256(data).hexdigest()
        members[f"blobs/{digest}"] = bytes(data)
        manifest["files"]["store.db"]["sha256"] = digest

    rewritten(small / "home.backup", change)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="the store in the backup is damaged"):
        workflow.restore(small / "home.backup", small / "again")
    assert not (small / "again").exists()


# --- Places ---------------------------------------------------------------------------------------------------


def test_nothing_that_stands_there_is_replaced(small: Path) -> None:
    with pytest.raises(ConfigError, match="inside of what it keeps"):
        workflow.backup(small / "home", small / "home" / "b")
    before = (small / "home.backup").read_bytes()
    (small / "home" / "live.json").write_text("damaged")
    with pytest.raises(DataError):
        workflow.backup(small / "home", small / "home.backup")
    assert (small / "home.backup").read_bytes() == before


def test_a_backup_replaces_an_earlier_one_and_nothing_else(small: Path) -> None:
    file = small / "again.backup"
    workflow.backup(small / "home", file)
    workflow.backup(small / "home", file)
    for text in (b"user,item\n1,2\n", b"", b"PK\x05\x06" + bytes(18)):  # a table, nothing, another archive
        file.write_bytes(text)
        with pytest.raises(DataError, match="something else than a backup"):
            workflow.backup(small / "home", file)
        assert file.read_bytes() == text


def test_it_is_for_its_owner_alone(small: Path) -> None:
    assert (small / "home.backup").stat().st_mode & 0o077 == 0
    workflow.restore(small / "home.backup", small / "again")
    assert [path for path in (small / "again").rglob("*") if path.stat().st_mode & 0o077] == []


@pytest.mark.skipif(not mounts(), reason=REASON)
def test_a_disk_that_is_too_small_is_left_as_it_was(small: Path) -> None:
    (small / "one" / "large").write_bytes(os.urandom(3_000_000))
    home = Home(small / "home")
    shutil.copytree(small / "one", small / "two")
    shutil.rmtree(small / "one")
    home.promote(bundle(small / "big", "x" * 3_000_000), good)
    workflow.backup(home.folder, small / "big.backup")
    with small_disk(small / "disk", 2) as disk:
        for call in (
            lambda: workflow.restore(small / "big.backup", disk / "home"),
            lambda: workflow.backup(home.folder, disk / "copy"),
        ):
            with pytest.raises(DataError, match="the disk is full"):
                call()
            assert list(disk.iterdir()) == []


def test_the_commands(small: Path) -> None:
    run = CliRunner()
    done = run.invoke(app, ["backup", str(small / "home"), str(small / "b"), "--json"])
    assert done.exit_code == 0 and json.loads(done.stdout)["revision"] == 1
    done = run.invoke(app, ["restore", str(small / "b"), str(small / "again"), "--json"])
    result = json.loads(done.stdout)
    assert done.exit_code == 0 and result["revision"] == 1 and result["store"] == {"kind": "sqlite", "included": True}
    done = run.invoke(app, ["restore", str(small / "b"), str(small / "third")])
    assert done.exit_code == 0 and f"tuwen serve {small / 'third'}" in done.stdout.replace("\n", "")
    done = run.invoke(app, ["backup", str(small / "home"), str(small / "b"), "--store", "postgresql://u:geheim@h/d"])
    assert done.exit_code == 0 and "pg_dump" in done.stdout and "geheim" not in done.output
    done = run.invoke(app, ["restore", str(small / "none"), str(small / "fourth")])
    assert done.exit_code == 3 and "there is no such file" in done.output
    done = run.invoke(app, ["backup", str(small / "none"), str(small / "b")])
    assert done.exit_code == 2 and "there is no home here" in done.output


def test_what_was_deleted_is_not_in_it(small: Path) -> None:
    """What somebody wrote who was forgotten stands in no free page of the copy."""
    with Store(small / "home" / "store.db") as store:
        store.people.say("f", user="anna", item="i", rating=1, text="unmistakable")
        store.people.forget("anna")
    workflow.backup(small / "home", small / "b")
    assert b"unmistakable" not in (small / "b").read_bytes()


def test_an_event_that_leaves_the_journal_while_a_backup_is_taken_is_in_it(small: Path, monkeypatch) -> None:
    home, copied = small / "home", backups._store
    journal = Journal(home / "journal.log")
    journal.write([event(2)])

    def store_copied_first(url: str, work: Path) -> Path | None:
        copy = copied(url, work)
        with Store(home / "store.db") as store:
            assert journal.empty(store.events.add)
        return copy

    monkeypatch.setattr(backups, "_store", store_copied_first)
    workflow.backup(home, small / "again.backup")
    workflow.restore(small / "again.backup", small / "restored")
    with Store(small / "restored" / "store.db") as store:
        Journal(small / "restored" / "journal.log").empty(store.events.add)
        assert {row["event"] for row in store.events.all()} == {"e1", "e2"}
