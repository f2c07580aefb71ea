"""What one request may take: a table of limits, each kept before anything is read that costs more."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from homes import Shop, problem
from test_service import Shopkeeper, ask
from tuwen.errors import ConfigError, DataError
from tuwen.service import Limits, app, rows
from tuwen.service.access import Access
from tuwen.service.json_shape import check_shape
from tuwen.service.limits import lines, with_options
from tuwen.service.messages import PredictRequest
from tuwen.service.problems import RequestError
from tuwen.service.served import Served
from tuwen.service.shop_messages import RecommendRequest, SearchRequest

SCRIPTS = Path(__file__).parents[1] / "scripts"


# --- The table --------------------------------------------------------------------------------------------------------


def test_the_page_of_limits_is_the_table_of_the_code() -> None:
    done = subprocess.run([sys.executable, SCRIPTS / "limits.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, "docs/limits.md is stale: make docs"
    for limit in lines():
        metadata = limit.metadata
        assert metadata["what"] and metadata["above"] and metadata["low"] <= limit.default <= metadata["high"], (
            limit.name
        )


def test_an_option_changes_a_limit_and_what_cannot_be_is_refused_in_words() -> None:
    changed = with_options(Limits(), ["pixels=5_000", "read-seconds=2.5", "pixels=6000"])
    assert (changed.pixels, changed.read_seconds, changed.rows) == (6000, 2.5, Limits().rows)
    for option, words in (
        ("pixel=5", "did you mean 'pixels'?"),
        ("rows=0", "1 to 100,000, a whole number"),
        ("rows=1.5", "a whole number"),
        ("rows=²", "a whole number"),
        ("rows", "a whole number"),
        ("read_seconds=nan", "0.01 to 3,600"),
        ("read_seconds=inf", "0.01 to 3,600"),
    ):
        with pytest.raises(ConfigError) as error:
            with_options(Limits(), [option])
        assert words in str(error.value) and f"--limit {option}" in str(error.value)


# --- Bodies -----------------------------------------------------------------------------------------------------------


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=5),
    max_leaves=30,
)


def shape_of(value: Any) -> tuple[int, int]:
    """(marks between values, depth): a comma, a colon or a bracket is one."""
    if not isinstance(value, dict | list):
        return 0, 0
    inner = [shape_of(element) for element in (value.values() if isinstance(value, dict) else value)]
    marks = 1 + max(0, len(value) - 1) + (len(value) if isinstance(value, dict) else 0)
    return marks + sum(count for count, _ in inner), 1 + max((depth for _, depth in inner), default=0)


@given(JSON, st.booleans())
def test_json_is_counted_as_a_parser_counts_it(value: Any, ascii_only: bool) -> None:
    body = json.dumps(value, ensure_ascii=ascii_only).encode()
    marks, depth = shape_of(value)
    check_shape(body, Limits(json_values=max(marks, 1), json_depth=max(depth, 1)))
    for limits, excess in ((Limits(json_values=marks - 1), marks), (Limits(json_depth=depth - 1), depth)):
        if excess > 1:
            with pytest.raises(RequestError):
                check_shape(body, limits)


@pytest.mark.parametrize("unit", [b'"a":1,', b"[", b'\\"', b'"\\\\', b"x", b'""', b"{]"])
def test_the_time_of_counting_grows_with_the_body(unit: bytes) -> None:
    limits = Limits(json_values=10**9, json_depth=10**9, json_escapes=10**9)

    def seconds(body: bytes) -> float:
        times = []
        for _ in range(3):
            began = time.perf_counter()
            check_shape(body, limits)
            times.append(time.perf_counter() - began)
        return min(times)

    begin, count = b'{"a":"', 20_000
    assert seconds(begin + unit * count * 8) < 8**1.2 * max(seconds(begin + unit * count), 0.001) * 2


def test_base64_is_read_in_parts_as_it_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "PART", 8)
    for data in (b"", b"a", b"ab", b"abc", b"abcdefghijklmnopq", bytes(range(256))):
        text = base64.b64encode(data).decode()
        assert rows.file_of(text, "picture", "here", 1000) == (data or None)
    for text in ("YWJj=YWJj", "YWI=YWJjYWJj", "YWJjYWI=YWJj", "YWJjYW", "YWJj YWJj", "é" * 8):
        with pytest.raises(DataError, match="base64"):
            rows.file_of(text, "picture", "here", 1000)


async def stalls(begin: bytes = b"{") -> AsyncIterator[bytes]:
    yield begin
    await asyncio.sleep(60)


def quickly(call: Callable[[], Any], seconds: float = 10.0) -> Any:
    began = time.monotonic()
    answer = call()
    assert time.monotonic() - began < seconds
    return answer


def test_a_route_without_a_body_reads_none(shop: Shop) -> None:
    for method, path in (
        ("GET", "/healthz"),
        ("GET", "/v1/search?words=lamp"),
        ("DELETE", "/v1/users/u"),
        ("GET", "/"),
    ):
        assert quickly(lambda m=method, p=path: shop.ask(m, p, content=stalls())).status_code == 200
    assert quickly(lambda: shop.ask("POST", "/healthz", content=stalls())).status_code == 405


def test_who_has_no_key_sends_no_body(home, tmp_path) -> None:
    shop = Shop(home, tmp_path / "store.db")
    guarded = Shop(home, tmp_path / "store.db", access=Access(shop.store, required=True))
    for path in ("/v1/events", "/v1/search", "/v1/items", "/v1/predict"):
        problem(quickly(lambda p=path: guarded.ask("POST", p, content=stalls())), 401)
    problem(guarded.ask("GET", "/openapi.json"), 401)  # it names the columns of the shop
    key = {"Authorization": f"Bearer {shop.store.keys.make('till', 'shop')}"}
    time.sleep(0)
    assert guarded.ask("GET", "/healthz").status_code == 200
    fresh = Shop(home, tmp_path / "store.db", access=Access(shop.store, required=True))
    assert fresh.ask("GET", "/openapi.json", headers=key).status_code == 200
    for service in (shop, guarded, fresh):
        service.store.close()


def test_a_body_that_stalls_is_given_up_and_one_that_is_slow_but_goes_on_is_read() -> None:
    limits = Limits(stall_seconds=0.6, stall_bytes=100, read_seconds=30)
    json_type = {"content-type": "application/json"}
    message = problem(quickly(lambda: ask("/v1/predict", limits=limits, content=stalls(), headers=json_type)), 408)
    assert message["allowed"] == "at least 100 bytes in 0.6 seconds"

    async def slowly() -> AsyncIterator[bytes]:
        yield b'{"rows": [{"text": "'
        for _ in range(8):
            await asyncio.sleep(0.1)
            yield b"x" * 300
        yield b'"}]}'

    assert ask("/v1/predict", limits=limits, content=slowly(), headers=json_type).status_code == 200


def test_the_bytes_of_all_requests_are_bounded_and_given_back() -> None:
    limits = Limits(flight_bytes=1_000, read_seconds=20)

    async def crowd() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app(Shopkeeper(), limits=limits))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            go_on = asyncio.Event()

            async def waits() -> AsyncIterator[bytes]:
                yield b'{"rows": [{"text": "' + b"x" * 700
                await go_on.wait()
                yield b'"}]}'

            first = asyncio.create_task(client.post("/v1/predict", content=waits(), headers=json_type))
            await asyncio.sleep(0.2)
            refused = await client.post("/v1/predict", json={"rows": [{"text": "y" * 500}]})
            alive = await client.get("/healthz")
            go_on.set()
            answered = await first
            return [refused, alive, answered, await client.post("/v1/predict", json={"rows": [{"text": "y" * 500}]})]

    json_type = {"content-type": "application/json"}
    refused, *replies = asyncio.run(crowd())
    assert problem(refused, 503)["what"] == "too many bytes are being received" and refused.headers["retry-after"]
    assert [reply.status_code for reply in replies] == [200, 200, 200]


@pytest.mark.parametrize("path", ["/v1/recommend", "/v1/search", "/v1/predict", "/v1/events", "/v1/goes-with"])
def test_of_many_unknown_names_the_first_is_refused_by_its_name(shop: Shop, path: str) -> None:
    body = {f"n{number}": 1 for number in range(40_000)}
    message = problem(quickly(lambda: shop.ask("POST", path, body), 5), 422)
    assert message["where"] == "body.n0"
    message = problem(shop.ask("POST", path, {f"n{number}": 1 for number in range(60_000)}), 422)
    assert message["what"] == "the body holds too many values"
    for model in (RecommendRequest, SearchRequest, PredictRequest):
        with pytest.raises(ValidationError) as error:
            model.model_validate(body)
        unknown = [fault["ctx"]["name"] for fault in error.value.errors() if fault["type"] == "unknown_field"]
        assert unknown == ["n0"]  # each would take 10 µs


def test_json_that_is_too_deep_is_refused_and_one_that_is_not_is_read(shop: Shop) -> None:
    def nested(depth: int) -> bytes:
        return b'{"item": "DEEP", "columns": {"a": ' + b"[" * depth + b"]" * depth + b"}}"

    sent = {"headers": {"content-type": "application/json"}}
    assert (
        problem(shop.ask("POST", "/v1/items", content=nested(31), **sent), 422)["what"]
        == "the body is nested too deeply"
    )
    assert (
        problem(shop.ask("POST", "/v1/items", content=nested(30), **sent), 422)["what"]
        != "the body is nested too deeply"
    )
    message = problem(shop.ask("POST", "/v1/search", content=b'{"words": "' + b"\\n" * 1_000_001 + b'"}', **sent), 422)
    assert message["what"] == "the body holds too many escaped characters"


def test_conditions_are_few_and_short(shop: Shop) -> None:
    assert problem(shop.ask("GET", "/v1/search?" + "where=price%3E1&" * 51), 422)["what"] == "too many conditions"
    assert shop.ask("GET", "/v1/search?" + "where=price%3E1&" * 50).status_code == 200
    many = "brand=" + "|".join(map(str, range(1_001)))
    assert problem(shop.ask("GET", f"/v1/search?where={many}"), 422)["what"] == "a condition has too many values"
    served = Served(shop.live, Limits(conditions=2, condition_values=3_000, condition_characters=30_000))
    assert vars(served.filter_limits) == {"conditions": 2, "values": 3_000, "characters": 30_000}
    long = ["price>=" + "1" * 15_000, "price<=" + "1" * 15_000]
    assert problem(shop.ask("POST", "/v1/search", {"where": long}), 422)["what"] == "the conditions are too long"


@pytest.mark.parametrize("size", ["²", "0", "201", "-1", "many", "1e2", "٣x"])
def test_a_number_of_hits_that_is_none_is_refused(shop: Shop, size: str) -> None:
    files = {"photo": ("a.png", b"x"), "size": (None, size)}
    assert problem(shop.ask("POST", "/v1/search/photo", files=files), 422)["where"] == "size"


def test_headers_beyond_their_limit_are_refused() -> None:
    reply = ask("/healthz", method="GET", limits=Limits(header_bytes=2_000), headers={"x": "y" * 3_000})
    assert problem(reply, 431)["allowed"] == "2000 bytes"
