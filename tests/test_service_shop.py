"""A whole shop over HTTP: answers, events that change the next one, items that come and go, keys, refusals."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from homes import Shop, make_home, problem
from tuwen import workflow
from tuwen.bundle.home import Home
from tuwen.cli import app
from tuwen.service.access import Access
from tuwen.service.limits import Limits
from tuwen.service.rate import Rate
from tuwen.store import Store
from tuwen.store.engine import writing
from tuwen.store.tables import EVENTS


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    return make_home(tmp_path_factory.mktemp("home"))


@pytest.fixture
def shop(home, tmp_path) -> Iterator[Shop]:
    found = Shop(home, tmp_path / "store.db")
    yield found
    found.store.close()


def photo() -> str:
    out = io.BytesIO()
    Image.new("RGB", (60, 40), (200, 30, 30)).save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode()


# --- Answers ------------------------------------------------------------------------------------------------------


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
    refused = shop.ask("POST", "/v1/recommend", {"user": "new", "about": {"users.agee": 30}})
    assert refused.status_code == 422 and "users.age" in refused.text


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
    told = {"received": 2, "new": 1, "known": 1, "unknown_items": [], "unknown_kinds": []}
    assert shop.good("POST", "/v1/events", {"events": [event, event]}) == told
    assert shop.good("POST", "/v1/events", {"events": [event]}) == {**told, "received": 1, "new": 0}
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


# --- Items that come and go ---------------------------------------------------------------------------------------


def test_an_item_that_is_taken_out_is_nowhere_found(shop):
    item = shop.items("POST", "/v1/recommend", {"count": 5})[0]
    beside = shop.items("POST", "/v1/goes-with", {"items": ["SKU-0001"], "count": 50})
    shop.good("DELETE", f"/v1/items/{item}")
    problem(shop.ask("GET", f"/v1/items/{item}"), 404)
    problem(shop.ask("GET", f"/v1/items/{item}/pictures/0"), 404)
    problem(shop.ask("DELETE", f"/v1/items/{item}"), 404)
    assert item not in shop.items("POST", "/v1/recommend", {"count": 200})
    assert shop.items("POST", "/v1/goes-with", {"items": ["SKU-0001"], "count": 50}) == [b for b in beside if b != item]
    again = Shop(Home(shop.live.home.folder).folder, Path(shop.store.name.removeprefix("sqlite:///")))
    assert item not in again.items("POST", "/v1/recommend", {"count": 200})  # nor after a restart
    again.store.close()


def test_an_item_that_is_not_there_is_not_found_by_any_question(shop):
    shop.good("DELETE", "/v1/items/SKU-0005")
    for item in ("SKU-9999", "SKU-0005"):
        for method, path, body in (
            ("GET", f"/v1/items/{item}", None),
            ("DELETE", f"/v1/items/{item}", None),
            ("GET", f"/v1/items/{item}/pictures/0", None),
            ("GET", f"/v1/similar?item={item}", None),
            ("GET", f"/v1/search?like={item}", None),
            ("POST", "/v1/search", {"like": item}),
            ("POST", "/v1/goes-with", {"items": ["SKU-0001", item]}),
        ):
            assert "no such" in problem(shop.ask(method, path, body), 404)["what"]
    shop.good("POST", "/v1/items", {"item": "CAME", "columns": {"title": "balloon"}})
    assert shop.items("POST", "/v1/goes-with", {"items": ["SKU-0001", "CAME"]}) == []  # bought beside nothing yet
    shop.good("DELETE", "/v1/items/CAME")  # the index is shared by these tests


def test_a_picture_that_is_replaced_is_asked_about_and_seen(shop):
    path = "/v1/items/SKU-0001/pictures/0"
    first = shop.ask("GET", path)
    tag = first.headers["etag"]
    assert first.headers["cache-control"] == "private, no-cache"
    for sent in (tag, f'"other", W/{tag}'):
        still = shop.ask("GET", path, headers={"If-None-Match": sent})
        assert (still.status_code, still.content, still.headers["etag"]) == (304, b"", tag)
    for _ in range(2):  # of the dataset by one of the store, and that by another
        shop.good("POST", "/v1/items", {"item": "SKU-0001", "pictures": [photo()]})
        other = shop.ask("GET", path, headers={"If-None-Match": tag})
        assert other.status_code == 200 and other.headers["etag"] != tag and other.content != first.content
        tag = other.headers["etag"]


def test_columns_of_an_item_are_read_as_collect_reads_them(shop):
    sent = {
        "item": "N/1 新",
        "columns": {"title": "<script>alert(1)</script>", "price": "￥1,299.00"},
        "pictures": [photo()],
    }
    shop.good("POST", "/v1/items", sent)
    found = shop.good("GET", "/v1/items/N/1 新")
    assert found["columns"] == {"title": "<script>alert(1)</script>", "price": 1299.0} and found["pictures"] == 1
    told = problem(shop.ask("POST", "/v1/items", {"item": "x", "columns": {"titel": "a"}}), 422)
    assert told["todo"] == "did you mean 'title'?"
    assert "number" in problem(shop.ask("POST", "/v1/items", {"item": "x", "columns": {"price": "dear"}}), 422)["what"]
    problem(shop.ask("POST", "/v1/items", {"item": "x", "pictures": ["bm90IGEgcGljdHVyZQ=="]}), 422)
    problem(shop.ask("GET", "/v1/items/x"), 404)


def test_a_new_item_is_found_and_recommended_at_once_and_gone_as_soon(shop, home):
    sent = {"item": "NEW", "columns": {"title": "Zeppelin 飞艇", "category": "Home 家居"}, "pictures": [photo()]}
    assert shop.good("POST", "/v1/items", sent)["findable"]
    assert shop.items("GET", "/v1/similar?item=NEW") == []  # this recommender compares neither pictures nor texts
    assert shop.good("GET", "/v1/search", params={"words": "zeppelin"})["hits"][0]["item"] == "NEW"
    found = {one["item"]: one for one in shop.good("POST", "/v1/recommend", {"user": "u", "count": 10})["items"]}
    assert len(found) == 10 and found["NEW"]["title"] == "Zeppelin 飞艇" and found["NEW"]["reason"]["zh"] == "新上架"
    other = Shop(home, Path(shop.store.name.removeprefix("sqlite:///")))  # another worker
    assert "NEW" in other.items("POST", "/v1/recommend", {"count": 10})
    assert other.good("GET", "/v1/search", params={"words": "飞艇"})["hits"][0]["item"] == "NEW"
    assert not shop.good("DELETE", "/v1/items/NEW")["findable"]
    other.live.storefront.catch_up()
    for one in (shop, other):
        assert "NEW" not in one.items("POST", "/v1/recommend", {"count": 20})
        hits = one.good("GET", "/v1/search", params={"words": "zeppelin"})["hits"]
        assert "NEW" not in [hit["item"] for hit in hits]
    other.store.close()


def test_an_index_that_takes_in_item_by_item_is_rebuilt_meanwhile(shop):
    for n in range(30):
        assert shop.good("POST", "/v1/items", {"item": f"N{n}", "columns": {"title": f"zeppelin {n}"}})["findable"]
        assert shop.good("GET", "/v1/search", params={"words": "zeppelin"})["total"] >= n + 1
    index = shop.live.storefront.parts.searcher.index
    while any(one.name == "tuwen index rebuild" for one in threading.enumerate()):
        time.sleep(0.01)
    assert len(index.snapshot.segments) < 30 and index.snapshot.row_of("N0") is not None


def test_what_is_not_named_of_an_item_stays(shop):
    before = shop.good("GET", "/v1/items/SKU-0001")
    shop.good("POST", "/v1/items", {"item": "SKU-0001", "columns": {"price": 1, "description": None}})
    after = shop.good("GET", "/v1/items/SKU-0001")
    kept = {k: v for k, v in before["columns"].items() if k != "description"}
    assert after["columns"] == {**kept, "price": 1.0} and after["pictures"] == before["pictures"] > 0
    shop.good("POST", "/v1/items", {"item": "SKU-0001", "pictures": []})
    assert shop.good("GET", "/v1/items/SKU-0001")["pictures"] == 0


def test_an_index_that_is_promoted_knows_what_came_and_went_before(tmp_path):
    folder = make_home(tmp_path, items=16)
    shop = Shop(folder, tmp_path / "store.db")
    shop.good("POST", "/v1/items", {"item": "NEW", "columns": {"title": "zeppelin"}})
    shop.good("DELETE", "/v1/items/SKU-0002")

    def hits(words: str) -> list[str]:
        return [one["item"] for one in shop.good("GET", "/v1/search", params={"words": words, "size": 50})["hits"]]

    for change in (lambda: workflow.promote(tmp_path / "index", folder), lambda: workflow.roll_back(folder)):
        change()
        assert shop.live.look()
        assert hits("zeppelin")[0] == "NEW" and "SKU-0002" not in hits("")
    shop.store.close()


# --- People -------------------------------------------------------------------------------------------------------


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


# --- Revisions ----------------------------------------------------------------------------------------------------


def test_another_revision_is_taken_up_and_a_broken_one_is_not(tmp_path):
    folder = make_home(tmp_path, items=16)
    shop = Shop(folder, tmp_path / "store.db")
    assert shop.good("GET", "/readyz")["revision"] == 4
    workflow.promote(tmp_path / "next", folder)
    assert shop.live.look() and shop.good("GET", "/readyz")["revision"] == 5
    bundle = Home(folder).part("recommend")
    assert bundle is not None
    workflow.promote(tmp_path / "next", folder)
    broken = Home(folder).part("recommend")
    assert broken is not None
    next(broken.rglob("*.npy")).write_bytes(b"broken after it was promoted")
    assert not shop.live.look()
    told = shop.good("GET", "/readyz")
    assert told["revision"] == 5 and "damaged" in told["fault"] and shop.items("POST", "/v1/recommend", {"count": 3})
    known = shop.good("GET", "/v1/operator/revisions")
    assert known["live"] == 5 and known["revisions"][0]["number"] == 6
    for number in (0, -3, 99, 10**22):
        refused = problem(shop.ask("POST", "/v1/operator/back", {"revision": number}), 422)
        assert refused["seen"] == str(number) and refused["where"] == "live.json" and "4" in refused["allowed"]
    shop.good("POST", "/v1/operator/back", {"revision": 4})
    again = shop.good("GET", "/readyz")
    assert again["revision"] == 7 and "fault" not in {k for k, v in again.items() if v is not None}
    (folder / "incoming").mkdir()
    (tmp_path / "index").rename(folder / "incoming" / "index")
    assert shop.good("GET", "/v1/operator/revisions")["incoming"] == [{"name": "index", "kind": "search"}]
    assert shop.good("POST", "/v1/operator/promote", {"folder": "index"})["number"] == 8
    for name in ("../next", "/etc", ".hidden", "a/b", ""):
        problem(shop.ask("POST", "/v1/operator/promote", {"folder": name}), 422)
    shop.store.close()


def test_shoppers_are_split_by_a_hash_and_events_count_from_their_first_answer():
    from tuwen.apps.storefront.experiment import arm_of, lift

    arms = [arm_of("test", f"u{n}", 0.3) for n in range(4000)]
    assert 0.27 < arms.count("b") / 4000 < 0.33 and arms == [arm_of("test", f"u{n}", 0.3) for n in range(4000)]
    exposures = [{"user": f"u{n}", "arm": "ab"[n % 2], "time": 10} for n in range(400)]
    bought = {f"u{n}": [{"kind": "purchase", "time": 20}] * (1 + n % 2) for n in range(0, 400)}
    told = lift(exposures, bought, "purchase")
    assert told["difference"] == 1.0 and told["lift"] == 1.0 and told["low"] == told["high"] == 1.0
    before = {user: [{"kind": "purchase", "time": 5}] for user in bought}
    assert lift(exposures, before, "purchase")["arms"]["a"]["events"] == 0
    late = {user: [{"kind": "purchase", "time": t} for t in (15, 20, 30)] for user in bought}
    told = lift(exposures, late, "purchase", periods=[(8, 20), (25, 30), (30, None)])
    assert (told["arms"]["a"]["rate"], told["outside"]) == (2.0, 400)  # the end is no part of it


def test_an_experiment_from_its_begin_to_what_came_of_it(tmp_path):
    folder = make_home(tmp_path, items=16)
    shop = Shop(folder, folder / "store.db")

    def tuwen(*words: str) -> Any:
        done = CliRunner().invoke(app, ["ab", str(folder), *words])
        return done.exit_code, done.output

    assert tuwen()[0] == 2  # none ran
    assert tuwen("--against", str(tmp_path / "next"), "--name", "other")[0] == 0
    assert shop.live.look()
    arms = {}
    for n in range(30):
        arms[f"u{n}"] = shop.good("POST", "/v1/recommend", {"user": f"u{n}", "count": 2})["arm"]
        event = {"event": f"e{n}", "user": f"u{n}", "item": "SKU-0001", "kind": "purchase"}
        if arms[f"u{n}"] == "b":
            shop.good("POST", "/v1/events", {"events": [event]})
    assert set(arms.values()) == {"a", "b"}
    assert {row["user"]: row["arm"] for row in shop.store.people.exposed("other")} == arms
    shop.good("POST", "/v1/items", {"item": "NEW", "columns": {"title": "zeppelin"}})  # for both arms alike
    for user in [next(u for u in arms if arms[u] == arm) for arm in ("a", "b")]:
        assert "NEW" in shop.items("POST", "/v1/recommend", {"user": user, "count": 5})
    found = json.loads(tuwen("--json")[1])
    assert found["arms"]["a"]["rate"] == 0.0 and found["arms"]["b"]["rate"] == 1.0 and found["low"] > 0
    assert "the zeros say nothing" in tuwen("--kind", "cart")[1]
    assert found["ended"] is None and "still runs" in tuwen()[1]
    assert tuwen("--end")[0] == 0 and shop.live.look()
    assert "arm" not in shop.good("POST", "/v1/recommend", {"user": "u0", "count": 2})
    late = [{"event": f"late{n}", "user": f"u{n}", "item": "SKU-0001", "kind": "purchase"} for n in range(30)]
    shop.good("POST", "/v1/events", {"events": late})
    after = json.loads(tuwen("--json")[1])
    assert after["arms"] == found["arms"] and after["ended"] and after["outside"] == 30
    said = tuwen()[1]
    assert "30 purchase events came while it did not run" in said and f"ended {after['ended']}" in said
    for words in (("--share", "0.3"), ("--against", str(tmp_path / "next"), "--name", "all", "--share", "1")):
        assert tuwen(*words)[0] != 0
    assert "promote it" in tuwen("--against", str(tmp_path / "next"), "--name", "all", "--share", "0")[1]
    shop.store.close()


def test_a_slip_of_the_keys_makes_no_home(tmp_path):
    store = ["--store", str(tmp_path / "store.db")]
    for command in (["key"], ["ab"], ["serve"], ["serve", *store]):
        done = CliRunner().invoke(app, [command[0], str(tmp_path / "hmoe"), *command[1:]])
        assert done.exit_code == 2 and "there is no home here" in done.output and "no such folder" in done.output
    assert not (tmp_path / "hmoe").exists() and not (tmp_path / "store.db").exists()
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "report.json").write_text("{}")
    done = CliRunner().invoke(app, ["serve", str(tmp_path / "report"), *store])
    told = " ".join(done.output.split())
    assert done.exit_code == 2 and "a report or a comparison" in told and "tuwen promote" in told


# --- Who may ask --------------------------------------------------------------------------------------------------


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


EVENT = {"event": "a", "user": "u", "item": "i", "kind": "click"}

# --- Refusals -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/recommend", {"count": 0}),
        ("POST", "/v1/recommend", {"count": 10**9}),
        ("POST", "/v1/recommend", {"user": "a\x00b"}),
        ("POST", "/v1/recommend", {"user": "x" * 600}),
        ("POST", "/v1/recommend", {"usr": "a"}),
        ("POST", "/v1/recommend", []),
        ("GET", "/v1/similar?item=SKU-0001&by=smell", None),
        ("GET", "/v1/similar?item=SKU-0001&by=picture", None),  # of which this recommender has none
        ("GET", "/v1/search?where=price%3C%3E5", None),
        ("GET", "/v1/search?page=0", None),
        ("POST", "/v1/search", {"picture": "bm8="}),
        ("POST", "/v1/events", {"events": []}),
        ("POST", "/v1/events", {"events": [{"event": "a", "user": "u", "item": "i", "kind": "x y"}]}),
        ("POST", "/v1/events", {"events": [{"event": "a", "user": "u", "item": "i", "kind": "a", "time": "soon"}]}),
        ("POST", "/v1/events", {"events": [{**EVENT, "time": "0001-01-01T00:00:00+14:00"}]}),
        ("POST", "/v1/events", {"events": [{**EVENT, "time": "3025-01-01"}]}),
        ("POST", "/v1/items", {"item": "nothing"}),
        ("POST", "/v1/embed", {}),
        ("POST", "/v1/explain", {"row": {"color": 1}}),
        ("POST", "/v1/predict", {"rows": [{"color": 1}]}),
    ],
)
def test_what_cannot_be_is_refused_in_words(shop, method, path, body):
    told = problem(shop.ask(method, path, body), 422)
    assert told["what"] and told["request"]


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


def test_a_shop_whose_items_were_all_taken_out_has_nothing_to_list(home, tmp_path):
    shutil.copytree(home, tmp_path / "home")
    shop = Shop(tmp_path / "home", tmp_path / "store.db")
    parts = shop.live.storefront.parts
    left = parts.searcher.index.snapshot.table["item"]  # of tests before this one, whose index it is too
    for item in {*parts.dataset.table("items")["item"], *left}:
        shop.ask("DELETE", f"/v1/items/{item}")
    known = parts.recommender.shelf.users[0]
    for asked in ({"count": 5}, {"user": known}, {"clicked": ["SKU-0001"]}):
        assert shop.items("POST", "/v1/recommend", asked) == []
    problem(shop.ask("POST", "/v1/goes-with", {"items": ["SKU-0001"]}), 404)
    found = shop.good("GET", "/v1/search", params={"words": "lamp"})
    assert (found["total"], found["pages"], found["hits"]) == (0, 0, [])
    problem(shop.ask("GET", "/v1/similar?item=SKU-0001"), 404)
    shop.store.close()


@pytest.mark.parametrize(("limits", "status"), [(Limits(read_seconds=0.05), 408), (Limits(body_bytes=50), 413)])
@pytest.mark.parametrize("path", ["/v1/events", "/v1/search", "/v1/search/photo", "/v1/predict"])
def test_a_body_too_slow_or_too_large_is_refused_on_every_route(home, tmp_path, path, limits, status):
    async def slowly():  # no length is told before
        for _ in range(8):
            yield b'{"events": '
            await asyncio.sleep(0.02)

    shop = Shop(home, tmp_path / "store.db", limits=limits)
    sent = {"content": slowly(), "headers": {"content-type": "application/json"}}
    problem(shop.ask("POST", path, **sent), status)
    shop.store.close()


def test_what_nobody_promoted_is_told(tmp_path):
    shop = Shop(tmp_path / "home", tmp_path / "store.db")
    for path, body in (("/v1/recommend", {}), ("/v1/predict", {"rows": [{"a": 1}]}), ("/v1/search", {"words": "a"})):
        assert "promote" in problem(shop.ask("POST", path, body), 404)["todo"]
    assert shop.ask("GET", "/readyz").status_code == 503
    assert shop.good("GET", "/v1/report") == {"reports": []}
    assert "promote" in problem(shop.ask("GET", "/v1/report/stars"), 404)["todo"]
    shop.store.close()


def test_a_store_that_is_gone_is_told_as_such(shop):
    shop.store._engine.dispose()
    file = Path(shop.store.name.removeprefix("sqlite:///"))
    for one in file.parent.glob("store.db*"):
        one.unlink()
    file.mkdir()
    assert shop.ask("GET", "/readyz").status_code == 503
    event = {"events": [{"event": "e", "user": "u", "item": "SKU-0001", "kind": "click"}]}
    assert "store" in problem(shop.ask("POST", "/v1/events", event), 503)["what"]


def test_an_item_keeps_how_popular_it_is_whatever_is_written_of_it(shop, home):
    searcher = shop.live.storefront.parts.searcher

    def popularity() -> int | None:
        now = searcher.refresh()
        row = now.row_of("SKU-0004")
        return None if row is None else now.table["_popularity"][row]

    before = popularity()
    assert before
    for columns in ({"price": 3}, {"title": "another lamp"}):
        shop.good("POST", "/v1/items", {"item": "SKU-0004", "columns": columns})
        assert popularity() == before
    shop.good("DELETE", "/v1/items/SKU-0004")
    assert popularity() is None
    shop.good("POST", "/v1/items", {"item": "SKU-0004", "columns": {"title": "a lamp again"}})
    assert popularity() == before
    first = shop.good("POST", "/v1/search", {"words": "", "sort": "popular", "size": 200})["hits"]
    assert [hit["_popularity"] for hit in first if "_popularity" in hit] == []  # the index's own
    assert "SKU-0004" in [hit["item"] for hit in first]
