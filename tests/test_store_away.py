"""A database that stops, hangs and comes back under a running service."""

from __future__ import annotations

import os
import random
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import SimpleNamespace

import pytest

from databases import MISSING, REASON, Server, postgresql
from homes import Shop, problem
from tuwen.errors import DataError
from tuwen.service.access import Access
from tuwen.service.routes.shop import _kept_or_waiting
from tuwen.store import Store, watchdog
from tuwen.store.engine import StoreUnavailable
from tuwen.store.journal import Journal
from tuwen.store.removal import removed

NIGHTLY = os.environ.get("TUWEN_NIGHTLY") == "1"
MOMENTS = int(os.environ.get("TUWEN_MOMENTS", "200" if NIGHTLY else "10"))


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    if MISSING:
        pytest.skip(REASON)
    with postgresql() as database:
        yield database


@contextmanager
def away(server: Server, how: str) -> Iterator[None]:
    """Stopped or frozen."""
    (server.stop if how == "stopped" else server.freeze)()
    try:
        yield
    finally:
        (server.start if how == "stopped" else server.thaw)()


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(watchdog, "ANSWER_SECONDS", 0.5)
    monkeypatch.setattr(watchdog, "PING_SECONDS", 0.2)


def event(key: str, user: str = "u") -> dict:
    return {"event": key, "user": user, "item": "SKU-0001", "kind": "click"}


def sent(*keys: str) -> dict:
    return {"events": [event(key) for key in keys]}


@pytest.mark.parametrize("how", ["stopped", "frozen"])
def test_while_the_database_is_away_the_shop_goes_on_and_events_wait(home, server, quick, how):
    journal = home / "journal.log"
    shop = Shop(home, f"{server.url}?connect_timeout=2")
    user = shop.live.storefront.parts.recommender.shelf.users[0]
    keys = {f"{how}{number}" for number in range(4)}
    assert shop.ask("POST", "/v1/events", sent(f"{how}0")).status_code == 200
    nobodys = shop.items("POST", "/v1/recommend", {"count": 3})
    with away(server, how):
        began = time.monotonic()
        answer = shop.ask("POST", "/v1/events", sent(f"{how}1", f"{how}2"))
        assert answer.status_code == 202 and answer.json()["journal"] == 2 and answer.json()["new"] == 0
        assert time.monotonic() - began < 8 and journal.stat().st_mode & 0o077 == 0
        shop.store.watched(True)  # somebody looks whether it is back: nobody else waits for it
        with pytest.raises(StoreUnavailable):
            shop.store.ping()
        began = time.monotonic()
        assert shop.good("GET", "/v1/search", params={"words": "lamp"})["hits"]
        assert shop.items("POST", "/v1/recommend", {"count": 3}) == nobodys
        hers = shop.good("POST", "/v1/recommend", {"user": user, "count": 3})  # who refused cannot be read
        assert [item["item"] for item in hers["items"]] == nobodys and "anybody" in hers["notes"][0]["en"]
        assert shop.ask("GET", "/v1/items/SKU-0001").status_code == 200
        assert shop.ask("GET", "/v1/items/SKU-0001/pictures/0").status_code == 200
        assert shop.ask("POST", "/v1/events", sent(f"{how}3")).status_code == 202
        for method, path, body in (
            ("PUT", "/v1/users/u/consent", {"purpose": "recommend", "given": False}),
            ("DELETE", "/v1/users/u", None),
            ("POST", "/v1/items", {"item": "a", "columns": {"title": "a"}}),
        ):
            answer = shop.ask(method, path, body)
            assert "store" in problem(answer, 503)["what"] and answer.headers["retry-after"]
        message = problem_of_readiness(shop)
        assert message["journal"] > 0 and "store" in message["fault"]
        assert time.monotonic() - began < 4
    shop.store.ping()
    assert shop.ask("POST", "/v1/events", sent(*keys)).json()["known"] == 4  # the journal goes in first
    assert journal.stat().st_size == 0 and shop.good("GET", "/readyz")["journal"] == 0
    assert {row["event"] for row in shop.store.events.all()} >= keys
    assert shop.good("DELETE", "/v1/users/u")["events"] == 4
    shop.store.close()


def problem_of_readiness(shop: Shop) -> dict:
    answer = shop.ask("GET", "/readyz")
    assert answer.status_code == 503
    return answer.json()


