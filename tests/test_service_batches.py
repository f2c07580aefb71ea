"""Events as browsers and pipelines send them: as a beacon, and in batches of which some are no good."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from homes import Shop, problem
from tuwen.service.batches import Refusal, kept_and_refused
from tuwen.service.shop_messages import EventsRequest

GOOD = {"event": "g", "user": "u", "item": "SKU-0001", "kind": "click"}
BAD = [
    {"event": "b", "user": "u", "kind": "click"},
    {**GOOD, "event": "b", "time": "soon"},
    {**GOOD, "event": "b", "user": "undefined"},
    {**GOOD, "event": "b", "item": " NULL "},
    "an event",
    None,
    [],
]


@pytest.mark.parametrize("bad", BAD, ids=map(str, range(len(BAD))))
def test_a_bad_event_is_named_and_the_good_are_kept(shop: Shop, bad: object) -> None:
    sent = [{**GOOD, "event": f"{bad!r}-1"}, bad, {**GOOD, "event": f"{bad!r}-2"}]
    answer = shop.ask("POST", "/v1/events", {"events": sent})
    assert answer.status_code == 207
    reply = answer.json()
    assert (reply["received"], reply["accepted"], reply["new"]) == (3, 2, 2)
    (refused,) = reply["refused"]
    assert refused["index"] == 1 and refused["where"].startswith("body.events.1") and refused["what"]
    stored = {event["event"] for event in shop.good("GET", "/v1/users/u")["events"]}
    assert {f"{bad!r}-1", f"{bad!r}-2"} <= stored and "b" not in stored


def test_what_is_refused_is_told_in_chinese(shop: Shop) -> None:
    sent = {"events": [{**GOOD, "event": "zh"}, BAD[0], BAD[2]]}
    refused = shop.ask("POST", "/v1/events", sent, headers={"Accept-Language": "zh"}).json()["refused"]
    assert [entry["what"] for entry in refused] == [
        "缺少此字段",
        "这是程序表示“没有”的词，不是编号",
    ]


@pytest.mark.parametrize("bad", [{**GOOD, "event": "half", "user": "x\ud83d"}, {**GOOD, "event": "half", "x\ud83d": 1}])
def test_half_of_a_character_refuses_its_event_alone(shop: Shop, bad: dict[str, object]) -> None:
    body = json.dumps({"events": [{**GOOD, "event": "whole"}, bad]})
    answer = shop.ask("POST", "/v1/events", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 207, answer.text
    assert answer.json()["new"] == 1 and [entry["index"] for entry in answer.json()["refused"]] == [1]


def test_a_batch_without_a_good_event_is_refused_as_a_whole(shop: Shop) -> None:
    message = problem(shop.ask("POST", "/v1/events", {"events": [BAD[0], BAD[1]]}), 422)
    assert message["where"] == "body.events.0.item"


@pytest.mark.parametrize("kind", ["text/plain;charset=UTF-8", "text/plain", "TEXT/PLAIN", "application/json"])
def test_a_beacon_is_read(shop: Shop, kind: str) -> None:
    sent = {"content": json.dumps({"events": [{**GOOD, "event": kind}]}), "headers": {"Content-Type": kind}}
    assert shop.ask("POST", "/v1/events", **sent).json()["new"] == 1
    feedback = {"feedback": kind, "item": "SKU-0001", "rating": 3}
    sent = {"content": json.dumps(feedback), "headers": {"Content-Type": kind}}
    assert shop.ask("POST", "/v1/feedback", **sent).json()["new"] == 1


@pytest.mark.parametrize(
    ("kind", "text", "status"),
    [("text/plain", "hello", 422), ("application/xml", json.dumps({"events": [GOOD]}), 415)],
)
def test_a_beacon_of_something_else_is_refused(shop: Shop, kind: str, text: str, status: int) -> None:
    assert problem(shop.ask("POST", "/v1/events", content=text, headers={"Content-Type": kind}), status)["what"]


def test_keys_are_read_without_blanks_around_them(shop: Shop) -> None:
    shop.good("POST", "/v1/events", {"events": [{**GOOD, "event": "blank", "user": " U-blank\n", "item": "SKU-0001 "}]})
    (event,) = shop.good("GET", "/v1/users/U-blank")["events"]
    assert event["item"] == "SKU-0001"


@settings(max_examples=50)
@given(st.lists(st.one_of(st.just(GOOD), st.sampled_from(BAD), st.integers(), st.text(max_size=3)), min_size=1))
def test_every_element_is_either_kept_or_named(elements: list[object]) -> None:
    read = TypeAdapter(EventsRequest).validate_python({"events": elements}).events
    accepted = [element for element in read if not isinstance(element, Refusal)]
    if accepted:
        accepted_rows, refused = kept_and_refused("events", read, "en")
        indices = [refusal.index for refusal in refused]
        assert len(accepted_rows) + len(refused) == len(elements)
        assert indices == [i for i, element in enumerate(elements) if element != GOOD]


@pytest.mark.parametrize("name", ["quantity", "value", "position", "propensity"])
@pytest.mark.parametrize("bad", [True, False, "2.500", "1,250"])
def test_what_is_no_number_or_two_is_refused(shop: Shop, name: str, bad: object) -> None:
    sent = {"events": [{**GOOD, "event": f"n-{name}-{bad}", name: bad}]}
    message = problem(shop.ask("POST", "/v1/events", sent), 422)
    assert message["where"] == f"body.events.0.{name}" and "number" in message["what"]
    if bad == "2.500":
        zh = problem(shop.ask("POST", "/v1/events", sent, headers={"Accept-Language": "zh"}), 422)["what"]
        assert zh == "数字的小数点可能是点，也可能是逗号"
