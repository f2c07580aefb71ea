"""Every value of every route, sent wrongly: what is wrong with it is said in our own words, in two languages."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from homes import Shop, home_in, problem
from tuwen.service.invalid_values import invalid_value
from tuwen.service.rate import Rate
from tuwen.service.refusal_page import OTHER, WORDS
from tuwen.service.shop_messages import RecommendRequest

LIBRARY = re.compile(
    r"(?i)input should|should (?:be|have|match)|string should|value_error|type_error|pydantic|_parsing|field required"
    r"|extra inputs|valid (?:integer|string|list|array|dictionary)|unable to parse|validation error|decode error"
)
WRONG: tuple[Any, ...] = (None, "\0", "²", -1, [])
LANGUAGES = ("en", "zh")
Route = tuple[str, str, dict[str, Any]]


@pytest.fixture(scope="module")
def shop(made_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("values")
    found = Shop(home_in(folder, made_home), folder / "store.db")
    yield found
    found.store.close()


@pytest.fixture
def other(made_home: Path, tmp_path: Path) -> Iterator[Shop]:
    """A shop whose items and revisions may change."""
    found = Shop(home_in(tmp_path, made_home), tmp_path / "store.db")
    yield found
    found.store.close()


def routes(app: FastAPI) -> list[Route]:
    paths = app.openapi()["paths"]
    return [(method.upper(), path, one) for path, methods in paths.items() for method, one in methods.items()]


def checked(shop: Shop, method: str, path: str, **more: Any) -> int:
    """The status; a refusal of a value says where, what was seen where anything was, and what is allowed."""
    headers, status = more.pop("headers", {}), 0
    for language in LANGUAGES:
        answer = shop.ask(method, path, headers={"Accept-Language": language, **headers}, **more)
        status = answer.status_code
        assert status < 500, (path, answer.text)
        assert not LIBRARY.search(answer.text), (method, path[:200], more, answer.text[:500])
        if status != 422:
            break
        told = problem(answer, 422)
        assert told["what"] and (told.get("where") or told.get("seen") or told.get("allowed")), told
        assert language == "en" or re.search(r"[\u4e00-\u9fff]", told["what"]), told
    return status


def asked(path: str, operation: dict[str, Any], name: str = "", value: str = "x") -> str:
    """The path of a request with one wrong parameter; the others are plain."""
    query = []
    for one in operation.get("parameters", []):
        sent = value if one["name"] == name else "1"
        if one["in"] == "path":
            path = path.replace(f"{{{one['name']}}}", quote(sent, safe=""))
        elif one["in"] == "query" and (one["name"] == name or one["required"]):
            query.append(f"{one['name']}={quote(sent, safe='')}")
    return f"{path}?{'&'.join(query)}" if query else path


def test_every_parameter_of_every_route_is_refused_in_our_words(shop: Shop) -> None:
    refused = set()
    for method, path, operation in routes(shop.app):
        for parameter in operation.get("parameters", []):
            for value in ("\0", "²", "", "-1", "9" * 40, "\ud800"):
                sent = value.encode("utf-8", "replace").decode()
                body = (
                    {}
                    if method in ("GET", "DELETE")
                    else {"content": "{}", "headers": {"Content-Type": "application/json"}}
                )
                status = checked(shop, method, asked(path, operation, parameter["name"], sent), **body)
                if status == 422:
                    refused.add((path, parameter["name"]))
    assert {name for path, name in refused if path == "/v1/search"} >= {"page", "size", "fuse", "like", "where"}
    assert {("/v1/users", "count"), ("/v1/similar", "by"), ("/v1/items/{item}/pictures/{place}", "place")} <= refused


def fields_of(operation: dict[str, Any], components: dict[str, Any]) -> list[str]:
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    while "$ref" in schema:
        schema = components[schema["$ref"].rsplit("/", 1)[-1]]
    return list(schema["properties"])


def json_routes(app: FastAPI) -> list[Route]:
    return [one for one in routes(app) if "application/json" in one[2].get("requestBody", {}).get("content", {})]


def test_every_field_of_every_body_is_refused_in_our_words(other: Shop) -> None:
    components = other.app.openapi()["components"]["schemas"]
    kind = {"Content-Type": "application/json"}
    found = json_routes(other.app)
    assert len(found) >= 11
    for method, path, operation in found:
        names = fields_of(operation, components)
        bodies = [b"", b"{", b"[]", b"null", b"7", b'"x"', b'{"a": 1, "a": 2}', b'{"x": NaN}', b"\xff{}"]
        bodies += [json.dumps({name: value}).encode() for name in names for value in WRONG]
        bodies += [json.dumps({"events": [{"kind": v}, {**EVENT, "quantity": v}, v]}).encode() for v in WRONG]
        for body in bodies:
            checked(other, method, asked(path, operation), content=body, headers=kind)


EVENT = {"event": "e", "user": "u", "item": "SKU-0001", "kind": "click"}


@pytest.mark.parametrize(
    ("method", "path", "body", "where", "seen", "allowed"),
    [
        ("GET", "/v1/search?size=%C2%B2", None, "query.size", '"²"', "a whole number from 1 to 200"),
        ("GET", "/v1/search?page=0", None, "query.page", '"0"', "a whole number from 1 to 100000"),
        ("GET", "/v1/similar?item=a&by=smell", None, "query.by", '"smell"', "picture, text"),
        ("GET", "/v1/similar", None, "query.item", None, "a value for this field"),
        ("GET", "/v1/items/a%00b", None, "path.item", '"a\\u0000b"', "a text without line ends and control characters"),
        ("GET", "/v1/items/a/pictures/x", None, "path.place", '"x"', "a whole number from 0 to 1000"),
        ("POST", "/v1/recommend", {"count": 1.5}, "body.count", "1.5", "a whole number from 1 to 200"),
        ("POST", "/v1/recommend", {"usr": "u"}, "body.usr", '"usr"', "user, clicked, count, about"),
        ("POST", "/v1/recommend", {"clicked": "a"}, "body.clicked", '"a"', 'a list, as in ["VALUE"]'),
        ("POST", "/v1/recommend", {"user": ""}, "body.user", '""', "at least 1 character"),
        ("POST", "/v1/recommend", {"user": "x" * 513}, "body.user", "513 characters", "up to 512 characters"),
        ("POST", "/v1/goes-with", {"items": []}, "body.items", "0 entries", "at least 1 entry"),
        ("POST", "/v1/search", {"mode": "sum"}, "body.mode", '"sum"', "hybrid, words, vectors"),
        ("POST", "/v1/events", {"events": [{**EVENT, "quantity": "two"}]}, "body.events.0.quantity", '"two"',
         "a number from -1000000000 to 1000000000"),
        ("POST", "/v1/events", {"events": [{**EVENT, "time": "soon"}]}, "body.events.0.time", '"soon"',
         "2026-01-31T20:05Z"),
        ("POST", "/v1/predict", {"rows": 7}, "body.rows", "7", '{"rows": [{"COLUMN": "VALUE"}]}'),
        ("POST", "/v1/operator/promote", {"folder": "../x"}, "body.folder", '"../x"',
         "letters, digits, blanks, dots, _ and -; a letter or a digit first"),
    ],
)  # fmt: skip
def test_a_refusal_says_where_what_was_seen_and_what_is_allowed(
    shop: Shop, method: str, path: str, body: Any, where: str, seen: str | None, allowed: str
) -> None:
    told = problem(shop.ask(method, path, body), 422)
    assert (told["where"], told.get("seen"), told["allowed"]) == (where, seen, allowed)
    read = problem(shop.ask(method, path, body, headers={"Accept-Language": "zh"}), 422)
    assert read["where"] == where and not re.search(r"[a-z]{2} [a-z]{2}", read["what"] + read["allowed"])


def test_a_misspelt_field_is_told_what_was_meant(shop: Shop) -> None:
    assert problem(shop.ask("POST", "/v1/recommend", {"usr": "u"}), 422)["todo"] == "did you mean 'user'?"


def test_a_slip_in_json_is_told_by_its_position(shop: Shop) -> None:
    kind = {"Content-Type": "application/json"}
    for path, seen in (("/v1/recommend", "a slip at character 9"), ("/v1/predict", "a slip in line 1, column 10")):
        told = problem(shop.ask("POST", path, content=b'{"user": oops}', headers=kind), 422)
        assert (told["what"], told["where"], told["seen"]) == ("the body is not JSON", "body", seen)


def test_what_pydantic_may_add_one_day_is_not_passed_on() -> None:
    error = {"type": "nonsense_error", "loc": ("count",), "msg": "Input should be wise", "input": 3, "ctx": {"x": 1}}
    told = invalid_value(error, RecommendRequest.model_fields, ("body",)).fields()
    assert not LIBRARY.search(str(told)) and told["where"] == "body.count" and told["seen"] == "3"


def test_an_element_that_is_refused_beside_others_says_what_is_allowed(shop: Shop) -> None:
    sent = {"events": [{**EVENT, "event": "e1"}, {**EVENT, "event": "e2", "position": "first"}]}
    (told,) = shop.ask("POST", "/v1/events", sent).json()["refused"]
    assert told["where"] == "body.events.1.position" and told["seen"] == '"first"'
    assert told["allowed"] == "a whole number from 0 to 1000000000"


# --- Bodies that do not come as JSON ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", ["application/x-www-form-urlencoded", "text/plain", "text/csv", "multipart/form-data; boundary=x", ""]
)
def test_every_json_route_names_the_header_that_it_needs(shop: Shop, kind: str) -> None:
    for method, path, operation in json_routes(shop.app):
        if kind == "text/plain" and path in ("/v1/events", "/v1/feedback"):  # of a beacon
            continue
        if kind.startswith("multipart") and path == "/v1/predict":
            continue
        headers = {"Content-Type": kind} if kind else {}
        told = problem(shop.ask(method, asked(path, operation), content=b'{"user": "u"}', headers=headers), 415)
        assert told["where"] == "Content-Type header" and "application/json" in told["allowed"], path
        assert '-H "content-type: application/json"' in told["todo"]
        assert told["seen"] == (kind.partition(";")[0] or "nothing")
        headers["Accept-Language"] = "zh"
        told = problem(shop.ask(method, asked(path, operation), content=b"{}", headers=headers), 415)
        assert '-H "content-type: application/json"' in told["todo"] and "发送" in told["todo"]


def test_a_photo_that_comes_without_a_form_is_told_how(shop: Shop) -> None:
    for kind in ("application/x-www-form-urlencoded", "application/json", "image/jpeg"):
        told = problem(shop.ask("POST", "/v1/search/photo", content=b"x", headers={"Content-Type": kind}), 415)
        assert "-F photo=@FILE" in told["todo"] and told["allowed"] == "multipart/form-data"


def test_json_by_a_name_of_its_own_is_json(shop: Shop) -> None:
    for kind in ("application/json; charset=utf-8", "APPLICATION/JSON", "application/vnd.shop+json"):
        assert shop.ask("POST", "/v1/recommend", content=b'{"count": 1}', headers={"Content-Type": kind}).is_success


# --- Pages ----------------------------------------------------------------------------------------------------------


def test_every_page_is_a_page_whatever_its_address_asks(shop: Shop) -> None:
    pages = [one.path for one in shop.app.routes if isinstance(one, APIRoute) and not one.include_in_schema]
    assert {"/", "/operator"} <= set(pages)
    for page in (one for one in pages if not one.startswith("/web/")):
        for name in ("item", "page", "size", "view", "sort", "where", "lang", "q"):
            for value in ("%00", "%FF", "abc", "%C2%B2", "-1", "9" * 40):
                answer = shop.ask("GET", f"{page}?{name}={value}", headers={"Accept": "text/html"})
                assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/html")
    for path in ("/item/%00", "/items/%FF", "/%00", "/web/%00"):
        answer = shop.ask("GET", path, headers={"Accept": "text/html"})
        assert answer.status_code == 404 and answer.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize(("language", "words"), [("en", "This address is too long."), ("zh-CN", "网址太长。")])
def test_who_opens_a_page_reads_of_a_refusal_on_a_page(shop: Shop, language: str, words: str) -> None:
    asked = {"Accept": "text/html,*/*;q=0.8", "Accept-Language": language, "Cookie": "x" * 70_000}
    path = "/?q=%3Cscript%3E"
    answer = shop.ask("GET", path, headers=asked)
    assert answer.status_code == 431 and answer.headers["content-type"].startswith("text/html")
    assert words in answer.text and "script" not in answer.text and "x-request-id" in answer.headers
    assert answer.headers["content-language"] == language[:2] and f'lang="{language}"' in answer.text
    assert problem(shop.ask("GET", path, headers={"Cookie": "x" * 70_000}), 431)["what"]  # of a program
    assert problem(shop.ask("GET", "/v1/search?page=abc", headers={"Accept": "text/html"}), 422)["what"]  # of the API


def test_a_page_that_comes_too_often_says_to_wait(made_home: Path, tmp_path: Path) -> None:
    rules = {"open_rate": Rate(0.01, burst=1)}
    found = Shop(home_in(tmp_path, made_home), tmp_path / "store.db", **rules)
    asked = {"Accept": "text/html", "Accept-Language": "zh"}
    assert found.ask("GET", "/", headers=asked).status_code == 200
    answer = found.ask("GET", "/", headers=asked)
    assert answer.status_code == 429 and "操作过于频繁" in answer.text and int(answer.headers["retry-after"]) >= 1
    found.store.close()


def test_the_words_of_a_page_are_no_operators() -> None:
    for words in (*WORDS.values(), OTHER):
        assert not re.search("disk|service|server|服务", str(words["en"] + words["zh"]))
        assert all(re.search("[\u4e00-\u9fff]", text) for text in words["zh"])
    assert {413, 429, 503, 507} <= WORDS.keys()


# --- What /openapi.json says ----------------------------------------------------------------------------------------


def test_the_schema_names_the_statuses_that_a_route_gives(shop: Shop) -> None:
    keeping = {"/v1/events", "/v1/feedback", "/v1/items", "/v1/operator/promote"}
    for method, path, operation in routes(shop.app):
        responses = operation["responses"]
        assert {"401", "403", "421", "422", "429", "431", "500", "503"} <= responses.keys(), path
        assert ({"408", "413", "415"} <= responses.keys()) == (method in ("POST", "PUT")), path
        assert ("507" in responses) == (method == "POST" and path in keeping), path
        assert ("202" in responses) == (
            (method, path) in {("POST", "/v1/events"), ("POST", "/v1/items"), ("DELETE", "/v1/items/{item}")}
        ), path
        assert ("409" in responses) == (path in ("/v1/operator/promote", "/v1/operator/back")), path
        assert all("application/problem+json" in one["content"] for s, one in responses.items() if s >= "400"), path
    assert "207" in shop.app.openapi()["paths"]["/v1/events"]["post"]["responses"]
    schemas = shop.app.openapi()["components"]["schemas"]
    assert {"BacklogResponse", "OutboxBacklog", "JournalBacklog"} <= schemas.keys()
    assert "allowed" in schemas["RefusedElement"]["properties"]