def test_keys_open_while_the_database_hangs_and_an_ended_one_closes_when_it_is_back(server, quick, monkeypatch):
    monkeypatch.setattr("tuwen.service.access.KNOWN_SECONDS", 0.2)
    with Store(server.url) as store:
        key = store.keys.make("till", "shop")
        access = Access(store, required=True)
        with away(server, "frozen"):
            time.sleep(0.3)
            began = time.monotonic()
            assert all(access._found(key) == ("till", "shop") for _ in range(100))
            assert time.monotonic() - began < 0.1  # no request waits for the store
        store.keys.end("till")
        deadline = time.monotonic() + 5
        while access._found(key) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert access._found(key) is None
        monkeypatch.setattr("tuwen.service.access.STALE_SECONDS", -1.0)
        with pytest.raises(DataError, match="keys cannot be read"):
            access.name({"authorization": f"Bearer {key}"}, "shop")


def test_a_statement_that_takes_too_long_is_ended_and_the_database_is_there(server):
    with Store(server.url) as store:
        store.watched(True)
        with store._engine.connect() as connection:
            assert connection.exec_driver_sql("SHOW statement_timeout").scalar() == "5s"
            connection.exec_driver_sql("SET statement_timeout = 50")
            from tuwen.store.engine import told

            with pytest.raises(StoreUnavailable), told(store._engine):
                connection.exec_driver_sql("SELECT pg_sleep(5)")
        assert store.events.count() >= 0  # one slow question is no reason to ask nothing any more


def test_a_removal_may_take_longer_than_an_answer_and_ends_where_the_database_hangs(server, quick, monkeypatch):
    monkeypatch.setattr("tuwen.store.engine.STATEMENT_MILLISECONDS", 100)
    with Store(f"{server.url}?connect_timeout=2") as store:

        def slow(connection) -> int:
            connection.exec_driver_sql("SELECT pg_sleep(0.8)")
            return 7

        def look() -> None:
            with suppress(StoreUnavailable):
                store.ping()

        assert removed(store._engine, slow) == 7
        store.watched(True)
        threading.Timer(0.3, server.freeze).start()
        threading.Timer(0.5, look).start()
        try:
            with pytest.raises(StoreUnavailable):
                removed(store._engine, lambda connection: connection.exec_driver_sql("SELECT pg_sleep(60)"))
        finally:
            server.thaw()
        store.ping()


class Shopper(threading.Thread):
    """Tells events one after the other, each again until it is acknowledged, by what stands under the route."""

    def __init__(self, shop: Shop, name: str) -> None:
        super().__init__()
        self.shop, self.key, self.ended = shop, name, threading.Event()
        self.acknowledged: list[str] = []
        self.waited = 0

    def run(self) -> None:
        served = SimpleNamespace(live=self.shop.live)
        while not self.ended.is_set():
            key = f"{self.key}-{len(self.acknowledged)}"
            try:
                new = _kept_or_waiting(served, self.shop.store, [{**event(key), "time": 1}])
            except StoreUnavailable:
                continue
            self.acknowledged.append(key)
            self.waited += new is None
            time.sleep(0.005)


@pytest.mark.nightly
def test_a_database_that_stops_hangs_and_restarts_at_random_moments_loses_and_doubles_nothing(home, server, quick):
    rng = random.Random(int(os.environ.get("TUWEN_SEED", "0")))
    shop = Shop(home, f"{server.url}?connect_timeout=2")
    shop.live.watch()
    name = f"r{time.time_ns()}"
    shoppers = [Shopper(shop, f"{name}-{number}") for number in range(2)]
    for shopper in shoppers:
        shopper.start()
    try:
        for _ in range(MOMENTS):
            time.sleep(rng.uniform(0.02, 0.2))
            with away(server, rng.choice(["stopped", "frozen", "frozen"])):
                time.sleep(rng.uniform(0.0, 0.5))
    finally:
        for shopper in shoppers:
            shopper.ended.set()
        for shopper in shoppers:
            shopper.join(30)
    deadline = time.monotonic() + 60
    while shop.live.journal.size() and time.monotonic() < deadline:
        time.sleep(0.05)
    shop.live.end()
    time.sleep(watchdog.PAUSE_SECONDS)
    acknowledged = [key for shopper in shoppers for key in shopper.acknowledged]
    stored = [row["event"] for row in shop.store.events.all() if row["event"].startswith(name)]
    waited = sum(shopper.waited for shopper in shoppers)
    print(f"{MOMENTS} moments: {len(acknowledged)} events acknowledged, {waited} of them in the journal")
    assert len(acknowledged) == len(set(acknowledged)) > MOMENTS and waited > 0
    assert len(stored) == len(set(stored)) and set(acknowledged) <= set(stored)
    assert len(stored) <= len(acknowledged) + len(shoppers)  # at most the one under way is more
    shop.store.close()


# --- The journal by itself ----------------------------------------------------------------------------------------


def emptied(journal: Journal) -> list:
    rows_read: list = []

    def keep(rows) -> int:
        rows_read.extend(row["event"] for row in rows)
        return len(rows)

    assert journal.empty(keep)
    return rows_read


