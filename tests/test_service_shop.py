"""A whole shop over HTTP: lists, searches and items, and events that change the next list."""

from __future__ import annotations

import io
import json

import pytest
from PIL import Image
from typer.testing import CliRunner

from homes import problem
from tuwen.bundle.home import Home
from tuwen.cli import app
from tuwen.service.shop_messages import ListResponse
from tuwen.store.engine import writing
from tuwen.store.tables import EVENTS


def test_it_says_what_it_answers_from(shop):
    told = shop.good("GET", "/readyz")
    assert told["ready"] and told["parts"] == dict.fromkeys(("predict", "recommend", "search", "dataset"), True)
    assert shop.good("GET", "/healthz") == {"status": "ok"}
    paths = shop.good("GET", "/openapi.json")["paths"]
    for path in (
        "recommend",
        "similar",
        "goes-with",
        "search",
        "predict",
        "embed",
        "events",
        "items",
        "explain",
        "report",
    ):
        assert f"/v1/{path}" in paths
    told = paths["/v1/predict"]["post"]["requestBody"]["content"]  # of the bundle that is live
    assert set(told["multipart/form-data"]["schema"]["properties"]) == {"items.title", "items.price"}


def test_a_list_is_for_a_shopper_and_as_long_as_asked(shop):
    known = shop.live.storefront.parts.recommender.shelf.users[0]
    found = shop.good("POST", "/v1/recommend", {"user": known, "count": 5})
    assert len(found["items"]) == 5 and found["revision"] == 4
    assert all(one["title"] and one["item"].startswith("SKU-") for one in found["items"])
    everything = shop.items("POST", "/v1/recommend", {"count": 200})
    shelf = shop.live.storefront.parts.recommender.shelf
    assert sorted(everything) == sorted(shelf.catalogue.items.tolist())  # what nobody proposed comes last
    assert shop.items("POST", "/v1/recommend", {"user": "nobody knows me", "count": 5})


def test_what_a_shopper_does_changes_her_next_list_and_nobody_elses(shop):
    before = shop.good("POST", "/v1/recommend", {"user": "new", "count": 10})
    other = shop.good("POST", "/v1/recommend", {"user": "other", "count": 10})
    item = before["items"][-1]["item"]
    event = {"event": "e1", "user": "new", "item": item, "kind": "purchase", "value": 12.5}
    told = {"received": 2, "accepted": 2, "new": 1, "known": 1, "refused": [], "journal": 0}
    told |= {"unknown_items": [], "unknown_kinds": []}
    assert shop.good("POST", "/v1/events", {"events": [event, event]}) == told
    assert shop.good("POST", "/v1/events", {"events": [event]}) == {**told, "received": 1, "accepted": 1, "new": 0}
    assert shop.good("POST", "/v1/recommend", {"user": "new", "count": 10}) != before
    assert shop.good("POST", "/v1/recommend", {"user": "other", "count": 10}) == other
    clicked = shop.good("POST", "/v1/recommend", {"clicked": [item, "no such item"], "count": 10})
    assert clicked["items"] != before["items"]


def test_an_impression_is_no_wish(shop):
    before = shop.good("POST", "/v1/recommend", {"user": "new", "count": 10})
    event = {"event": "i", "user": "new", "item": before["items"][-1]["item"], "kind": "impression"}
    shop.good("POST", "/v1/events", {"events": [event]})
    assert shop.good("POST", "/v1/recommend", {"user": "new", "count": 10}) == before


