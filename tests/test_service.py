"""The HTTP door: right answers, refusals that tell a person what to do, and nothing that leaks."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import re
import threading
import time
from collections.abc import AsyncIterator
from typing import Any, ClassVar

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, UnidentifiedImageError

from tuwen.bundle.reading import read_rows
from tuwen.errors import DataError
from tuwen.service import Limits, app
from tuwen.service.rows import to_rows

GOOD = ("good", "喜欢", "lovely")


class Shopkeeper:
    """A small honest model: bright pictures and kind words are worth stars, dear things cost some."""

    manifest: ClassVar[dict[str, Any]] = {
        "format": 1,
        "tuwen": "0.1.0",
        "name": "shopkeeper",
        "task": "rate",
        "target": {"task": "rate", "low": 1.0, "high": 5.0, "mean": 3.0},
        "architecture": {"task": {"use": "rate", "options": {"target": "reviews.rating"}}},
    }
    inputs: ClassVar[list[dict[str, str]]] = [
        {"column": "items.images", "kind": "image", "modality": "picture"},
        {"column": "reviews.text", "kind": "text", "modality": "text"},
        {"column": "items.title", "kind": "text", "modality": "text"},
        {"column": "reviews.title", "kind": "text", "modality": "text"},
        {"column": "items.price", "kind": "number", "modality": "table"},
        {"column": "items.category", "kind": "category", "modality": "table"},
        {"column": "reviews.time", "kind": "date", "modality": "table"},
        {"column": "items.genres", "kind": "list", "modality": "table"},
    ]

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.threads: set[int] = set()

    def predict(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Words, numbers and dates are read as a bundle reads them; pictures are looked at here."""
        self.rows, self.threads = rows, {*self.threads, threading.get_ident()}
        others = [entry for entry in self.inputs if entry["kind"] != "image"]
        asked = [{c: value for c, value in row.items() if c != "items.images"} for row in rows]
        question = read_rows(asked, others, {})
        if question.unreadable:
            raise question.unreadable[0].error
        columns = {c: read for found in question.columns.values() for c, read in found.items()}
        read = [{c: cells[i] for c, cells in columns.items()} for i in range(len(rows))]
        return [
            {"prediction": self._stars({**one, "items.images": row.get("items.images")})}
            for one, row in zip(read, rows, strict=True)
        ]

    def _stars(self, row: dict[str, Any]) -> float:
        stars = 3.0 + sum(word in (row.get("reviews.text") or "") for word in GOOD)
        if row.get("items.images"):
            given = row["items.images"]
            try:
                with Image.open(io.BytesIO(given[0] if isinstance(given, list) else given)) as picture:
                    stars += float(picture.convert("L").resize((1, 1)).getpixel((0, 0))) / 255
            except UnidentifiedImageError:
                raise DataError("the picture cannot be read", where="row 1, 'items.images'") from None
        return stars - (row.get("items.price") or 0) / 100


def picture(brightness: int = 255) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8), (brightness,) * 3).save(out, "PNG")
    return out.getvalue()


def ask(
    path: str,
    *,
    method: str = "POST",
    predictor: Any = None,
    limits: Limits | None = None,
    host: str = "127.0.0.1:8000",
    **sent: Any,
) -> httpx.Response:
    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app(predictor or Shopkeeper(), limits=limits), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as client:
            return await client.request(method, path, **sent)

    return asyncio.run(send())


def predict(*rows: dict[str, Any], **options: Any) -> httpx.Response:
    return ask("/v1/predict", json={"rows": list(rows)}, **options)


