"""The store: the same laws on SQLite and on a real PostgreSQL."""

import hashlib
import os
import threading
import time
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from databases import MISSING, REASON, postgresql
from processes import Command
from tuwen.errors import DataError
from tuwen.store import Store, watchdog
from tuwen.store.engine import StoreUnavailable
from tuwen.store.keys import hashed


@pytest.fixture(scope="module")
def server():
    if MISSING:
        pytest.skip(REASON)
    with postgresql() as found:
        yield found


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    """Of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.db'}"
    server = request.getfixturevalue("server")
    name = f"t{abs(hash(str(tmp_path))) % 10**12}"
    engine = sa.create_engine(
        server.url.replace("postgresql://", "postgresql+psycopg://"), isolation_level="AUTOCOMMIT"
    )
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    engine.dispose()
    return server.url.replace("/postgres", f"/{name}")


@pytest.fixture
def store(url):
    with Store(url) as found:
        yield found


def event(key: str, **more: object) -> dict:
    return {"event": key, "user": "u", "item": "i", "time": 1, "kind": "click", **more}


# --- Events -------------------------------------------------------------------------------------------------------


def test_an_event_sent_twice_is_one_and_the_first_stays(store):
    assert store.events.add([event("a", item="茶壶"), event("b"), event("a", item="other")]) == 2
    assert store.events.add([event("a", item="later"), event("c")]) == 1
    assert {row["event"]: row["item"] for row in store.events.all()} == {"a": "茶壶", "b": "i", "c": "i"}


def test_of_a_shopper_the_latest_are_given_oldest_first(store):
    store.events.add([event(f"e{t}", time=t, user="x" if t % 2 else "y") for t in range(10)])
    assert [row["time"] for row in store.events.of("x", most=3)] == [5, 7, 9]
    assert [row["time"] for row in store.events.of("x", since=7)] == [7, 9]
    assert store.events.of("nobody") == []
    assert store.events.kinds() == {"click": 10}


def test_a_trace_changes_with_what_moves_a_list_and_with_nothing_else(tmp_path):
    with Store(tmp_path / "store.db") as store:
        seen = [store.version.of("u", 3)]

        def changed() -> bool:
            seen.append(store.version.of("u", 3))
            return seen[-1] != seen[-2]

        assert not changed()
        store.events.add([event("other", user="v", time=10)])
        store.items.put("i", {"title": "茶壶"})
        store.people.say("f", user="u", rating=3.0)
        store.people.allow("v", "recommend", False)
        assert not changed()
        for number in range(3):
            store.events.add([event(f"{number}", time=10)])
            assert changed()
        store.events.add([event("of the same moment as the last that counts", time=10)])
        assert changed()
        store.events.add([event("older than those that count", time=9), event("0", time=99)])
        assert not changed()
        store.people.allow("u", "recommend", False)
        assert changed()
        store.people.allow("u", "recommend", True)
        assert changed()
        store.people.expose("test", "u", "a")
        assert changed()


def test_a_shopper_who_was_forgotten_leaves_no_trace(tmp_path):
    with Store(tmp_path / "store.db") as store:  # the last row's number is given again
        store.events.add([event("a", time=10)])
        before = store.version.of("u", 3)
        store.people.forget("u")
        store.events.add([event("a", time=10)])
        assert store.version.of("u", 3)[:2] == before[:2] and store.version.of("u", 3) != before


def test_more_events_than_one_statement_takes(store):
    assert store.events.add([event(f"e{n}") for n in range(1234)]) == 1234 == store.events.count()


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(calls=st.lists(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 3)), max_size=5), max_size=5))
def test_however_events_are_sent_the_first_of_each_key_is_kept(tmp_path_factory, calls):
    with Store(tmp_path_factory.mktemp("law") / "store.db") as store:
        new = sum(store.events.add([event(key, time=time) for key, time in call]) for call in calls)
        first: dict[str, int] = {}
        for key, time in (pair for call in calls for pair in call):
            first.setdefault(key, time)
        assert {row["event"]: row["time"] for row in store.events.all()} == first and new == len(first)


WRITER = """
import sys
from tuwen.store import Store
store = Store(sys.argv[1])
for n in range(100_000):
    store.events.add([{"event": f"e{n}", "user": "u", "item": "i", "time": n, "kind": "click"}])
    print(n, flush=True)
