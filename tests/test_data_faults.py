"""What stops a collect does not harm it: kill -9, Ctrl-C, a full disk, a second run in the same folder."""

from __future__ import annotations

import errno
import json
import os
import random
import resource
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from processes import Command
from shops import Desk, jpeg
from tuwen import files, outputs
from tuwen.data.store import MediaStore
from tuwen.errors import DataError, InUse
from web import Web

COLLECT = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
import os, sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
from tuwen.config import Shop
from tuwen.data import collect as module, store
store.SECONDS = 0.02
if {slow!r}:
    put = store.MediaWriter.put
    store.MediaWriter.put = lambda self, pictures: (time.sleep({slow!r}), put(self, pictures))[1]
if {dies!r} is not None:
    replace, placed = Path.replace, []
    def dying(self, target):
        if self.name.endswith(".half") and target.name != ".placing":
            if len(placed) == {dies!r}:
                os._exit(9)
            placed.append(target)
        return replace(self, target)
    Path.replace = dying
from tuwen.errors import TuwenError
try:
    manifest = module.collect(Shop.model_validate_json(Path({shop!r}).read_text()), {out!r})
except TuwenError as error:
    print(type(error).__name__, error)
    sys.exit(error.exit_code)
print(manifest["hash"])
"""


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def many_pictures(desk: Desk, count: int = 600) -> dict[str, Any]:
    pictures = [jpeg(i, 64) for i in range(count // 2)]
    for i in range(count // 2, count):
        desk.write(f"{i}.jpg", jpeg(i, 64))
    names = [None if i < count // 2 else f"{i}.jpg" for i in range(count)]
    table = {
        "item": [str(i) for i in range(count)],
        "photo": [*pictures, *[None] * (count - count // 2)],
        "path": names,
    }
    pl.DataFrame(table).write_parquet(desk.shop / "items.parquet")
    desk.write("users.csv", "user\nu\n")
    return {
        "items": {"source": "items.parquet", "columns": {"images": ["photo", "path"]}},
        "users": {"source": "users.csv"},
    }


def start(
    desk: Desk, shop: dict[str, Any], out: Path, *, slow: float = 0.0, dies: int | None = None, **options: Any
) -> Command:
    """Collect in a process of its own.

    Args:
        slow: seconds longer for every group of pictures.
        dies: end, as a kill would, when so many files have been put in place.
    """
    text = desk.write("shop.json", desk.describe(**shop).model_dump_json())
    program = COLLECT.format(tests=str(Path(__file__).parent), slow=slow, dies=dies, shop=str(text), out=str(out))
    return Command(code=program, **options)


def wait_for_bytes(out: Path, size: int, process: Command) -> None:
    """Until the media store has grown to ``size``."""
    for _ in range(2_000):
        if sum(path.stat().st_size for path in out.glob("media/*.shard")) >= size or not process.is_alive():
            return
        time.sleep(0.005)
    raise AssertionError("the collect did not get there")


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> tuple[Desk, dict[str, Any], dict[str, Any]]:
    """A shop of 600 pictures, how it is described, and the manifest of a collect that nothing stopped."""
    desk = Desk(tmp_path_factory.mktemp("unbroken"))
    shop = many_pictures(desk)
    return desk, shop, desk.collect(**shop)


@pytest.mark.parametrize("seed", range(4))
def test_kill_9_at_any_point_loses_nothing(
    desk: Desk, seed: int, unbroken: tuple[Desk, dict[str, Any], dict[str, Any]]
) -> None:
    other, shop, whole = unbroken
    shutil.copytree(other.shop, desk.shop, dirs_exist_ok=True)
    total = sum(path.stat().st_size for path in other.out.glob("media/*.shard"))
    rng = random.Random(seed)
    for _ in range(2):
        process = start(desk, shop, desk.out, slow=0.02)
        wait_for_bytes(desk.out, int(rng.random() * total), process)
        time.sleep(rng.random() * 0.05)
        process.kill()
        process.wait()
        store = MediaStore(desk.out / "media")
        assert all(len(store.read(key)) > 100 for key in store.keys())  # noqa: SIM118
    kept = len(MediaStore(desk.out / "media"))
    manifest = desk.collect(**shop)
    assert manifest["hash"] == whole["hash"]
    assert manifest["pictures"]["read_now"] == 600 - kept
    assert manifest["tables"]["items"]["sha256"] == whole["tables"]["items"]["sha256"]


def test_kill_9_of_a_second_collect_leaves_the_first_dataset(desk: Desk) -> None:
    shop = many_pictures(desk, 40)
    first = desk.collect(**shop)
    shop = many_pictures(desk, 400)
    process = start(desk, shop, desk.out, slow=0.05)
    wait_for_bytes(desk.out, 200_000, process)
    process.kill()
    process.wait()
    dataset = desk.dataset()
    assert dataset.hash == first["hash"]
    assert all(dataset.media.read(key) for keys in dataset.table("items")["images"] for key in keys)


@pytest.mark.parametrize("done", range(4))
def test_a_kill_while_files_are_put_in_place_is_made_good(desk: Desk, done: int) -> None:
    desk.write("items.csv", "item\n1\n")
    desk.write("users.csv", "user\n1\n")
    shop = {"items": {"source": "items.csv"}, "users": {"source": "users.csv"}}
    desk.collect(**shop)
    desk.write("items.csv", "item\n1\n2\n")
    desk.write("users.csv", "user\n1\n2\n")
    process = start(desk, shop, desk.out, dies=done)
    assert process.wait() == 9 and (desk.out / outputs.PLACING).exists()
    dataset = desk.dataset()
    assert dataset.table("items").height == dataset.table("users").height == 2
    assert not (desk.out / outputs.PLACING).exists()
    assert desk.collect(**shop)["hash"] == dataset.hash
    assert not list(desk.out.rglob(".*.half"))


def test_ctrl_c_and_then_on(desk: Desk) -> None:
    shop = many_pictures(desk)
    process = start(desk, shop, desk.out, slow=0.03)
    wait_for_bytes(desk.out, 300_000, process)
    process.send_signal(signal.SIGINT)
    assert process.wait(20) != 0 and "KeyboardInterrupt" in process.stderr
    kept = len(MediaStore(desk.out / "media"))
    assert 0 < kept < 600
    manifest = desk.collect(**shop)
    assert manifest["pictures"]["read_now"] == 600 - kept and manifest["pictures"]["stored"] == 600


def test_ctrl_c_while_downloading_and_then_on(desk: Desk) -> None:
    with Web({f"/{i}.jpg": jpeg(i, 64) for i in range(120)}) as web:
        lines = "".join(f"{i},{web.url}/slow/{i}.jpg\n" for i in range(120))
        desk.write("items.csv", "item,images\n" + lines)
        shop = {"items": {"source": "items.csv"}, "media": {"allow_private_addresses": True}}
        process = start(desk, shop, desk.out)
        wait_for_bytes(desk.out, 30_000, process)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) != 0 and "KeyboardInterrupt" in process.stderr
        kept = len(MediaStore(desk.out / "media"))
        assert 0 < kept < 120
        web.asked.clear()
        assert desk.collect(**shop)["pictures"]["stored"] == 120
        assert sum(web.asked.values()) == 120 - kept


def test_a_full_disk_is_a_clear_error_and_changes_nothing(desk: Desk) -> None:
    desk.write("items.csv", "item,images\n1,a.jpg\n")
    desk.write("a.jpg", jpeg(1))
    shop = {"items": {"source": "items.csv"}}
    first = desk.collect(**shop)
    shard = desk.out / "media" / "00001.shard"
    shard.symlink_to("/dev/full")  # a device that is always full
    desk.write("a.jpg", jpeg(2))
    with pytest.raises(DataError, match="the disk is full"):
        desk.collect(**shop)
    shard.unlink()
    assert desk.dataset().hash == first["hash"]
    assert desk.collect(**shop)["pictures"]["stored"] == 1


@pytest.mark.parametrize("limit", [3_000, 20_000, 60_000])
def test_no_more_room_anywhere(desk: Desk, limit: int) -> None:
    shop = many_pictures(desk, 200)
    desk.write("small.csv", "item\n1\n")
    first = desk.collect(items={"source": "small.csv"})
    process = start(
        desk,
        shop,
        desk.out,
        limits={resource.RLIMIT_FSIZE: (limit, resource.RLIM_INFINITY)},
    )
    code, output = process.wait(30), process.stdout + process.stderr
    assert code == DataError.exit_code, output
    assert "the disk is full" in output and "Traceback" not in output
    assert desk.dataset().hash == first["hash"] and desk.dataset().table("items").height == 1
    assert desk.collect(**shop)["pictures"]["stored"] == 200


def test_no_room_for_the_tables(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.write("items.csv", "item\n1\n")
    shop = {"items": {"source": "items.csv"}}
    first = desk.collect(**shop)
    desk.write("items.csv", "item\n1\n2\n")
    real = os.fsync

    def full(descriptor: int) -> None:
        if "parquet" in str(Path(f"/proc/self/fd/{descriptor}").readlink()):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match="the disk is full"):
        desk.collect(**shop)
    monkeypatch.undo()
    assert desk.dataset().hash == first["hash"] and not list(desk.out.glob(".*.half"))
    assert desk.collect(**shop)["tables"]["items"]["rows"] == 2


def test_two_runs_in_one_folder(desk: Desk) -> None:
    shop = many_pictures(desk, 200)
    first = start(desk, shop, desk.out, slow=0.3)
    wait_for_bytes(desk.out, 1, first)
    with pytest.raises(InUse) as error:
        desk.collect(**shop)
    assert error.value.seen == f"process {first.pid}"
    first.kill()
    first.wait()
    assert (desk.out / ".lock").read_text() == str(first.pid)  # what it left behind is simply taken over
    assert desk.collect(**shop)["pictures"]["stored"] == 200


def test_a_lock_is_the_holder_s_only(tmp_path: Path) -> None:
    with outputs.held(tmp_path), pytest.raises(InUse), outputs.held(tmp_path):
        pass
    with outputs.held(tmp_path):
        pass


def test_whole_files(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    files.write_json(path, {"名": 1})
    assert json.loads(path.read_text()) == {"名": 1}
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(path, float("nan"))
    with pytest.raises(RuntimeError), files.whole(path) as file:
        file.write(b"half")
        raise RuntimeError
    assert json.loads(path.read_text()) == {"名": 1} and list(tmp_path.iterdir()) == [path]


def test_a_shard_that_a_power_cut_left_alone_is_no_reason_to_refuse(desk: Desk) -> None:
    shop = many_pictures(desk, 4)
    (desk.out / "media").mkdir(parents=True)
    (desk.out / "media" / "00000.shard").write_bytes(b"half a picture")
    (desk.out / "media" / "index.sqlite-journal").touch()
    manifest = desk.collect(**shop)
    assert manifest["pictures"]["read_now"] == 4
    dataset = desk.dataset()
    assert all(dataset.media.read(key) for keys in dataset.table("items")["images"] for key in keys)
