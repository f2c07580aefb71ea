"""The pages of a shop and of its operator in a real browser: what a person does there, and what must not happen."""

from __future__ import annotations

import json
import os
import re
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from evaluation_tables import drawn_rate
from homes import make_home
from test_evaluation_comparison_page import result_of
from tuwen import workflow
from tuwen.bundle.home import Home
from tuwen.evaluation.baselines import trivial
from tuwen.evaluation.outline import outline
from tuwen.evaluation.report import build_report, write_report
from tuwen.service.access import Access
from tuwen.service.guard import Rules
from tuwen.service.measures import Measures
from tuwen.service.pages import WEB
from tuwen.service.served import Served
from tuwen.service.shop import shop_app
from tuwen.store import Store
from tuwen.store.journal import Journal
from tuwen.workflow.serving import Live

CHROMIUM = shutil.which("chromium")
AXE = Path(os.environ.get("AXE", "axe.min.js"))
browsing = pytest.mark.skipif(not CHROMIUM, reason="needs chromium, to see what a person sees")
NASTY = "<script>alert(1)</script><img src=x onerror=alert(2)>"
OPERATOR = (
    "operator.js",
    "operator-reports.js",
    "operator-comparison.js",
    "operator-data.js",
    "operator-backlog.js",
    "panels.js",
)
CARDS = ".grid .card:not(.ghost)"


# --- Without a browser --------------------------------------------------------------------------------------------


def vocabulary(*files: str) -> set[str]:
    text = "".join((WEB / "shop" / file).read_text(encoding="utf-8") for file in files)
    found = re.findall(r'"([\w-]+)": \["(.*?)", "(.*?)"\]', text)
    assert all(english and chinese for _, english, chinese in found)
    assert all(set(re.findall(r"\{\w+\}", en)) == set(re.findall(r"\{\w+\}", zh)) for _, en, zh in found)
    return {key for key, _, _ in found}


@pytest.mark.parametrize(
    ("page", "words", "modules"),
    [
        ("shop.html", "words.js", ("shop.js", "search.js", "item.js", "cards.js", "photo.js", "faults.js")),
        ("operator.html", "operator-words.js", OPERATOR),
    ],
)
def test_whatever_a_page_says_it_says_in_both_languages(page: str, words: str, modules: tuple[str, ...]) -> None:
    known = vocabulary(words, "core.js")
    html = (WEB / page).read_text(encoding="utf-8")
    said = set(re.findall(r'data-(?:say|placeholder|aria-label|title)="([\w-]+)"', html))
    for module in (*modules, "core.js"):
        text = (WEB / "shop" / module).read_text(encoding="utf-8")
        said |= set(re.findall(r'\bsay\("([\w-]+)"', text))
        said |= {key + one for key in re.findall(r'\bcounted\("([\w-]+)"', text) for one in ("", "-one")}
    assert said - known == set()


def test_nothing_is_inline_from_elsewhere_or_put_in_as_html() -> None:
    for file in [
        *(WEB / f"{name}.html" for name in ("shop", "operator", "missing", "missing-alone")),
        *(WEB / "shop").glob("*"),
    ]:
        text = file.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "://" not in text and "innerHTML =" not in text and "insertAdjacentHTML" not in text, file.name
        if file.suffix == ".html":
            assert not re.search(r"<style|style=|\son\w+=|<script(?! src=)", text), file.name


# --- A shop that is served -----------------------------------------------------------------------------------------


@contextmanager
def listening(home: Path | None, store: Store | None, *, keys: bool = False) -> Iterator[str]:
    """The address of the service, in a thread of its own."""
    live, measures = Live(None if home is None else Home(home), store), Measures()
    rules = Rules(access=None if store is None else Access(store, required=keys), measures=measures)
    config = uvicorn.Config(shop_app(Served(live, measures=measures), rules), port=0, log_level="error", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = server.force_exit = True
        thread.join()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, exports: None) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    made = make_home(folder, pictures=True)
    model, other = drawn_rate(120, 0.5, 1), drawn_rate(120, 0.9, 2)
    baselines = {**trivial(model.frame["target"], model), "text_only": other}
    knocked = {"text": {"absent": other, "swapped": other}}
    history = [{"epoch": i, "train_loss": 1 / i, "validation_loss": 1.1 / i, "rmse": 1 / i} for i in (1, 2, 3)]
    report = build_report(
        model, baselines, knock_out=knocked, history=history, samples=50, cost={"train_seconds": 3.0}, name="stars"
    )
    write_report(
        folder / "report", report, "<!doctype html><title>the whole report</title><script>document.title</script>"
    )
    workflow.promote(folder / "report", made)
    (folder / "compared").mkdir()
    (folder / "compared" / "compare.json").write_text(json.dumps(result_of("rate", seeds=1)), encoding="utf-8")
    workflow.promote(folder / "compared", made)
    shutil.copytree(folder / "next", made / "incoming" / "next-2")
    return made


