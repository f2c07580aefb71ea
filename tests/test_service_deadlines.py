"""Costly work of a request is ended: pictures beyond their limits, deadlines, clients that hang up."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from homes import problem
from test_service import Shopkeeper
from test_service_limits import quickly
from tuwen.bundle.reading import read_rows
from tuwen.data.decoder import Decoder
from tuwen.data.kinds import MEDIA
from tuwen.deadline import Deadline, Interrupted, check
from tuwen.errors import DataError
from tuwen.preprocess import session
from tuwen.service import Limits, app
from tuwen.service.client import Client
from tuwen.service.lane import Lane

# a WebP of 34 bytes that is 7000 × 7000 pixels, and decodes
HUGE = bytes.fromhex("524946461a000000574542505650384c0e0000002f57dbd506071011fd0f4444ff03")
MEDIA_LIMITS = {"max_bytes": 20_000_000, "max_pixels": 50_000_000, "max_side": 512, "min_side": 2}


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
