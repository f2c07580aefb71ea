"""The command line as a person meets it: quick help, clear refusals, JSON for programs, Ctrl-C without loss."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from processes import TUWEN, Command
from tuwen import __version__, outputs
from tuwen.cli import app
from tuwen.cli.bars import Bars
from tuwen.cli.results import results_page
from tuwen.cli.screen import shown
from tuwen.cli.summaries import components
from tuwen.data.sample import write_sample_shop

ROOT = Path(__file__).parents[1]


def tuwen(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments], prog_name="tuwen")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sample_shop(tmp_path_factory.mktemp("cli") / "shop", items=16)


def refused(result: Result, code: int) -> dict[str, str]:
    """The fields of the JSON error of a command that was given --json."""
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    error: dict[str, str] = json.loads(result.stderr)["error"]
    return error


# --- Looking ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["train", "--help"], ["list"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    code = f"""
import sys
from tuwen.cli import app
try:
    app({arguments!r}, prog_name="tuwen")
except SystemExit as end:
    assert not end.code, end.code
heavy = {{"torch", "polars", "pyarrow", "onnxruntime", "fastapi", "PIL", "plotly", "sklearn"}} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_command_is_in_the_help_and_has_its_own() -> None:
    commands = ["sample", "collect", "train", "evaluate", "predict", "serve", "run", "runs", "list", "check", "doctor"]
    overview = tuwen("--help").output
    for command in commands:
        assert f" {command} " in overview
        shown = tuwen(command, "--help")
        assert shown.exit_code == 0
        assert "--quiet" in shown.output
        assert command == "serve" or "--json" in shown.output
    assert tuwen("--version").output == f"tuwen {__version__}\n"


def test_list_shows_every_component() -> None:
    found = json.loads(tuwen("list", "--json").stdout)
    assert found == components("all")
    assert set(found) == {
        "modalities",
        "encoders",
        "fusions",
        "generators",
        "tasks",
        "splits",
        "retrievers",
        "rankers",
        "raters",
    }
    for kind, entries in found.items():
        shown = tuwen("list", kind)
        assert shown.exit_code == 0
        assert all(name in shown.output for name in entries)
    assert refused(tuwen("list", "encodrs", "--json"), 2)["todo"] == "did you mean 'encoders'?"


def test_check_tells_a_good_run_whole_and_a_bad_one_by_file_and_line(shop: Path, tmp_path: Path) -> None:
    run = shop.with_name("RUN.yaml")
    found = json.loads(tuwen("check", run, "--json", "--set", "training.epochs=3").stdout)
    assert found["training"]["epochs"] == 3
    assert found["modalities"]["picture"]["encoder"]["use"] == "cnn"
    bad = tmp_path / "bad.yaml"
    bad.write_text(run.read_text(encoding="utf-8").replace("epochs: 8", "epoch: 8"), encoding="utf-8")
    line = next(i for i, text in enumerate(bad.read_text(encoding="utf-8").splitlines(), 1) if "epoch: 8" in text)
    error = refused(tuwen("check", bad, "--json"), 2)
    assert error["where"] == f"{bad}:{line}"
    assert error["todo"] == "did you mean 'epochs'?"


def test_check_ends_with_its_verdict_notes_just_above_and_an_error_stands_alone(shop: Path, tmp_path: Path) -> None:
    run, dataset = shop.with_name("RUN.yaml"), shop.with_name("dataset")
    tuwen("collect", shop, "--out", dataset)
    assert tuwen("check", run).stdout.splitlines()[-2:] == ["", f"{run} is in order"]
    idle = ["--set", "training.unfreeze=gradual", "--set", "training.unfreeze_epoch=1"]
    told = tuwen("check", run, dataset, *idle).stdout.splitlines()
    assert told[-1] == f"{run} is in order and can be trained on {dataset}; 2 notes above"
    assert told[-5] == "" and told[-4].startswith("one training: ")
    assert all(line.startswith("note: ") for line in told[-3:-1])
    wrong = tuwen("check", run, dataset, "--set", "training.epohs=3")
    assert wrong.stdout == "" and wrong.stderr.startswith("error ")


# --- Refusals -----------------------------------------------------------------------------------------------------


