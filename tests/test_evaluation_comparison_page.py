"""compare.html: complete without a network, safe with any name, in both languages, and it says what the numbers say."""

from __future__ import annotations

import json
import re
import shutil
import string
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from evaluation_tables import drawn_binary, drawn_classes, drawn_rate
from test_evaluation_page import Page
from tuwen.cli.results import results_page
from tuwen.cli.screen import shown
from tuwen.evaluation.cell_names import shown_names
from tuwen.evaluation.chart_names import width, wrapped_names
from tuwen.evaluation.comparison import Bootstrap, Cell, compare
from tuwen.evaluation.comparison_figures import COLOURS
from tuwen.evaluation.comparison_outline import comparison_outline
from tuwen.evaluation.comparison_page import render_comparison
from tuwen.evaluation.comparison_words import COMPARISON, checks, lead
from tuwen.evaluation.metrics import PRIMARY
from tuwen.evaluation.unlearned import counted

NASTY = "<script>alert(1)</script>{{ 7 * 7 }}"
DRAW: dict[str, Any] = {
    "rate": lambda seed, good: drawn_rate(240, 0.4 if good else 1.2, seed),
    "binary": lambda seed, good: drawn_binary(240, 1.5 if good else 0.4, seed),
    "classify": lambda seed, good: drawn_classes(240, 6, 2.5 if good else 1.0, seed),
}


def result_of(task: str, names: tuple[str, ...] = ("concat", "sum", NASTY), seeds: int = 3, **more: Any) -> dict:
    good = {name: i < 2 for i, name in enumerate(names)}
    cells = {
        name: Cell(
            [DRAW[task](10 * i + s, good[name]) for s in range(seeds)],
            {"text": [DRAW[task](900 + s, False) for s in range(seeds)]},
        )
        for i, name in enumerate(names)
    }
    judged = compare(cells, names[0], Bootstrap(samples=150))
    costs = {"train_seconds": 1.5, "parameters": 1200, "bundle_mb": 0.2, "latency_p50_ms": 1.25}
    return {
        "format": 1,
        "name": "演示 demo",
        "task": task,
        "rows": 240,
        "primary": PRIMARY[task],
        "reference": names[0],
        "varied": {"fusion": list(names)},
        "seeds": list(range(seeds)),
        "folds": 1,
        "split": "hash",
        "bootstrap": {"samples": 150, "confidence": 0.95, "seed": 0, "groups": None},
        "kinds": ["text"],
        "cells": [
            {
                "name": n,
                "settings": {"fusion": n},
                "kept": {"fusion": {"width": 64}},
                **judged[n],
                "unseen": counted({}),
                "cost": costs,
            }
            for n in names
        ],
        "failures": [{"cell": "late", "seed": 0, "fold": 0, "what": NASTY, "where": "RUN.yaml:3"}],
        "notes": [],
        "provenance": {"commit": "0a8678e", "time": "2025-06-02T14:03:00+00:00"},
        "run": {"name": "演示"},
        **more,
    }


def dom_of(file: Path, profile: Path, *more: str) -> str:
    """What Chromium makes of a page in Chinese."""
    command = ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking", *more]
    command += [f"--user-data-dir={profile / 'profile'}", "--virtual-time-budget=5000", "--dump-dom"]
    return subprocess.run([*command, f"{file.as_uri()}?lang=zh"], capture_output=True, text=True, timeout=120).stdout


@pytest.fixture(scope="module", params=DRAW)
def page(request) -> tuple[dict, str, Page]:
    result = json.loads(json.dumps(result_of(request.param), allow_nan=False))
    html = render_comparison(result)
    return result, html, Page(html)


def test_nothing_is_loaded_from_anywhere_and_names_are_only_text(page) -> None:
    _, html, seen = page
    for tag, attributes in seen.elements:
        assert (attributes.get("src") or "data:").startswith("data:"), tag
        assert re.match(r"#|data:", attributes.get("href") or "#"), tag
    assert "<script>alert" not in html and "49" not in "".join(t for t in seen.text if "alert" in t)
    assert "alert(1)" in "".join(seen.text)


def test_both_languages_say_everything(page) -> None:
    _, _, seen = page
    spoken = [a["lang"] for _, a in seen.elements if a.get("class") == "t"]
    assert spoken.count("en") == spoken.count("zh") > 50
    text = "".join(seen.text)
    for phrases in (
        ("Compared with concat", "与“concat”相比"),
        ("half without text", "一半缺文字"),
        ("failed", "失败"),
    ):
        assert all(phrase in text for phrase in phrases)
    for english, chinese in COMPARISON.values():
        fields = [{name for _, name, _, _ in string.Formatter().parse(words) if name} for words in (english, chinese)]
        assert fields[0] == fields[1], english


def test_every_chart_has_its_place_and_is_strict_json(page) -> None:
    result, _, seen = page
    charts = json.loads(next(script for script in seen.scripts if script.lstrip().startswith("{")))
    places = {a["id"].removeprefix("chart-") for _, a in seen.elements if (a.get("id") or "").startswith("chart-")}
    assert set(charts) == places and {"differences", "cost", f"cells-{result['primary']}"} <= places
    dots = charts[f"cells-{result['primary']}"]["data"]
    assert len(dots[0]["x"]) == 9 and len(dots[1]["x"]) == 3  # three seeds of three cells