"""


def test_what_was_acknowledged_survives_a_killed_process(url):
    with Store(url):
        pass
    process = Command(url, code=WRITER)
    while process.stdout.count("\n") < 12:
        assert process.is_alive(), process.stderr
        time.sleep(0.01)
    process.kill()
    process.wait()
    acknowledged = int(process.stdout.split()[-1])
    with Store(url) as store:
        kept = {row["event"] for row in store.events.all()}
    assert {f"e{n}" for n in range(acknowledged + 1)} <= kept and len(kept) <= acknowledged + 2


def test_several_writers_at_once_lose_nothing(url):
    with Store(url):
        pass

    def write(name: str) -> None:
        with Store(url) as own:
            for n in range(15):
                own.events.add([event(f"{name}{n}")])
                own.items.put(name, {"title": str(n)})

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with Store(url) as store:
        assert store.events.count() == 60 and store.items.latest() == 60
        assert {one.item: one.columns["title"] for one in store.items.since(0)} == dict.fromkeys("abcd", "14")


# --- Items --------------------------------------------------------------------------------------------------------


def test_changes_of_items_can_be_followed(store):
    assert store.items.latest() == 0 and store.items.since(0) == []
    store.items.put("a", {"title": "红茶", "price": 9.5}, [b"\xff\xd8one", b"\xff\xd8two"])
    seen = store.items.latest()
    store.items.put("b", {"title": "<script>"})
    store.items.put("a", {"title": "绿茶"}, [b"\xff\xd8three"])
    assert [(one.item, one.change) for one in store.items.since(seen)] == [("b", 2), ("a", 3)]
    found = store.items.get("a")
    assert found is not None and found.columns == {"title": "绿茶"} and found.pictures == [b"\xff\xd8three"]


def test_a_removed_item_is_known_as_removed_and_its_words_are_gone(store):
    store.items.put("a", {"title": "secret"}, [b"\xff\xd8"])
    store.people.say("f1", user="u", item="a", text="nice")
    store.events.add([event("e", item="a")])
    store.items.remove("a")
    found = store.items.get("a")
    assert found is not None and not found.live and found.columns == {} and found.pictures == []
    assert store.people.feedback("a") == [] and [row["item"] for row in store.events.all()] == ["a"]


# --- People -------------------------------------------------------------------------------------------------------


def test_a_shopper_who_asks_is_forgotten_everywhere(store):
    for user in ("u", "v"):
        store.events.add([event(f"e-{user}", user=user)])
        assert store.people.say(f"f-{user}", user=user, item="i", rating=5.0)
        store.people.allow(user, "recommend", True)
        store.people.expose("test", user, "a")
    assert not store.people.say("f-u", user="u")
    shown = store.people.show("u")
    assert {table: len(rows) for table, rows in shown.items()} == dict.fromkeys(shown, 1) | {"refusals": 0}
    others = store.people.show("v")
    assert store.people.forget("u") == {"events": 1, "feedback": 1, "consent": 1, "exposures": 1}
    assert not any(store.people.show("u").values()) and store.people.show("v") == others
    assert store.people.allows("u", "recommend") is None and store.people.allows("v", "recommend") is True


def test_the_last_word_on_consent_and_the_first_exposure_count(store):
    for given_ in (True, False):
        store.people.allow("u", "recommend", given_)
    assert store.people.allows("u", "recommend") is False and store.people.allows("u", "ads") is None
    for arm in "ab":
        store.people.expose("test", "u", arm)
    assert [row["arm"] for row in store.people.exposed("test")] == ["a"]


def test_a_refusal_outlives_forgetting_and_names_nobody(store, url, tmp_path):
    store.people.allow("liese", "recommend", False)
    store.people.allow("liese", "ads", True)
    store.people.forget("liese")
    assert store.people.allows("liese", "recommend") is False and store.people.allows("liese", "ads") is None
    assert store.people.show("liese")["refusals"] == [{"purpose": "recommend"}]
    store.events.add([event("e", user="liese")])
    assert store.people.lately("liese", "recommend", 0, 9) is None and store.people.lately("u", "recommend", 0, 9) == []
    refused = store.people.refusals.of()
    assert "liese" in refused and "u" not in refused and len(refused) == 1 and refused.state
    with store._engine.connect() as connection:
        (row,) = connection.execute(sa.text("SELECT * FROM refusals"))
    assert len(row.hash) == 64 and hashlib.sha256(b"liese").hexdigest() != row.hash
    with Store(url) as again:  # another worker, another start: the same key
        assert again.people.allows("liese", "recommend") is False
        again.people.allow("liese", "recommend", True)  # her own word alone ends it
    assert store.people.allows("liese", "recommend") is True and not len(store.people.refusals.of())


def test_refusals_of_an_older_store_become_hashes(url):
    from alembic import command
    from alembic.config import Config

    from tuwen.store.engine import open_engine, writing
    from tuwen.store.migrate import VERSIONS

    engine, config = open_engine(url), Config()
    config.set_main_option("script_location", str(VERSIONS))
    with writing(engine) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        words = sa.text('INSERT INTO consent ("user", purpose, given, time) VALUES (:user, :purpose, :given, 1)')
        connection.execute(words, {"user": "u", "purpose": "recommend", "given": False})
        connection.execute(words, {"user": "v", "purpose": "recommend", "given": True})
    engine.dispose()
    with Store(url) as store:
        store.people.forget("u")
        assert store.people.allows("u", "recommend") is False and store.people.allows("v", "recommend") is True


def test_a_trace_tells_a_refusal_that_outlived_its_name(tmp_path):
    with Store(tmp_path / "store.db") as store:
        before = store.version.of("u", 3)
        store.people.allow("u", "recommend", False)
        store.people.forget("u")
        assert store.version.of("u", 3) != before


def test_a_key_is_shown_once_and_kept_as_a_hash(store, tmp_path):
    key = store.keys.make("till", "shop")
    assert store.keys.hashes() == {hashed(key): ("till", "shop")} and len(key) > 40
    with pytest.raises(DataError, match="there is a key of that name"):
        store.keys.make("till", "operator")
    for file in tmp_path.iterdir():
        assert key.encode() not in file.read_bytes()
    with pytest.raises(DataError, match="did you mean 'till'"):
        store.keys.end("tll")
    store.keys.end("till")
    assert store.keys.hashes() == {}


# --- The database itself ------------------------------------------------------------------------------------------


def test_two_services_that_start_at_once_make_the_tables_once(url):
    program = "import sys; from tuwen.store import Store; Store(sys.argv[1]).ping()"
    started = [Command(url, code=program) for _ in range(2)]
    for process in started:
        assert process.wait() == 0 and process.stderr == ""


def test_what_is_written_says_what_the_migrations_made(store):
    """The tables of the code are those of the database, column by column."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from tuwen.store.tables import METADATA

    with store._engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": "tuwen_store", "compare_type": True})
        assert compare_metadata(context, METADATA) == []


