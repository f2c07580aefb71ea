"""Processes that are killed at random moments: what they acknowledged is there, once, and search shows what the store
has.
"""

from __future__ import annotations

import os
import random
import shutil
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path

import httpx
import pytest

from homes import home_in
from processes import WARM
from tuwen.bundle.home import Home
from tuwen.index.store import Index
from tuwen.store import Store

NIGHTLY = os.environ.get("TUWEN_NIGHTLY") == "1"
MOMENTS = int(os.environ.get("TUWEN_MOMENTS", "200" if NIGHTLY else "20"))
SERVERS = int(os.environ.get("TUWEN_SERVERS", "200" if NIGHTLY else "1"))  # each takes seconds to start
ITEMS = ("SKU-0001", "SKU-0002", "NEW-1", "NEW-2")


class Ledger:
    """The acknowledged changes, and those that a kill may have left half done."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.items: dict[str, set[bool]] = {}  # item → whether it may be there

    def begin(self, item: str, live: bool) -> None:
        self.items[item] = self.items.get(item, {item.startswith("SKU")}) | {live}

    def end(self, item: str, live: bool) -> None:
        self.items[item] = {live}

    def check(self, store: Path, index: Path, kills: int) -> None:
        with Store(store) as opened:
            stored_events = [event["event"] for event in opened.events.all()]
            stored = {item: row.live for item in ITEMS if (row := opened.items.get(item)) is not None}
        print(f"{kills} kills: {len(self.events)} events acknowledged, {len(stored_events)} kept")
        assert (
            len(self.events) > kills
            and set(self.events) <= set(stored_events)
            and len(stored_events) == len(set(stored_events))
        )
        assert len(stored_events) <= len(self.events) + kills  # at most the one under way is more
        assert stored and all(live in self.items[item] for item, live in stored.items())
        now = Index(index).snapshot
        assert {item: now.row_of(item) is not None for item in stored} == stored


def next_of(rng: random.Random) -> tuple[str, bool]:
    return rng.choice(ITEMS), rng.random() < 0.5


# --- The floors below HTTP: quick enough for twenty ---------------------------------------------------------------


def work(store: Path, index: Path, turn: int, messages: Connection) -> None:
    from tuwen.apps.storefront import Parts, Storefront
    from tuwen.workflow.asking import open_index
    from tuwen.workflow.shelving import Shelver

    searcher, opened, rng = open_index(index), Store(store), random.Random(turn)
    front = Storefront(Parts(searcher=searcher, shelve=Shelver(searcher)), opened)
    front.outbox.empty()
    for number in range(100_000):
        key, (item, live) = f"{turn}-{number}", next_of(rng)
        opened.events.add([{"event": key, "user": "u", "item": item, "time": number, "kind": "click"}])
        messages.send(("event", key))
        messages.send(("begin", item, live))
        if live:
            front.put(opened, item, {"title": f"zeppelin {key}"}, [])
        elif opened.items.get(item) is not None or item.startswith("SKU"):
            front.remove(opened, item)
        else:
            live = False
        messages.send(("end", item, live))


@pytest.mark.nightly
def test_a_process_that_is_killed_at_random_moments_loses_and_doubles_nothing(made_home, tmp_path):
    index, store = tmp_path / "index", tmp_path / "store.db"
    shutil.copytree(made_home / "index", index)
    rng, ledger = random.Random(int(os.environ.get("TUWEN_SEED", "0"))), Ledger()
    for turn in range(MOMENTS):
        ours, theirs = WARM.Pipe(duplex=False)
        process = WARM.Process(target=work, args=(store, index, turn, theirs), daemon=True)
        process.start()
        theirs.close()
        assert ours.poll(60)
        time.sleep(rng.uniform(0.0, 0.1))
        process.kill()
        process.join(30)
        try:
            while True:
                kind, *rest = ours.recv()
                ledger.events += rest if kind == "event" else []
                if kind != "event":
                    (ledger.begin if kind == "begin" else ledger.end)(*rest)
        except (EOFError, OSError):
            pass
    _empty(store, index)
    ledger.check(store, index, MOMENTS)


def _empty(store: Path, index: Path) -> None:
    """What the next start does."""
    from tuwen.apps.storefront import Parts, Storefront
    from tuwen.workflow.asking import open_index
    from tuwen.workflow.shelving import Shelver

    searcher = open_index(index)
    with Store(store) as opened:
        front = Storefront(Parts(searcher=searcher, shelve=Shelver(searcher)), opened)
        front.outbox.empty()
        assert front.outbox.backlog() == 0 and not front.left


# --- The whole server ---------------------------------------------------------------------------------------------


def serve(home: Path, ready: Connection) -> None:
    from tuwen.service.listening import Listening, serve_home

    serve_home(home, Listening(port=0), ready=ready.send)


class Shopper(threading.Thread):
    """Tells events, and puts and removes items, until the server is gone."""

    def __init__(self, url: str, turn: int, ledger: Ledger) -> None:
        super().__init__()
        self.url, self.turn, self.ledger, self.began = url, turn, ledger, threading.Event()

    def run(self) -> None:
        rng, number = random.Random(self.turn), 0
        with httpx.Client(base_url=self.url, timeout=20) as client:
            try:
                while True:
                    key, (item, live) = f"{self.turn}-{number}", next_of(rng)
                    number += 1
                    sent = {"event": key, "user": "u", "item": item, "kind": "click"}
                    if client.post("/v1/events", json={"events": [sent]}).status_code in (200, 202):
                        self.ledger.events.append(key)
                        self.began.set()
                    self.ledger.begin(item, live)
                    if live:
                        answer = client.post("/v1/items", json={"item": item, "columns": {"title": "zeppelin"}})
                    else:
                        answer = client.delete(f"/v1/items/{item}")
                    assert answer.status_code in (200, 202, 404), answer.text
                    self.ledger.end(item, live)
            except httpx.HTTPError:
                self.began.set()


@pytest.mark.nightly
def test_a_server_that_is_killed_at_random_moments_loses_and_doubles_nothing(made_home, tmp_path):
    home = home_in(tmp_path, made_home)
    rng, ledger = random.Random(int(os.environ.get("TUWEN_SEED", "0"))), Ledger()
    for turn in range(SERVERS):
        process, url = _served(home)
        shopper = Shopper(url, turn, ledger)
        shopper.start()
        assert shopper.began.wait(30)
        time.sleep(rng.uniform(0.05, 0.4))
        process.kill()
        process.join(30)
        shopper.join(30)
    process, url = _served(home)
    with httpx.Client(base_url=url, timeout=30) as client:
        state = client.get("/readyz").json()
    process.terminate()
    process.join(30)
    assert state["outbox"] == 0 and state["journal"] == 0 and state["fault"] is None
    ledger.check(home / "store.db", Home(home).part("search"), SERVERS)


def _served(home: Path) -> tuple[WARM.Process, str]:
    ours, theirs = WARM.Pipe(duplex=False)
    process = WARM.Process(target=serve, args=(home, theirs), daemon=True)
    process.start()
    assert ours.poll(120)
    return process, ours.recv()
