"""What the service refuses with, in two languages and in the words of a request; what is broken is told by its name."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import logging
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError
from starlette import formparsers
from starlette.datastructures import Headers
from typer.testing import CliRunner

import tuwen
from homes import Shop, home_in, problem
from tuwen import workflow
from tuwen.apps.search import Question
from tuwen.bundle import reading
from tuwen.bundle.home import Home
from tuwen.cli import app
from tuwen.data import looks
from tuwen.errors import BundleError, did_you_mean
from tuwen.service import Limits, chinese, messages, shop_messages
from tuwen.service.invalid_values import OTHER, PATTERNS, SENTENCES
from tuwen.service.language import _PLACE, asked_for, said
from tuwen.workflow.serving import Live

ROOT = Path(tuwen.__file__).parent
ERRORS = {
    "BundleError",
    "ConfigError",
    "DataError",
    "Interrupted",
    "InUse",
    "NoSuchItem",
    "NotServed",
    "RequestError",
    "StoreUnavailable",
}
# modules whose errors are about a request, so that a client reads every field
ASKED = (
    "service/*.py",
    "service/routes/*.py",
    "apps/matching.py",
    "apps/search.py",
    "apps/recommend/questions.py",
    "apps/recommend/told.py",
    "apps/storefront/cards.py",
    "apps/storefront/columns.py",
    "apps/storefront/parts.py",
    "apps/storefront/storefront.py",
    "bundle/reading.py",
    "data/audio.py",
    "data/decoder.py",
    "deadline.py",
    "data/jpeg.py",
    "data/kinds.py",
    "data/media.py",
    "data/shape.py",
    "index/filters.py",
)
# modules whose errors are about the machine: a client reads what is wrong, and no more
MACHINE = (
    "files.py",
    "apps/encoders.py",
    "apps/query.py",
    "apps/recommend/shelf.py",
    "apps/recommend/shelf_files.py",
    "bundle/bundle.py",
    "bundle/experiments.py",
    "bundle/files.py",
    "bundle/graph.py",
    "bundle/home.py",
    "data/dataset.py",
    "data/store.py",
    "index/segments.py",
    "index/manifest.py",
    "index/store.py",
    "index/vectors.py",
    "store/engine.py",
    "store/journal.py",
    "store/migrate.py",
    "workflow/asking.py",
    "workflow/serving.py",
    "workflow/updating.py",
)
NOT_OVER_HTTP = ("service/listening.py", "service/limits.py")  # before anybody can ask
STARTING = {  # said before a service listens, or by commands alone
    "the store cannot live there",
    "a store in memory would be lost with the process",
    "there is no such folder",
    "not a database URL",
    "nothing to do",
    "an item's key is never empty",
    "keys of items",
    "the shop names no items",
    "these rows make no table",
    "a bundle of another task",
    "tuwen predict BUNDLE FILE --out FILE.parquet writes its embeddings; a run starts from it with init",
}
ALIKE = {  # names of HTTP and of fields: the same in every language
    "application/json",
    "multipart/form-data",
    "application/json, multipart/form-data",
    "Authorization: Bearer KEY",
    "Authorization header",
    "Content-Type header",
    "Host header",
    "Origin header",
    "Sec-Fetch-Site header",
    "Content-Length, Transfer-Encoding",
    "about",
    "body",
    "size",
    "where",
    "1 to 200",
    "columns",
    "columns.title, pictures",
    "photo",
    "--where",
    "--like",
    "--mode",
    "--fuse",
    "{0}…",
    "{0} to {1}",
    '[{"items.title": "…"}, …]',
}


def templates(node: ast.expr, module: Any) -> Iterator[str]:
    """What an expression may say: its braces numbered; nothing where it is data."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        number, text = 0, ""
        for part in node.values:
            if isinstance(part, ast.Constant):
                text += str(part.value)
            else:
                text, number = f"{text}{{{number}}}", number + 1
        yield text
    elif isinstance(node, ast.IfExp):
        yield from templates(node.body, module)
        yield from templates(node.orelse, module)
    elif isinstance(node, ast.BoolOp):
        for value in node.values:
            yield from templates(value, module)
    elif isinstance(node, ast.Name) and isinstance(named := getattr(module, node.id, None), str):
        yield named


