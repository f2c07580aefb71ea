"""tune.html: complete without a network, safe with any value, in both languages."""

from __future__ import annotations

import json
import re
import string

import pytest

from test_evaluation_page import Page
from tuwen.evaluation.tuning_page import TUNING, ordered, render_tuning

NASTY = "<script>alert(1)</script>"


def trial(number: int, value: float | None, **more: object) -> dict:
    told = {"number": number, "state": "complete" if value is not None else "failed", "value": value}
    told |= {"values": {"fusion": NASTY, "training.learning_rate": "0.01"}, "epochs": 3, "seconds": 1.2}
    return {**told, "as_written": number == 1, "failure": None if value is not None else NASTY, **more}


@pytest.fixture(scope="module")
def result() -> dict:
    trials = [trial(1, 0.7), trial(2, 0.9), trial(3, None), trial(4, None, state="given up", failure=None)]
    return {
        "format": 1,
        "name": "演示 demo",
        "task": "classify",
        "metric": "accuracy",
        "rows": {"train": 100, "validation": 40},
        "folds": 5,
        "search": {
            "fusion": {"values": [NASTY, "sum"]},
            "training.learning_rate": {"low": 0.001, "high": 0.1, "log": True},
        },
        "trials": trials,
        "best": {"number": 2, "value": 0.9, "values": trials[1]["values"]},
        "as_written": 0.7,
        "outside": {},
        "notes": [{"note": "x has no effect", "note_zh": "x 不起作用", "values": []}],
        "provenance": {"seed": 0},
        "run": {"name": "演示"},
    }


def test_the_page_is_complete_safe_and_bilingual(result) -> None:
    html = render_tuning(json.loads(json.dumps(result)))
    seen = Page(html)
    for tag, attributes in seen.elements:
        assert (attributes.get("src") or "data:").startswith("data:"), tag
        assert re.match(r"#|data:", attributes.get("href") or "#"), tag
    assert NASTY not in html and "alert(1)" in "".join(seen.text)
    text = "".join(seen.text)
    for phrase in (
        "90.0 %",
        "the run as it is written: 70.0 %",
        "原有设置：70.0%",
        "first of 5 folds",
        "Only 40 validation",
    ):
        assert phrase in text
    charts = json.loads(next(script for script in seen.scripts if script.lstrip().startswith("{")))
    places = {a["id"].removeprefix("chart-") for _, a in seen.elements if (a.get("id") or "").startswith("chart-")}
    assert set(charts) == places == {"course", "each-0", "each-1"}
    assert charts["course"]["data"][0]["y"] == [70.0, 90.0]


def test_a_run_that_was_not_tried_is_told_with_its_values(result) -> None:
    assert "was not tried" not in render_tuning(result)
    assert all(told in render_tuning(result) for told in ("x has no effect (in every trial)", "x 不起作用（全部试验）"))
    text = "".join(Page(render_tuning(result | {"as_written": None, "outside": {"fusion": NASTY, "a.b": "3"}})).text)
    assert f"is outside the search, so it was not tried: fusion={NASTY}, a.b=3. To see it" in text
    assert f"原有设置不在搜索范围内，因此未被尝试：fusion={NASTY}, a.b=3。" in text


def test_the_best_stands_first_and_what_has_no_value_last(result) -> None:
    assert [one["number"] for one in ordered(result)] == [2, 1, 3, 4]
    assert [one["number"] for one in ordered(result | {"metric": "log_loss"})] == [1, 2, 3, 4]


def test_every_phrase_has_both_languages() -> None:
    for english, chinese in TUNING.values():
        fields = [{name for _, name, _, _ in string.Formatter().parse(words) if name} for words in (english, chinese)]
        assert fields[0] == fields[1], english
