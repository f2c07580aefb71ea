"""Promotion follows no link, wherever it stands and whenever it is put there."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tuwen.bundle import copying
from tuwen.bundle.copying import copy_folder
from tuwen.bundle.files import writing
from tuwen.bundle.home import Home
from tuwen.errors import DataError, TuwenError

SECRET = "root:x:0:0"


def passes(kind: str, folder: Path) -> None:
    assert folder.is_dir()


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "passwd").write_text(SECRET)
    (folder / "bundle.json").write_text("{}")
    return folder


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home_folder = Home(tmp_path / "home")
    home_folder.incoming.mkdir()
    return home_folder


def bundle(folder: Path) -> Path:
    with writing(folder, {"name": "b", "task": "rate"}) as path:
        (path / "deep").mkdir()
        (path / "deep" / "weights.npz").write_bytes(b"words")
    return folder


def report(folder: Path) -> Path:
    folder.mkdir()
    (folder / "report.json").write_text(json.dumps({"name": "r"}))
    return folder


def everything(home: Home) -> str:
    files = [path for path in home.folder.rglob("*") if path.is_file() and home.incoming not in path.parents]
    return "".join(path.read_text(errors="replace") for path in files)


def page(folder: Path, secret: Path) -> None:
    (report(folder) / "report.html").symlink_to(secret / "passwd")


def file_inside(folder: Path, secret: Path) -> None:
    (bundle(folder) / "deep" / "more.npz").symlink_to(secret / "passwd")


def folder_inside(folder: Path, secret: Path) -> None:
    (bundle(folder) / "more").symlink_to(secret, target_is_directory=True)


def nothing_behind(folder: Path, secret: Path) -> None:
    (bundle(folder) / "more").symlink_to(secret / "none")


def pipe(folder: Path, secret: Path) -> None:
    os.mkfifo(bundle(folder) / "pipe")


def itself(folder: Path, secret: Path) -> None:
    folder.symlink_to(bundle(secret / "whole"), target_is_directory=True)


@pytest.mark.parametrize("make", [page, file_inside, folder_inside, nothing_behind, pipe, itself])
def test_a_link_is_refused_and_nothing_of_it_is_copied(
    home: Home, secret: Path, make: Callable[[Path, Path], None]
) -> None:
    make(home.incoming / "x", secret)
    with pytest.raises(DataError, match=r"a link is not followed|neither a file nor a folder") as refused:
        home.promote(home.incoming / "x", passes)
    assert str(home.incoming / "x") in str(refused.value) and "itself" in str(refused.value.todo)
    assert home.live().number == 0 and SECRET not in everything(home)
    assert list((home.folder / "parts").iterdir()) == []


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_link_that_is_put_there_while_the_copy_is_made_is_refused(
    home: Home, secret: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at a name and its opening: the very moment an attacker waits for."""
    source = bundle(home.incoming / "x")
    wanted = "deep" if kind == "folder" else "weights.npz"
    before = os.stat

    def stat_then_swap(name: object, **options: object) -> os.stat_result:
        status = before(name, **options)  # type: ignore[arg-type]
        if name == wanted and options.get("dir_fd") is not None:
            path = source / "deep" if kind == "folder" else source / "deep" / wanted
            path.rename(secret / "taken")
            path.symlink_to(secret if kind == "folder" else secret / "passwd")
        return status

    monkeypatch.setattr(copying.os, "stat", stat_then_swap)
    with pytest.raises(TuwenError, match="a link is not followed"):
        home.promote(source, passes)
    monkeypatch.undo()
    assert SECRET not in everything(home) and home.live().number == 0


def test_a_person_may_name_a_link_to_what_she_promotes(home: Home, tmp_path: Path) -> None:
    (tmp_path / "latest").symlink_to(bundle(tmp_path / "b"))
    assert home.promote(tmp_path / "latest", passes).number == 1


def test_shards_share_their_bytes_and_a_link_among_them_is_refused(tmp_path: Path, secret: Path) -> None:
    source = tmp_path / "media"
    source.mkdir()
    (source / "00000.shard").write_bytes(b"pictures")
    copy_folder(source, tmp_path / "one")
    assert (tmp_path / "one" / "00000.shard").stat().st_ino == (source / "00000.shard").stat().st_ino
    (source / "00001.shard").symlink_to(secret / "passwd")
    with pytest.raises(DataError, match="a link is not followed"):
        copy_folder(source, tmp_path / "two")
    assert not (tmp_path / "two").exists()


def test_what_waits_is_listed_without_its_links(home: Home, secret: Path) -> None:
    bundle(home.incoming / "good")
    itself(home.incoming / "link", secret)
    assert [entry["name"] for entry in home.waiting()] == ["good"]