def spoken() -> Iterator[tuple[str, str]]:
    """(module, template) of everything that the service may say."""
    for patterns, fields in ((ASKED, {"where", "seen", "allowed", "todo"}), (MACHINE, set[str]())):
        for file in sorted({file for pattern in patterns for file in ROOT.glob(pattern)}):
            name = file.relative_to(ROOT).as_posix()
            if name in NOT_OVER_HTTP:
                continue
            module = importlib.import_module("tuwen." + name.removesuffix(".py").replace("/", "."))
            for call in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(call, ast.Assign) and isinstance(call.targets[0], ast.Name):
                    if call.targets[0].id in ({"what"} | fields) - {"where", "seen"}:
                        yield from ((name, text) for text in templates(call.value, module))
                    continue
                if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in ERRORS):
                    continue
                told = call.args[1:2] if call.func.id == "RequestError" else call.args[:1]
                told += [one.value for one in call.keywords if one.arg in fields]
                yield from ((name, text) for node in told for text in templates(node, module))


def places(text: str) -> set[str]:
    return set(_PLACE.findall(text))


def in_chinese(text: str) -> bool:
    return re.search(r"[\u4e00-\u9fff]", text) is not None


def test_everything_that_the_service_may_say_has_a_chinese_text() -> None:
    found = {text for _, text in spoken()}
    assert len(found) > 150  # the scan sees the code
    speaking = {text for text in found if re.search("[a-z]{2}", _PLACE.sub("", text))} - STARTING - ALIKE
    kinds = {text for text in speaking if re.fullmatch(r"[A-Z][\w, ]+", text)}  # JPEG, PNG, …
    unknown = speaking - kinds - chinese.TEXTS.keys()
    assert [text for text in sorted(unknown) if places(text) or not in_chinese(said(text, "zh"))] == []


def test_what_is_wrong_with_a_form_is_said_in_chinese() -> None:
    calls = [node for node in ast.walk(ast.parse(inspect.getsource(formparsers))) if isinstance(node, ast.Call)]
    raised = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "MultiPartException"]
    found = {text for call in raised for text in templates(call.args[0], formparsers)}
    assert len(found) >= 6 and sorted(found - chinese.TEXTS.keys()) == []


def test_a_chinese_text_has_the_same_places_and_is_chinese() -> None:
    for template, told in chinese.TEXTS.items():
        english, zh = (template, told) if isinstance(told, str) else told
        assert places(english) == places(zh) or template in chinese.VALUES, template
        assert places(english) | places(zh) <= places(template), template
        assert in_chinese(zh) or zh == "{0}", template
        assert not re.search(r"--\w|\btuwen [a-z]+ [A-Z]|\bpip ", english + zh), template  # a client has no terminal


def test_reasons_and_kinds_of_files_are_known_too() -> None:
    for text in (*reading._SAID.values(), *reading._ALLOWED.values(), *(words for *_, words in looks.BEGINNINGS)):
        assert in_chinese(said(text, "zh")) or not re.search("[a-z]{2}", text), text
    for reason in (
        "not a number",
        "not a finite number",
        "not a date",
        "not a text",
        "not a list",
    ):
        assert in_chinese(said(f"the value is {reason}", "zh"))
        assert not re.search("[a-z]", said(f"the value is {reason}", "zh"))
    assert said(str(did_you_mean("titel", ["title"])), "zh") == "您是否要找“title”？"
    assert said("items have no column 'nothing'", "zh") == "商品没有“nothing”列"  # "nothing" is a text of its own, too


@given(st.sampled_from(sorted(chinese.TEXTS)), st.lists(st.text("ab1{}'，é", min_size=1), min_size=3, max_size=3))
def test_what_was_sent_stands_in_both_languages_as_it_was(template: str, parts: list[str]) -> None:
    told = chinese.TEXTS[template]
    text = _PLACE.sub(lambda place: parts[int(place[1])], template)
    if isinstance(told, str):
        assert said(text, "en") == text
        zh = said(text, "zh")
        assert zh == text or template in chinese.VALUES or all(parts[int(n)] in zh for n in places(told)), zh