def problem(response: httpx.Response, status: int) -> dict[str, Any]:
    """The problem document of a refusal; nothing of Python may show in it."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = response.json()
    assert found["status"] == status
    assert found["request"] == response.headers["x-request-id"]
    assert "Traceback" not in response.text and ".py" not in response.text
    return found


# --- Answers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", ["https://x.example/a.jpg", ["HTTP://x.example/a.jpg"]])
def test_a_picture_by_its_address_is_refused_with_what_to_do(sent: Any) -> None:
    found = problem(predict({"images": sent}), 422)
    assert "the service fetches no addresses" in found["what"] and "base64" in found["todo"]


def test_it_says_that_it_lives_and_what_it_serves() -> None:
    assert ask("/healthz", method="GET").json() == {"status": "ok"}
    served = ask("/v1/bundle", method="GET").json()
    assert served["name"] == "shopkeeper"
    assert served["task"] == "rate" and served["target"] == "reviews.rating" and served["range"] == [1.0, 5.0]
    assert served["inputs"] == Shopkeeper.inputs
    assert served["limits"]["rows"] == Limits().rows


def test_rows_are_answered_in_their_order_by_long_and_short_names() -> None:
    white = base64.b64encode(picture()).decode()
    response = predict(
        {"reviews.text": "good, lovely"},
        {"images": white, "price": 50},
        {"items.images": f"data:image/png;base64,{white}", "text": "很喜欢"},
    )
    assert response.status_code == 200
    assert response.json() == {
        "bundle": "shopkeeper",
        "predictions": [{"prediction": 5.0}, {"prediction": 3.5}, {"prediction": 5.0}],
    }


def test_a_form_with_a_picture_gives_the_same_answer_as_json() -> None:
    fields = {"reviews.text": "a good 灯", "price": "25", "items.category": "Home 家居", "time": "2025-06-14"}
    grey = picture(100)
    as_form = ask("/v1/predict", data=fields, files={"images": ("lamp.png", grey, "image/png")})
    as_json = predict({**fields, "images": base64.b64encode(grey).decode()})
    assert as_form.status_code == 200, as_form.text
    assert as_form.json() == as_json.json()


def test_the_predictor_gets_values_as_they_were_sent_under_qualified_names() -> None:
    keeper = Shopkeeper()
    fields = [("price", "1e1"), ("category", "7"), ("time", "2025-06-14T12:00:00+08:00"), ("text", "")]
    fields += [("genres", "a"), ("genres", "b")]
    response = ask(
        "/v1/predict",
        predictor=keeper,
        files=[(name, (None, value)) for name, value in fields],
    )
    assert response.status_code == 200, response.text
    assert keeper.rows == [
        {
            "items.price": "1e1",
            "items.category": "7",
            "reviews.time": "2025-06-14T12:00:00+08:00",
            "items.genres": ["a", "b"],
            "reviews.text": None,
        }
    ]
    assert threading.get_ident() not in keeper.threads  # the event loop stays free


ROWS = st.fixed_dictionaries({"reviews.text": st.none() | st.text(), "price": st.none() | st.integers(0, 99)})


@given(rows=st.lists(ROWS, min_size=1, max_size=5))
@settings(max_examples=25)
def test_any_text_and_number_arrives_unchanged(rows: list[dict[str, Any]]) -> None:
    keeper = Shopkeeper()
    assert predict(*rows, predictor=keeper).status_code == 200
    assert keeper.rows == [{"reviews.text": row["reviews.text"], "items.price": row["price"]} for row in rows]


def test_the_documentation_needs_nothing_from_outside() -> None:
    openapi = ask("/openapi.json", method="GET").json()
    assert set(openapi["paths"]) == {"/healthz", "/v1/bundle", "/v1/predict"}
    body = openapi["paths"]["/v1/predict"]["post"]["requestBody"]["content"]
    assert set(body) == {"application/json", "multipart/form-data"}
    assert predict(*body["application/json"]["example"]["rows"]).status_code == 200  # the example can be sent
    assert body["multipart/form-data"]["schema"]["properties"]["items.images"]["format"] == "binary"
    for path in ("/", "/page.js", "/page.css"):
        page = ask(path, method="GET")
        assert page.status_code == 200
        assert "http://" not in page.text and "https://" not in page.text and "//cdn" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]


# --- Refusals -----------------------------------------------------------------------------------------------------


def test_an_unknown_column_is_refused_with_what_was_probably_meant() -> None:
    found = problem(predict({"reviews.text": "good"}, {"reviews.texd": "good"}), 422)
    assert found["what"] == "the bundle reads no column 'reviews.texd'"
    assert found["where"] == "row 2"
    assert found["todo"] == "did you mean 'reviews.text'?"
    assert "items.images" in found["allowed"]


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ({}, "the row names no column"),
        ({"title": "x"}, "'title' could be more than one column"),
        ({"text": "x", "reviews.text": "y"}, "'reviews.text' is given twice"),
        ({"text": ["x"]}, "the value is not a text"),
        ({"price": "cheap"}, "the value is not a number"),
        ({"price": "30岁"}, "the value is not a number"),
        ({"price": [1]}, "the value is not a number"),
        ({"price": 10**400}, "the value is not a finite number"),
        ({"price": "1e400"}, "the value is not a finite number"),
        ({"price": -1}, "the number is out of range"),
        ({"category": {}}, "the value is not a text"),
        ({"time": "yesterday"}, "the value is not a date"),
        ({"time": "1525-06-14"}, "the date is out of range"),
        ({"time": [5]}, "the value is not a date"),
        ({"genres": [["x"]]}, "the value is not a list"),
        ({"images": "<html>"}, "a picture must be the base64 text of a file"),
        ({"images": 7}, "the value is not a picture"),
        ({"images": [None, 7]}, "the value is not a picture"),
        ({"images": base64.b64encode(b"<html>").decode()}, "the picture cannot be read"),
    ],
)
def test_a_value_that_is_not_what_the_bundle_reads_is_refused(row: dict[str, Any], what: str) -> None:
    found = problem(predict(row), 422)
    assert found["what"] == what
    assert found["where"].startswith("row 1")


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b"", "body"),
        (b"{", "body"),
        (b"[]", "body"),
        (b'{"rows": []}', "body.rows"),
        (b'{"rows": [3]}', "body.rows.0"),
        (b'{"row": [{}]}', "body.row"),
        (b"\xff\xfe\x00", "body"),
        (b'{"rows": [' + b"[" * 20, "body"),
    ],
)
def test_a_body_that_is_not_rows_is_refused(body: bytes, place: str) -> None:
    found = problem(ask("/v1/predict", content=body, headers={"content-type": "application/json"}), 422)
    assert found["where"] == place
    assert found["allowed"] == '{"rows": [{"COLUMN": "VALUE"}]}'


def test_nan_in_json_says_nothing_as_it_does_in_python() -> None:
    body = b'{"rows": [{"price": NaN}]}'
    response = ask("/v1/predict", content=body, headers={"content-type": "application/json"})
    assert response.json() == predict({"price": None}).json()


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ({"price": "￥12"}, {"price": 12}),
        ({"price": "1,299.00"}, {"price": 1299.0}),
        ({"price": "N/A"}, {"price": None}),
        ({"time": "2025年1月2日"}, {"time": "2025-01-02"}),
        ({"time": 1735776000}, {"time": "2025-01-02"}),
        ({"genres": [1, "b"]}, {"genres": ["1", "b"]}),
        ({"text": 5}, {"text": "5"}),
        ({"category": True}, {"category": "true"}),
    ],
)
def test_what_collect_reads_is_read_in_json_and_in_a_form(written: dict[str, Any], plain: dict[str, Any]) -> None:
    assert predict(written).status_code == 200
    assert predict(written).json() == predict(plain).json()
    (name, value), (_, other) = *written.items(), *plain.items()
    if isinstance(value, str):
        form = ask("/v1/predict", files=[(name, (None, value)), ("text", (None, "good"))])
        assert form.status_code == 200 and form.json() == predict({name: other, "text": "good"}).json()


def test_several_pictures_of_one_column_arrive_as_a_list_from_json_and_from_a_form() -> None:
    keeper, (white, grey) = Shopkeeper(), (picture(), picture(100))
    coded = [base64.b64encode(one).decode() for one in (white, grey)]
    assert predict({"images": [None, *coded]}, predictor=keeper).json()["predictions"] == [{"prediction": 4.0}]
    assert keeper.rows == [{"items.images": [white, grey]}]
    files = [("images", ("a.png", b"")), ("images", ("b.png", white)), ("images", ("c.png", grey))]
    assert ask("/v1/predict", files=files, predictor=keeper).json()["predictions"] == [{"prediction": 4.0}]
    assert keeper.rows == [{"items.images": [white, grey]}]
    assert predict({"images": []}).json() == predict({"images": None}).json()


def test_the_page_speaks_the_language_that_its_address_asks_for() -> None:
    script = ask("/page.js", method="GET").text
    assert 'new URLSearchParams(location.search).get("lang") || navigator.language' in script


def test_other_content_types_paths_and_methods_are_refused() -> None:
    found = problem(ask("/v1/predict", content=b"a,b", headers={"content-type": "text/csv"}), 415)
    assert found["seen"] == "text/csv"
    problem(ask("/v1/predict", content=b"x"), 415)
    problem(ask("/v1/predict", method="GET"), 405)
    assert "/v2/predict" in problem(ask("/v2/predict"), 404)["what"]
    lost = ask("/nowhere", method="GET", headers={"accept": "text/html"})  # a person at a browser
    assert lost.status_code == 404 and "/web/missing.js" in lost.text and "/operator" not in lost.text
    for path in re.findall(r'(?:href|src)="(/web/[^"]+)"', lost.text):
        assert ask(path, method="GET").status_code == 200
    problem(ask("/v1/predict", content=b"x", headers={"content-type": "multipart/form-data"}), 400)
    problem(ask("/v1/predict", content=b"x", headers={"content-type": "multipart/form-data; boundary=b"}), 400)


def test_too_much_is_refused() -> None:
    small = Limits(body_bytes=2000, picture_bytes=100, rows=2)
    assert problem(predict({"text": "x" * 3000}, limits=small), 413)["allowed"] == "2000 bytes"
    noise = bytes(range(256))
    found = problem(predict({"images": base64.b64encode(noise).decode()}, limits=small), 413)
    assert found["what"] == "the picture is too large" and found["where"] == "row 1, 'items.images'"
    found = problem(ask("/v1/predict", files={"images": ("a.png", noise)}, limits=small), 413)
    assert found["seen"] == "256 bytes"
    found = problem(predict({"text": "x"}, {"text": "x"}, {"text": "x"}, limits=small), 422)
    assert found["what"] == "too many rows in one request"


def test_a_body_without_a_length_is_counted_while_it_is_read() -> None:
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        while True:
            taken += 1000
            yield b"x" * 1000

    for kind in ("application/json", "multipart/form-data; boundary=b"):
        taken = 0
        sent = {"content": endless(), "headers": {"content-type": kind}}
        if kind.startswith("multipart"):
            head = b'--b\r\nContent-Disposition: form-data; name="reviews.text"\r\n\r\n'

            async def form(head: bytes = head) -> AsyncIterator[bytes]:
                yield head
                async for part in endless():
                    yield part

            sent["content"] = form()
        problem(ask("/v1/predict", limits=Limits(body_bytes=50_000), **sent), 413)
        assert taken <= 60_000


def test_a_body_that_never_ends_its_arrival_is_given_up() -> None:
    async def slow() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(60)

    sent = {"content": slow(), "headers": {"content-type": "application/json"}}
    began = time.monotonic()
    assert problem(ask("/v1/predict", limits=Limits(read_seconds=0.05), **sent), 408)["allowed"] == "0.05 seconds"
    assert time.monotonic() - began < 20


def test_another_name_for_this_machine_is_not_answered() -> None:
    assert problem(ask("/healthz", method="GET", host="evil.example:8000"), 421)["seen"] == "evil.example"
    for host in ("localhost:8000", "127.0.0.1", "[::1]:8000"):
        assert ask("/healthz", method="GET", host=host).status_code == 200


# --- Faults -------------------------------------------------------------------------------------------------------


class Broken(Shopkeeper):
    def predict(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        raise ZeroDivisionError("secret /etc/shadow")


def test_a_fault_of_our_own_says_its_number_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    response = predict({"text": "x"}, predictor=Broken())
    found = problem(response, 500)
    assert "secret" not in response.text and "ZeroDivision" not in response.text
    assert found["request"] in caplog.text and "ZeroDivisionError" in caplog.text  # but the log has it


class Slow(Shopkeeper):
    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.now = self.most = 0

    def predict(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        self.now += 1
        self.most = max(self.most, self.now)
        self.go.wait(30)
        self.now -= 1
        return super().predict(rows)


def test_while_predictions_are_made_others_wait_and_too_many_are_sent_away() -> None:
    slow = Slow()

    async def crowd() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app(slow, limits=Limits(workers=1, waiting=2)))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:

            async def one() -> httpx.Response:
                return await client.post("/v1/predict", json={"rows": [{"text": "good"}]})

            first = [asyncio.create_task(one()) for _ in range(3)]  # one at work, two waiting
            while slow.now == 0:
                await asyncio.sleep(0.01)
            alive = await client.get("/healthz")  # the loop is not blocked
            refused = await one()
            slow.go.set()
            return [alive, refused, *await asyncio.gather(*first)]

    alive, refused, *served = asyncio.run(crowd())
    assert alive.status_code == 200
    assert problem(refused, 503)["what"] == "too many requests are waiting"
    assert refused.headers["retry-after"] == "1"
    assert [response.status_code for response in served] == [200, 200, 200]
    assert slow.most == 1


def test_what_a_person_sees_is_what_the_library_raises() -> None:
    with pytest.raises(DataError) as error:
        to_rows([{"pricce": 3}], Shopkeeper.inputs, 100)
    found = problem(predict({"pricce": 3}), 422)
    assert {key: found[key] for key in error.value.fields()} == error.value.fields()
    assert json.dumps(found)
