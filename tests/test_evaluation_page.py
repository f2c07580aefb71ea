"""report.html: complete without a network, safe with any text, in both languages, and it says what the numbers say."""

from __future__ import annotations

import html
import io
import json
import re
import shutil
import string
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from evaluation_tables import binary, classify, drawn_binary, drawn_classes, drawn_rate, rate
from tuwen.evaluation import words
from tuwen.evaluation.baselines import trivial
from tuwen.evaluation.chart_names import width
from tuwen.evaluation.comparison_page import _lost
from tuwen.evaluation.figures import confusion_classes, confusion_matrix
from tuwen.evaluation.metric_words import METRIC_MEANINGS, METRIC_NAMES
from tuwen.evaluation.metrics import METRICS
from tuwen.evaluation.predictions import Predictions
from tuwen.evaluation.render import _difference, _knocked, render, thumbnail
from tuwen.evaluation.report import build_report
from tuwen.evaluation.verdict import checks, compared, headline, number, standing

NASTY = "<script>alert(1)</script><img src=x onerror=alert(2)>"
HISTORY = [{"epoch": i + 1, "train_loss": 1 / (i + 1), "validation_loss": 1.1, "accuracy": 0.5} for i in range(3)]
EXTRAS = {
    "history": HISTORY,
    "cost": {"train_seconds": 192.4, "latency_p50_ms": 12.3, "bundle_mb": 45.1},
    "run": {"name": "演示", "task": {"use": "classify"}},
    "provenance": {"commit": "0a8678e", "rows": {"train": 800, "test": 200}, "time": "2025-06-02T14:03:00+00:00"},
}


def report_of(model: Predictions, other: Predictions, **more: object) -> dict:
    baselines = {**trivial(model.frame["target"], model), "text_only": other}
    return build_report(
        model,
        baselines,
        samples=100,
        **{"knock_out": {"picture": dict.fromkeys(("absent", "half", "swapped"), other)}, **EXTRAS, **more},
    )


def picture(colour: str = "red") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (640, 480), colour).save(out, "JPEG")
    return out.getvalue()