@pytest.fixture(scope="module")
def store(home: Path) -> Iterator[Store]:
    with Store(home / "store.db") as opened:
        yield opened


@pytest.fixture(scope="module")
def url(home: Path, store: Store) -> Iterator[str]:
    with listening(home, store) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@pytest.fixture
def visit(browser: Any, url: str) -> Iterator[Any]:
    """Opens a page in a browser that was never here; in the end nothing may have gone wrong in any."""
    contexts, wrong = [], []

    def opened(path: str = "/", width: int = 1280, at: str = url, drawn: bool = True, **more: Any) -> Any:
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            base_url=at,
            reduced_motion="reduce",
            **{"locale": "en-GB", **more},
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda sent: None if sent.url.startswith((at, "blob:")) else wrong.append(sent.url))
        page.goto(path)
        if drawn:
            settled(page)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert [one for one in wrong if not one.startswith("Failed to load resource")] == []  # refusals are in the tests


def settled(page: Any) -> None:
    page.wait_for_selector("h1")
    page.wait_for_selector("[aria-busy=true]", state="detached")


def listed(page: Any) -> list[str]:
    settled(page)
    found: list[str] = page.eval_on_selector_all(f"{CARDS} a", "links => links.map(link => link.dataset.item)")
    return found


def sideways(page: Any) -> int:
    found: int = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    return found


# --- The shop ------------------------------------------------------------------------------------------------------


@browsing
def test_words_filters_an_item_and_back_again(visit: Any) -> None:
    page = visit()
    page.fill("#words", "teapto")
    page.press("#words", "Enter")
    page.wait_for_selector(".results .note")
    hits = listed(page)
    assert "teapot" in page.inner_text(".results .note") and "teapot" in page.inner_text(CARDS).lower()
    assert page.evaluate("document.activeElement.tagName") == "H1"  # a screen reader begins at the new view
    names = page.locator("legend").all_inner_texts()
    assert {"Brand", "Price", "Colour"} <= set(names)
    page.locator(".choice", has_text="Clothing").or_(page.locator(".choice")).first.click()
    page.wait_for_selector(".chip.on")
    assert "where=category" in page.url and page.inner_text(".count")
    page.go_back()
    page.wait_for_selector(".chip.on", state="detached")
    assert listed(page) == hits
    page.click(f"{CARDS} a")
    page.wait_for_selector(".facts")
    assert f"item={hits[0]}" in page.url and page.inner_text(".predicted b").startswith("Predicted")
    page.wait_for_selector(".near .card:not(.ghost)")
    assert {"Similar items", "Bought together", "Reviews"} <= set(page.locator("h2").all_inner_texts())
    page.go_back()
    page.wait_for_selector(".results")
    assert listed(page) == hits
    page.goto("/?q=&page=99")
    settled(page)
    assert "There is no page 99" in page.inner_text(".found")
    page.click(".found .main")
    page.wait_for_selector(CARDS)
    brands = page.locator("fieldset:has(legend:text-is('Brand')) .choice span").all_inner_texts()
    assert len(set(brands)) == len(brands) > 5  # two that are cut alike would look like one


