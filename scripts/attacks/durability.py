"""Attacks on durable data: power cuts, kills, links, a full disk, hostile backups, other users of the machine.

``PYTHONPATH=scripts:tests python -m attacks.durability HOME`` runs each attack against a copy of HOME. It prints the
name, the figures before the repair, and the figures now. An attack that cannot run here returns no figures.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attacks.served import CODE, Served, copy_of
from tuwen import workflow
from tuwen.bundle.home import Home
from tuwen.errors import DataError, TuwenError
from tuwen.store import Store

Figures = dict[str, Any]
KILLS = 20
BACKUPS = 5
SECRET = "root:x:0"
DISK_MB = 200
MARK = 3_900_000  # bytes that stay free: less than 2 % of the disk
# measured with the same functions before the repair, where that code had the feature
BEFORE: dict[str, Figures] = {
    "power cuts": {"faults": "150 of 505 disks", "kinds of work with faults": "10 of 12"},
    "a killed supervisor": {"seconds until its workers ended": "never", "port free": False},
    "links in what is promoted": {"promoted": 1, "secrets served": 2},
    "a disk that is nearly full": {"events": "200, until all else is refused too", "readyz": ""},
    "backups under writes": {"events lost": "no backup"},
    "hostile backups": {"refused": "no backup"},
    "rights of other users": {"files open to others": 81},
    "killed promotions": {"homes that did not open": "not measured"},
    "passwords in errors": {"shown": 0},
}


def power_cuts(home: Path) -> Figures:
    """Record each kind of work, and open every disk that a power cut may leave."""
    import power
    import test_power_cuts as cuts

    if not power.strace_works():
        return {}
    folder = (home.parent / "recorded").resolve()
    folder.mkdir()
    recorded = cuts.record_all(folder)
    disks = fault_count = kinds = 0
    for recording in recorded.values():
        states, faults = cuts.faults(recording, home.parent / "disk", cuts.CUTS, 0)
        disks, fault_count, kinds = (
            disks + sum(states.values()) + len(faults),
            fault_count + len(faults),
            kinds + bool(faults),
        )
    return {"disks": disks, "faults": fault_count, "kinds of work with faults": f"{kinds} of {len(recorded)}"}


def killed_supervisor(home: Path) -> Figures:
    """Kill the parent of two workers with ``kill -9``."""
    served = Served(home, "--workers", "2")
    workers = served.workers()
    served.client.close()
    served.process.kill()
    served.process.wait()
    began = time.monotonic()
    while time.monotonic() - began < 20 and any(_alive(pid) for pid in workers):
        time.sleep(0.02)
    seconds: float | str = round(time.monotonic() - began, 2)
    for pid in workers:
        if _alive(pid):
            seconds = "never"
            os.kill(pid, signal.SIGKILL)
    return {"seconds until its workers ended": seconds, "port free": seconds != "never"}


def links(home: Path) -> Figures:
    """Promote a report over HTTP whose page is a link to a system file, and request the page."""
    from test_evaluation_comparison_page import result_of

    folder = home / "incoming" / "attack"
    folder.mkdir(parents=True)
    (folder / "compare.json").write_text(json.dumps({**result_of("rate", seeds=1), "name": "attack"}))
    (folder / "compare.html").symlink_to("/etc/passwd")
    with Served(home) as served:
        answer = served.client.post("/v1/operator/promote", json={"folder": "attack"})
        page = served.client.get("/v1/operator/report/attack-compared/page")
    files = [path for path in (home / "parts").rglob("*") if path.is_file()]
    leaks = [path for path in files if SECRET.encode() in path.read_bytes()]
    return {"promoted": int(answer.status_code == 200), "secrets served": int(SECRET in page.text) + len(leaks)}


def nearly_full(home: Path) -> Figures:
    """Serve a home from a small disk, and fill the disk up to the mark."""
    import disks

    if not disks.mounts():
        return {}
    event = {"event": "attack", "user": "attack", "item": "a", "kind": "click"}
    with disks.small_disk(home.parent / "small", DISK_MB) as disk:
        small = Path(shutil.copytree(home, disk / "home"))
        with Served(small) as served:
            served.client.post("/v1/items", json={"item": "attack", "columns": {"title": "attack"}})
            disks.fill(disk, MARK)
            return {
                "events": served.client.post("/v1/events", json={"events": [event]}).status_code,
                "removal": served.client.delete("/v1/items/attack").status_code,
                "forgetting": served.client.delete("/v1/users/attack").status_code,
                "readyz": ", ".join(served.client.get("/readyz").json().get("full", [])),
            }


def backups_under_writes(home: Path) -> Figures:
    """Back up a store during writes, and count acknowledged events that a restored copy lacks."""
    acknowledged, stop, lost = [0], threading.Event(), 0

    def write() -> None:
        with Store(home / "store.db") as store:
            while not stop.is_set():
                number = acknowledged[0] + 1
                row = {"event": f"attack {number}", "user": "u", "item": "i", "time": number, "kind": "click"}
                store.events.add([row])
                acknowledged[0] = number

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for number in range(BACKUPS):
            least = acknowledged[0]
            workflow.backup(home, home.parent / f"{number}.backup")
            workflow.restore(home.parent / f"{number}.backup", home.parent / f"restored{number}")
            with Store(home.parent / f"restored{number}" / "store.db") as store:
                count = sum(event["event"].startswith("attack ") for event in store.events.all())
            lost += max(0, least - count)
    finally:
        stop.set()
        thread.join()
    return {"events lost": lost, "events written meanwhile": acknowledged[0]}


def hostile_backups(home: Path) -> Figures:
    """Restore archives with parent paths, links, compression bombs, changed bytes and cut ends."""
    valid = home.parent / "good.backup"
    workflow.backup(home, valid)
    data = valid.read_bytes()
    with zipfile.ZipFile(valid) as archive:
        manifest = json.loads(archive.read("manifest.json"))
    archives = [data[: len(data) * part // 10] for part in range(10)]
    archives += [data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :]]
    for name in ("../attack", "/tmp/attack", "parts/../../attack", "a\\..\\attack", ".hidden"):
        files = {**manifest["files"], name: next(iter(manifest["files"].values()))}
        archives.append(_zip({"manifest.json": json.dumps({**manifest, "files": files}).encode()}))
    archives.append(_zip({"../../attack": b"x"}))
    archives.append(_zip({"blobs/" + "0" * 64: bytes(100_000_000)}, zipfile.ZIP_BZIP2))
    refused = written = 0
    for number, content in enumerate(archives):
        (home.parent / "bad.backup").write_bytes(content)
        before = set(home.parent.iterdir())
        try:
            workflow.restore(home.parent / "bad.backup", home.parent / f"bad{number}")
        except DataError:
            refused += 1
        written += len(set(home.parent.iterdir()) - before)
    return {"refused": f"{refused} of {len(archives)}", "files written": written}


def rights(home: Path) -> Figures:
    """Serve a home that everybody may read, and count the files that others can still read."""
    for path in (home, *home.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    with Served(home) as served:
        served.client.post("/v1/events", json={"events": [{"user": "u", "item": "i", "kind": "click"}]})
    paths = [path for path in (home, *home.rglob("*")) if path.stat().st_mode & 0o077]
    return {"files open to others": len(paths)}


def killed_promotions(home: Path) -> Figures:
    """Kill promotions with ``kill -9`` at random moments, and open the home after each."""
    source = next(path for path in (home / "parts").iterdir() if path.name.startswith("recommend"))
    shutil.copytree(source, home.parent / "next")
    rng, faults, landed = random.Random(0), 0, 0
    for _ in range(KILLS):
        child = os.fork()
        if child == 0:
            Home(home).promote(home.parent / "next", lambda kind, folder: None)
            os._exit(0)
        time.sleep(rng.random() * 0.06)
        os.kill(child, signal.SIGKILL)
        landed += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) < 0
        try:
            part = Home(home).part("recommend")
            faults += part is None or not (part / "bundle.json").is_file()
        except TuwenError:
            faults += 1
    Home(home).sweep()
    extra_parts = len(list((home / "parts").iterdir())) - len(Home(home).parts_of((home / "live.json").read_bytes()))
    return {"homes that did not open": faults, "kills that landed": landed, "copies left behind": extra_parts}


def passwords(home: Path) -> Figures:
    """Give commands a database URL with a password that does not answer, and search their output for the password."""
    url, leaks = "postgresql://shop:geheim@127.0.0.1:1/none", 0
    for command in (["key", str(home)], ["serve", str(home), "--port", "0"], ["backup", str(home), f"{home}.backup"]):
        for more in ([], ["--json"]):
            words = [sys.executable, "-c", CODE, *command, "--store", url, *(more if command[0] != "serve" else [])]
            process = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
            leaks += "geheim" in process.stdout + process.stderr
    return {"shown": leaks}


ATTACKS: dict[str, Callable[[Path], Figures]] = {
    "power cuts": power_cuts,
    "a killed supervisor": killed_supervisor,
    "links in what is promoted": links,
    "a disk that is nearly full": nearly_full,
    "backups under writes": backups_under_writes,
    "hostile backups": hostile_backups,
    "rights of other users": rights,
    "killed promotions": killed_promotions,
    "passwords in errors": passwords,
}


def run(home: Path) -> dict[str, Figures]:
    """Run each attack against a copy of ``home``. Returns the name of each attack → its figures."""
    figures = {}
    for name, attack in ATTACKS.items():
        with copy_of(home) as copy:
            figures[name] = attack(copy)
    return figures


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _zip(members: dict[str, bytes], how: int = zipfile.ZIP_STORED) -> bytes:
    with tempfile.TemporaryFile() as file:
        with zipfile.ZipFile(file, "w", how) as archive:
            for name, data in members.items():
                archive.writestr(name, data)
        file.seek(0)
        return file.read()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("home", type=Path)
    for name, figures in run(parser.parse_args().home).items():
        print(f"{name}\n  before: {BEFORE[name]}\n  now:    {figures or 'could not run here'}", flush=True)


if __name__ == "__main__":
    main()