class Page(HTMLParser):
    """What a browser would see: elements with their attributes, scripts and visible text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.scripts: list[str] = []
        self._inside = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts.append(data)
        elif self._inside != "style":
            self.text.append(data)


@pytest.fixture(scope="module", params=["classify", "binary", "rate"])
def page(request) -> tuple[dict, str, Page]:
    part = np.array(["zh", "en"] * 120)
    draw, good, poor = {
        "classify": (lambda sharp, seed: drawn_classes(240, 7, sharp, seed, slice_language=part), 2.5, 1.0),
        "binary": (lambda sharp, seed: drawn_binary(240, sharp, seed, slice_language=part), 1.5, 0.3),
        "rate": (lambda noise, seed: drawn_rate(240, noise, seed, slice_language=part), 0.4, 1.5),
    }[request.param]
    report = report_of(draw(good, 1), draw(poor, 2), name="演示 demo")
    rows = [one["row"] for one in report["worst"]]
    html = render(report, {rows[0]: [picture(), picture("blue")]}, {rows[0]: "好看 nice"})
    return report, html, Page(html)


def test_nothing_is_loaded_from_anywhere(page) -> None:
    _, html, seen = page
    for tag, attributes in seen.elements:
        assert (attributes.get("src") or "data:").startswith("data:"), tag
        assert re.match(r"#|data:", attributes.get("href") or "#"), tag
        assert not {"srcset", "action", "poster", "background"} & set(attributes), tag
    policy = next(a["content"] for _, a in seen.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'") and "http" not in policy
    style = html[html.index("<style>") : html.index("</style>")]
    assert "url(" not in style and "@import" not in style
    assert "Plotly" in max(seen.scripts, key=len) and max(map(len, seen.scripts)) > 1_000_000


def test_both_languages_say_everything(page) -> None:
    _, _, seen = page
    spoken = [a["lang"] for _, a in seen.elements if a.get("class") == "t"]
    assert spoken.count("en") == spoken.count("zh") > 50
    text = "".join(seen.text)
    for phrases in (("How good is it?", "效果如何？"), ("Can I trust it?", "可信吗？"), ("Text only", "仅用文字")):
        assert all(phrase in text for phrase in phrases)


def test_charts_are_strict_json_with_a_place_on_the_page(page) -> None:
    report, _, seen = page
    charts = json.loads(next(s for s in seen.scripts if s.startswith("{")))
    places = {a["id"] for _, a in seen.elements if (a.get("id") or "").startswith("chart-")}
    assert places == {f"chart-{key}" for key in charts}
    assert {"calibration", "curve-0", "slice-0", f"systems-{report['primary']}"} <= set(charts)
    assert ("confusion" in charts) == (report["task"] != "rate") == ("predicted" not in charts)


def test_pictures_are_small_and_inside(page) -> None:
    _, _, seen = page
    pictures = [a["src"] for tag, a in seen.elements if tag == "img"]
    assert len(pictures) == 2 and all(p.startswith("data:image/jpeg;base64,") and len(p) < 20_000 for p in pictures)
    assert "好看 nice" in seen.text
    assert "2025-06-02 14:03:00 UTC" in seen.text


def test_tables_and_charts_have_names_for_a_screen_reader(page) -> None:
    _, _, seen = page
    for _, attributes in seen.elements:
        if attributes.get("role") in ("img", "region"):
            assert attributes["aria-label"] and attributes["data-label-zh"] and attributes["data-label-en"]
    ids = {a["id"] for _, a in seen.elements if a.get("id")}
    assert {a["href"][1:] for tag, a in seen.elements if tag == "a"} <= ids


def test_text_from_the_shop_stays_text() -> None:
    names = (NASTY, "</script><u>", "c")
    part = [NASTY, "plain"] * 30
    model = drawn_classes(60, 3, 0.5, 1, names, **{f"slice_{NASTY}": part})
    report = build_report(
        model,
        {NASTY: drawn_classes(60, 3, 0.1, 2, names)},
        samples=100,
        name=NASTY,
        split=NASTY,
        knock_out={NASTY: {"absent": drawn_classes(60, 3, 0.1, 2, names)}},
        history=[{NASTY: 1, f"train_{NASTY}": 1.0}] * 2,
        cost={NASTY: NASTY},
        run={NASTY: [NASTY]},
        provenance={NASTY: NASTY, "time": NASTY},
    )
    seen = Page(render(report, {}, {one["row"]: NASTY for one in report["worst"]}))
    assert [tag for tag, _ in seen.elements].count("script") == 3
    assert not [tag for tag, _ in seen.elements if tag in ("img", "u")]
    assert not [a for _, a in seen.elements if any(name.startswith("on") for name in a)]
    assert NASTY in seen.text
    charts = json.loads(next(s for s in seen.scripts if s.startswith("{")))
    assert "<script" not in json.dumps(charts)  # plotly reads a little HTML in labels


def test_bytes_that_are_no_picture_are_left_out() -> None:
    assert thumbnail(b"<html>not a picture</html>") is None
    assert thumbnail(picture()[:300]) is None
    assert thumbnail(b"") is None


@pytest.mark.parametrize(
    "model",
    [
        rate([3.0], [3.0]),
        rate([3.0] * 30, [4.0] * 30),
        rate(np.linspace(1e5, 1e6, 40), np.full(40, 5e5)),
        binary([1], [0.5]),
        binary([0] * 25, [0.0] * 25),
        classify([0], [[1.0]], ("only",)),
        classify([0, 1] * 20, [[0.5, 0.5]] * 40, slice_part=["x"] * 40),
    ],
    ids=["one row", "constant", "large numbers", "one answer", "one class, sure", "one class of one", "no information"],
)
def test_odd_tables_make_a_page_too(model: Predictions) -> None:
    report = build_report(model, trivial(model.frame["target"], model), samples=100)
    html = render(json.loads(json.dumps(report, allow_nan=False)))
    assert "NaN" not in Page(html).text and "Infinity" not in Page(html).scripts[0]


# --- Charts and words ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("classes", "size"), [(2, 2), (7, 7), (131, 25)])
def test_a_confusion_matrix_stays_readable(classes: int, size: int) -> None:
    found = build_report(drawn_classes(800, classes, 1.5, 1), {}, samples=100)["confusion"]
    right, wrong = confusion_matrix(found)["data"]
    assert len(right["z"]) == size
    shown, drawn = set(confusion_classes(found)), {}
    for truth, answer, rows in found["cells"]:
        if truth in shown and answer in shown:
            drawn[truth, answer] = rows
    of_right = sum(int(text.replace(",", "")) for row in right["text"] for text in row if text)
    assert of_right == sum(rows for (truth, answer), rows in drawn.items() if truth == answer)
    assert all(wrong["z"][i][i] is None for i in range(size))


LONG = (
    "Automotive Accessories and Spare Parts",
    "Automotive Accessories and Interiors",
    "汽车配件与内饰用品及零部件大全",
)


def test_long_names_of_classes_do_not_overlap_and_none_looks_like_another() -> None:
    names = (*LONG, "Watches", "Clothing>>Women>>Western-Wear>>Dresses")
    for some in (names[:2], names[:3], names):
        found = build_report(drawn_classes(300, len(some), 1.5, 1, some), {}, samples=100)["confusion"]
        figure = confusion_matrix(found)
        ticks = [html.unescape(tick) for tick in figure["layout"]["xaxis"]["ticktext"]]
        assert len(set(ticks)) == len(some) and all(width(tick) <= 22 for tick in ticks)
        assert figure["layout"]["xaxis"]["tickangle"] == -45
        hovers = [text for row in figure["data"][0]["customdata"] for text in row if text]
        assert all(html.escape(name, quote=False) in "".join(hovers) for name in some)  # whole where one points at it
    short = build_report(drawn_classes(300, 3, 1.5, 1, ("yes", "no", "不知道")), {}, samples=100)["confusion"]
    figure = confusion_matrix(short)
    assert (
        figure["layout"]["xaxis"] | {"tickangle": 0, "ticktext": ["yes", "no", "不知道"]} == figure["layout"]["xaxis"]
    )


def dumped(file: Path, language: str, *options: str) -> str:
    """The page as a browser has it when its scripts have run."""
    command = ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    command += [f"--user-data-dir={file.parent / 'profile'}", "--virtual-time-budget=5000", "--dump-dom", *options]
    return subprocess.run(
        [*command, f"{file.as_uri()}?lang={language}"], capture_output=True, text=True, timeout=120
    ).stdout


OVERFLOW = """<script>document.body.dataset.over = JSON.stringify([...document.querySelectorAll(".wide, html")]
.filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.getAttribute("aria-label") || e.tagName))</script></body>"""


@pytest.mark.skipif(not shutil.which("chromium"), reason="needs chromium, to see what a browser makes of the page")
@pytest.mark.parametrize(("task", "language"), [("rate", "en"), ("rate", "zh"), ("classify", "en")])
def test_nothing_scrolls_sideways_on_a_desk(task: str, language: str, tmp_path: Path) -> None:
    part = np.array(["zh", "en", "none"] * 100)
    columns = {"slice_text_language": part, "slice_picture": part}
    if task == "rate":
        model, other = (drawn_rate(300, noise, seed, **columns) for noise, seed in ((0.4, 1), (0.41, 2)))
    else:
        model, other = (drawn_classes(300, 3, sharp, seed, LONG, **columns) for sharp, seed in ((1.5, 1), (1.45, 2)))
    ways = dict.fromkeys(("absent", "half", "swapped"), other)
    report = report_of(model, other, knock_out=dict.fromkeys(("text", "picture", "item text"), ways))
    file = tmp_path / "report.html"
    file.write_text(render(report).replace("</body>", OVERFLOW), encoding="utf-8")
    over = re.search(r'data-over="([^"]*)"', dumped(file, language, "--window-size=1280,900"))
    assert over is not None and json.loads(html.unescape(over[1])) == []


def test_every_metric_and_phrase_has_words_in_both_languages() -> None:
    assert set(METRIC_NAMES) == set(METRIC_MEANINGS) == set(METRICS)
    for english, chinese in words.WORDS.values():
        fields = [{name for _, name, _, _ in string.Formatter().parse(text) if name} for text in (english, chinese)]
        assert fields[0] == fields[1], english
    assert words.baseline_phrase("picture_only") == ("picture only", "仅用图片")
    assert words.baseline_heading("tf-idf") == ("tf-idf", "tf-idf")
    assert words.thing("text_language") == ("text language", "文字语言")


def test_sentences_say_what_the_numbers_say() -> None:
    other = ("text only", "仅用文字")
    better = {"difference": 0.012, "low": 0.003, "high": 0.021, "p": 0.01}
    assert compared(better, "accuracy", other) == (
        "Better than text only by 1.2 points (0.3–2.1).",
        "比“仅用文字”好 1.2 个百分点（0.3–2.1）。",
    )
    unclear = {"difference": 0.012, "low": -0.003, "high": 0.027, "p": 0.1}
    assert compared(unclear, "accuracy", other)[0] == "No clear difference from text only: +1.2 points (−0.3 to 2.7)."
    hardly = {"difference": -0.012, "low": -0.049, "high": 0.024, "p": 0.4}
    assert compared(hardly, "rmse", other)[0] == "No clear difference from text only: −0.012 (−0.049 to 0.024)."
    error = {"difference": 0.25, "low": 0.2, "high": 0.3, "p": 0.01}  # more error is worse
    assert compared(error, "rmse", other) == (
        "Worse than text only by 0.250 (0.200–0.300).",
        "比“仅用文字”差 0.250（0.200–0.300）。",
    )
    fewer = {"difference": -0.25, "low": -0.3, "high": -0.2, "p": 0.01}
    assert compared(fewer, "rmse", other)[0] == "Better than text only by 0.250 (0.200–0.300)."
    report = {"primary": "accuracy", "metrics": {"accuracy": {"value": 0.955, "low": 0.941, "high": 0.968}}}
    assert headline(report) == ("Accuracy 95.5 % (94.1–96.8).", "准确率 95.5%（94.1–96.8）。")
    assert [number(x) for x in (12345.6, 0.0, -0.5, 0.00012, None)] == ["12,346", "0.000", "−0.500", "0.0001", "–"]


sizes = st.floats(-5000, 5000) | st.floats(-1, 1) | st.floats(-0.01, 0.01)


@given(st.lists(sizes, min_size=6, max_size=6), st.sampled_from(["rmse", "log_loss", "accuracy"]))
def test_numbers_in_one_cell_have_the_same_decimals(values: list[float], metric: str) -> None:
    value, *around = sorted(values[:3]), sorted(values[3:])
    found = {"value": value[1], "low": value[0], "high": value[2]}
    loss = {"difference": around[0][1], "low": around[0][0], "high": around[0][2], "p": 0.5}
    knocked = _knocked(found, loss, metric)
    lost = _lost({"metrics": {metric: found}, "loss": {metric: loss}}, metric)
    told = [
        [knocked["value"], knocked["span"], (knocked["loss"]["value"],), knocked["loss"]["span"]],
        [lost["value"], lost["span"]] if lost["span"][0] != "±0" else [("1",)],
        [_difference(loss, metric)[key] for key in ("value", "span")],
        [compared(loss, metric, ("text only", "仅用文字"))],
        [headline({"primary": metric, "metrics": {metric: found}})],
    ]
    for texts in told:
        numbers = [number for text in texts for number in re.findall(r"[\d,]+(?:\.(\d+))?", text[0].rstrip("."))]
        assert len({len(decimals) for decimals in numbers}) == 1, texts


def test_a_small_difference_is_told_with_its_interval() -> None:
    small = {"difference": 0.0046, "low": -0.001, "high": 0.01, "p": 0.3}
    assert compared(small, "rmse", ("text only", "仅用文字"))[0] == (
        "No clear difference from text only: +0.005 (−0.001 to 0.010)."
    )
    found = {"value": 0.653, "low": 0.6, "high": 0.7}
    knocked = _knocked(found, small | {"high": 0.0099}, "rmse")
    assert knocked["value"][0] == "0.6530" and knocked["loss"]["span"][0] == "−0.0099 to 0.0010"


def test_fewer_labels_than_there_are_stand_beside_the_number_of_rows() -> None:
    model, other = drawn_binary(240, 1.5, 1), drawn_binary(240, 0.3, 2)

    def html(labels: float) -> str:
        return render(report_of(model, other, run={"name": "x", "rows": {"table": "reviews", "labels": labels}}))

    assert "trained with 1 % of the labels" in html(0.01) and "只用 1% 的标签训练" in html(0.01)
    assert "% of the labels" not in html(1.0)


def test_other_data_and_another_shop_are_told_first() -> None:
    model = drawn_rate(300, 0.5, 1)
    baselines = trivial(model.frame["target"], model)
    home = {"data_hash": "a" * 40, "trained_on": "a" * 40, "shop": "桃园", "trained_on_shop": "桃园"}
    away = home | {"data_hash": "b" * 40, "shop": "Green & Son"}
    for provenance, told in ((home, 0), (away, 2), (home | {"data_hash": "b" * 40}, 1), ({}, 0)):
        report = build_report(model, baselines, samples=200, provenance=provenance)
        assert len(report["warnings"]) == told
        first = checks(report)[:told]
        assert not any(check.fine for check in first)
        assert [check.text for check in first] == [(text["en"], text["zh"]) for text in report["warnings"]]
    page = render(build_report(model, baselines, samples=200, provenance=away))
    assert "Tested on the shop “Green &amp; Son”, but trained on the shop “桃园”." in page
    assert "训练用的是“桃园”店的数据" in page and "不是训练所用的数据" in page


def test_the_verdict_warns_where_trust_ends() -> None:
    part = np.where(np.arange(400) < 60, "missing", "present")
    target = np.arange(400) % 2
    wrong = (np.arange(400) < 60) & (np.arange(400) % 3 == 0)
    model = binary(target, np.where(target ^ wrong, 0.99, 0.01), slice_picture=part)
    baselines = trivial(model.frame["target"], model)
    warned = [c.text[0] for c in checks(build_report(model, baselines, samples=200, split="random")) if not c.fine]
    assert any("random draw" in text for text in warned)
    assert any(text.startswith("Weaker where picture is “missing”: Accuracy 66.7 % (60 rows)") for text in warned)
    few = build_report(drawn_binary(50, 1.0, 1), {}, samples=100)
    assert any("Only 50 test rows" in c.text[0] for c in checks(few))


def test_the_verdict_names_a_baseline_that_is_not_beaten() -> None:
    model, other = drawn_binary(300, 0.8, 3), drawn_binary(300, 0.8, 4)
    kind, (english, chinese) = standing(report_of(model, other))
    assert (kind, english, chinese) == ("unclear", "Not clearly better than text only.", "并不明显优于：仅用文字。")
    assert standing(report_of(drawn_binary(300, 2.0, 1), other))[1][0] == "Clearly better than all 2 baselines."
    assert standing(report_of(drawn_binary(300, 0.1, 1), other))[0] == "worse"


@pytest.mark.skipif(not shutil.which("chromium"), reason="needs chromium, to see that the page's script runs")
def test_a_browser_draws_every_chart_in_chinese(page, tmp_path) -> None:
    _, html, seen = page
    file = tmp_path / "report.html"
    file.write_text(html, encoding="utf-8")
    dom = dumped(file, "zh")
    drawn = [a for tag, a in Page(dom).elements if tag == "div" and "js-plotly-plot" in (a.get("class") or "")]
    assert len(drawn) == sum((a.get("id") or "").startswith("chart-") for _, a in seen.elements)
    assert 'data-language="zh"' in dom and "<title>演示 demo · 评估报告</title>" in dom