def test_the_lead_counts_what_the_intervals_say() -> None:
    result = result_of("classify")
    assert lead(result) == (
        "Compared with concat: 1 clearly worse, 1 not clearly different.",
        "与“concat”相比：1 个明显更差，1 个差别不明显。",
    )
    warned = [check.text[0] for check in checks(result) if not check.fine]
    assert any("validation part" in text for text in warned) and any("failed" in text for text in warned)
    alone = result_of("classify", ("concat",), seeds=1, failures=[])
    assert "of one seed" in lead(alone)[0] and "一个种子" in lead(alone)[1]
    assert any("Only 1 seed:" in check.text[0] for check in checks(alone))
    assert "other seeds" in "".join(Page(render_comparison(alone)).text)


def test_notes_stand_on_the_page_in_both_languages_with_their_cells() -> None:
    notes = [
        {"note": "RUN.yaml:3: x has no effect", "note_zh": "RUN.yaml:3: x 不起作用", "cells": ["concat", "sum"]},
        {"note": "RUN.yaml:4: y has no effect", "note_zh": "RUN.yaml:4: y 不起作用", "cells": ["sum"]},
    ]
    text = "".join(Page(render_comparison(result_of("rate", ("concat", "sum"), failures=[], notes=notes))).text)
    for told in ("x has no effect", "x 不起作用", "y has no effect (in sum)", "y 不起作用（sum）"):
        assert told in text
    assert "x has no effect (in" not in text


def test_one_cell_is_told_by_its_seeds_without_a_table_of_differences() -> None:
    result = result_of("classify", ("演示 demo",), varied={}, failures=[])
    (cell,) = result["cells"]
    values = cell["metrics"]["accuracy"]["seeds"]
    english, chinese = lead(result)
    ends = [f"{100 * end(values):.1f}" for end in (min, max)]
    assert f"the mean over 3 seeds; by seed {ends[0]} % to {ends[1]} %" in english
    assert chinese.startswith("准确率 ") and "3 个种子的平均" in chinese and f"{ends[0]}% 至 {ends[1]}%" in chinese
    html = render_comparison(result)
    seen = Page(html)
    charts = json.loads(next(script for script in seen.scripts if script.lstrip().startswith("{")))
    assert set(charts) >= {"cells-accuracy"} and not {"cost", "differences"} & set(charts)
    assert not any(figure["layout"].get("shapes") for figure in charts.values())
    text = "".join(seen.text)
    assert all(f"{100 * value:.1f}%" in text for value in values) and "各种子的结果" in text
    assert not any(word in text for word in ("Reference", "reference", "参照", "every cell", "所有组合"))
    brief = comparison_outline(result)
    assert brief["said"][0]["en"] == english and brief["varied"] == {}
    line = next(one for one in results_page(Path("runs"), {}, {"demo": result}).splitlines() if "| 演示 demo |" in one)
    assert all(shown(value) in line for value in values)


def judged_by(samples: int, count: int, **holm: float) -> dict:
    result = result_of("classify", ("concat", *(f"cell{i}" for i in range(count))), seeds=1, failures=[])
    for cell in result["cells"]:
        found = cell["difference"]["accuracy"]
        p = holm.get(cell["name"], found["p_holm"])
        cell["difference"]["accuracy"] = found | {"difference": -0.2, "low": -0.3, "high": -0.1, "p": 0.01, "p_holm": p}
    return result | {"bootstrap": result["bootstrap"] | {"samples": samples}}


def test_a_difference_is_clear_where_its_corrected_p_says_so() -> None:
    result = judged_by(1000, 2, cell0=0.05, cell1=0.051)  # the interval of both leaves out zero
    assert lead(result)[0] == "Compared with concat: 1 clearly worse, 1 not clearly different."
    html = render_comparison(result)
    tags = re.findall(r'<li><span>(cell\d)</span>.*?class="tag (\w+)"', html)
    assert sorted(tags) == [("cell0", "worse"), ("cell1", "unclear")]
    seen = Page(html)
    charts = json.loads(next(script for script in seen.scripts if script.lstrip().startswith("{")))
    dots = {dots["marker"]["color"]: dots["customdata"] for dots in charts["differences"]["data"]}
    assert dots == {COLOURS["worse"]: ["cell0"], COLOURS["unclear"]: ["cell1"]}
    text = "".join(seen.text)
    assert "A difference is clear where p is at most 0.05." in text and "p 不超过 0.05 才算明显" in text
    wider = result | {"bootstrap": result["bootstrap"] | {"confidence": 0.9}}
    assert lead(wider)[0] == "Compared with concat: 2 clearly worse."