@browsing
def test_a_photo_finds_its_item(visit: Any, tmp_path: Path) -> None:
    page = visit()
    item = page.get_attribute(f"{CARDS}:has(img) a", "data-item")
    photo = page.request.get(f"/v1/items/{item}/pictures/0").body()
    (tmp_path / "photo.jpg").write_bytes(photo)
    page.click("#photo")
    assert page.get_attribute("#photo-camera", "capture") == "environment"
    page.set_input_files("#photo-file", tmp_path / "photo.jpg")
    page.wait_for_selector(".yours")
    assert listed(page)[0] == item and page.locator("dialog").count() == 0
    page.reload()  # this tab keeps the photo
    assert listed(page)[0] == item
    drop = """async bytes => {
        const sent = new DataTransfer();
        sent.items.add(new File([new Uint8Array(bytes)], "photo.jpg", { type: "image/jpeg" }));
        const told = { dataTransfer: sent, bubbles: true };
        for (const kind of ["dragenter", "drop"]) dispatchEvent(new DragEvent(kind, told));
    }"""
    page.click(".yours a")
    page.wait_for_selector(".yours", state="detached")
    page.evaluate(drop, list(photo))
    page.wait_for_selector(".yours")
    assert listed(page)[0] == item
    (tmp_path / "not.jpg").write_text("not a picture")
    page.click("#photo")
    page.set_input_files("#photo-file", tmp_path / "not.jpg")
    page.wait_for_selector("#told.seen")
    assert page.inner_text("#told") == "That is not a picture."


@browsing
def test_words_that_stand_in_a_picture_are_framed_there(visit: Any) -> None:
    def answered(route: Any) -> None:
        answer = route.fetch().json()
        boxes = [
            {"picture": 0, "text": "tea", "box": [0.25, 0.5, 0.75, 0.6]},
            {"picture": 1, "text": "", "box": [0] * 4},
        ]
        for hit in answer["hits"][:1]:
            hit["pictures"], hit["reasons"] = 1, [{"en": "the picture has tea", "zh": "图片包含tea", "boxes": boxes}]
        route.fulfill(json=answer)

    page = visit()
    page.route("**/v1/search", answered)
    page.fill("#words", "teapot")
    page.press("#words", "Enter")
    page.wait_for_selector(".mark", state="attached")
    frame, mark = (page.locator(f"{CARDS} {one}").first.bounding_box() for one in (".frame", ".mark"))
    assert page.locator(".mark").count() == 1
    assert mark["x"] - frame["x"] == pytest.approx(frame["width"] / 4, abs=2)
    assert mark["y"] - frame["y"] == pytest.approx(frame["height"] / 2, abs=2)
    assert mark["height"] == pytest.approx(frame["height"] / 10, abs=2)


@browsing
def test_the_home_page_follows_what_a_shopper_does(visit: Any, store: Store) -> None:
    page = visit()
    assert page.inner_text("h1") == "Good to start with"  # somebody new begins without a past
    begun = listed(page)
    page.click(f"{CARDS}:nth-child({len(begun)}) a")
    page.wait_for_selector(".facts")
    page.click(".brand")
    page.wait_for_selector("text=Picked from what you looked at")
    assert listed(page) != begun
    page.click("text=Start over")
    page.wait_for_selector("text=Good to start with")
    assert listed(page) == begun
    page.click("#shopper")
    page.fill("#shopper-key", "U0003")
    page.click("dialog button[type=submit]")
    page.wait_for_selector("text=Picked for U0003")
    before = listed(page)
    page.click(f"{CARDS}:nth-child({len(before)}) a")
    page.wait_for_selector(".facts")
    page.click("text=Add to basket")
    page.wait_for_selector("#told.seen")
    page.click("text=Buy now")
    page.wait_for_selector("#told.seen:has-text('Bought')")
    page.go_back()
    page.wait_for_selector(".lately")
    after = listed(page)
    assert after != before and page.inner_text(".note")
    assert page.inner_text("#basket b") == "1"
    kinds = [(event["item"], event["kind"]) for event in store.events.of("U0003")]
    assert kinds == [(before[-1], kind) for kind in ("click", "cart", "purchase")]
    page.click("#basket")
    page.wait_for_selector(".rows .card")
    page.click(".rows button")
    page.wait_for_selector(".empty")