BATTERY: tuple[Any, ...] = (
    None, "", "x" * 30_000, "a\0b", "x y", "soon", "3025-01-01", -1e30, 1e30, float("nan"), 1.5, 10**30, True,
    [], ["a"] * 2000, [None], {}, {"": 1}, {str(n): 1 for n in range(300)}, [{}], [[]],
)  # fmt: skip


def models() -> list[type[BaseModel]]:
    found = [one for module in (messages, shop_messages) for one in vars(module).values() if isinstance(one, type)]
    return [one for one in found if issubclass(one, BaseModel) and one.model_config.get("extra") == "forbid"]


def test_what_may_be_wrong_with_a_value_has_words_of_our_own() -> None:
    seen = set()
    for model in models():
        bodies: list[Any] = [{}, [], "x", {"no such field": 1}]
        bodies += [{name: value} for name in model.model_fields for value in BATTERY]
        for body in bodies:
            try:
                model.model_validate(body)
            except ValidationError as error:
                seen |= {one["type"] for one in error.errors(include_url=False)}
    assert len(seen) > 20 and sorted(seen - SENTENCES.keys()) == []


def test_what_is_said_of_a_value_is_said_in_chinese() -> None:
    texts = {text for words in (*SENTENCES.values(), OTHER) for text in words} | set(PATTERNS.values())
    texts = {re.sub(r"\{\w+\}", "7", text) for text in texts if not re.fullmatch(r"\{\w+\}", text)}
    spoken = {text for text in texts if re.search("[a-z]{2}", text)} - {"true, false"}
    assert [text for text in sorted(spoken) if not in_chinese(said(text, "zh"))] == []


# --- Over HTTP ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(made_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return home_in(tmp_path_factory.mktemp("messages"), made_home).parent


@pytest.fixture(scope="module")
def shop(folder: Path) -> Iterator[Shop]:
    found = Shop(folder / "home", folder / "store.db")
    yield found
    found.store.close()