@pytest.mark.parametrize(
    ("samples", "count", "needed"), [(100, 6, 239), (238, 6, 239), (239, 6, None), (100, 2, None), (100, 3, 119)]
)
def test_too_few_resamples_for_so_many_comparisons_are_told_with_what_to_do(samples, count, needed) -> None:
    result = judged_by(samples, count)
    told = [check for check in checks(result) if "evaluation.samples" in check.text[0]]
    assert len(told) == (needed is not None)
    for check in told:
        assert not check.fine and f"to {needed} or more" in check.text[0] and f"至少 {needed}；" in check.text[1]
        assert check.text[0] in "".join(Page(render_comparison(result)).text)


def test_the_time_of_an_answer_is_told_to_be_measured_once() -> None:
    result = result_of("classify")
    text = "".join(Page(render_comparison(result)).text)
    assert "measured once, while the machine may have done other work" in text and "回答耗时仅测量一次" in text
    for cell in result["cells"]:
        cell["cost"] = {"train_seconds": 1.5}
    assert "measured once" not in render_comparison(result)


LONG = (
    "learning_rate=0.001 · modality_dropout=0.2",
    "init=../../very/long/path/that/goes/on/pairs · text: transformer",
    "init=/elsewhere/others/pairs · text: transformer",
)


def test_of_a_path_the_page_shows_the_end_that_tells_it_from_others() -> None:
    assert list(shown_names(LONG).values()) == [
        LONG[0],
        "init=on/pairs · text: transformer",
        "init=others/pairs · text: transformer",
    ]
    assert shown_names(["init=/a/b/", "init=none"]) == {"init=/a/b/": "init=b", "init=none": "init=none"}
    assert shown_names(["init=b", "init=a/b"]) == {"init=b": "init=b", "init=a/b": "init=a/b"}
    html = render_comparison(result_of("classify", LONG))
    rows = [a for tag, a in Page(html).elements if tag == "th" and a.get("scope") == "row"]
    assert [a.get("title") for a in rows[:3]] == [None, *LONG[1:]]
    assert ">2. init=on/pairs · text: transformer<" in html


def test_names_in_charts_are_whole_and_in_lines_that_a_phone_has_room_for() -> None:
    names = (*LONG[:1], "concat · gan=impute", "dropout=0.3 · learning_rate=0.001 · gan=impute")
    charts = json.loads(Page(render_comparison(result_of("classify", names))).scripts[0])
    figure = charts["cells-accuracy"]["layout"]
    assert figure["yaxis"]["ticktext"] == [
        "learning_rate=0.001<br>modality_dropout=0.2",
        "concat · gan=impute",
        "dropout=0.3<br>learning_rate=0.001<br>gan=impute",
    ]
    assert figure["height"] >= 3 * 3 * 17 + 90  # rows as high as the name of most lines
    short = json.loads(Page(render_comparison(result_of("classify"))).scripts[0])["cells-accuracy"]["layout"]
    assert short["height"] < figure["height"]


@pytest.mark.parametrize("text", ["很长的名字" * 30, "x" * 100, "a<b>&" * 30, "efficientnet-lite0,frozen=false,lora=8"])
def test_a_name_has_at_most_three_short_lines_and_stays_text(text) -> None:
    (told,) = wrapped_names([text])
    lines = [unescape(line) for line in told.split("<br>")]
    assert len(lines) <= 3 and all(width(line) <= 22 for line in lines) and "<b>" not in told
    if width(text) <= 40:
        assert "".join(lines) == text
    assert len(set(wrapped_names([text + "1", text + "2"]))) == 2


WORDS_BROKEN = """<script>
let broken = 0;
for (const head of document.querySelectorAll("tbody th")) {
  const walk = document.createTreeWalker(head, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    for (const word of walk.currentNode.data.matchAll(/\\S+/g)) {
      const range = document.createRange();
      range.setStart(walk.currentNode, word.index);
      range.setEnd(walk.currentNode, word.index + word[0].length);
      broken += new Set([...range.getClientRects()].map((r) => r.top)).size > 1;
    }
  }
}
document.body.dataset.broken = broken;
</script></body>"""


@pytest.mark.skipif(not shutil.which("chromium"), reason="needs chromium, to see where it breaks a line")
def test_a_browser_breaks_no_word_of_a_name(tmp_path) -> None:
    file = tmp_path / "compare.html"
    file.write_text(render_comparison(result_of("rate", LONG)).replace("</body>", WORDS_BROKEN), encoding="utf-8")
    assert 'data-broken="0"' in dom_of(file, tmp_path, "--window-size=800,2000")


@pytest.mark.skipif(not shutil.which("chromium"), reason="needs chromium, to see that the page's script runs")
def test_a_browser_draws_every_chart_in_chinese(tmp_path) -> None:
    html = render_comparison(result_of("binary"))
    file = tmp_path / "compare.html"
    file.write_text(html, encoding="utf-8")
    dom = dom_of(file, tmp_path)
    drawn = [a for tag, a in Page(dom).elements if tag == "div" and "js-plotly-plot" in (a.get("class") or "")]
    assert len(drawn) == sum((a.get("id") or "").startswith("chart-") for _, a in Page(html).elements)
    assert 'data-language="zh"' in dom and "<title>演示 demo · 对比实验</title>" in dom
