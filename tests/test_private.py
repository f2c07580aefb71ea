"""What tuwen writes of a shop is for its owner alone, and what the dead left behind goes."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from disks import REASON, mounts, small_disk
from shops import Desk
from test_home import bundle, good
from tuwen import private as rights
from tuwen.bundle.home import Home
from tuwen.private import close_to_others, private, scratch


def open_to_others(folder: Path) -> list[str]:
    paths = [folder, *folder.rglob("*")]
    return [str(path) for path in paths if not path.is_symlink() and path.stat().st_mode & 0o077]


def test_a_home_is_for_its_owner_alone(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.promote(bundle(tmp_path / "one"), good)
    assert open_to_others(home.folder) == []
    for path in home.folder.rglob("*"):  # made by an older tuwen
        path.chmod(0o755 if path.is_dir() else 0o644)
    home.folder.chmod(0o755)
    home.promote(bundle(tmp_path / "two"), good)
    assert open_to_others(home.folder) == []
    assert open_to_others(tmp_path / "two"), "a bundle itself is what the user's own mask makes it"


def test_a_dataset_is_for_its_owner_alone(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.write("items.csv", "item,title\na,one\n")
    desk.collect(items={"source": "items.csv"})
    assert open_to_others(desk.out) == []
    (desk.out / "items.parquet").chmod(0o644)
    desk.out.chmod(0o755)
    desk.collect(items={"source": "items.csv"})
    assert open_to_others(desk.out) == []


def test_the_mask_comes_back_when_the_last_of_several_threads_is_done(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        inside, leave = threading.Event(), threading.Event()

        def work() -> None:
            with private(tmp_path / "a"):
                inside.set()
                leave.wait(10)

        thread = threading.Thread(target=work)
        thread.start()
        inside.wait(10)
        with private(tmp_path / "b"):
            leave.set()
            thread.join()
            (tmp_path / "file").touch()
        (tmp_path / "after").touch()
        assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600
        assert stat.S_IMODE((tmp_path / "after").stat().st_mode) == 0o644
    finally:
        os.umask(before)


def test_a_link_is_not_followed_to_change_rights(tmp_path: Path) -> None:
    (tmp_path / "outside").touch(0o644)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "link").symlink_to(tmp_path / "outside")
    close_to_others(tmp_path / "folder")
    assert stat.S_IMODE((tmp_path / "outside").stat().st_mode) == 0o644


@pytest.mark.skipif(os.geteuid() != 0, reason="only root writes into a home of another user")
def test_root_gives_what_it_promotes_to_the_owner_of_the_home(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    for path in (home.folder, *home.folder.rglob("*")):
        os.chown(path, 65534, 65534)
    home.promote(bundle(tmp_path / "one"), good)
    paths = [home.folder / "live.json", home.folder / ".promoting", *(home.folder / "parts").rglob("*")]
    assert {path.stat().st_uid for path in paths} == {65534}


def test_scratch_folders_of_the_dead_go_and_those_of_the_living_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rights.tempfile, "tempdir", str(tmp_path))
    code = "import os\nfrom tuwen.private import scratch\nwith scratch('dead'):\n    os._exit(9)"
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "TMPDIR": str(tmp_path)}, check=False)
    assert len(list(tmp_path.iterdir())) == 1
    own = tmp_path / "tuwen-dataset"  # a person's own folder, by a name like ours
    own.mkdir()
    (own / ".lock").touch()
    os.utime(own, (0, 0))
    with scratch("alive") as alive:
        (alive / "x").touch()
        with scratch("next"):
            pass
        assert (alive / "x").exists()
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted([alive.parent.name, "tuwen-dataset"])
    assert [path.name for path in tmp_path.iterdir()] == ["tuwen-dataset"]


def test_copies_of_a_promotion_that_was_killed_go_at_the_next_start(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.promote(bundle(tmp_path / "one"), good)
    leftover = home.folder / "parts" / "predict-20250101-000000-abcdef"
    leftover.mkdir()
    (leftover / "weights.npz").touch()
    home.sweep()
    assert not leftover.exists() and home.part("predict").is_dir()


@pytest.mark.skipif(not mounts(), reason=REASON)
def test_a_home_on_a_disk_that_is_read_only_can_be_served(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 20) as disk:
        Home(disk / "home").promote(bundle(tmp_path / "one"), good)
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        Home(disk / "home").sweep()
        assert Home(disk / "home").part("predict") is not None
