"""What a served shop refuses, and in which words."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from homes import Shop, problem
from tuwen.service.limits import Limits

EVENT = {"event": "a", "user": "u", "item": "i", "kind": "click"}


@pytest.fixture(scope="module")
def shop(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """One for all of them: what is refused changes nothing."""
    opened = Shop(home, tmp_path_factory.mktemp("store") / "store.db")
    yield opened
    opened.store.close()


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/recommend", {"count": 0}),
        ("POST", "/v1/recommend", {"count": 10**9}),
        ("POST", "/v1/recommend", {"user": "a\x00b"}),
        ("POST", "/v1/recommend", {"user": "x" * 600}),
        ("POST", "/v1/recommend", {"usr": "a"}),
        ("POST", "/v1/recommend", {"about": {"users.age": "old"}}),
        ("POST", "/v1/recommend", {"about": {"users.age": 10**400}}),
        ("POST", "/v1/recommend", {"about": {"users.age": 30, "age": 40}}),
        ("POST", "/v1/recommend", {"about": {"city": "x" * 600}}),
        ("POST", "/v1/recommend", []),
        ("GET", "/v1/similar?item=SKU-0001&by=smell", None),
        ("GET", "/v1/similar?item=SKU-0001&by=picture", None),  # of which this recommender has none
        ("GET", "/v1/search?where=price%3C%3C5", None),
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


def test_a_place_is_told_as_it_was_sent_and_no_more_than_a_person_reads(shop):
    told = problem(shop.ask("POST", "/v1/recommend", {"about": {"gender": ["female"]}}), 422)
    assert told["where"] == "body.about.gender" and "a text or a number" in told["what"]
    for body in ({"about": {"x" * 10_000: 1}}, {"about": {"x" * 150: []}}):
        assert len(problem(shop.ask("POST", "/v1/recommend", body), 422)["where"]) < 120


@pytest.mark.parametrize("sent", [{"user": "\ud800"}, {"about": {"age": "\ud800"}}, {"about": {"\ud800": 1}}])
def test_half_of_a_character_is_refused_and_told_back(shop, sent):
    body = {"content": json.dumps(sent), "headers": {"Content-Type": "application/json"}}
    assert problem(shop.ask("POST", "/v1/recommend", **body), 422)["what"]


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("/v1/search", {"words": "lamp", "where": ["category=\ud800"]}),
        ("/v1/feedback", {"feedback": "f", "user": "u", "item": "SKU-0001", "rating": 4, "text": "\ud800"}),
    ],
)
def test_half_of_a_character_among_words_is_read_as_a_mark(shop, path, sent):
    body = {"content": json.dumps(sent), "headers": {"Content-Type": "application/json"}}
    assert shop.ask("POST", path, **body).status_code == 200


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
    told = {"about": {"users.age": 30}}
    asked = (
        ("/v1/recommend", {}),
        ("/v1/recommend", told),
        ("/v1/predict", {"rows": [{"a": 1}]}),
        ("/v1/search", {"words": "a"}),
    )
    for path, body in asked:
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
    kept = shop.ask("POST", "/v1/events", event)  # in the journal, until the store is back
    assert (kept.status_code, kept.json()["journal"]) == (202, 1)
    feedback = {"feedback": "f", "user": "u", "item": "SKU-0001", "rating": 5}
    assert "store" in problem(shop.ask("POST", "/v1/feedback", feedback), 503)["what"]