def test_events_that_may_be_slips_are_kept_and_named(shop):
    def event(key: str, item: str, kind: str = "click") -> dict[str, str]:
        return {"event": key, "user": "u", "item": item, "kind": kind}

    shop.good("POST", "/v1/items", {"item": "CAME", "columns": {"title": "balloon"}})
    shop.good("DELETE", "/v1/items/SKU-0003")
    sent = [event("1", "SKU-0001"), event("2", "SKU-1"), event("3", "CAME", "buy"), event("4", "SKU-0003", "view")]
    told = shop.good("POST", "/v1/events", {"events": [*sent, event("1", "SKU-1", "buy")]})
    assert told == {
        "received": 5,
        "accepted": 5,
        "refused": [],
        "journal": 0,
        "new": 4,
        "known": 1,
        "unknown_items": ["SKU-1", "SKU-0003"],
        "unknown_kinds": ["buy"],
    }
    assert shop.store.events.kinds() == {"click": 2, "buy": 1, "view": 1}
    many = [event(f"m{n}", f"no item {n}") for n in range(300)]
    assert len(shop.good("POST", "/v1/events", {"events": many})["unknown_items"]) == 100
    said = shop.good("POST", "/v1/feedback", {"feedback": "f", "item": "SKU-1", "rating": 4})
    assert (said["new"], said["known"], said["unknown_items"]) == (1, 0, ["SKU-1"])
    shop.good("DELETE", "/v1/items/CAME")  # the index is shared by these tests


@pytest.mark.parametrize("time", [45352, 45352.5, 0, "1970-01-02T00:00:00Z"])
def test_days_of_a_spreadsheet_are_no_seconds_since_1970(shop, time):
    event = {"event": "serial", "user": "u", "item": "SKU-1", "kind": "view", "time": time}
    assert "before 1990" in str(problem(shop.ask("POST", "/v1/events", {"events": [event]}), 422))


def test_the_order_in_which_events_arrive_does_not_matter(shop):
    items = shop.items("POST", "/v1/recommend", {"count": 6})
    sent = [
        {"item": item, "kind": "purchase", "time": f"2026-01-0{day}T12:00:00Z", "value": 10.0}
        for day, item in enumerate(items, 1)
    ]
    for user, events in (("in order", sent), ("late first", sent[::-1])):
        for event in events:
            shop.good("POST", "/v1/events", {"events": [{**event, "event": user + event["time"], "user": user}]})
    one, other = (
        shop.good("POST", "/v1/recommend", {"user": user, "count": 10})["items"] for user in ("in order", "late first")
    )
    assert one == other != shop.good("POST", "/v1/recommend", {"count": 10})["items"]


def test_a_shopper_of_a_hundred_thousand_events_is_answered(shop):
    plain = {"user": "bot", "kind": "click", "item": "SKU-0001", "received": 0}
    rows = [{**plain, "event": str(n), "time": 1_700_000_000_000_000 + n % 1000} for n in range(100_000)]
    with writing(shop.store._engine) as connection:
        connection.execute(EVENTS.insert(), rows)
    assert len(shop.items("POST", "/v1/recommend", {"user": "bot", "count": 5})) == 5
    assert len(shop.items("POST", "/v1/recommend", {"clicked": ["SKU-0001"] * 1000, "count": 5})) == 5
    assert problem(shop.ask("POST", "/v1/recommend", {"clicked": ["SKU-0001"] * 1001}), 422)["where"] == "body.clicked"


def test_a_page_past_the_end_tells_the_total_and_the_last_page(shop):
    asked = {"words": "", "size": 10}
    whole = shop.good("GET", "/v1/search", params=asked)
    past = shop.good("GET", "/v1/search", params={**asked, "page": 99})
    assert past["hits"] == [] and (past["total"], past["pages"]) == (whole["total"], 3)
    assert past["notes"][-1]["en"] == f"there is no page 99: {whole['total']} items were found, the last page is 3"
    assert "最后一页是第 3 页" in past["notes"][-1]["zh"]
    last = shop.good("GET", "/v1/search", params={**asked, "page": past["pages"]})
    assert last["hits"] and not any("no page" in note["en"] for note in last["notes"])


