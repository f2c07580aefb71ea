"""Where a backup may be written and a home restored: refused before anything is done, with what to name instead."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from test_home import bundle, good
from tuwen import workflow
from tuwen.bundle.home import Home
from tuwen.cli import app
from tuwen.errors import ConfigError, DataError


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A home, a backup of it, a file, and a folder that is not empty."""
    Home(tmp_path / "home").promote(bundle(tmp_path / "one", "first"), good)
    workflow.backup(tmp_path / "home", tmp_path / "home.backup")
    (tmp_path / "file.txt").write_text("text")
    return tmp_path


def tree(folder: Path) -> list[tuple[Path, int]]:
    return sorted((path, path.stat().st_size) for path in folder.rglob("*") if ".pins" not in path.parts)


@pytest.mark.parametrize(
    ("file", "what", "where", "todo"),
    [
        ("one", "a backup is one file, and this is a folder", "one", "one/home.backup"),
        ("", "a backup is one file, and this is a folder", "", "/home.backup"),
        ("none/b/x.backup", "the folder of the backup is missing", "none/b", "mkdir -p"),
        ("file.txt/x.backup", "a file stands where the folder of the backup is to be", "file.txt", "name a file"),
        ("file.txt/a/x.backup", "a file stands where the folder of the backup is to be", "file.txt", "name a file"),
        ("file.txt", "something else than a backup has this name", "file.txt", "name a file"),
        ("home/x.backup", "a backup inside of what it keeps is none", "home/x.backup", "outside of the home"),
        ("home/parts/x.backup", "a backup inside of what it keeps is none", "home/parts/x.backup", "outside"),
    ],
)
def test_a_backup_is_a_file_in_a_folder_that_is_there(file: str, what: str, where: str, todo: str, shop: Path) -> None:
    before = tree(shop)
    with pytest.raises((DataError, ConfigError), match=what) as refusal:
        workflow.backup(shop / "home", shop / file)
    assert refusal.value.where == str(shop / where) and todo in str(refusal.value.todo)
    assert tree(shop) == before


@pytest.mark.parametrize(
    ("home", "what", "where", "seen"),
    [
        ("file.txt", "a file stands where the home is to be made", "file.txt", None),
        ("file.txt/a/b", "a file stands where the home is to be made", "file.txt", None),
        ("home", "the folder is not empty, and nothing is overwritten", "home", "a home"),
        ("one", "the folder is not empty, and nothing is overwritten", "one", "bundle.json, weights.npz"),
    ],
)
def test_a_home_is_restored_into_a_new_folder(home: str, what: str, where: str, seen: str | None, shop: Path) -> None:
    before = tree(shop)
    with pytest.raises(DataError, match=what) as refusal:
        workflow.restore(shop / "home.backup", shop / home)
    assert refusal.value.where == str(shop / where) and refusal.value.seen == seen
    assert "an empty or a new folder" in str(refusal.value.todo)
    assert tree(shop) == before


def test_a_folder_that_may_not_be_written(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != shop)  # root may write everywhere
    with pytest.raises(DataError, match="may not be written") as refusal:
        workflow.backup(shop / "home", shop / "x.backup")
    assert refusal.value.where == str(shop) and "name a file" in str(refusal.value.todo)
    for home in ("again", "a/b"):
        with pytest.raises(DataError, match="may not be written") as refusal:
            workflow.restore(shop / "home.backup", shop / home)
        assert refusal.value.where == str(shop) and "name an empty" in str(refusal.value.todo)


@pytest.mark.parametrize(
    ("data", "what", "seen"),
    [
        (b"", "this file is no backup", "it is empty"),
        (b"item,title\n1,cup\n", "this file is no backup", "something else"),
        (b"PK\x05\x06" + bytes(18), "this file is no backup", "something else"),  # a zip archive of nothing
        (b"PK\x03\x04" + bytes(90), "the backup is damaged, or is none", "it is cut short: its end is missing"),
    ],
)
def test_what_is_no_backup_is_named(data: bytes, what: str, seen: str, shop: Path) -> None:
    (shop / "file.txt").write_bytes(data)
    with pytest.raises(DataError, match=what) as refusal:
        workflow.restore(shop / "file.txt", shop / "again")
    assert refusal.value.seen == seen and refusal.value.todo
    assert not (shop / "again").exists()


@pytest.mark.parametrize("name", ["backup", "restore"])
def test_no_message_names_a_file_that_is_half_written(name: str, shop: Path) -> None:
    if not Path("/proc").is_dir():
        pytest.skip("needs a folder in which nobody can write")
    words = ["home", "/proc/x"] if name == "backup" else ["home.backup", "/proc/a/x"]
    done = CliRunner().invoke(app, [name, str(shop / words[0]), words[1], "--json"])
    assert done.exit_code == 3 and ".half" not in done.output and "/proc" in done.output and "todo" in done.output
