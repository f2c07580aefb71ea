"""Shoppers of a served shop and what is known of them, and who may ask it what."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
from typer.testing import CliRunner

from homes import Shop, home_in, problem
from tuwen import workflow
from tuwen.bundle.home import Home
from tuwen.cli import app
from tuwen.data.dataset import Dataset
from tuwen.service.access import Access
from tuwen.service.rate import Rate
from tuwen.store import Store
from tuwen.workflow.recommendations import recommend


def test_who_says_no_is_answered_as_somebody_nobody_knows(shop):
    known = shop.live.storefront.parts.recommender.shelf.users[0]
    hers = shop.good("POST", "/v1/recommend", {"user": known, "count": 10})
    nobodys = shop.good("POST", "/v1/recommend", {"count": 10})
    assert hers["items"] != nobodys["items"]
    shop.good("PUT", f"/v1/users/{known}/consent", {"purpose": "recommend", "given": False})
    assert shop.good("POST", "/v1/recommend", {"user": known, "count": 10}) == nobodys
    shop.good("PUT", f"/v1/users/{known}/consent", {"purpose": "recommend", "given": True})
    assert shop.good("POST", "/v1/recommend", {"user": known, "count": 10}) == hers


def test_what_is_known_of_a_shopper_is_shown_and_forgotten(shop):
    shop.good("POST", "/v1/events", {"events": [{"event": "e", "user": "u/1", "item": "SKU-0001", "kind": "click"}]})
    shop.good("PUT", "/v1/users/u/1/consent", {"purpose": "recommend", "given": False})
    shop.good("POST", "/v1/feedback", {"feedback": "f", "user": "u/1", "item": "SKU-0001", "rating": 4, "text": "好"})
    assert shop.good("GET", "/v1/items/SKU-0001")["reviews"][0] == {"rating": 4.0, "text": "好"}
    parts = dict.fromkeys(
        ("dataset.users", "dataset.reviews", "dataset.events", "recommender.history", "recommender.columns"), 0
    )
    kept = {"events": 1, "feedback": 1, "consent": 1, "exposures": 0, "refusals": 1}
    assert {k: len(v) for k, v in shop.good("GET", "/v1/users/u/1").items()} == kept | parts
    (kept,) = shop.good("GET", "/v1/users/u/1")["events"]
    assert kept["time"].startswith("20") and kept["received"].endswith("+00:00")  # as people read it
    assert sum(shop.good("DELETE", "/v1/users/u/1").values()) == 3
    left = {k: v for k, v in shop.good("GET", "/v1/users/u/1").items() if v}
    assert left == {"refusals": [{"purpose": "recommend"}]}  # what she refused stays refused


def test_what_the_promoted_parts_hold_of_a_shopper_is_shown(shop):
    shelf = shop.live.storefront.parts.recommender.shelf
    user = shelf.users[int(shelf.history.shopper[-1])]
    shown, dataset = shop.good("GET", f"/v1/users/{user}"), shop.live.storefront.parts.dataset
    for table in ("users", "reviews", "events"):
        rows = dataset.table(table).filter(dataset.table(table)["user"] == user)
        assert len(shown[f"dataset.{table}"]) == rows.height
    assert shown["dataset.users"][0]["user"] == user and shown["dataset.events"]
    bought = int((shelf.history.shopper == shelf.position(user)).sum())
    assert len(shown["recommender.history"]) == bought > 0 and set(shown["recommender.columns"][0]) <= set(shelf.told)


def test_who_said_no_and_was_forgotten_is_answered_as_somebody_nobody_knows(made_home, tmp_path):
    folder, store = home_in(tmp_path, made_home), tmp_path / "store.db"
    shops = [Shop(folder, store), Shop(folder, store)]  # two workers
    shelf = shops[0].live.storefront.parts.recommender.shelf
    known = shelf.users[int(shelf.history.shopper[-1])]
    nobodys = shops[0].items("POST", "/v1/recommend", {"count": 10})

    def hers() -> set[bool]:
        sent = {"user": known, "count": 10}
        lists = [shop.good("POST", "/v1/recommend", sent)["items"] for shop in shops]
        chosen = [one for listed in lists for one in listed if "before" in one.get("reason", {}).get("en", "")]
        return {[one["item"] for one in listed] == nobodys for listed in lists} | {not chosen}

    assert False in hers()
    shops[0].good("PUT", f"/v1/users/{known}/consent", {"purpose": "recommend", "given": False})
    assert hers() == {True}
    shops[1].good("DELETE", f"/v1/users/{known}")
    assert hers() == {True}
    workflow.promote(tmp_path / "next", folder)  # learned before she said no, and knows her
    assert all(shop.live.look() for shop in shops) and hers() == {True}
    workflow.begin_experiment(folder, "test", tmp_path / "next", share=0.5)
    assert all(shop.live.look() for shop in shops) and hers() == {True}
    assert "arm" not in shops[0].good("POST", "/v1/recommend", {"user": known})
    for shop in shops:
        shop.store.close()
    shops = [Shop(folder, store)]  # after a restart
    assert hers() == {True}
    shops[0].good("PUT", f"/v1/users/{known}/consent", {"purpose": "recommend", "given": True})
    assert False in hers()
    shops[0].store.close()


def test_what_a_forgotten_shopper_wrote_is_shown_no_more_where_she_had_refused(made_home, tmp_path):
    shop = Shop(home_in(tmp_path, made_home), tmp_path / "store.db")
    table = shop.live.storefront.parts.dataset.table("reviews")
    item, user, text = table.filter(pl.col("text").is_not_null()).select("item", "user", "text").row(0)

    def seen() -> tuple[bool, bool]:
        reviews = shop.good("GET", f"/v1/items/{item}")["reviews"]
        users = shop.good("GET", "/v1/users", params={"begins": user})["users"]
        return text in [one["text"] for one in reviews], user in users

    assert seen() == (True, True)
    shop.good("PUT", f"/v1/users/{user}/consent", {"purpose": "recommend", "given": False})
    assert seen() == (True, True)  # she refused recommendations, and nothing else
    shop.good("DELETE", f"/v1/users/{user}")
    assert seen() == (False, False)
    shop.store.close()


def test_a_refusal_holds_on_the_command_line_and_in_python(made_home, tmp_path):
    folder = home_in(tmp_path, made_home)
    part = Home(folder).part("recommend")
    shelf, rules = recommend(part)
    known = shelf.users[int(shelf.history.shopper[-1])]
    hers, nobodys = shelf.for_shopper(known, 10, rules), shelf.for_session([], 10, rules)
    assert known in shelf and hers != nobodys
    with Store(folder / "store.db") as store:
        store.people.allow(known, "recommend", False)
        store.people.forget(known)
    shelf, rules = recommend(part)
    assert known not in shelf and shelf.for_shopper(known, 10, rules) == nobodys
    assert dict(shelf.for_everybody(10, rules))[known] == nobodys
    assert shelf.for_live(known, (), 10, rules) == nobodys
    told = CliRunner().invoke(app, ["recommend", str(part), "--shopper", known, "--count", "3", "--json"])
    assert [one["item"] for one in json.loads(told.stdout)] == [one.item for one in nobodys[:3]], told.output
    asked = ["recommend", str(tmp_path / "next"), "--shopper", known, "--store", str(folder / "store.db")]
    assert "refused recommendations" in CliRunner().invoke(app, asked).output


def test_who_said_no_has_no_part_in_what_is_collected_next(made_home, tmp_path):
    folder = home_in(tmp_path, made_home)
    before = Dataset.open(tmp_path / "dataset")
    known = before.table("events")["user"].value_counts(sort=True)["user"][0]
    others = {t: before.table(t).filter(pl.col("user") != known).height for t in ("users", "reviews", "events")}
    with Store(folder / "store.db") as store:
        store.events.add([{"event": "e", "user": known, "item": "SKU-0001", "time": 10**15, "kind": "click"}])
        store.people.say("f", user=known, item="SKU-0001", rating=5.0)
        store.people.allow(known, "recommend", False)
        store.people.forget(known)
        store.events.add([{"event": "later", "user": known, "item": "SKU-0001", "time": 10**15, "kind": "click"}])
    how = [f"store={folder / 'store.db'}"]
    for _ in range(2):  # anew, and where nothing has changed since
        manifest = workflow.collect(tmp_path / "shop" / "SHOP.yaml", tmp_path / "dataset", how)
        after = Dataset.open(tmp_path / "dataset")
        assert {t: after.table(t).height for t in others} == others
        assert not any(known in after.table(t)["user"].to_list() for t in others)
        told = [one for one in manifest["warnings"] if "refused recommendations" in one]
        assert len(told) >= 2 and known not in json.dumps(manifest)
    with Store(folder / "store.db") as store:
        store.people.allow(known, "recommend", True)
    workflow.collect(tmp_path / "shop" / "SHOP.yaml", tmp_path / "dataset", how)
    assert known in Dataset.open(tmp_path / "dataset").table("events")["user"].to_list()


def test_who_refuses_during_an_experiment_has_no_part_in_its_result(made_home, tmp_path):
    folder = home_in(tmp_path, made_home)
    workflow.begin_experiment(folder, "test", tmp_path / "next", share=0.5)
    with Store(folder / "store.db") as store:
        for user in "uv":
            store.people.expose("test", user, "a")
        store.people.allow("u", "recommend", False)
        assert workflow.experiment_result(folder, store, "test")["arms"]["a"]["shoppers"] == 1


def test_keys_open_what_their_role_may(home, tmp_path):
    store = Store(tmp_path / "store.db")
    till, boss = store.keys.make("till", "shop"), store.keys.make("boss", "operator")
    shop = Shop(home, tmp_path / "store.db", access=Access(store, required=True))

    def status(method: str, path: str, key: str | None, body: Any = None) -> int:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        return shop.ask(method, path, body, headers=headers).status_code

    event = {"events": [{"event": "e", "user": "u", "item": "SKU-0001", "kind": "click"}]}
    for key, expected in ((None, 401), ("wrong", 401), (till, 200), (boss, 200)):
        assert status("POST", "/v1/recommend", key, {"count": 1}) == expected
        assert status("POST", "/v1/events", key, event) == expected
    for method, path, body in (
        ("GET", "/metrics", None),
        ("GET", "/v1/operator/revisions", None),
        ("POST", "/v1/items", {"item": "a", "columns": {"title": "a"}}),
        ("DELETE", "/v1/items/a", None),
        ("DELETE", "/v1/users/u", None),
    ):
        assert (status(method, path, None, body), status(method, path, till, body)) == (401, 403)
        assert status(method, path, boss, body) == 200
    assert status("GET", "/healthz", None) == status("GET", "/readyz", None) == status("GET", "/", None) == 200
    told = problem(shop.ask("GET", "/v1/report"), 401)
    assert "ask who runs this service" in told["todo"] and till not in json.dumps(told)
    store.keys.end("till")
    renewed = Access(store, required=True)  # a running one reads the keys again after two seconds
    assert renewed._found(till) is None and renewed._found(boss) == ("boss", "operator")
    store.close()
    shop.store.close()


def test_who_asks_too_often_waits(home, tmp_path):
    shop = Shop(home, tmp_path / "store.db", rate=Rate(0.001, 3))
    found = [shop.ask("GET", "/v1/items/SKU-0001").status_code for _ in range(5)]
    assert found == [200, 200, 200, 429, 429]
    refused = shop.ask("GET", "/v1/items/SKU-0001")
    assert "wait" in problem(refused, 429)["todo"] and refused.headers["retry-after"]
    assert shop.good("GET", "/healthz")
    shop.store.close()


def test_another_site_may_ask_only_where_it_is_named(home, tmp_path):
    shop = Shop(home, tmp_path / "store.db", origins=["https://shop.example"])
    for origin, named in (("https://shop.example", True), ("https://evil.example", False)):
        answer = shop.ask("GET", "/healthz", headers={"Origin": origin})
        assert (answer.headers.get("access-control-allow-origin") == origin) is named
        asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        assert (shop.ask("OPTIONS", "/v1/recommend", headers=asked).status_code == 204) is named
    shop.store.close()


def test_nothing_of_a_shopper_stands_in_the_log_or_the_measures(home, tmp_path, caplog):
    import logging

    shop = Shop(home, tmp_path / "store.db", log=True)
    with caplog.at_level(logging.INFO):
        shop.good("POST", "/v1/recommend", {"user": "secret-shopper"})
        shop.good("GET", "/v1/users/secret-shopper")
        shop.good("GET", "/v1/search", params={"words": "secret wish"})
    lines = [json.loads(record.message) for record in caplog.records if record.name == "tuwen.requests"]
    assert [line["route"] for line in lines] == ["/v1/recommend", "/v1/users/{user:path}", "/v1/search"]
    text = shop.ask("GET", "/metrics").text
    told = [record.getMessage() for record in caplog.records if record.name.startswith("tuwen")]
    assert "secret" not in text + "".join(told) and 'route="/v1/search",status="200"} 1.0' in text
    shop.store.close()