def test_search_by_words_conditions_and_likeness(shop):
    found = shop.good("GET", "/v1/search", params={"words": "lamp 台灯", "size": 3, "where": ["price<=100000"]})
    assert found["hits"] and len(found["hits"]) <= 3 and found["facets"]["category"]
    assert found == {
        **shop.good("POST", "/v1/search", {"words": "lamp 台灯", "size": 3, "where": ["price<=100000"]}),
        "milliseconds": found["milliseconds"],
    }
    assert shop.good("GET", "/v1/search", params={"words": "\x00\x07", "size": 2})["hits"]  # never empty-handed
    assert shop.good("POST", "/v1/search", {"words": "长" * 10_000})["notes"]  # only the beginning was read


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"words": "the of and"}, "nothing about an item"),
        ({"words": "的"}, "nothing about an item"),
        ({"words": "x" * 10_000}, "only the beginning"),
        ({"words": "\u0007\u202e\u001b[2J"}, "no item has"),
        ({"words": "lamp", "where": ["price<0", "category=nothing"]}, "left out price<0"),
        ({"where": ["price>=1e300"]}, "left out price>=1e300"),
    ],
)
def test_search_is_never_empty_handed_and_says_what_it_did(shop, asked, told):
    found = shop.good("POST", "/v1/search", asked)
    assert found["hits"] and any(told in note["en"] and note["zh"] for note in found["notes"])
    assert found["left_out"] == asked.get("where", [])


def test_a_question_over_http_chooses_how_rankings_become_one(shop):
    one = shop.good("GET", "/v1/search?words=table+lamp&fuse=reciprocal-rank")["hits"]
    assert one == shop.good("POST", "/v1/search", {"words": "table lamp", "fuse": "reciprocal-rank"})["hits"] != []
    refused = shop.ask("POST", "/v1/search", {"words": "lamp", "fuse": "sum"})
    assert refused.status_code == 422 and "reciprocal-rank" in refused.text


def test_what_is_told_of_a_new_shopper_counts_over_http_as_on_the_command_line(shop, home):
    lists = {}
    for city in ("", *shop.live.storefront.parts.recommender.shelf.history.shoppers.levels["users.city"].tolist()):
        about = {"about": {"users.city": city, "age": 30}} if city else {}
        lists[city] = [
            one["item"] for one in shop.good("POST", "/v1/recommend", {"user": "new", "count": 8, **about})["items"]
        ]
        given = ["--about", f"users.city={city}", "--about", "age=30"] if city else []
        bundle = str(Home(home).part("recommend"))
        told = CliRunner().invoke(app, ["recommend", bundle, "--shopper", "new", *given, "--count", "8", "--json"])
        assert [one["item"] for one in json.loads(told.stdout)] == lists[city]
    assert len(set(map(tuple, lists.values()))) > 1
    for _ in range(2):  # made, and remembered
        told = shop.good("POST", "/v1/recommend", {"user": "new", "about": {"city": "外星"}})
        (note,) = ListResponse.model_validate(told).notes
        assert "users.city '外星' before" in note["en"] and "此前没有人" in note["zh"]
    assert "note: nobody had users.city '外星'" in " ".join(
        CliRunner().invoke(app, ["recommend", bundle, "--about", "city=外星"]).output.split()
    )
    refused = shop.ask("POST", "/v1/recommend", {"user": "new", "about": {"users.agee": 30}})
    assert refused.status_code == 422 and "users.age" in refused.text


def test_an_item_and_its_picture(shop):
    found = shop.good("GET", "/v1/items/SKU-0001")
    assert found["columns"]["title"] and found["prediction"]["prediction"] and found["reviews"]
    picture = shop.ask("GET", "/v1/items/SKU-0001/pictures/0")
    assert picture.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(picture.content)).format == "JPEG"
    problem(shop.ask("GET", "/v1/items/SKU-0001/pictures/77"), 404)
    assert "no such item" in problem(shop.ask("GET", "/v1/items/SKU-9999"), 404)["what"]


def test_a_prediction_and_what_each_input_is_worth(shop):
    row = {"items.title": "台灯", "price": 12}
    (answer,) = shop.good("POST", "/v1/predict", {"rows": [row]})["predictions"]
    told = shop.good("POST", "/v1/explain", {"row": row})
    assert told["prediction"] == answer["prediction"] and set(told["without"]) == {"words", "table"}
    assert set(shop.good("POST", "/v1/explain", {"row": {"price": 12}})["without"]) == {"table"}
