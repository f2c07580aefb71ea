"""What is taken away by itself: two texts of different columns are two inputs, two views of one are one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tuwen import workflow
from tuwen.config import Run
from tuwen.evaluation.words import thing
from tuwen.training.inputs import EncodedInput
from tuwen.workflow.judging import without_inputs
from tuwen.workflow.knock_out import inputs_of
from twofold import collected

TITLE = "title: {use: text, columns: [items.title], encoder: ngram}"
COLOUR = "colour: {use: text, columns: [items.colour], min_count: 1, encoder: ngram}"
TABLE = "  table: {use: table, columns: [items.colour], encoder: table}"
Shop = tuple[Path, Path]


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Shop:
    """Of four classes the title tells one half and the colour, read as a text too, the other."""
    run, dataset = collected(tmp_path_factory.mktemp("two texts"))
    text = run.read_text(encoding="utf-8")
    text = text.replace("  text: {use: text, columns: [items.title], encoder: ngram}", f"  {TITLE}")
    run.write_text(text.replace(TABLE, f"  {COLOUR}"), encoding="utf-8")
    return run, dataset


def run_of(**modalities: tuple[str, str]) -> Run:
    """A run whose modalities are NAME → (kind, columns)."""
    encoders = {"text": "ngram", "image": "cnn", "table": "table"}
    plain: dict[str, Any] = {
        name: {"use": use, "columns": columns.split(), "encoder": {"use": encoders[use]}}
        for name, (use, columns) in modalities.items()
    }
    return Run.from_plain(
        {
            "name": "x",
            "rows": {"table": "items"},
            "modalities": plain,
            "fusion": "concat",
            "task": {"use": "classify", "target": "items.class"},
        },
        "x",
    )


def labels(*runs: Run) -> dict[str, list[str]]:
    return {name: list(one.modalities) for name, one in inputs_of(*runs).items()}


def test_a_kind_is_one_input_where_its_modalities_read_the_same() -> None:
    text, picture = ("text", "items.title"), ("image", "items.images")
    alike = run_of(words=text, meaning=text, picture=picture, tuned=picture)
    assert labels(alike) == {"text": ["words", "meaning"], "picture": ["picture", "tuned"]}
    wider = run_of(words=("text", "items.title items.description"), meaning=text)
    assert labels(wider) == {"text": ["words", "meaning"]}  # without the one, the other still tells the title
    apart = run_of(
        review=("text", "reviews.text"), words=text, meaning=text, front=picture, back=("image", "items.backs")
    )
    assert labels(apart) == {
        "review": ["review"],
        "words + meaning": ["words", "meaning"],
        "front": ["front"],
        "back": ["back"],
    }
    assert thing("text + picture") == ("text + picture", "文字 + 图片")


def test_modalities_that_a_third_one_links_go_together() -> None:
    linked = run_of(
        a=("text", "items.a"), b=("text", "items.b"), both=("text", "items.a items.b"), c=("text", "items.c")
    )
    assert labels(linked) == {"a + b + both": ["a", "b", "both"], "c": ["c"]}


def test_kinds_never_mix_even_in_their_names() -> None:
    mixed = run_of(table=("text", "items.a"), b=("text", "items.b"), facts=("table", "items.a"))
    assert labels(mixed) == {"text table": ["table"], "b": ["b"], "table": ["facts"]}


def test_the_cells_of_a_comparison_call_an_input_alike() -> None:
    both, one = run_of(title=("text", "items.a"), note=("text", "items.b")), run_of(title=("text", "items.a"))
    found = inputs_of(one, both)
    assert list(found) == ["title", "note"] and found["note"].of(one) == [] and found["title"].of(one) == ["title"]


def test_where_nothing_is_left_every_row_has_the_one_answer_and_it_is_worked_out_once() -> None:
    asked: list[int] = []

    def network(arrays, present):
        (there,) = present.values()
        asked.append(len(there))
        return np.where(there[:, None], arrays["a"]["vector"], 7.0).astype(np.float32)

    source = EncodedInput({"vector": np.ones((3, 1), np.float32)}, np.ones(3, bool), np.arange(3))
    assert without_inputs(network, {"a": source}, ["a"]).tolist() == [[7.0]] * 3 and asked == [1]


def test_the_report_tells_what_each_of_two_texts_is_worth(shop, tmp_path) -> None:
    workflow.train(*shop, tmp_path / "bundle", ["evaluation.baselines=[trivial]"])
    report = workflow.evaluate(tmp_path / "bundle", shop[1], tmp_path / "report")
    assert set(report["knock_out"]) == {"title", "colour"}
    assert report["metrics"]["accuracy"]["value"] > 0.9
    for ways in report["knock_out"].values():
        assert set(ways) == {"absent", "half", "swapped"}
        for way in ("absent", "swapped"):  # half of the truth is gone
            assert ways[way]["metrics"]["accuracy"]["value"] < 0.7 and ways[way]["comparison"]["accuracy"]["low"] > 0.2
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "another row" in page and "title" in page


def test_an_only_input_is_knocked_out_too(shop, tmp_path) -> None:
    one = ["modalities={title: {use: text, columns: items.title, encoder: ngram}}", "training.epochs=3"]
    workflow.train(*shop, tmp_path / "bundle", one)
    report = workflow.evaluate(tmp_path / "bundle", shop[1], tmp_path / "report")
    assert set(report["knock_out"]) == {"text"}
    assert report["knock_out"]["text"]["swapped"]["comparison"]["accuracy"]["low"] > 0
    assert (
        len({round(v, 9) for v in report["knock_out"]["text"]["absent"]["metrics"]["auc"].values()}) == 1
    )  # one answer


def test_a_comparison_tells_each_text_and_trains_nothing_twice_for_it(shop, tmp_path) -> None:
    vary, few = "modalities=[title, colour],[title]", ["training.epochs=4", "evaluation.samples=100"]
    result = workflow.compare(shop[0], tmp_path, shop[1], vary=[vary], seeds=1, overrides=few)
    assert result["kinds"] == ["title", "colour"]
    both, one = result["cells"]
    assert both["missing"]["colour"]["all"]["loss"]["accuracy"]["high"] < 0
    assert one["missing"]["title"]["all"]["loss"]["accuracy"]["high"] < 0
    assert one["missing"]["colour"]["all"]["loss"]["accuracy"]["difference"] == 0.0  # it does not read it
    whole, lost = (
        next((tmp_path / "trainings").glob(f"{name}-seed-*/training.json")) for name in ("title-+-colour", "title")
    )
    before = whole.stat().st_mtime_ns
    (lost.parent / "without-title.parquet").unlink()  # as of an earlier comparison that called it otherwise
    again = workflow.compare(shop[0], tmp_path, shop[1], vary=[vary], seeds=1, overrides=few)
    assert again["cells"][1]["missing"] == one["missing"] and whole.stat().st_mtime_ns == before