def test_a_journal_that_was_cut_short_anywhere_gives_what_was_acknowledged(tmp_path):
    journal = Journal(tmp_path / "journal.log")
    for number in range(3):
        journal.write([{"event": f"e{number}", "user": "茶"}])
    data = journal.file.read_bytes()
    ends = [index + 1 for index, byte in enumerate(data) if byte == 10]
    for cut in range(0, len(data) + 1, 7):
        journal.file.write_bytes(data[:cut])
        whole = sum(end - 1 <= cut for end in ends)  # its checksum holds without the line end
        journal.write([{"event": "next"}])
        assert emptied(journal) == [*(f"e{number}" for number in range(whole)), "next"] and journal.size() == 0


def test_a_journal_is_emptied_in_order_and_again_after_a_failure(tmp_path):
    journal, stored = Journal(tmp_path / "journal.log"), []
    for begin in range(0, 1200, 300):
        journal.write([{"event": number} for number in range(begin, begin + 300)])

    def keep(rows: list[dict]) -> int:
        if len(stored) == 300:
            stored.append("failed")
            raise StoreUnavailable("the store does not answer")
        stored.extend(row["event"] for row in rows)
        return len(rows)

    with pytest.raises(StoreUnavailable):
        journal.empty(keep)
    journal.write([{"event": 1200}])
    assert journal.size() and journal.empty(keep)
    assert stored == [*range(300), "failed", *range(300, 1201)]  # from where it was
    journal.write([{"event": "next"}])
    assert emptied(journal) == ["next"]


def test_a_position_that_was_lost_or_lies_beyond_the_journal_hides_no_event(tmp_path):
    journal = Journal(tmp_path / "journal.log")
    for written in (b"", b"x" * 20, b"%020d" % 10**6):
        journal.write([{"event": "e"}])
        (tmp_path / ".journal.log.lock").write_bytes(written)
        assert emptied(journal) == ["e"]


def test_a_journal_counts_what_waits_and_since_when(tmp_path, monkeypatch):
    journal = Journal(tmp_path / "journal.log")
    assert (journal.waiting().events, journal.waiting().since) == (0, None)
    for moment, query in ((5_000, 'say "event": twice'), (7_000, "tea")):
        monkeypatch.setattr("tuwen.store.journal.moments.now", lambda moment=moment: moment)
        journal.write([{"event": f"{moment}-{n}", "query": query} for n in range(3)])
    assert (journal.waiting().events, journal.waiting().since) == (6, 5_000)
    first = journal.file.read_bytes().index(b"\n") + 1
    (tmp_path / ".journal.log.lock").write_bytes(b"%020d" % first)  # the store has the first line
    assert (journal.waiting().events, journal.waiting().since) == (3, 7_000)
    assert len(emptied(journal)) == 3 and journal.waiting().events == 0


def test_a_journal_of_an_older_tuwen_is_read(tmp_path):
    journal = Journal(tmp_path / "journal.log")
    text = b'[{"event":"old","user":"u"},{"event":"older","user":"u"}]'
    journal.file.write_bytes(b"%08x %s\n" % (zlib.crc32(text), text))
    assert (journal.waiting().events, journal.waiting().since) == (2, None)
    journal.write([{"event": "new"}])
    assert emptied(journal) == ["old", "older", "new"]


def test_a_full_journal_refuses_and_keeps_what_it_has(tmp_path):
    journal = Journal(tmp_path / "journal.log", largest=600)
    with pytest.raises(StoreUnavailable, match="journal of events is full"):
        for number in range(100):
            journal.write([{"event": number}])
    stored = emptied(journal)
    assert stored == list(range(len(stored))) and len(stored) > 5


def test_one_event_that_the_database_refuses_keeps_no_other_out(tmp_path):
    journal, stored = Journal(tmp_path / "journal.log"), []
    journal.write([{"event": number} for number in range(5)])

    def keep(rows: list[dict]) -> int:
        if any(row["event"] == 2 for row in rows):
            raise DataError("the store cannot be read or written")
        stored.extend(row["event"] for row in rows)
        return len(rows)

    assert journal.empty(keep) and stored == [0, 1, 3, 4]


def test_what_comes_while_a_journal_is_emptied_is_not_lost(tmp_path):
    journal, stored = Journal(tmp_path / "journal.log"), []
    journal.write([{"event": 0}])

    def keep(rows: list[dict]) -> int:
        stored.extend(row["event"] for row in rows)
        if len(stored) < 4:
            journal.write([{"event": len(stored)}])
            assert not Journal(journal.file).empty(keep)  # another worker leaves it alone
        return len(rows)

    assert journal.empty(keep) and stored == [0, 1, 2, 3] and journal.size() == 0
