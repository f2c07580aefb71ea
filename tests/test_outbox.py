"""Changes of items on their way from the store into the index: nothing is left half done, whatever happens between."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from homes import Shop, home_in, problem
from tuwen import workflow
from tuwen.apps.search import Question
from tuwen.apps.storefront import Parts, Storefront, outbox
from tuwen.bundle.home import Home
from tuwen.deadline import Interrupted
from tuwen.index.segments import Batch
from tuwen.index.store import Index
from tuwen.outputs import held
from tuwen.store import Store
from tuwen.store.engine import StoreUnavailable
from tuwen.workflow.asking import open_index
from tuwen.workflow.shelving import Shelver

FORK = multiprocessing.get_context("fork")


def _hold(folder: Path, ready, end) -> None:
    with held(folder):
        ready.set()
        end.wait(60)


@contextmanager
def another_process_holds(folder: Path):
    ready, end = FORK.Event(), FORK.Event()
    process = FORK.Process(target=_hold, args=(folder, ready, end), daemon=True)
    process.start()
    assert ready.wait(30)
    try:
        yield
    finally:
        end.set()
        process.join(30)


def hits(shop: Shop, words: str) -> list[str]:
    return [hit["item"] for hit in shop.good("GET", "/v1/search", params={"words": words, "size": 50})["hits"]]


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(outbox, "REQUEST_SECONDS", 0.05)
    monkeypatch.setattr("tuwen.apps.storefront.storefront.REQUEST_SECONDS", 0.05)


def test_what_waits_is_counted_with_its_age_for_who_runs_the_service(made_home, tmp_path, monkeypatch):
    folder = home_in(tmp_path, made_home)
    shop = Shop(folder, tmp_path / "store.db")
    began = time.time()
    with another_process_holds(Home(folder).part("search")):
        assert shop.ask("POST", "/v1/items", {"item": "NEW", "columns": {"title": "zeppelin"}}).status_code == 202
        assert shop.live.journal is not None
        shop.live.journal.write([{"event": "e", "user": "u", "item": "NEW", "kind": "view"}])
        told = shop.good("GET", "/v1/operator/backlog", headers={"Accept-Language": "zh"})
        assert told["store"] and told["outbox"]["items"] == 1 and told["journal"]["events"] == 1
        for queue in ("outbox", "journal"):
            assert 0 <= told[queue]["oldest_seconds"] <= time.time() - began + 0.01
        shop.live.storefront.outbox.fault = "another run is writing to this folder"
        assert shop.good("GET", "/v1/operator/backlog")["outbox"]["fault"] == "another run is writing to this folder"
        told = shop.good("GET", "/v1/operator/backlog", headers={"Accept-Language": "zh"})
        assert told["outbox"]["fault"] == "另一进程正在写入"
        told = shop.good("GET", "/readyz", headers={"Accept-Language": "zh"})
        assert told["fault"] == "商品的更改等待写入索引：另一进程正在写入"

        def gone() -> None:
            raise StoreUnavailable("the store does not answer")

        with monkeypatch.context() as patched:
            patched.setattr(shop.store, "ping", gone)
            told = shop.good("GET", "/v1/operator/backlog")
        assert (told["store"], told["outbox"], told["journal"]["events"]) == (False, None, 1)
    shop.live.storefront.outbox.empty()
    shop.live.journal.empty(shop.store.events.add)
    told = shop.good("GET", "/v1/operator/backlog")
    assert (told["outbox"]["items"], told["outbox"]["oldest_seconds"]) == (0, None)
    assert (told["journal"]["events"], told["journal"]["oldest_seconds"]) == (0, None)
    shop.store.close()


def test_what_comes_and_goes_while_another_process_holds_the_index_is_done_in_the_end(made_home, tmp_path):
    folder = home_in(tmp_path, made_home)
    shop, other = (Shop(folder, tmp_path / "store.db") for _ in range(2))
    gone = shop.live.storefront.parts.dataset.table("items")["item"][0]
    title = shop.good("GET", f"/v1/items/{gone}")["columns"]["title"]
    new = {"item": "NEW", "columns": {"title": "zeppelin"}}
    with another_process_holds(Home(folder).part("search")):
        for _ in range(2):  # a client that asks again
            answer = shop.ask("DELETE", f"/v1/items/{gone}")
            assert answer.status_code == 202 and answer.json()["pending"] and not answer.json()["findable"]
        answer = shop.ask("POST", "/v1/items", new)
        assert answer.status_code == 202 and answer.json()["pending"] and not answer.json()["findable"]
        for process in (shop, other):  # what was taken out is not found meanwhile
            problem(process.ask("GET", f"/v1/items/{gone}"), 404)
            assert gone not in hits(process, title)
        status = shop.good("GET", "/readyz")
        assert status["outbox"] == 2 and "wait for the index" in status["fault"]
        assert "tuwen_outbox 2.0" in shop.ask("GET", "/metrics").text
    assert shop.ask("DELETE", f"/v1/items/{gone}").json() == {
        "item": gone,
        "change": 1,
        "findable": False,
        "pending": False,
    }
    for process in (shop, other):
        assert gone not in hits(process, title) and hits(process, "zeppelin") == ["NEW"]
        assert process.live.storefront.parts.searcher.index.snapshot.row_of(gone) is None
        assert process.good("GET", "/readyz")["outbox"] == 0
    assert shop.good("GET", "/readyz")["fault"] is None
    for process in (shop, other):
        process.store.close()


def test_a_search_does_not_wait_for_who_waits_for_the_index(made_home, tmp_path):
    folder = Home(home_in(tmp_path, made_home)).part("search")
    index = Index(folder)
    with another_process_holds(folder):
        writer = threading.Thread(target=lambda: index.keep(attack=1))
        writer.start()
        time.sleep(0.2)  # it waits for the other process, up to ten seconds
        begin = time.monotonic()
        assert not index.refresh()
        assert time.monotonic() - begin < 2 and writer.is_alive()
    writer.join()
    assert index.settings["attack"] == 1


def test_any_worker_repairs_what_another_left_in_the_outbox(made_home, tmp_path):
    folder = home_in(tmp_path, made_home)
    shop, watcher = (Shop(folder, tmp_path / "store.db") for _ in range(2))
    with another_process_holds(Home(folder).part("search")):
        assert shop.ask("POST", "/v1/items", {"item": "NEW", "columns": {"title": "zeppelin"}}).status_code == 202
    index = Index(Home(folder).part("search"))
    watcher.live.watch()
    deadline = time.monotonic() + 20
    while index.snapshot.row_of("NEW") is None and time.monotonic() < deadline:
        time.sleep(0.05)
        index.refresh()
    watcher.live.end()
    assert index.snapshot.row_of("NEW") is not None
    for process in (shop, watcher):
        process.store.close()


def _written_and_killed(store: Path) -> None:
    opened = Store(store)
    opened.items.put("NEW", {"title": "zeppelin"})
    opened.items.remove("SKU-0003")
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_kill_between_store_and_index_is_made_good_at_the_next_start(made_home, tmp_path):
    folder = home_in(tmp_path, made_home)
    process = FORK.Process(target=_written_and_killed, args=(tmp_path / "store.db",))
    process.start()
    process.join(30)
    assert process.exitcode == -signal.SIGKILL
    shop = Shop(folder, tmp_path / "store.db")
    assert hits(shop, "zeppelin") == ["NEW"] and "SKU-0003" not in hits(shop, "")
    assert shop.good("GET", "/readyz")["outbox"] == 0
    shop.store.close()


def test_an_index_that_is_held_while_it_is_opened_follows_later(made_home, tmp_path, monkeypatch):
    monkeypatch.setattr("tuwen.index.store.WAIT", 0.05)
    folder = home_in(tmp_path, made_home)
    with Store(tmp_path / "store.db") as store:
        store.items.put("NEW", {"title": "zeppelin"})
    with another_process_holds(Home(folder).part("search")):
        shop = Shop(folder, tmp_path / "store.db")
        assert "NEW" not in hits(shop, "zeppelin") and shop.good("GET", "/readyz")["outbox"] == 1
    shop.live._behind = 0
    shop.live._repair()
    assert hits(shop, "zeppelin") == ["NEW"] and shop.good("GET", "/readyz")["outbox"] == 0
    shop.store.close()


def test_two_indexes_in_turn_both_follow_the_store(made_home, tmp_path):
    folder = home_in(tmp_path, made_home)
    shop = Shop(folder, tmp_path / "store.db")
    shop.good("POST", "/v1/items", {"item": "ONE", "columns": {"title": "zeppelin one"}})
    workflow.promote(tmp_path / "index", folder)
    shop.good("POST", "/v1/items", {"item": "TWO", "columns": {"title": "zeppelin two"}})  # by a worker of the old one
    assert shop.live.look() and set(hits(shop, "zeppelin")) == {"ONE", "TWO"}
    shop.good("DELETE", "/v1/items/ONE")
    shop.good("POST", "/v1/items", {"item": "THREE", "columns": {"title": "zeppelin three"}})
    workflow.roll_back(folder)
    assert shop.live.look() and set(hits(shop, "zeppelin")) == {"TWO", "THREE"}
    shop.store.close()


def test_the_numbers_of_another_store_say_nothing(made_home, tmp_path):
    folder = home_in(tmp_path, made_home)
    shop = Shop(folder, tmp_path / "store.db")
    for number in range(3):
        shop.good("POST", "/v1/items", {"item": f"A{number}", "columns": {"title": f"zeppelin {number}"}})
    shop.store.close()
    other = Shop(folder, tmp_path / "other.db")
    other.good("POST", "/v1/items", {"item": "B", "columns": {"title": "balloon"}})
    assert hits(other, "balloon") == ["B"]
    other.store.close()


def test_an_index_writes_what_it_holds_and_how_far_it_is_in_one_step(made_home, tmp_path):
    index = Index(home_in(tmp_path, made_home).parent / "index")
    assert index.log == {} and index.follow({}, {"change": 1}, remove=["SKU-0001"])
    assert not index.follow({}, {"change": 2}, remove=["SKU-0002"])  # another process was there first
    assert index.log == {"change": 1} and index.snapshot.row_of("SKU-0002") is not None
    again = Index(index.folder)
    assert again.log == {"change": 1} and again.snapshot.row_of("SKU-0001") is None
    again.rebuild()
    assert Index(index.folder).log == {"change": 1}  # a rebuild is no change


# --- The law ------------------------------------------------------------------------------------------------------


ITEM = st.sampled_from(["SKU-0001", "SKU-0002", "A", "B"])


class Worker:
    """A process of the service, as far as items go."""

    def __init__(self, folder: Path, store: Path) -> None:
        searcher = open_index(folder)
        self.store = Store(store)
        self.front = Storefront(Parts(searcher=searcher, shelve=Shelver(searcher)), self.store)

    def titles(self) -> dict[str, str]:
        now = self.front.parts.searcher.refresh()
        rows = now.table.filter(now.living).select("item", "title").rows()
        return dict(rows)


def test_one_item_that_the_index_refuses_keeps_no_other_out_and_a_deadline_leaves_none_aside(made_home, tmp_path):
    shutil.copytree(made_home / "index", tmp_path / "index")
    worker = Worker(tmp_path / "index", tmp_path / "store.db")
    original, refused = worker.front.parts.shelve, {"BAD"}

    def shelve(item: str, columns, pictures) -> Batch:
        if "LATE" in refused and item == "LATE":
            raise Interrupted("the deadline passed")
        batch = original(item, columns, pictures)
        return replace(batch, vectors={"other": np.zeros((1, 3), np.float32)}) if item in refused else batch

    worker.front = Storefront(replace(worker.front.parts, shelve=shelve), worker.store)
    for item in ("ONE", "BAD", "TWO"):
        worker.store.items.put(item, {"title": "zeppelin"})
    worker.front.outbox.empty()
    assert {"ONE", "TWO"} <= set(worker.titles()) and "BAD" not in worker.titles()
    assert list(worker.front.left) == ["BAD"] and worker.front.outbox.backlog() == 0
    refused.clear()
    worker.front.outbox.empty(again=True)
    assert "BAD" in worker.titles() and not worker.front.left
    refused.add("LATE")
    worker.store.items.put("LATE", {"title": "zeppelin"})
    with pytest.raises(Interrupted):
        worker.front.outbox.empty()
    refused.clear()
    worker.front.outbox.empty()
    assert "LATE" in worker.titles() and not worker.front.left
    worker.store.close()


class Law(RuleBasedStateMachine):
    """After the outbox is empty, search shows exactly the items of the store, in their last words."""

    index, folder = Path(), Path()
    turns = count()

    def __init__(self) -> None:
        super().__init__()
        self.work_folder = self.folder / f"{next(self.turns)}"
        shutil.copytree(self.index, self.work_folder / "index")
        self.workers = [self.worker() for _ in range(2)]
        self.shop = self.workers[0].titles()  # what there should be
        self.holding = None

    def worker(self) -> Worker:
        return Worker(self.work_folder / "index", self.work_folder / "store.db")

    @rule(item=ITEM, title=st.sampled_from(["lamp", "teapot"]), who=st.integers(0, 1))
    def put(self, item: str, title: str, who: int) -> None:
        worker = self.workers[who]
        worker.front.put(worker.store, item, {"title": title}, [])
        self.shop[item] = title

    @rule(item=ITEM, who=st.integers(0, 1))
    def remove(self, item: str, who: int) -> None:
        if item in self.shop:
            worker = self.workers[who]
            _, pending = worker.front.remove(worker.store, item)
            assert bool(pending) == (self.holding is not None)
            del self.shop[item]

    @rule(item=ITEM)
    def be_killed_before_the_index_is_written(self, item: str) -> None:
        self.workers[0].store.items.put(item, {"title": "half"})
        self.shop[item] = "half"

    @rule()
    def hold_or_let_go(self) -> None:
        if self.holding is None:
            self.holding = held(self.work_folder / "index")
            self.holding.__enter__()
        else:
            self.holding.__exit__(None, None, None)
            self.holding = None

    @rule(who=st.integers(0, 1))
    def restart(self, who: int) -> None:
        self.workers[who].store.close()
        self.workers[who] = self.worker()

    @invariant()
    def what_was_taken_out_is_not_found(self) -> None:
        for worker in self.workers:
            answer = worker.front.search(Question(words="", size=100))
            assert {hit["item"] for hit in answer["hits"]} <= set(self.shop)

    def teardown(self) -> None:
        if self.holding is not None:
            self.hold_or_let_go()
        self.workers[1].front.outbox.empty()
        for worker in self.workers:
            assert worker.titles() == self.shop and worker.front.outbox.backlog() == 0
            worker.store.close()


def test_after_the_outbox_is_empty_search_shows_exactly_the_items_of_the_store(made_home, tmp_path, monkeypatch):
    monkeypatch.setattr("tuwen.apps.storefront.storefront.REQUEST_SECONDS", 0.0)
    monkeypatch.setattr(Law, "index", made_home / "index")
    monkeypatch.setattr(Law, "folder", tmp_path)
    run_state_machine_as_test(Law, settings=settings(max_examples=6, stateful_step_count=10, deadline=None))