@pytest.mark.parametrize(
    ("liked", "language"),
    [
        ("", "en"),
        ("zh", "zh"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("en-GB,en;q=0.9,zh;q=0.8", "en"),
        ("fr, zh-Hant;q=0.5", "zh"),
        ("zh;q=0", "en"),
        ("zh;q=0.5,en;q=0.5", "en"),
        ("*", "en"),
        ("zh;q=nonsense", "en"),
        (",;,;;q", "en"),
    ],
)
def test_the_language_is_the_one_that_is_liked_best(liked: str, language: str) -> None:
    assert asked_for(Headers({"accept-language": liked})) == language


REFUSED: tuple[tuple[str, str, Any, int, str], ...] = (
    ("GET", "/v1/items/SKU-9999", None, 404, "没有这件商品"),
    ("GET", "/v1/search?where=price%3C%3Ex", None, 422, "不是数字"),
    ("GET", "/v1/search?where=nonsense", None, 422, "这不是条件"),
    ("GET", "/v1/search?like=nothing", None, 404, "没有这件商品"),
    ("GET", "/v1/search?page=0", None, 422, "数字超出范围"),
    ("GET", "/v1/nothing", None, 404, "未找到：/v1/nothing"),
    ("DELETE", "/v1/search", None, 405, "方法不允许"),
    ("POST", "/v1/items", {"item": "x", "columns": {"titel": "a"}}, 422, "商品没有“titel”列"),
    ("POST", "/v1/items", {"item": "x", "pictures": ["bm90IGEgcGljdHVyZQ=="]}, 422, "不是图片"),
    ("POST", "/v1/items", {"item": "/etc/passwd"}, 422, "商品需要标题或图片"),
    ("POST", "/v1/predict", {"rows": [{"items.price": "dear"}]}, 422, "该值不是数字"),
    ("POST", "/v1/operator/promote", {"folder": "nothing"}, 422, "这里没有可以上线的内容"),
    ("POST", "/v1/search/photo", None, 415, "照片须以表单发送"),
    ("POST", "/v1/predict", None, 415, "既不是 JSON 也不是表单"),
    ("POST", "/v1/embed", {}, 422, "没有可生成向量的内容"),
    ("POST", "/v1/predict", {"rows": []}, 422, "项数过少"),
    ("GET", "/v1/report/none", None, 404, "尚未上线报告"),
    ("POST", "/v1/recommend", {"about": {"club": 1}}, 422, "推荐模型不读取“club”"),
    ("POST", "/v1/recommend", {"about": {"age": "old"}}, 422, "“users.age”须是数字"),
    ("POST", "/v1/recommend", {"about": {"age": 1e40}}, 422, "“users.age”超出范围"),
    ("POST", "/v1/recommend", {"about": {"gender": ["female"]}}, 422, "该值既不是文本，也不是数字"),
    ("POST", "/v1/recommend", {"about": {str(n): 1 for n in range(101)}}, 422, "项数过多"),
    ("POST", "/v1/search", {"fuse": "sum"}, 422, "没有这个选项"),
    ("POST", "/v1/search", {"mode": "sum"}, 422, "没有这个选项"),
)


@pytest.mark.parametrize(("method", "path", "body", "status", "words"), REFUSED)
def test_a_refusal_in_two_languages_speaks_of_the_request(
    folder: Path, shop: Shop, method: str, path: str, body: Any, status: int, words: str
) -> None:
    plain, english, zh = (
        shop.ask(method, path, body, headers=headers)
        for headers in ({}, {"Accept-Language": "en"}, {"Accept-Language": "zh-CN"})
    )
    told, read = problem(plain, status), problem(zh, status)
    unnumbered = [{k: v for k, v in one.items() if k != "request"} for one in (told, problem(english, status))]
    assert unnumbered[0] == unnumbered[1] and told.keys() == read.keys()
    assert (
        words in read["what"]
        and "more" not in read["what"]
        and in_chinese(read["title"])
        and not in_chinese(told["title"] + told["what"])
    )
    assert all(in_chinese(read[field]) for field in ("todo",) if field in read)
    assert [answer.headers["content-language"] for answer in (plain, english, zh)] == ["en", "en", "zh"]
    assert all("Accept-Language" in answer.headers["vary"] for answer in (plain, zh))
    for text in (plain.text, zh.text):
        assert str(folder) not in text and not re.search(r"--[a-z]|tuwen [a-z]|pip install", text)


def test_what_no_picture_is_looks_like_something(shop: Shop) -> None:
    sent = {"item": "x", "pictures": ["JVBERi0xLjQK"]}  # %PDF-1.4
    assert problem(shop.ask("POST", "/v1/items", sent), 422)["seen"] == "a PDF"
    read = problem(shop.ask("POST", "/v1/items", sent, headers={"Accept-Language": "zh"}), 422)
    assert (read["what"], read["seen"]) == ("不是图片", "PDF 文件")


def test_the_wall_speaks_chinese_too(folder: Path, tmp_path: Path) -> None:
    shop = Shop(folder / "home", tmp_path / "store.db", limits=Limits(body_bytes=50), origins=["https://shop.example"])
    zh = {"Accept-Language": "zh", "Origin": "https://shop.example"}
    told = shop.ask("POST", "/v1/recommend", {"user": "x" * 200}, headers=zh)
    assert problem(told, 413)["what"] == "请求过大" and told.headers["vary"].startswith("Accept-Language, Origin")
    assert problem(shop.ask("GET", "/healthz", headers={**zh, "Host": "evil.example"}), 421)["title"]
    shop.store.close()


# --- What is nobody's business outside ----------------------------------------------------------------------------


def test_places_of_the_machine_stay_in_the_log(folder: Path, tmp_path: Path, caplog: Any) -> None:
    home = tmp_path / "home"
    shutil.copytree(folder / "home", home)
    shop = Shop(home, tmp_path / "store.db")
    for shard in home.rglob("*.shard"):
        shard.unlink()
    word = {"feedback": "f", "user": "u", "item": "SKU-0001", "rating": 4}  # events would wait in the journal
    cards = shop.live.storefront.cards
    seen = next(item for item in shop.items("POST", "/v1/recommend", {"count": 20}) if cards.full(item)["pictures"])

    def gone(answer: httpx.Response) -> dict[str, Any]:
        assert 400 <= answer.status_code < 600 and str(tmp_path) not in answer.text, answer.text
        found: dict[str, Any] = answer.json()
        assert found.keys() == {"type", "title", "status", "what", "todo", "request"}
        assert "who runs this service" in found["todo"]
        assert f"request {found['request']}: " in caplog.text and str(tmp_path) in caplog.text
        return found

    with caplog.at_level(logging.WARNING):
        told = gone(shop.ask("GET", f"/v1/items/{seen}/pictures/0"))
        assert (told["what"], told["status"]) == ("a picture cannot be read", 500)  # no fault of who asked
        caplog.clear()
        shop.store._engine.dispose()
        for one in tmp_path.glob("store.db*"):
            one.unlink()
        (tmp_path / "store.db").mkdir()
        told = gone(shop.ask("POST", "/v1/feedback", word))
        assert (told["what"], told["status"]) == ("the store does not answer", 503)


def test_an_operator_is_told_the_line_by_the_name_that_she_sent(folder: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(folder / "home", home)
    shutil.copytree(folder / "index", home / "incoming" / "index")
    (home / "incoming" / "index" / "synonyms.txt").write_text("alone\n", encoding="utf-8")
    shop = Shop(home, tmp_path / "store.db")
    before = shop.good("GET", "/readyz")["revision"]
    for language, what in (
        ("en", "it failed its self-test, and what is live stays: "),
        ("zh", "自检未通过，线上内容保持不变："),
    ):
        answer = shop.ask("POST", "/v1/operator/promote", {"folder": "index"}, headers={"Accept-Language": language})
        told = problem(answer, 422)
        assert told["what"] == what + said("this line names no synonyms", "zh" if language == "zh" else "en")
        assert told["where"] == "index/synonyms.txt:1" and str(tmp_path) not in json.dumps(told)
    assert shop.good("GET", "/readyz")["revision"] == before
    shop.store.close()


# --- What is wrong with what is promoted or live ------------------------------------------------------------------


def test_a_part_that_fails_its_self_test_is_named_by_the_path_that_was_given(folder: Path, tmp_path: Path) -> None:
    index = tmp_path / "index"
    shutil.copytree(folder / "index", index)
    (index / "synonyms.txt").write_text("tv, television\nonly one\n", encoding="utf-8")
    with pytest.raises(BundleError, match="this line names no synonyms") as told:
        workflow.promote(index, folder / "home")
    assert told.value.where == f"{index}/synonyms.txt:2" and told.value.seen == "only one"

    stars = str(folder / "stars")  # predicts, and recommends nothing
    given = ["ab", str(folder / "home"), "--against", stars, "--name", "other"]
    done = CliRunner().invoke(app, given)
    assert done.exit_code == BundleError.exit_code
    assert f"tuwen predict {stars} FILE" in done.output and "/parts/" not in done.output


def test_synonyms_of_a_live_index_are_read_when_written_and_told_when_broken(folder: Path, caplog) -> None:
    live = Live(Home(folder / "home"), None)
    index = live.storefront.parts.need_searcher().index
    file = index.folder / "synonyms.txt"
    (title,) = live.storefront.cards.full(live.storefront.cards.keys()[0])["title"].split()[-1:]

    def held(words: str) -> int:
        return int(live.storefront.search(Question(words=words))["holding"])

    def write(text: str) -> None:
        file.write_text(text, encoding="utf-8")
        live.look()

    assert live.fault is None and held("zzqx") == 0
    write(f"zzqx, {title}\n")
    assert live.fault is None and (found := held("zzqx")) > 0
    with caplog.at_level(logging.ERROR):
        write(f"zzqx, {title}\nnothing =>\n")
    assert live.fault is not None and "synonyms.txt:2: this line names no synonyms" in live.fault
    assert str(folder) not in live.fault and f"{file}:2" in caplog.text  # the path is for who reads the log
    assert held("zzqx") == found  # those before count
    again = Live(Home(folder / "home"), None)  # after a restart: nothing before, and the service answers
    assert again.fault is not None and again.storefront.search(Question(words="zzqx"))["holding"] == 0
    file.unlink()
    live.look()
    assert live.fault is None and held("zzqx") == 0
