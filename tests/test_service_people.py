"""Shoppers of a served shop and what is known of them, and who may ask it what."""

from __future__ import annotations

import json
from typing import Any

from homes import Shop, problem
from tuwen.service.access import Access
from tuwen.service.rate import Rate
from tuwen.store import Store


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
    assert {k: len(v) for k, v in shop.good("GET", "/v1/users/u/1").items()} == {
        "events": 1,
        "feedback": 1,
        "consent": 1,
        "exposures": 0,
    }
    (kept,) = shop.good("GET", "/v1/users/u/1")["events"]
    assert kept["time"].startswith("20") and kept["received"].endswith("+00:00")  # as people read it
    assert sum(shop.good("DELETE", "/v1/users/u/1").values()) == 3
    assert not any(shop.good("GET", "/v1/users/u/1").values())


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
