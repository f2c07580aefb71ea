"""New things are refused before the disk is full and before memory is; what gives room back is not."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from disks import REASON, fill, mounts, small_disk
from homes import Shop, home_in, problem
from tuwen.service import room as rooms
from tuwen.service.limits import Limits
from tuwen.service.room import Room

EVENT = {"events": [{"event": "e1", "user": "u", "item": "SKU-0001", "kind": "click"}]}
ITEM = {"item": "new", "columns": {"title": "a new cup"}}
WRITES = [
    ("POST", "/v1/events", EVENT),
    ("POST", "/v1/feedback", {"feedback": "f", "user": "u", "item": "SKU-0001", "rating": 4}),
    ("POST", "/v1/items", ITEM),
    ("POST", "/v1/operator/promote", {"folder": "next"}),
]


@pytest.fixture(scope="module")
def small(made_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A shop whose home is on a disk of 200 MB: 4 MB of it are the mark."""
    if not mounts():
        pytest.skip(REASON)
    with small_disk(tmp_path_factory.mktemp("room") / "disk", 200) as disk:
        folder = home_in(disk / "shop", made_home)
        shop = Shop(folder, folder / "store.db")
        yield shop
        shop.store.close()


def test_a_disk_that_is_nearly_full_refuses_what_is_new_and_takes_removals(small: Shop) -> None:
    assert small.ask("POST", "/v1/events", EVENT).json()["new"] == 1
    assert small.ask("POST", "/v1/items", {**ITEM, "item": "old"}).status_code in (200, 202)
    assert small.ask("GET", "/readyz").json()["full"] == []
    home = small.live.home
    assert home is not None
    filler = fill(home.folder, 3_900_000)
    try:
        for method, path, body in WRITES:
            message = problem(small.ask(method, path, body), 507)
            assert "nearly full" in message["what"] and message["title"] == "Insufficient Storage"
            message = problem(small.ask(method, path, body, headers={"Accept-Language": "zh"}), 507)
            assert message["what"] == "服务的磁盘将满，不再保存新的内容" and message["title"] == "存储空间不足"
        assert small.ask("DELETE", "/v1/items/old").status_code in (200, 202)
        consent = {"purpose": "recommend", "given": False}
        assert small.ask("PUT", "/v1/users/u/consent", consent).status_code == 200
        assert small.ask("DELETE", "/v1/users/u").status_code == 200
        assert small.ask("POST", "/v1/recommend", {"user": "v", "count": 3}).status_code == 200
        assert small.ask("GET", "/v1/search?words=cup").status_code == 200
        ready = small.ask("GET", "/readyz")
        assert ready.status_code == 200 and ready.json()["full"] == ["disk"]
        metrics = small.ask("GET", "/metrics").text
        assert 'tuwen_nearly_full{what="disk"} 1.0' in metrics and "tuwen_disk_free_bytes" in metrics
    finally:
        filler.unlink()
    assert small.ask("GET", "/readyz").json()["full"] == []
    assert small.ask("POST", "/v1/events", {"events": [{**EVENT["events"][0], "event": "e2"}]}).json()["new"] == 1


@pytest.mark.skipif(not mounts(), reason=REASON)
def test_the_mark_is_the_smaller_of_bytes_and_share(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 100) as disk:
        marks = {
            (200_000_000, 0.02): 2_097_152,
            (1_000_000, 0.02): 1_000_000,
            (0, 0.02): 0,
        }
        for (free, share), needed in marks.items():
            state = Room(disk, Limits(free_bytes=free, free_share=share)).disk()
            assert state is not None and state.needed == needed and not state.low
        fill(disk, 1_500_000)
        low = [Room(disk, Limits(free_bytes=free, free_share=share)).disk() for free, share in marks]
        assert [state is not None and state.low for state in low] == [True, False, False]


@pytest.mark.skipif(not mounts(), reason=REASON)
def test_a_disk_without_names_left_is_full_too(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 100, names=150) as disk:
        room = Room(disk, Limits(free_bytes=0))
        state = room.disk()
        assert state is not None and not state.low
        for number in range(100):
            (disk / str(number)).touch()
        state = room.disk()
        assert state is not None and state.low


@pytest.fixture
def group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A control group of 1,000 kB, of a machine that has room."""
    folder = tmp_path / "cgroup" / "shop"
    folder.mkdir(parents=True)
    (folder / "memory.max").write_text("1000000\n")
    (folder / "memory.current").write_text("970000\n")
    (folder / "memory.stat").write_text("anon 1\ninactive_file 100000\n")
    (tmp_path / "own").write_text("0::/shop\n")
    (tmp_path / "meminfo").write_text("MemTotal: 1000 kB\nMemAvailable: 900 kB\n")
    monkeypatch.setattr(rooms, "CGROUP", tmp_path / "cgroup")
    monkeypatch.setattr(rooms, "OWN_CGROUP", tmp_path / "own")
    monkeypatch.setattr(rooms, "MEMINFO", tmp_path / "meminfo")
    return folder


def test_memory_is_measured_against_the_narrowest_limit(group: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Room(None, Limits()).memory() == pytest.approx(0.87)  # what the kernel gives back does not count
    (group / "memory.max").write_text("max\n")
    assert Room(None, Limits()).memory() == pytest.approx(0.1)  # of the machine
    monkeypatch.setattr(rooms, "MEMINFO", group / "none")
    assert Room(None, Limits()).memory() == 0.0  # a system that says nothing


def test_costly_requests_are_refused_first_where_memory_is_short(shop: Shop, group: Path) -> None:
    (group / "memory.stat").write_text("anon 1\n")
    for path, body in (("/v1/predict", {"rows": [{}]}), ("/v1/search", {"words": "cup"}), ("/v1/items", ITEM)):
        message = problem(shop.ask("POST", path, body, headers={"Accept-Language": "zh"}), 503)
        assert message["what"] == "服务的内存不足"
    assert shop.ask("POST", "/v1/events", EVENT).status_code == 200
    assert shop.ask("POST", "/v1/recommend", {"user": "v", "count": 3}).status_code == 200
    assert shop.ask("GET", "/v1/search?words=cup").status_code == 200
    assert shop.ask("GET", "/readyz").json()["full"] == ["memory"]


def test_a_folder_that_is_gone_is_no_reason_to_refuse(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    room = Room(tmp_path / "home", Limits())
    shutil.rmtree(tmp_path / "home")
    assert room.disk() is None