@browsing
def test_both_languages_fit_a_phone(visit: Any) -> None:
    """Each view at 390 pixels, in English, and then in Chinese by the switch."""
    said = {
        "/?q=lamp&where=price%3C%3D900": ("Results for “lamp”", "“lamp”的搜索结果"),
        "/?item=SKU-0001": ("Similar items", "相似商品"),
        "/?view=basket": ("Your basket is empty", "购物篮是空的"),
        "/operator": ("Events kept", "已保存的事件"),
        "/nowhere": ("Nothing is at this address", "此地址没有内容"),
    }
    page = visit(width=390, has_touch=True, locale="zh-CN")
    assert page.inner_text("h1") == "从这里开始" and page.get_attribute("html", "lang") == "zh-CN"
    assert sideways(page) <= 0
    for path, (english, chinese) in said.items():
        page.goto(path)
        for language, words in (("en", english), ("zh", chinese)):
            page.click(f"[data-language={language}]")
            page.wait_for_selector(f":is(h1, h2, h3):text-is('{words}')")
            settled(page)
            assert sideways(page) <= 0, (path, language)
    page.goto("/?view=basket&lang=en")  # the address wins over what was chosen, and follows the switch
    settled(page)
    assert page.inner_text("h1") == "Basket"
    page.click("[data-language=zh]")
    assert "lang=zh" in page.url


@browsing
def test_a_title_that_is_html_stays_text(visit: Any, url: str) -> None:
    columns = {"title": NASTY, "description": NASTY, "brand": NASTY, "category": NASTY}
    assert httpx.post(f"{url}/v1/items", json={"item": "SKU-0002", "columns": columns}).is_success
    page = visit("/?q=script alert onerror")
    link = page.locator(".grid a[data-item='SKU-0002']")
    assert link.inner_text() == NASTY
    link.click()
    page.wait_for_selector(".facts")
    assert page.inner_text("h1") == NASTY and page.inner_text(".description") == NASTY and NASTY in page.title()
    assert page.locator("main script, main img[src=x]").count() == 0


@browsing
def test_what_goes_wrong_is_told_with_what_to_do(visit: Any, url: str) -> None:
    page = visit("/?q=lamp&sort=nothing")  # a 422 of the service: a browser tells of it in the console
    page.wait_for_selector(".problem")
    assert page.inner_text(".problem .what") == "The shop cannot read this address."
    assert "no column 'nothing'" in page.inner_html(".problem details")  # for who runs it
    page.click("[data-language=zh]")  # as chosen on the page, not as the browser asks by itself
    page.wait_for_selector(".problem .what:text('商店无法识别此网址')")
    assert "没有“nothing”列" in page.inner_html(".problem details")
    page.click("[data-language=en]")
    page.route("**/v1/search", lambda route: route.abort())
    page.click("text=Try again")
    page.wait_for_selector("text=The shop does not answer")
    page.unroute("**/v1/search")
    told = httpx.get(f"{url}/nowhere")  # a program gets a problem where a person gets a page
    assert (told.status_code, told.json()["status"]) == (404, 404)


OPERATORS_WORDS = re.compile(
    r"(?i)pydantic|input should|string should|openapi|disk|store|outbox|磁盘|存储|service|服务"
)


def refusing(page: Any, status: int) -> None:
    """The shop answers events with a status, in the words that it has for who runs it."""
    told = {"what": "the disk of the service is nearly full", "status": status, "request": "8c0f"}
    page.route("**/v1/events", lambda route: route.fulfill(status=status, body=json.dumps(told)))


@browsing
@pytest.mark.parametrize(
    ("locale", "ours"), [("en-GB", "It is not in your basket."), ("zh-CN", "商品没有加入购物篮。")]
)
def test_a_refusal_is_told_in_words_of_a_shopper_and_the_basket_agrees(visit: Any, locale: str, ours: str) -> None:
    page = visit("/?item=SKU-0001", locale=locale)
    add = page.locator(".facts .button.main")
    told = set()
    statuses = (507, 429) if locale == "en-GB" else (507, 503, 413, 500)
    for status in statuses:
        refusing(page, status)
        add.click()
        page.wait_for_selector(f"#told.seen:has-text('{ours}')")
        words = page.inner_text("#told")
        told.add(words)
        assert not OPERATORS_WORDS.search(words) and page.inner_text("#basket b") == ""
        page.evaluate("document.getElementById('told').className = ''")
        page.unroute("**/v1/events")
    assert len(told) == len(statuses)
    if locale == "zh-CN":
        return
    add.click()
    page.wait_for_selector("#told.seen")
    assert page.inner_text("#basket b") == "1" and ours not in page.inner_text("#told")
    refusing(page, 507)
    page.click("#basket")
    page.wait_for_selector(".sum button:enabled")
    page.click(".sum button")
    page.wait_for_selector("#told.seen")
    page.wait_for_selector(".rows .card")
    assert page.inner_text("#basket b") == "1"
    page.route("**/v1/items/**", lambda route: route.fulfill(status=503, body='{"what": "too many", "status": 503}'))
    page.reload()
    page.wait_for_selector(".problem")  # no page with a total of nothing that one could buy
    assert page.locator(".sum").count() == 0 and not OPERATORS_WORDS.search(page.inner_text(".problem .what"))