def test_every_kind_of_error_has_its_exit_code_and_no_traceback(shop: Path, tmp_path: Path) -> None:
    broken = tmp_path / "SHOP.yaml"
    broken.write_text("name: x\nitems: {source: nowhere.csv}\n", encoding="utf-8")
    assert refused(tuwen("collect", tmp_path / "none.yaml", "--out", tmp_path / "d", "--json"), 2)["where"]
    assert "nowhere.csv" in str(refused(tuwen("collect", broken, "--out", tmp_path / "d", "--json"), 3))
    assert refused(tuwen("predict", tmp_path, tmp_path / "x.csv", "--json"), 4)["what"] == "not a bundle"
    with outputs.held(tmp_path / "busy"):
        error = refused(tuwen("collect", shop, "--out", tmp_path / "busy", "--json"), 6)
    assert str(os.getpid()) in error["seen"]


def test_an_error_for_a_person_is_labelled_lines_on_stderr(tmp_path: Path) -> None:
    done = tuwen("check", tmp_path / "none.yaml")
    assert done.exit_code == 2 and done.stdout == ""
    assert done.stderr.splitlines()[0] == "error cannot read the file"
    assert re.search(r"^ +where  .*none\.yaml$", done.stderr, re.MULTILINE)


@pytest.mark.parametrize("arguments", [["trian"], ["train"], ["sample", "x", "--items", "two"], ["list", "--bogus"]])
def test_wrong_usage_is_explained(arguments: list[str]) -> None:
    done = tuwen(*arguments)
    assert done.exit_code == 2
    assert "Usage: tuwen" in done.stderr
    assert "Traceback" not in done.output


