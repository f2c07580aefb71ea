"""Tune: finds what there is to find, on the validation part alone, and goes on where it was stopped."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from processes import begun
from tuwen import workflow
from tuwen.config import Run, written
from tuwen.data.dataset import Dataset
from tuwen.errors import ConfigError, DataError, InUse, MissingExtra, TuwenError
from tuwen.evaluation.tuning_page import carried
from tuwen.outputs import held
from tuwen.workflow.gathering import gather
from tuwen.workflow.searching import Range, as_written, dimension, dimensions, idle_of
from tuwen.workflow.variants import Base
from twofold import collected, write_shop

SEARCH = ["training.learning_rate=0.0001:0.05:log", "modalities=[text],[text, table]", "fusion.width=4:32"]
QUICK = ["training.epochs=6"]
Shop = tuple[Path, Path]


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Shop:
    return collected(tmp_path_factory.mktemp("tune"))


@pytest.fixture(scope="module")
def tuned(shop, tmp_path_factory) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("out")
    return out, workflow.tune(shop[0], out, shop[1], search=SEARCH, trials=12, overrides=QUICK)


def test_settings_without_effect_are_told_with_the_values_that_make_them_so(shop) -> None:
    base = Base(*written(shop[0], ["training.layer_decay=0.5", "fusion={use: sum, width: 8}"]), str(shop[0]))
    late, decay = sorted(
        idle_of(base, dimensions(["fusion=sum,late", "fusion.width=4:8"])),
        key=lambda one: one["note"].split(": ")[1],
    )
    assert "fusion.width has no effect" in late["note"] and late["values"] == ["fusion=late"]
    assert "training.layer_decay has no effect" in decay["note"] and decay["values"] == []
    (english, chinese), (every, all_) = carried([late, decay])
    assert english.endswith("(in fusion=late)") and chinese.endswith("（fusion=late）") and "不起作用" in chinese
    assert every.endswith("(in every trial)") and all_.endswith("（全部试验）")


def test_the_best_values_are_those_that_can_work(tuned) -> None:
    out, result = tuned
    assert result["metric"] == "log_loss" and len(result["trials"]) == 12
    assert result["best"]["values"]["modalities"] == "[text, table]"
    known = [trial["value"] for trial in result["trials"] if trial["state"] == "complete"]
    assert result["best"]["value"] == min(known) <= result["as_written"]
    assert result["trials"][0]["as_written"] and result["trials"][0]["values"]["training.learning_rate"] == "0.02"
    given_up = [trial for trial in result["trials"] if trial["state"] == "given up"]
    assert given_up and all(trial["epochs"] < 6 for trial in given_up)
    assert json.loads((out / "tune.json").read_text(encoding="utf-8")) == result
    html = (out / "tune.html").read_text(encoding="utf-8")
    assert "验证集上的最佳取值" in html and "Plotly" in html


def test_best_yaml_is_the_run_with_the_best_values_and_says_how_it_was_found(tuned, shop) -> None:
    out, result = tuned
    text = (out / "best.yaml").read_text(encoding="utf-8")
    assert "found best on the validation part." in text and "测试集" in text
    run = Run.read(out / "best.yaml")
    values = result["best"]["values"]
    assert run.training.learning_rate == pytest.approx(float(values["training.learning_rate"]), rel=1e-3)
    assert run.fusion.options == {"width": int(values["fusion.width"]), "dropout": 0.1}
    assert run.training.epochs == 6 and list(run.modalities) == ["text", "table"]
    assert ((out / run.shop).resolve()) == shop[0].with_name("SHOP.yaml").resolve()
    workflow.check(out / "best.yaml", (), shop[1])


def test_the_test_part_is_not_read(tuned, shop, tmp_path) -> None:
    """With nonsense in every test row all trials come out the same, to the last digit."""
    gathered = gather(Run.read(shop[0]), Dataset.open(shop[1]))
    poisoned = set(gathered.frame["row"][gathered.rows("test")])
    assert len(poisoned) > 50
    run = write_shop(tmp_path / "shop", poisoned=poisoned)
    workflow.collect(tmp_path / "shop" / "SHOP.yaml", tmp_path / "dataset")
    assert Dataset.open(tmp_path / "dataset").hash != Dataset.open(shop[1]).hash
    found = workflow.tune(run, tmp_path / "out", tmp_path / "dataset", search=SEARCH, trials=12, overrides=QUICK)

    def told(result: dict[str, Any]) -> list[dict[str, Any]]:
        return [{key: t[key] for key in ("state", "value", "values", "epochs")} for t in result["trials"]]

    assert told(found) == told(tuned[1])


def test_the_same_command_does_nothing_again_and_more_trials_go_further(tuned, shop) -> None:
    out, result = tuned
    again = workflow.tune(shop[0], out, shop[1], search=SEARCH, trials=12, overrides=QUICK)
    assert again["trials"] == result["trials"]
    more = workflow.tune(shop[0], out, shop[1], search=SEARCH, trials=14, overrides=QUICK)
    assert more["trials"][:12] == result["trials"] and len(more["trials"]) == 14
    drawn = {json.dumps(trial["values"]) for trial in more["trials"]}
    assert len(drawn) == 14  # a new sitting does not draw the first one's values again
    with pytest.raises(ConfigError, match="another search"):
        workflow.tune(shop[0], out, shop[1], search=SEARCH[:2], trials=12, overrides=QUICK)


def done(study: Path, mode: str = "ro") -> int:
    try:
        with sqlite3.connect(f"file:{study}?mode={mode}", uri=True) as database:
            return int(database.execute("SELECT count(*) FROM trials WHERE state = 'COMPLETE'").fetchone()[0])
    except sqlite3.Error:
        return 0


def test_after_kill_9_the_trial_that_was_cut_off_is_done_again(shop, tmp_path) -> None:
    search, epochs = ["training.learning_rate=0.001:0.05:log"], "training.epochs=15"
    process = begun("tune", shop[0], tmp_path, shop[1], search=search, trials=4, overrides=[epochs])
    deadline = time.monotonic() + 100
    while not done(tmp_path / "study.db") and process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.2)  # into the next trial
    os.killpg(process.pid, signal.SIGKILL)
    process.join()
    before = done(tmp_path / "study.db", "rw")  # a kill within a transaction leaves a journal that readers cannot undo
    assert 0 < before < 4
    result = workflow.tune(shop[0], tmp_path, shop[1], search=search, trials=4, overrides=[epochs])
    assert len(result["trials"]) == 4 and not any(trial["state"] == "failed" for trial in result["trials"])
    assert len({trial["values"]["training.learning_rate"] for trial in result["trials"]}) == 4


def test_a_trial_that_fails_is_told_and_the_search_goes_on(shop, tmp_path) -> None:
    search = ["training.learning_rate=0.02,1e30"]
    result = workflow.tune(shop[0], tmp_path, shop[1], search=search, trials=8, overrides=["training.epochs=2"])
    failed = [trial for trial in result["trials"] if trial["state"] == "failed"]
    assert failed and "no longer a number" in failed[0]["failure"]
    assert result["best"]["values"] == {"training.learning_rate": "0.02"}
    values = [trial["value"] for trial in result["trials"] if trial["state"] == "complete"]
    assert len(set(values)) == 1  # the same values are not trained twice
    with pytest.raises(TuwenError, match="no trial could be completed"):
        workflow.tune(shop[0], tmp_path / "bad", shop[1], search=["training.learning_rate=1e30,1e31"], trials=2)


def test_a_run_outside_the_search_is_told_as_not_tried(shop, tmp_path) -> None:
    search = ["training.learning_rate=0.0001:0.001:log", "fusion=sum,gated", "training.batch_size=16,32"]
    overrides = ["training.epochs=1", "training.learning_rate=0.02", "training.batch_size=32"]
    result = workflow.tune(shop[0], tmp_path, shop[1], search=search, trials=1, overrides=overrides)
    assert result["as_written"] is None and not result["trials"][0]["as_written"]
    assert result["outside"] == {"training.learning_rate": "0.02", "fusion": "{use: concat, width: 16, dropout: 0.1}"}
    assert "因此未被尝试" in (tmp_path / "tune.html").read_text(encoding="utf-8")
    assert "outside the search" in (tmp_path / "best.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("overrides", "search", "inside", "outside"),
    [
        ([], "training.epochs=1:9", 4, None),
        (["training.epochs=12"], "training.epochs=1:9", None, "12"),
        ([], "fusion.dropout=0:0.5", 0.1, None),  # a default
        (["fusion={use: sum, width: 9}"], "fusion=concat,{use: sum, width: 9}", "{use: sum, width: 9}", None),
        (["fusion={use: sum, width: 9}"], "fusion=concat,{use: sum, width: 8}", None, "{use: sum, width: 9}"),
        (["fusion={use: sum, width: 9}"], "fusion=sum,concat", "sum", None),
        ([], "gan=off,impute", "off", None),
        ([], "init=none", "none", None),
        ([], "modalities=[text],[text, table]", "[text, table]", None),
        ([], "modalities.text.encoder={use: lstm, width: 3},transformer", None, "ngram"),
    ],
)
def test_the_runs_own_values_are_found_however_they_are_written(shop, overrides, search, inside, outside) -> None:
    base, one = Base(*written(shop[0], ["training.epochs=4", *overrides]), str(shop[0])), dimension(search)
    found = as_written(base, [one])
    assert found == (({one.key: inside}, {}) if outside is None else ({}, {one.key: outside}))


def test_with_folds_the_first_one_is_searched_and_that_is_said(shop, tmp_path) -> None:
    folds = ["split={use: folds, folds: 2}", "training.epochs=1", "training.monitor=score"]
    result = workflow.tune(shop[0], tmp_path, search=["fusion=sum,concat"], trials=2, overrides=folds)
    assert (result["folds"], result["metric"]) == (2, "accuracy")
    assert "of the first fold" in (tmp_path / "best.yaml").read_text(encoding="utf-8")


def test_two_searches_in_one_folder_do_not_meet(shop, tmp_path) -> None:
    with held(tmp_path), pytest.raises(InUse):
        workflow.tune(shop[0], tmp_path, shop[1], search=SEARCH)


@pytest.mark.parametrize("damage", ["cut", "garbage", "inside", "folder"])
def test_damaged_trials_are_told_and_nothing_is_lost(shop, tuned, tmp_path, damage) -> None:
    whole = (tuned[0] / "study.db").read_bytes()
    file = tmp_path / "study.db"
    if damage == "folder":
        file.mkdir()
    else:
        middle = len(whole) // 2
        spoilt = {"cut": whole[:middle], "garbage": b"no database " * 999}
        file.write_bytes(spoilt.get(damage, whole[:4096] + b"\xff" * 8192 + whole[4096 + 8192 :]))
    before = None if damage == "folder" else file.read_bytes()
    with pytest.raises(DataError, match="trials of the search cannot be read") as caught:
        workflow.tune(shop[0], tmp_path, shop[1], search=SEARCH, trials=1, overrides=QUICK)
    assert caught.value.where == str(file) and "move the file away" in caught.value.todo
    assert before is None or file.read_bytes() == before


def test_without_optuna_it_says_which_extra_is_missing(shop, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtra, match="extra 'tune'"):
        workflow.tune(shop[0], tmp_path, shop[1], search=SEARCH)


@pytest.mark.parametrize(
    ("search", "overrides", "message"),
    [
        ([], [], "what to search"),
        (["split.test=0.1:0.3"], [], "decides which rows"),
        (["fusion.width=64:32"], [], "smaller end"),
        (["fusion.width=32:x"], [], "numbers"),
        (["training.learning_rate=0:1:log"], [], "begins above 0"),
        (["training.learning_rate=0.1:1:linear"], [], "even or log"),
        (["fusion.width=1:2", "fusion.width=3:4"], [], "twice"),
        (["fusion.width=4:8"], ["split.validation=0"], "no validation part"),
        (["fusion.widht=4:8"], [], "did you mean 'width'"),
        (["trainign.epochs=4:8"], [], "did you mean 'training'"),
        (["training.learning_rate=0:0.1"], [], "must be above 0"),
        (["fusion.dropout=0.1:1.5"], [], "must be below 1"),
        (["fusion=concat,sun"], [], "did you mean 'sum'"),
        (["init=none,/nowhere"], [], "not a bundle"),
        (["fusion=concat,{use: concat}"], [], "stands twice"),
        (["training.learning_rate=0.1,1e-1"], [], "the same run"),
    ],
)
def test_what_cannot_be_searched_is_refused(shop, tmp_path, search, overrides, message) -> None:
    with pytest.raises(TuwenError) as caught:
        workflow.tune(shop[0], tmp_path, shop[1], search=search, overrides=overrides)
    assert message in str(caught.value)
    assert overrides or caught.value.where == " ".join(["--search", *search[-1:]])
    assert [file.name for file in tmp_path.iterdir()] in ([], [".lock"])


def test_a_value_that_only_works_with_another_searched_value_is_searched(shop, tmp_path) -> None:
    search = ["fusion=concat,low-rank", "fusion.rank=2,4"]
    result = workflow.tune(shop[0], tmp_path, shop[1], search=search, trials=4, overrides=["training.epochs=1"])
    assert {trial["values"]["fusion"] for trial in result["trials"] if trial["state"] == "complete"} == {"low-rank"}
    with pytest.raises(ConfigError, match="no option 'rank'"):
        workflow.tune(shop[0], tmp_path / "out", shop[1], search=["fusion.rank=2,4", "fusion=concat,sum"])


@pytest.mark.parametrize(
    "text", ["fusion.width", "=1:2", "a=", "a=1:2:0.5", "a=0.1..0.5", "a=0.1-0.5", "a=1:nan", "a=[1"]
)
def test_a_search_of_no_form_shows_the_three_that_there_are(text) -> None:
    with pytest.raises(ConfigError) as caught:
        dimension(text)
    assert caught.value.where == f"--search {text}"
    for form in ("KEY=LOW:HIGH, as in fusion.dropout=0:0.5", "KEY=LOW:HIGH:log, as in", "KEY=A,B,C, as in"):
        assert form in str(caught.value.allowed)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a.b=1:8", Range("a.b", "1:8", 1, 8, False)),
        ("a=0:0.5", Range("a", "0:0.5", 0, 0.5, False)),
        ("a=1e-4:1e-2:log", Range("a", "1e-4:1e-2:log", 1e-4, 1e-2, True)),
        ("a= -1 : 1 ", Range("a", "-1 : 1", -1, 1, False)),
    ],
)
def test_a_range_is_read_as_it_is_written(text, found) -> None:
    assert dimension(text) == found
    assert found.whole == (text in ("a.b=1:8", "a= -1 : 1 "))
    assert not isinstance(dimension("a={use: late, width: 3},sum"), Range)
