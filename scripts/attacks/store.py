"""Attacks on stored data: half-done changes, refusals, forgotten names, kills, a full disk, a frozen database.

``PYTHONPATH=scripts python -m attacks.store HOME`` runs each attack against a copy of HOME, and prints its name and
figures. An attack that cannot run here returns no figures.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from attacks.served import Served, copy_of
from tuwen.bundle.home import Home
from tuwen.outputs import held
from tuwen.store import Store

Figures = dict[str, Any]
KILLS = 5
MIB = 2**20


def event(key: str, user: str = "u") -> dict[str, Any]:
    return {"events": [{"event": key, "user": user, "item": "SKU-0001", "kind": "click"}]}


def search_items(client: httpx.Client, words: str) -> list[str]:
    hits = client.get("/v1/search", params={"words": words, "size": 200}).json()["hits"]
    return [hit["item"] for hit in hits]


def half_done_changes(home: Path) -> tuple[str, Figures]:
    """Remove an item and add another while this process holds the index, then send both requests again."""
    with copy_of(home, store=False) as copy, Served(copy) as server:
        (item, *_), client = search_items(server.client, ""), server.client
        new = {"item": "ATTACK", "columns": {"title": "zeppelin"}}
        part = Home(copy).part("search")
        assert part is not None
        with held(part):
            first = client.delete(f"/v1/items/{item}").status_code
            put = client.post("/v1/items", json=new).status_code
            in_search = item in search_items(client, "")
        again = client.delete(f"/v1/items/{item}").status_code
        deadline = time.monotonic() + 20
        while client.get("/readyz").json()["outbox"] and time.monotonic() < deadline:
            time.sleep(0.1)
        return "changes while the index is held", {
            "delete": first,
            "put": put,
            "shown meanwhile": in_search,
            "delete again": again,
            "shown in the end": item in search_items(client, ""),
            "new one shown in the end": "ATTACK" in search_items(client, "zeppelin"),
            "outbox": client.get("/readyz").json()["outbox"],
        }


def refusal_undone(home: Path) -> tuple[str, Figures]:
    """Refuse recommendations for a shopper, and forget the shopper."""
    with copy_of(home, store=False) as copy, Served(copy) as server:
        users = server.client.get("/v1/users", params={"count": 200}).json()["users"]

        def items(user: str | None) -> list[str]:
            sent = {"count": 20} if user is None else {"user": user, "count": 20}
            return [item["item"] for item in server.client.post("/v1/recommend", json=sent).json()["items"]]

        nobodys = items(None)
        personal = [user for user in users if items(user) != nobodys]
        for user in personal:
            server.client.put(f"/v1/users/{user}/consent", json={"purpose": "recommend", "given": False})
            server.client.delete(f"/v1/users/{user}")
        still = sum(items(user) != nobodys for user in personal)
        return "no, then forget me", {"shoppers": len(personal), "with a personal list still": still}


def forgotten_names(home: Path) -> tuple[str, Figures]:
    """Forget a shopper, and search the files of the store for the name."""
    name = "liese-lotte-von-der-pfalz"
    with copy_of(home, store=False) as copy, Served(copy) as server:
        for number in range(200):
            server.client.post("/v1/events", json=event(f"e{number}", name)).raise_for_status()
        server.client.delete(f"/v1/users/{name}").raise_for_status()
        files = [file for file in copy.glob("store.db*") if name.encode() in file.read_bytes()]
        return "a forgotten name on the disk", {"files with the name": len(files)}


def killed_servers(home: Path) -> tuple[str, Figures]:
    """Kill a server while it takes events."""
    acknowledged: list[str] = []

    def shop(client: httpx.Client, turn: int) -> None:
        try:
            for number in range(100_000):
                key = f"{turn}-{number}"
                if client.post("/v1/events", json=event(key)).status_code in (200, 202):
                    acknowledged.append(key)
        except httpx.HTTPError:
            return

    with copy_of(home, store=False) as copy:
        for turn in range(KILLS):
            server = Served(copy)
            thread = threading.Thread(target=shop, args=(server.client, turn))
            thread.start()
            time.sleep(0.2 + 0.1 * turn)
            server.process.kill()
            thread.join(60)
            server.kill()
        with Store(copy / "store.db") as store:
            stored = [row["event"] for row in store.events.all()]
    lost, doubled = len(set(acknowledged) - set(stored)), len(stored) - len(set(stored))
    return "kill -9 of the server", {
        "kills": KILLS,
        "acknowledged": len(acknowledged),
        "lost": lost,
        "doubled": doubled,
    }


def full_disk(home: Path) -> tuple[str, Figures]:
    """Fill the disk to the last byte, remove an item and forget a shopper."""
    name, size = "removals on a full disk", sum(f.stat().st_size for f in home.rglob("*") if f.is_file())
    if os.geteuid() or not shutil.which("mount"):
        return name, {}
    with tempfile.TemporaryDirectory(prefix="tuwen-disk-") as disk:
        options = f"size={size + 128 * MIB}"
        mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", disk]
        if subprocess.run(mount, check=False, capture_output=True).returncode:
            return name, {}
        try:
            with copy_of(home, Path(disk), store=False) as copy, Served(copy) as server:
                server.client.post("/v1/events", json=event("a")).raise_for_status()
                (item, *_) = search_items(server.client, "")
                _fill(Path(disk) / "filler")
                refused = server.client.post("/v1/events", json=event("b")).status_code
                removed = server.client.delete(f"/v1/items/{item}").status_code
                forgotten = server.client.delete("/v1/users/u").status_code
                in_search = item in search_items(server.client, "")
            return name, {
                "event": refused,
                "delete": removed,
                "forget": forgotten,
                "item still shown": in_search,
            }
        finally:
            subprocess.run(["umount", "-l", disk], check=True)


def _fill(file: Path) -> None:
    with file.open("wb", buffering=0) as opened:
        try:
            while True:
                opened.write(bytes(MIB))
        except OSError:
            pass
        try:
            while True:
                opened.write(b"0")
        except OSError:
            return


def frozen_database(home: Path) -> tuple[str, Figures]:
    """Stop every process of PostgreSQL for ten seconds."""
    sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
    from databases import MISSING, postgresql

    name = "a frozen PostgreSQL"
    if MISSING:
        return name, {}
    with copy_of(home, store=False) as copy, postgresql() as server, Served(copy, "--store", server.url) as service:
        service.client.post("/v1/events", json=event("before")).raise_for_status()
        server.freeze()
        statuses, seconds, end = [], [], time.monotonic() + 10
        try:
            while time.monotonic() < end:
                statuses.append(service.client.post("/v1/events", json=event(f"e{len(statuses)}")).status_code)
                began = time.monotonic()
                service.client.get("/v1/search", params={"words": "lamp"}).raise_for_status()
                seconds.append(time.monotonic() - began)
        finally:
            server.thaw()
        deadline = time.monotonic() + 30
        while service.client.get("/readyz").json()["journal"] and time.monotonic() < deadline:
            time.sleep(0.2)
        with Store(server.url) as store:
            stored = store.events.count()
    acknowledged = 1 + sum(status in (200, 202) for status in statuses)
    ordered = sorted(seconds)
    return name, {
        "acknowledged": acknowledged,
        "kept": stored,
        "answers": {str(status): statuses.count(status) for status in sorted(set(statuses))},
        "search, median seconds": round(ordered[len(ordered) // 2], 3),
        "search, longest": round(ordered[-1], 3),
    }


ATTACKS: tuple[tuple[Callable[[Path], tuple[str, Figures]], str], ...] = (
    (half_done_changes, "409, then 404 for ever while search still shows it (reported)"),
    (refusal_undone, "a personal list again, 'you chose it before' (reported)"),
    (forgotten_names, "not measured"),
    (killed_servers, "0 lost, 0 doubled (reported)"),
    (full_disk, "503 for every write, removals too (reported)"),
    (frozen_database, "every request waits for ever"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("home", type=Path)
    home = parser.parse_args().home
    for attack, before in ATTACKS:
        name, figures = attack(home)
        print(json.dumps({"attack": name, "before": before, "now": figures or "could not run here"}), flush=True)


if __name__ == "__main__":
    main()