def test_a_fault_of_our_own_is_short_and_its_details_are_in_a_log(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def faulty(kind: str) -> dict[str, Any]:
        raise ZeroDivisionError("no such luck\nsecond line")

    monkeypatch.setattr("tuwen.cli.summaries.components", faulty)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    done = tuwen("list", "encoders")
    assert done.exit_code == 70
    assert "Traceback" not in done.output and "second line" not in done.output
    (log,) = tmp_path.glob("tuwen-error-*.log")
    assert str(log) in done.stderr and "ZeroDivisionError: no such luck" in done.stderr
    kept = log.read_text(encoding="utf-8")
    assert kept.startswith("tuwen list encoders\n") and "in faulty" in kept
    log.unlink()
    done = tuwen("list", "encoders", "--json")
    error = refused(done, 70)
    assert set(error) == {"what", "seen", "todo", "log"} and "second line" not in done.output
    assert "in faulty" in Path(error["log"]).read_text(encoding="utf-8")


def test_a_reader_that_leaves_early_is_no_fault() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", TUWEN, "list", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout and process.stderr
    process.stdout.close()
    assert process.wait(30) in (0, 1)
    assert process.stderr.read() == b""
    process.stderr.close()


# --- Work ---------------------------------------------------------------------------------------------------------


def test_sample_and_collect_answer_in_text_in_json_and_not_at_all(tmp_path: Path) -> None:
    made = json.loads(tuwen("sample", tmp_path / "shop", "--items", "16", "--json").stdout)
    told = tuwen("collect", made["shop"], "--out", tmp_path / "dataset")
    assert told.exit_code == 0, told.output
    assert re.search(r"items +18 +2", told.stdout)
    assert "1 number out of range" in told.stdout and "rejected.parquet" in told.stdout
    assert "read items.csv: 20" in told.stderr
    assert tuwen("collect", made["shop"], "--out", tmp_path / "dataset", "--quiet").output == ""
    again = tuwen("collect", made["shop"], "--out", tmp_path / "dataset", "--json")
    assert again.stderr == ""
    manifest = json.loads(again.stdout)
    assert manifest["hash"] == json.loads((tmp_path / "dataset" / "manifest.json").read_text(encoding="utf-8"))["hash"]


def test_settings_can_be_changed_from_the_command_line(shop: Path, tmp_path: Path) -> None:
    done = tuwen("collect", shop, "--out", tmp_path / "d", "--set", "rating_range=[1, 3]", "--json")
    low = json.loads(done.stdout)["tables"]["reviews"]["reasons"]["number out of range"]
    done = tuwen("collect", shop, "--out", tmp_path / "d", "--json")
    assert json.loads(done.stdout)["tables"]["reviews"]["reasons"]["number out of range"] < low
    assert (
        refused(tuwen("collect", shop, "--out", tmp_path / "d", "--set", "bogus", "--json"), 2)["where"]
        == "--set bogus"
    )


def test_a_second_training_of_the_same_says_that_it_is_done(shop: Path, tmp_path: Path) -> None:
    dataset, bundle = tmp_path / "dataset", tmp_path / "bundle"
    assert tuwen("collect", shop, "--out", dataset, "-q").exit_code == 0
    small = ["--set", "training.epochs=1", "--set", "modalities.picture.size=32", "--set", "split=hash"]
    command = ["train", shop.with_name("RUN.yaml"), dataset, "--out", bundle, *small]
    on = ["check", *command[1:3], *small]
    assert f"and can be trained on {dataset}" in tuwen(*on).stdout
    assert json.loads(tuwen(*on, "--json").stdout)["data"]["rows"][0]["test"] > 0
    slip = refused(tuwen(*on, "--set", "task.target=reviews.ratng", "--json"), 2)
    assert "did you mean 'reviews.rating'" in slip["todo"] and slip["where"] == "--set task.target=reviews.ratng"
    first, again = tuwen(*command), tuwen(*command)
    assert "already trained" not in first.output and "already trained" in again.output
    assert json.loads(tuwen(*command, "--json").stdout) == {
        "bundle": str(bundle),
        "already_trained": True,
        "warnings": [],
    }
    assert json.loads(tuwen(*command, "--json", "--replace").stdout)["already_trained"] is False
    renamed = shop.with_name("RENAMED.yaml")
    renamed.write_text(
        shop.read_text(encoding="utf-8").replace("name: lantern-and-loom", "name: elsewhere"), encoding="utf-8"
    )
    tuwen("collect", renamed, "--out", dataset, "-q", "--set", "rating_range=[1, 4]")
    told = " ".join(tuwen("evaluate", bundle, dataset, "--out", tmp_path / "report").stdout.split())
    assert "warning: Tested on the shop “elsewhere”, but trained on the shop “lantern-and-loom”." in told
    assert "warning: Tested on other data" in told
    error = refused(tuwen(*command, "--set", "seed=1", "--json"), 4)
    assert error["where"] == str(bundle) and "--replace" in error["todo"]


def test_ctrl_c_says_how_to_go_on(tmp_path: Path) -> None:
    shop = tmp_path / "big shop"
    # what runs in a shell's background has Ctrl-C ignored, and passes that on
    code = f"import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n{TUWEN}"
    process = Command("sample", str(shop), "--items", "800", code=code)
    while not list(tmp_path.glob(".big shop.*.half/photos/*.jpg")):  # it is at work
        assert process.is_alive()
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    told = process.stderr
    assert f"  tuwen sample '{shop}' --items 800" in told.splitlines()
    assert "Traceback" not in told
    assert not list(tmp_path.iterdir())  # half a shop is no shop


# --- Bars ---------------------------------------------------------------------------------------------------------


def test_bars_in_a_terminal_count_and_may_stand_inside_one_another() -> None:
    out = io.StringIO()
    bars = Bars(Console(file=out, force_terminal=True, width=100))
    with bars.task("outer", 2) as outer:
        with bars.task("inner", 5) as inner:
            inner.advance(5)
        outer.advance()
        with bars.task("unknown") as unknown:
            unknown.advance(3)
        with bars.task("plain [/words] of a person"):
            pass
        outer.advance()
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", out.getvalue())
    last = {line.split()[0]: line for line in re.split(r"[\r\n]+", shown) if line.strip()}
    assert "2/2" in last["outer"] and "5/5" in last["inner"] and "3/3" in last["unknown"]
    assert "[/words]" in last["plain"]


def test_bars_in_a_log_are_one_line_a_piece_of_work(capsys: pytest.CaptureFixture[str]) -> None:
    bars = Bars(Console(file=io.StringIO(), force_terminal=False))
    with pytest.raises(KeyboardInterrupt), bars.task("cut off", 3):
        raise KeyboardInterrupt
    with bars.task("whole", 3) as whole:
        whole.advance(3)
    assert re.fullmatch(r"whole: 3 of 3 in \d+\.\d s\n", capsys.readouterr().err)


# --- Results ------------------------------------------------------------------------------------------------------


def test_the_page_of_results_holds_every_number() -> None:
    report = {
        "task": "rate",
        "rows": 1234,
        "split": "time",
        "bootstrap": {"confidence": 0.95},
        "metrics": {"rmse": {"value": 0.58761, "low": 0.55, "high": 0.62}},
        "primary": "rmse",
        "baselines": {"mean": {"rmse": {"value": 1.1, "low": None, "high": None}}},
        "comparisons": {"mean": {"rmse": {"difference": -0.51239, "low": -0.6, "high": -0.4, "p": 0.001}}},
        "knock_out": {
            "text": {
                "absent": {"metrics": {"rmse": {"value": 1.01, "low": 0.9, "high": 1.2}}},
                "half": {"metrics": {"rmse": {"value": 0.8, "low": 0.7, "high": 0.9}}},
                "swapped": {"metrics": {"rmse": {"value": 1.33, "low": 1.2, "high": 1.4}}},
            }
        },
        "cost": {"train_seconds": 12.5},
        "provenance": {"commit": "abc", "data_hash": "0123456789abcdef", "seed": 7},
    }
    page = results_page(Path("runs"), {"sample": report}, {})
    assert "## sample" in page and "[`runs/sample.yaml`](../runs/sample.yaml)" in page
    assert "· `make run RUN=sample OUT=DIR`" in page
    assert "| **this model 本模型** | 0.5876 (0.55 – 0.62) |" in page and "| mean | 1.1 |" in page
    assert "| [sample](#sample) | rmse | 0.5876 (0.55 – 0.62) | mean: 1.1 | -0.5124 (-0.6 – -0.4) |" in page
    assert "without text 缺 text* | 1.01 (0.9 – 1.2) |" in page and "another row's text" in page and "1.33" in page
    assert "train seconds 12.5" in page and "0123456789ab," in page and "1,234 test rows" in page and "95%" in page


def test_a_comparison_of_classes_tells_the_rare_ones_too() -> None:
    def figure(value: float) -> dict[str, float]:
        return {"value": value, "low": value - 0.1, "high": value + 0.1}

    def cell(name: str, accuracy: float, macro: float) -> dict[str, object]:
        difference = {m: {"difference": d, "low": d - 0.01, "high": d + 0.01} for m, d in differences.items()}
        metrics = {"accuracy": figure(accuracy), "macro_f1": figure(macro)}
        return {
            "name": name,
            "metrics": metrics,
            "difference": difference,
            "missing": {"text": {how: {"metrics": metrics, "loss": lost} for how in ("half", "all")}},
            "cost": {"train_seconds": 3.25},
        }

    differences = {"accuracy": 0.02, "macro_f1": 0.07}
    lost = {"accuracy": {"difference": -0.25, "low": -0.375, "high": -0.125}}
    told, least, most = (dict.fromkeys(("two_sample_accuracy", "coverage"), v) for v in (0.6, 0.5, 0.7))
    generator = {
        "quality": [{"class": "rare", **told, "least": least, "most": most}],
        "warnings": [{"en": "Collapsed.", "zh": ""}],
        "trainings": 2,
        "warned": 1,
    }
    result = {
        "primary": "accuracy",
        "kinds": ["text"],
        "reference": "gan=off",
        "rows": 50,
        "seeds": [0, 1],
        "folds": 1,
        "cells": [cell("gan=off", 0.5, 0.25), cell("gan=augment", 0.75, 0.625) | {"generator": generator}],
        "failures": [],
        "notes": [],
        "provenance": {"commit": "abc", "data_hash": "0123456789abcdef"},
    }
    page = results_page(Path("runs"), {}, {"rare": result})
    assert "| accuracy | half without text | all without text | against gan=off | macro_f1 | its difference |" in page
    left = "0.75; -0.25 (-0.375 – -0.125)"
    row = f"| gan=augment | 0.75 (0.65 – 0.85) | {left} | {left} | 0.02 (0.01 – 0.03) |"
    assert f"{row} 0.625 (0.525 – 0.725) | 0.07 (0.06 – 0.08) | 3.25 |" in page
    assert "· `tuwen compare runs/compare/rare.yaml --out DIR`" in page and "paired" in page
    assert "gan=augment, generator of class “rare”: told apart from true ones (0.5 is best) 0.6 (0.5 – 0.7)" in page
    assert "gan=augment: Collapsed. (1 of 2 trainings warned.)" in page


def test_a_folder_that_cannot_be_made_is_no_fault_of_ours(shop: Path) -> None:
    result = CliRunner().invoke(app, ["collect", str(shop), "--out", "/proc/nowhere", "-q"])
    assert result.exit_code == 3
    assert "/proc/nowhere" in result.output and "fault of its own" not in result.output


def test_a_long_cell_does_not_fill_the_terminal() -> None:
    assert shown("x" * 1_000_000) == "x" * 199 + "…"
    assert shown("short") == "short"


@pytest.mark.parametrize("encoding", ["gbk", "ascii"])
def test_a_terminal_without_unicode_gets_an_answer(encoding: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", TUWEN, "list"],
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert b"lstm" in done.stdout