@browsing
@pytest.mark.parametrize("locale", ["en-GB", "zh-CN"])
def test_an_address_that_asks_for_nonsense_is_answered_in_plain_words(visit: Any, locale: str) -> None:
    page = visit(locale=locale)
    for query in ("item=%00", "q=&page=9999999") if locale == "zh-CN" else ("item=a%0Ab", "page=abc&where=%C2%B2"):
        page.goto(f"/?{query}")
        settled(page)
        text = page.inner_text("main")
        assert text and not OPERATORS_WORDS.search(text), query
        assert (re.search("[\u4e00-\u9fff]", page.inner_text("h1, .empty h2, .problem .what")) is not None) == (
            locale == "zh-CN"
        ), query


@browsing
def test_where_nothing_was_promoted_the_pages_say_what_to_do(visit: Any) -> None:
    with listening(None, None) as address:
        page = visit(at=address)
        assert "This shop is not open yet" in page.inner_text("main") and not page.is_visible("#photo")
        page.goto("/operator")
        page.wait_for_selector("#revisions .empty")
        settled(page)
        for section, command in (("model", "tuwen evaluate"), ("data", "tuwen collect"), ("revisions", "tuwen serve")):
            assert command in page.inner_text(f"#{section} .empty code")
        page.close()


# --- The operator --------------------------------------------------------------------------------------------------


@browsing
def test_one_is_one_and_a_row_is_told_in_the_order_of_the_language(visit: Any) -> None:
    alone = outline(result_of("rate", ("sum",), varied={}, failures=[]))
    note = "items: 2 values of 'price' could not be used and are left empty (1 number out of range, 1 not a number); "
    page = visit("/operator?lang=zh")
    told = page.evaluate(
        "async (text) => (await import('/web/operator-data.js')).warned(text)", note + "the first: a.csv, row 403, '-3'"
    )
    assert "（1 个数字超出范围，1 个不是数字）" in told and told.endswith("a.csv，第 403 行，'-3'")
    page.click("[data-language=en]")
    for seeds, words in ((3, "1 cell3 seeds240 test rows"), (1, "1 cell1 seed240 test rows")):
        facts = page.evaluate(
            "async (one) => (await import('/web/operator-comparison.js')).comparison(one, 'x')"
            ".map((block) => block.querySelector('.facts')?.textContent ?? '').join('')",
            {**alone, "seeds": seeds},
        )
        assert facts == words


@browsing
def test_an_operator_sees_everything_promotes_and_goes_back(visit: Any, home: Path) -> None:
    page = visit("/operator")
    page.wait_for_selector("text=items: duplicate key")
    page.wait_for_selector(".curves svg")
    data, model, live = (page.inner_text(f"#{name}") for name in ("data", "model", "live"))
    assert "truncated picture" in data and "missing key" in data
    for words in ("This model", "Text only", "Text: missing", "Learning curves", "Does it come true?", "tuwen judge"):
        assert words in model
    assert "/v1/" in live or "Nobody asked" in live
    with page.context.expect_page() as opened:
        page.click("text=Open the full report")
    opened.value.wait_for_load_state()
    assert opened.value.title() == "the whole report"
    opened.value.close()  # a page behind another is drawn once a second
    sent = page.request.get("/v1/operator/report/stars/page").headers["content-security-policy"]
    assert sent.startswith("sandbox") and "connect-src" not in sent
    page.click("[data-name$=compared] button")
    page.wait_for_selector("text=Against the reference")
    compared = page.inner_text("#model")
    assert "sum" in compared and NASTY[:20] in compared and "Half without text" in compared
    page.set_viewport_size({"width": 390, "height": 900})  # on a phone no table is cut
    assert page.locator(".scroll").count() > 3 and sideways(page) == 0
    assert (
        page.eval_on_selector_all(".scroll", "all => all.filter(one => one.scrollWidth > one.clientWidth).length") == 0
    )
    page.set_viewport_size({"width": 1280, "height": 900})

    before = Home(home).live()
    page.click(".waiting button")
    page.keyboard.press("Escape")  # asked first, and let be
    assert Home(home).live() == before
    page.click(".waiting button")
    page.click("dialog .main")
    page.wait_for_selector("#told.seen")
    assert Home(home).live().note == "promoted next-2 (recommend)"
    page.wait_for_selector(f"text=Revision {before.number + 1}")
    page.click(f"[aria-label='Go back to revision {before.number}']")
    page.click("dialog .main")
    page.wait_for_selector(f"#told:has-text('Revision {before.number + 2} is live')")
    assert Home(home).live().parts == before.parts
    assert page.request.get("/readyz").json()["revision"] == before.number + 2


