"""A full disk is told in the same words by every command, without a traceback, and leaves nothing half written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from disks import REASON, fill, mounts, small_disk
from homes import home_in
from tuwen.cli import app
from tuwen.store import Store

pytestmark = pytest.mark.skipif(not mounts(), reason=REASON)
LEFT = (0, 12_000, 120_000)  # bytes that are free when a command begins
COMMANDS: dict[str, list[str]] = {
    "sample": ["sample", "{disk}/sample", "--items", "8"],
    "collect": ["collect", "{shop}/shop/SHOP.yaml", "--out", "{disk}/dataset"],
    "train": ["train", "{shop}/shop/STARS.yaml", "{shop}/dataset", "--out", "{disk}/stars"],
    "train rank": ["train", "{shop}/shop/NEXT.yaml", "{shop}/dataset", "--out", "{disk}/next"],
    "evaluate": ["evaluate", "{shop}/stars", "{shop}/dataset", "--out", "{disk}/report"],
    "compare": ["compare", "{shop}/shop/STARS.yaml", "{shop}/dataset", "--out", "{disk}/compared", "--seeds", "2"],
    "tune": [
        *("tune", "{shop}/shop/STARS.yaml", "{shop}/dataset", "--out", "{disk}/tuned"),
        *("--search", "fusion.width=8,16", "--trials", "1"),
    ],
    "judge": ["judge", "{shop}/index", "{shop}/judged.csv", "--out", "{disk}/judged"],
    "predict": ["predict", "{shop}/stars", "{shop}/shop/items.csv", "--out", "{disk}/answers.csv"],
    "index": ["index", "{shop}/dataset", "--out", "{disk}/index", "--text", "none", "--picture", "none"],
    "update": ["update", "{disk}/old-index", "--add", "{shop}/more.csv"],
    "recommend": ["recommend", "{shop}/next", "--everybody", "{disk}/lists.csv"],
    "promote": ["promote", "{shop}/stars", "{disk}/home"],
    "key": ["key", "{disk}/old-home", "--name", "till"],
    "run": ["run", "{shop}/shop/STARS.yaml", "--out", "{disk}/run"],
    "ab": ["ab", "{disk}/old-home", "--against", "{shop}/next", "--name", "test"],
    "backup": ["backup", "{shop}/home", "{disk}/home.backup"],
    "restore": ["restore", "{shop}/home.backup", "{disk}/restored"],
}


@pytest.fixture(scope="module")
def whole(made_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = home_in(tmp_path_factory.mktemp("whole"), made_home).parent
    (folder / "more.csv").write_text("item,title\n" + "".join(f"more-{n},{'cup ' * 900}\n" for n in range(40)))
    (folder / "judged.csv").write_text("query,item,rating\n" + "".join(f"杯,SKU-{n:04},1\n" for n in range(24)))
    with Store(folder / "home" / "store.db"):
        pass
    assert CliRunner().invoke(app, ["backup", str(folder / "home"), str(folder / "home.backup")]).exit_code == 0
    return folder


@pytest.fixture
def disk(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", 24) as mount:
        (mount / "tmp").mkdir()
        monkeypatch.setattr("tempfile.tempdir", str(mount / "tmp"))
        yield mount


def state(folder: Path) -> dict[str, int]:
    """Files and their sizes, without the locks, SQLite's own files and folders that training goes on from."""
    passing = (".lock", "store.db-shm", "store.db-wal", "filler", "run.log")
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name not in passing]
    return {
        path.relative_to(folder).as_posix(): path.stat().st_size
        for path in paths
        if not any(part.endswith(".training") for part in path.parts)
    }


@pytest.mark.parametrize("name", list(COMMANDS))
def test_a_full_disk_in_every_command(name: str, whole: Path, disk: Path) -> None:
    if name == "update":
        shutil.copytree(whole / "index", disk / "old-index")
    if name in ("key", "ab"):
        shutil.copytree(whole / "home", disk / "old-home", ignore=shutil.ignore_patterns("dataset-*", "store.db-*"))
    words = [word.format(disk=disk, shop=whole) for word in COMMANDS[name]]
    refused = 0
    for room in LEFT:
        filler = fill(disk, room)
        before = state(disk)
        done = CliRunner().invoke(app, [*words, "--json"])
        assert "Traceback" not in done.output, done.output
        if done.exit_code == 0:
            assert room > 0
            break
        assert done.stderr.startswith("{"), done.output
        message = json.loads(done.stderr.strip().splitlines()[-1])["error"]
        assert done.exit_code == 3 and message["what"] == "the disk is full", (room, done.output)
        assert "make room and run the same command again" in message["todo"]
        after = {name: size for name, size in state(disk).items() if name.partition("/")[0] != "tmp"}
        assert set(after) - set(before) <= leftovers(name, after), (room, set(after) - set(before))
        changed = leftovers(name, after)
        same = [path for path in before if path in after and "/media/" not in f"/{path}" and path not in changed]
        assert all(after[path] == before[path] for path in same)
        refused += 1
        filler.unlink()
    assert refused
    if done.exit_code == 0:
        return
    if filler.exists():
        filler.unlink()
    done = CliRunner().invoke(app, [*words, "--json"])  # "make room and run the same command again"
    assert done.exit_code == 0, done.output


def leftovers(name: str, after: dict[str, int]) -> set[str]:
    """What may stay: whole pictures that the next collect need not read again, whole answers of an
    evaluation."""
    if name == "collect":
        return {path for path in after if path.startswith("dataset/media/")}
    if name == "evaluate":
        return {path for path in after if path.endswith(".parquet")}
    if name == "compare":  # its finished trainings
        return {path for path in after if path.startswith("compared/trainings/")}
    if name == "tune":  # its finished trials
        return {"tuned/study.db"}
    if name == "run":  # its finished steps
        return {path for path in after if path.startswith(("run/dataset/", "run/bundle/", "run/baselines/"))}
    return set()
