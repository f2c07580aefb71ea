"""Items of a served shop that come, change and go."""

from __future__ import annotations

import base64
import io
import threading
import time
from pathlib import Path

from PIL import Image

from homes import Shop, home_in, problem
from tuwen import workflow
from tuwen.bundle.home import Home


def photo() -> str:
    out = io.BytesIO()
    Image.new("RGB", (60, 40), (200, 30, 30)).save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode()


def test_an_item_that_is_taken_out_is_nowhere_found(shop):
    item = shop.items("POST", "/v1/recommend", {"count": 5})[0]
    beside = shop.items("POST", "/v1/goes-with", {"items": ["SKU-0001"], "count": 50})
    shop.good("DELETE", f"/v1/items/{item}")
    problem(shop.ask("GET", f"/v1/items/{item}"), 404)
    problem(shop.ask("GET", f"/v1/items/{item}/pictures/0"), 404)
    first, again = (shop.good("DELETE", f"/v1/items/{item}") for _ in range(2))  # who had no answer may ask again
    assert first == again and not first["findable"] and not first["pending"]
    assert item not in shop.items("POST", "/v1/recommend", {"count": 200})
    assert shop.items("POST", "/v1/goes-with", {"items": ["SKU-0001"], "count": 50}) == [b for b in beside if b != item]
    again = Shop(Home(shop.live.home.folder).folder, Path(shop.store.name.removeprefix("sqlite:///")))
    assert item not in again.items("POST", "/v1/recommend", {"count": 200})  # nor after a restart
    again.store.close()


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
    for price in ("dear", True, False, "2.450", "2,450", "5 M"):
        refused = problem(shop.ask("POST", "/v1/items", {"item": "x", "columns": {"price": price}}), 422)
        assert "number" in refused["what"] and refused["seen"] == repr(price)
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


def test_an_index_that_takes_in_item_by_item_is_rebuilt_meanwhile(made_home, tmp_path):
    """An index of its own: what other tests left in theirs, and a rebuild that they began, would count here."""
    shop = Shop(home_in(tmp_path, made_home), tmp_path / "store.db")
    for n in range(30):
        assert shop.good("POST", "/v1/items", {"item": f"N{n}", "columns": {"title": f"zeppelin {n}"}})["findable"]
        assert shop.good("GET", "/v1/search", params={"words": "zeppelin"})["total"] >= n + 1
    index = shop.live.storefront.parts.searcher.index
    while any(one.name == "tuwen index rebuild" for one in threading.enumerate()):
        time.sleep(0.01)
    assert len(index.snapshot.segments) < 30 and index.snapshot.row_of("N0") is not None
    shop.store.close()


def test_what_is_not_named_of_an_item_stays(shop):
    before = shop.good("GET", "/v1/items/SKU-0001")
    shop.good("POST", "/v1/items", {"item": "SKU-0001", "columns": {"price": 1, "description": None}})
    after = shop.good("GET", "/v1/items/SKU-0001")
    kept = {k: v for k, v in before["columns"].items() if k != "description"}
    assert after["columns"] == {**kept, "price": 1.0} and after["pictures"] == before["pictures"] > 0
    shop.good("POST", "/v1/items", {"item": "SKU-0001", "pictures": []})
    assert shop.good("GET", "/v1/items/SKU-0001")["pictures"] == 0


def test_an_index_that_is_promoted_knows_what_came_and_went_before(made_home, tmp_path):
    folder = home_in(tmp_path, made_home)
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


def test_an_item_that_is_not_there_is_not_found_by_any_question(shop):
    shop.good("DELETE", "/v1/items/SKU-0005")
    for item in ("SKU-9999", "SKU-0005"):
        for method, path, body in (
            ("GET", f"/v1/items/{item}", None),
            *([("DELETE", f"/v1/items/{item}", None)] if item == "SKU-9999" else []),  # the other one was in the shop
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


def test_an_item_keeps_how_popular_it_is_whatever_is_written_of_it(made_home, tmp_path):
    shop = Shop(home_in(tmp_path, made_home), tmp_path / "store.db")  # where no test took it out
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
    shop.store.close()


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


def test_a_shop_whose_items_were_all_taken_out_has_nothing_to_list(made_home, tmp_path):
    shop = Shop(home_in(tmp_path, made_home), tmp_path / "store.db")
    parts = shop.live.storefront.parts
    for item in parts.dataset.table("items")["item"]:
        shop.ask("DELETE", f"/v1/items/{item}")
    known = parts.recommender.shelf.users[0]
    for asked in ({"count": 5}, {"user": known}, {"clicked": ["SKU-0001"]}):
        assert shop.items("POST", "/v1/recommend", asked) == []
    problem(shop.ask("POST", "/v1/goes-with", {"items": ["SKU-0001"]}), 404)
    found = shop.good("GET", "/v1/search", params={"words": "lamp"})
    assert (found["total"], found["pages"], found["hits"]) == (0, 0, [])
    problem(shop.ask("GET", "/v1/similar?item=SKU-0001"), 404)
    shop.store.close()