@browsing
def test_an_operator_sees_what_waits_how_long_and_what_to_do(visit: Any, home: Path, store: Store) -> None:
    """Events in the journal and changes in the outbox, as a store and an index that are away leave them."""
    journal = Journal(Home(home).journal)
    journal.write([{"event": f"wait-{n}", "user": "u", "item": "SKU-0001", "kind": "view"} for n in range(3)])
    told = {
        "en": ("1 item waits", "3 events wait", "has waited for", "look whether another tuwen command", "journal.log"),
        "zh": ("1 件商品等待中", "3 个事件等待中", "已等待", "请检查是否有其他 tuwen 命令", "journal.log"),
    }
    store.items.put("WAITS", {"title": "zeppelin"}, [])
    try:
        page = visit("/operator", width=390)
        for language, words in told.items():
            page.click(f"[data-language={language}]")
            page.wait_for_selector(f"#backlog :text('{words[0]}')")
            for width in (390, 1280):
                page.set_viewport_size({"width": width, "height": 900})
                text = page.inner_text("#backlog")
                assert all(word in text for word in words) and sideways(page) <= 0
    finally:
        journal.file.unlink()
        store.items.remove("WAITS")


@browsing
def test_a_key_is_asked_for_once_and_kept_for_the_tab(visit: Any, home: Path, store: Store) -> None:
    key = store.keys.make("till", "operator")
    with listening(home, store, keys=True) as address:
        page = visit(at=address, drawn=False)
        page.fill("#key", "wrong")
        page.click("dialog .main")
        page.wait_for_selector("text=That key is not known")
        page.fill("#key", key)
        page.click("dialog .main")
        page.wait_for_selector(CARDS)
        page.wait_for_selector(f"{CARDS} img[src^='blob:']")
        page.goto("/operator")
        page.wait_for_selector("text=items: duplicate key")
        assert page.locator("dialog").count() == 0
        assert page.evaluate("Object.keys(localStorage).concat(document.cookie).join()").count("key") == 0
        page.close()


# --- For everybody -------------------------------------------------------------------------------------------------


@browsing
@pytest.mark.skipif(not AXE.is_file(), reason="needs axe-core: npm pack axe-core, and AXE names its axe.min.js")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(visit: Any, scheme: str) -> None:
    page = visit(color_scheme=scheme, width=1280 if scheme == "light" else 390)
    paths = ("/", "/?q=teapto&where=price%3C%3D900", "/?item=SKU-0001", "/?view=basket", "/operator", "/nowhere")
    for path in paths if scheme == "light" else ("/?q=teapto", "/?item=SKU-0001", "/operator"):
        page.goto(path)
        settled(page)
        if path == "/operator" and scheme == "dark":
            page.click("[data-name$=compared] button")
            page.wait_for_selector("text=Against the reference")
        page.evaluate(AXE.read_text(encoding="utf-8"))
        found = page.evaluate("axe.run({ resultTypes: ['violations'] })")["violations"]
        serious = [
            (path, one["id"], [node["html"][:200] for node in one["nodes"]])
            for one in found
            if one["impact"] in ("serious", "critical")
        ]
        assert serious == []
    page.goto("/")
    settled(page)
    for opener in ("#shopper", "#photo"):
        page.click(opener)
        page.wait_for_selector("dialog[open]")
        page.evaluate(AXE.read_text(encoding="utf-8"))
        assert [o["id"] for o in page.evaluate("axe.run('dialog')")["violations"] if o["impact"] != "minor"] == []
        page.keyboard.press("Escape")
        page.wait_for_selector("dialog", state="detached")
        assert page.evaluate("`#${document.activeElement.id}`") == opener  # where one was