def test_a_store_of_a_newer_tuwen_is_refused(url):
    with Store(url) as store, store._engine.begin() as connection:
        connection.exec_driver_sql("UPDATE tuwen_store SET version_num = '9999'")
    with pytest.raises(DataError, match="newer tuwen"):
        Store(url)


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("mysql://me:geheim@host/shop", "cannot live there"),
        ("no-such-folder/store.db", "no such folder"),
        ("sqlite://", "lost with the process"),
        ("postgresql://me:geheim@127.0.0.1:1/shop", "does not answer"),
    ],
)
def test_a_store_that_cannot_be_says_why_and_keeps_the_password(url, what):
    with pytest.raises(DataError, match=what) as found:
        Store(url)
    assert "geheim" not in str(found.value)


def test_a_damaged_file_is_told(tmp_path):
    file = tmp_path / "store.db"
    file.write_bytes(b"not a database at all" * 500)
    with pytest.raises(DataError, match="cannot be read or written"):
        Store(file)


FULL = """
import resource, signal, sys
from tuwen.store import Store
from tuwen.store.engine import StoreUnavailable
store = Store(sys.argv[1])
store.events.add([{"event": "kept", "user": "u", "item": "i", "time": 1, "kind": "click"}])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
try:
    for n in range(1000):
        store.events.add([{"event": f"e{n}", "user": "u" * 500, "item": "i" * 500, "time": 1, "kind": "click"}])
except StoreUnavailable as error:
    print(error.what)
"""


def test_a_full_disk_is_told_and_loses_nothing(tmp_path):
    file = tmp_path / "store.db"
    done = Command(str(file), code=FULL)
    done.wait()
    assert done.stdout.strip() == "the store does not answer", done.stderr
    with Store(file) as store:
        assert store.events.of("u")[0]["event"] == "kept"
        assert store.events.add([event("after")]) == 1


def test_a_database_that_went_away_is_found_again(server):
    with Store(server.url) as store:
        store.events.add([event("before")])
        server.stop()
        try:
            with pytest.raises(StoreUnavailable, match="does not answer"):
                store.ping()
        finally:
            server.start()
        time.sleep(watchdog.PAUSE_SECONDS)  # in which nobody asks a database that did not answer
        assert store.events.add([event("after")]) == 1
        assert {row["event"] for row in store.events.all()} == {"before", "after"}


def test_nothing_of_the_store_is_readable_by_others(tmp_path):
    before = os.umask(0o022)
    try:
        with Store(tmp_path / "store.db") as store:
            store.events.add([event("a")])
        assert Path(tmp_path / "store.db").stat().st_mode & 0o077 == 0
    finally:
        os.umask(before)
