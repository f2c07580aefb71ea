"""What one request may take: a table of limits, each kept before anything is read that costs more."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from homes import Shop, problem
from test_service import Shopkeeper, ask
from tuwen.bundle.reading import read_rows
from tuwen.data.decoder import Decoder
from tuwen.data.kinds import MEDIA
from tuwen.deadline import Deadline, Interrupted, check
from tuwen.errors import ConfigError, DataError
from tuwen.preprocess import session
from tuwen.service import Limits, app, rows
from tuwen.service.access import Access
from tuwen.service.client import Client, network
from tuwen.service.json_shape import check_shape
from tuwen.service.lane import Lane
from tuwen.service.limits import lines, with_options
from tuwen.service.messages import PredictRequest
from tuwen.service.problems import RequestError
from tuwen.service.rate import Rate
from tuwen.service.served import Served
from tuwen.service.shop_messages import RecommendRequest, SearchRequest

SCRIPTS = Path(__file__).parents[1] / "scripts"
# a WebP of 34 bytes that is 7000 × 7000 pixels, and decodes
HUGE = bytes.fromhex("524946461a000000574542505650384c0e0000002f57dbd506071011fd0f4444ff03")
MEDIA_LIMITS = {"max_bytes": 20_000_000, "max_pixels": 50_000_000, "max_side": 512, "min_side": 2}


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


# --- Pictures ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def decoder() -> Any:
    process = Decoder()
    yield process
    process.close()


def test_the_decoder_gives_the_bytes_and_the_words_of_this_process(decoder: Decoder) -> None:
    import io

    from PIL import Image

    out = io.BytesIO()
    Image.effect_noise((900, 700), 80).save(out, "PNG")
    for data in (out.getvalue(), b"<html>", b"", b"GIF89a", out.getvalue()[:500]):
        outcomes = []
        for active in (False, True):
            try:
                if active:
                    with decoder.active():
                        outcomes.append(MEDIA["image"].normalise(data, MEDIA_LIMITS))
                else:
                    outcomes.append(MEDIA["image"].normalise(data, MEDIA_LIMITS))
            except DataError as error:
                outcomes.append(error.fields())
        assert outcomes[0] == outcomes[1]


def test_a_picture_that_takes_too_long_is_ended_with_its_process(decoder: Decoder) -> None:
    deadline = Deadline(0.3)
    decoder.start()
    with decoder.active(), deadline.active(), pytest.raises(Interrupted):
        quickly(lambda: MEDIA["image"].normalise(HUGE, MEDIA_LIMITS), 5)
    assert decoder.pid is None
    deadline = Deadline(60)
    threading.Timer(0.5, deadline.stop).start()
    with decoder.active(), deadline.active(), pytest.raises(Interrupted):
        quickly(lambda: MEDIA["image"].normalise(HUGE, MEDIA_LIMITS), 5)
    with decoder.active(), pytest.raises(DataError, match="web page"):  # the next one starts another
        MEDIA["image"].normalise(b"<html>", MEDIA_LIMITS)


def test_a_picture_of_more_memory_than_there_is_is_refused() -> None:
    small = Decoder(300_000_000)
    with small.active(), pytest.raises(DataError):
        MEDIA["image"].normalise(HUGE, MEDIA_LIMITS)
    small.close()


def test_pixels_of_a_request_are_weighed_before_one_is_decoded(decoder: Decoder) -> None:
    inputs = [{"column": "items.images", "kind": "image", "modality": "picture"}]
    deadline = Deadline(60, pixels=100_000_000)
    with decoder.active(), deadline.active(), pytest.raises(DataError) as error:
        quickly(
            lambda: read_rows([{"items.images": [HUGE, None]}, {"items.images": [HUGE, HUGE]}], inputs, MEDIA_LIMITS), 3
        )
    assert error.value.what == "too many pixels in one request"


def test_the_decoder_ends_when_its_parent_is_killed() -> None:
    code = (
        "from tuwen.data.decoder import Decoder\nimport os, time\n"
        "d = Decoder(); d.start(); print(d.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    pid = int(parent.stdout.readline())
    time.sleep(0.5)
    parent.kill()
    parent.communicate()
    end = time.monotonic() + 10
    while (status := Path(f"/proc/{pid}/status")).exists() and "zombie" not in status.read_text():
        assert time.monotonic() < end
        time.sleep(0.05)


# --- Deadlines --------------------------------------------------------------------------------------------------------


class Stubborn(Shopkeeper):
    """Predicts until it is told to end; ``checks``: whether it asks."""

    def __init__(self, *, checks: bool) -> None:
        super().__init__()
        self.checks, self.ended, self.let_go = checks, threading.Event(), threading.Event()

    def predict(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        try:
            while not self.let_go.wait(0.01):
                if self.checks:
                    check()
            return super().predict(rows)
        finally:
            self.ended.set()


@pytest.mark.parametrize("checks", [True, False])
def test_an_answer_that_takes_too_long_is_refused_and_its_work_ends(checks: bool) -> None:
    keeper = Stubborn(checks=checks)
    answer = quickly(lambda: predict_beside(keeper, Limits(request_seconds=0.3)), 5)
    message = problem(answer, 503)
    assert message["what"] == "the answer took too long" and message["allowed"] == "0.3 seconds"
    assert keeper.ended.wait(5)


def predict_beside(keeper: Stubborn, limits: Limits) -> httpx.Response:
    """Of a thread that does not end asyncio would wait for ever, so it is let go when the answer is there."""

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app(keeper, limits=limits))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            try:
                return await client.post("/v1/predict", json={"rows": [{"text": "good"}]})
            finally:
                keeper.let_go.set()

    return asyncio.run(send())


def test_when_the_client_hangs_up_the_work_ends() -> None:
    keeper, sent = Stubborn(checks=True), []
    body = json.dumps({"rows": [{"text": "good"}]}).encode()
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def request() -> None:
        async def receive() -> dict[str, Any]:
            if messages:
                return messages.pop()
            await asyncio.sleep(0.2)
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        headers = [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")]
        scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST"}
        scope |= {"scheme": "http", "path": "/v1/predict", "raw_path": b"/v1/predict", "query_string": b""}
        scope |= {"headers": headers, "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8000)}
        await app(keeper, limits=Limits(request_seconds=60))(scope, receive, send)

    quickly(lambda: asyncio.run(request()), 5)
    assert keeper.ended.wait(1)


def test_a_thread_that_does_not_end_keeps_its_place_and_who_waits_is_told() -> None:
    lane, let_go = Lane(1, 5), threading.Event()

    async def nobody() -> dict[str, Any]:
        await asyncio.sleep(60)
        return {}

    async def work() -> list[str]:
        outcomes = []
        for call in (lambda: let_go.wait(30), lambda: outcomes.append("ran")):
            client = Client(b"", nobody, Deadline(0.2))
            with client.active():
                try:
                    await lane.run(call)
                except Interrupted:
                    outcomes.append("interrupted")
        let_go.set()
        await asyncio.sleep(0.3)
        with Client(b"", nobody, Deadline(5)).active():
            outcomes.append(await lane.run(lambda: "free"))
        return outcomes

    assert asyncio.run(work()) == ["interrupted", "interrupted", "free"]


def test_a_network_that_runs_is_ended_between_two_of_its_operations(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    import onnxruntime
    from onnx import TensorProto, helper

    nodes = [helper.make_node("MatMul", ["x" if n == 0 else f"h{n - 1}", "x"], [f"h{n}"]) for n in range(400)]
    shape = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "g", [shape("x", TensorProto.FLOAT, [600, 600])], [shape("h399", TensorProto.FLOAT, [600, 600])]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "slow.onnx")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    slow = onnxruntime.InferenceSession(str(tmp_path / "slow.onnx"), options, providers=["CPUExecutionProvider"])
    arrays = {"x": np.eye(600, dtype=np.float32)}
    began = time.perf_counter()
    assert session.run(slow, arrays).shape == (600, 600)
    whole = time.perf_counter() - began
    deadline = Deadline(60)
    threading.Timer(whole / 8, deadline.stop).start()
    with deadline.active(), pytest.raises(Interrupted):
        session.run(slow, arrays)


# --- Who asks ---------------------------------------------------------------------------------------------------------

OTHER, ALLOWED = "https://evil.example", "https://shop.example"


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/v1/search?words=lamp", {}, 200),  # a program
        ("/v1/search?words=lamp", {"sec-fetch-site": "same-origin"}, 200),
        ("/v1/search?words=lamp", {"sec-fetch-site": "none", "sec-fetch-mode": "navigate"}, 200),
        ("/v1/search?words=lamp", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, 403),  # an <img>
        ("/v1/search?words=lamp", {"sec-fetch-site": "same-site", "sec-fetch-mode": "no-cors"}, 403),
        ("/v1/search?words=lamp", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, 403),
        ("/v1/search?words=lamp", {"sec-fetch-site": "cross-site", "origin": ALLOWED}, 200),
        ("/v1/search?words=lamp", {"sec-fetch-site": "cross-site", "referer": f"{ALLOWED}/lamps"}, 200),
        ("/v1/search?words=lamp", {"sec-fetch-site": "cross-site", "referer": f"{OTHER}/?{ALLOWED}"}, 403),
        ("/v1/search?words=lamp", {"origin": OTHER}, 403),  # a browser that says no site
        ("/v1/search?words=lamp", {"origin": "null"}, 403),
        ("/v1/search?words=lamp", {"origin": "http://["}, 403),
        ("/v1/search?words=lamp", {"origin": "http://127.0.0.1:8000"}, 200),
        ("/v1/search?words=lamp", {"origin": "http://127.0.0.1:3000"}, 403),
        ("/", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}, 200),
        ("/", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"}, 403),
        ("/web/shop.js", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, 403),
    ],
)
def test_a_page_of_another_site_may_visit_and_not_ask(home, tmp_path, path, headers, status) -> None:
    shop = Shop(home, tmp_path / "store.db", origins=[ALLOWED])
    answer = shop.ask("GET", path, headers=headers)
    assert answer.status_code == status, answer.text
    if status == 403:
        assert "--origin" in problem(answer, 403)["todo"] or "allow" in problem(answer, 403)["todo"]
        assert problem(shop.ask("POST", "/v1/recommend", {"count": 3}, headers=headers), 403)
    shop.store.close()


def test_open_paths_have_a_rate_of_their_own(home, tmp_path) -> None:
    shop = Shop(home, tmp_path / "store.db", open_rate=Rate(0.001, 3), rate=Rate(0.001, 2))
    assert [shop.ask("GET", path).status_code for path in ("/healthz", "/", "/readyz", "/healthz")] == [
        200,
        200,
        200,
        429,
    ]
    assert [shop.ask("GET", "/v1/shop").status_code for _ in range(3)] == [200, 200, 429]
    shop.store.close()


def test_an_owner_of_ipv6_counts_as_one_client() -> None:
    assert network("2001:db8::1") == network("2001:db8::ffff:1") != network("2001:db8:0:1::1")
    assert network("::ffff:10.0.0.1") == "10.0.0.1" == network("10.0.0.1")
    assert network("testclient") == "testclient"
