"""Lists that are remembered are those that would be made."""

from __future__ import annotations

import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homes import Shop
from tuwen.apps.storefront import remembered
from tuwen.apps.storefront.answer import Answer
from tuwen.apps.storefront.remembered import Known, Remembered
from tuwen.service.shop_messages import ListResponse

ALL = 30  # items: the whole catalogue, so that whatever moves one of them is seen
USERS = ["new", "other", "U0003"]
ITEMS = [f"SKU-{number:04d}" for number in range(1, 7)]


SAID = st.one_of(
    st.tuples(st.just("event"), st.sampled_from(USERS), st.sampled_from(ITEMS)),
    st.tuples(st.just("event"), st.sampled_from(USERS), st.sampled_from(ITEMS)),
    st.tuples(st.just("refuse"), st.sampled_from(USERS), st.booleans()),
    st.tuples(st.just("forget"), st.sampled_from(USERS), st.none()),
    st.tuples(st.just("remove"), st.sampled_from(ITEMS[:2]), st.none()),
    st.tuples(st.just("put"), st.sampled_from([*ITEMS[:2], "NEW"]), st.sampled_from(["壶", "lamp"])),
)


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(said=st.lists(SAID, max_size=6))
def test_whatever_is_written_a_remembered_list_is_the_one_that_would_be_made(home, tmp_path_factory, said):
    shop = Shop(home, tmp_path_factory.mktemp("store") / "store.db")
    for number, (kind, key, value) in enumerate(said):
        if kind == "event":
            event = {"event": f"e{number}", "user": key, "item": value, "kind": "purchase"}
            shop.good("POST", "/v1/events", {"events": [event]})
        elif kind == "refuse":
            shop.good("PUT", f"/v1/users/{key}/consent", {"purpose": "recommend", "given": not value})
        elif kind == "forget":
            shop.good("DELETE", f"/v1/users/{key}")
        elif kind == "remove":
            shop.ask("DELETE", f"/v1/items/{key}")
        else:
            shop.good("POST", "/v1/items", {"item": key, "columns": {"title": value}})
        front = shop.live.storefront
        for user in USERS:
            told = shop.items("POST", "/v1/recommend", {"user": user, "count": ALL})
            assert told == [one["item"] for one in front._recommended(user, (), ALL, {}).items]
            titles = [
                one.get("title") for one in shop.good("POST", "/v1/recommend", {"user": user, "count": ALL})["items"]
            ]
            assert titles == [front.cards.full(item).get("title") for item in told]
    shop.store.close()


def test_another_shopper_s_event_changes_no_list_but_her_own(shop):
    front = shop.live.storefront
    both = {user: front.recommend(user, (), 5) for user in ("new", "other")}
    event = {"event": "e", "user": "new", "item": ITEMS[0], "kind": "purchase"}
    shop.good("POST", "/v1/events", {"events": [event]})
    assert front.remembered("other", (), 5) is both["other"]
    assert front.remembered("new", (), 5) is None
    shop.good("DELETE", f"/v1/items/{ITEMS[1]}")
    assert front.remembered("other", (), 5) is None


def test_what_is_sent_is_what_the_schema_says_and_the_same_the_second_time(shop):
    answers = [shop.ask("POST", "/v1/recommend", {"user": "new", "count": 5}) for _ in range(2)]
    assert answers[0].content == answers[1].content and answers[0].headers["content-type"] == "application/json"
    told = json.loads(answers[0].content)
    assert set(told) == {"items", "revision"} and len(told["items"]) == 5  # what is not known is left out
    checked = ListResponse.model_validate_json(answers[0].content, strict=True)  # nobody checks it on its way out
    assert json.loads(checked.model_dump_json(exclude_none=True)) == told
    known = shop.live.storefront.remembered("new", (), 5)
    assert known is not None and known.items == told["items"] and known.json() == answers[0].content
    schema = shop.good("GET", "/openapi.json")["paths"]["/v1/recommend"]["post"]
    assert schema["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].endswith("/ListResponse")


def test_what_is_told_of_a_shopper_is_remembered_as_it_was_told(shop):
    front = shop.live.storefront
    for value, other in ((True, "True"), (None, "None"), (1, "1")):
        made = front.recommend("new", (), 5, {"city": value})
        assert front.remembered("new", (), 5, {"city": value}) is made
        assert front.remembered("new", (), 5, {"city": other}) is None


def test_no_more_is_remembered_than_has_room_and_the_oldest_goes_first(monkeypatch):
    monkeypatch.setattr(remembered, "MOST", 10)
    lists = Remembered()

    def keep(key: str, items: int) -> None:
        lists.put(key, Known(Answer([{}] * items, 1), 1, 1, (), remembered.time.monotonic()))

    keep("a", 4)
    keep("b", 4)
    keep("b", 4)  # made anew: counted once
    assert lists.get("a") and lists.get("b")
    keep("c", 4)
    assert lists.get("a") is None and lists.get("b") and lists.get("c")
    monkeypatch.setattr(remembered, "SECONDS", -1.0)
    assert lists.get("c") is None


def test_every_link_leads_to_an_operation_and_names_its_own_parameters(shop):
    schema = shop.good("GET", "/openapi.json")
    operations = [one for path in schema["paths"].values() for one in path.values()]
    known = {one["operationId"]: {p["name"] for p in one.get("parameters", ())} for one in operations}
    links = [link for one in operations for link in one["responses"].get("200", {}).get("links", {}).values()]
    assert len(links) > 10
    for link in links:
        assert set(link.get("parameters", {})) <= known[link["operationId"]]
