"""``tuwen compare`` and ``tuwen tune`` as a person and a program meet them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from test_evaluation_comparison_page import judged_by
from tuwen.cli import app
from tuwen.cli.experiments import _show_comparison
from tuwen.cli.screen import Screen
from twofold import collected


def tuwen(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments], prog_name="tuwen")


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> tuple[Path, Path]:
    return collected(tmp_path_factory.mktemp("experiments"))


QUICK = ("--set", "training.epochs=1", "--set", "evaluation.samples=100", "--seeds", "1")


def test_compare_prints_one_json_document_and_then_a_table(shop, tmp_path) -> None:
    idle = ["--set", "training.unfreeze=gradual"]
    command = ["compare", *shop, "--vary", "fusion=sum,concat,summ", "--out", tmp_path / "out", *QUICK, *idle]
    found = tuwen(*command, "--json")
    assert found.exit_code == 0, found.output
    told = json.loads(found.stdout)
    assert [cell["name"] for cell in told["cells"]] == ["sum", "concat"] and told["reference"] == "sum"
    assert told["failures"][0]["cell"] == "summ"
    assert [one["cells"] for one in told["notes"]] == [["sum", "concat"]]
    table = tuwen(*command)
    assert table.exit_code == 0
    for words in (
        "when an input is missing",
        "reference",
        "training.unfreeze has no effect: no pretrained weights are trained on here (encoder: {…, frozen: false}, "
        "or init) (in every cell)",
        "failed: summ: there is no fusion called 'summ'",
        "compare.html",
    ):
        assert words in " ".join(table.stdout.split())
    assert table.stdout.count("note: ") == 1
    assert tuwen(*command, "-q").stdout == ""


def test_the_table_of_a_comparison_goes_by_the_corrected_p(tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    result = judged_by(100, 6, cell0=0.01, cell1=0.119)
    for cell in result["cells"]:
        cell["missing"]["text"] = {how: {"metrics": cell["metrics"]} for how in ("half", "all")}
    _show_comparison(Screen(as_json=False, quiet=False), result, tmp_path)
    told = " ".join(capsys.readouterr().out.split())
    assert "-0.1000) worse 1.5" in told and "-0.1000) no 1.5" in told
    assert "Compared with concat: 1 clearly worse, 5 not clearly different." in told
    assert "100 resamples and 6 comparisons no corrected p is below 0.12. Raise evaluation.samples to 239" in told


def test_of_a_long_path_the_table_shows_the_end_and_json_all(shop, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    bundle = tmp_path / "a" / "rather" / "long" / "way" / "down" / "pairs-bundle"
    assert tuwen("train", *shop, "--out", bundle, *QUICK[:4]).exit_code == 0
    command = ["compare", *shop, "--vary", f"init=none,{bundle}", "--out", tmp_path / "out", *QUICK]
    told = json.loads(tuwen(*command, "--json").stdout)
    assert [cell["name"] for cell in told["cells"]] == ["init=none", f"init={bundle}"]
    lines = tuwen(*command).stdout.splitlines()
    assert sum(line.split()[:1] == ["init=pairs-bundle"] for line in lines) == 2
    assert all(len(line.rstrip()) <= 80 for line in lines if not line.startswith("comparison:"))


def test_beside_a_file_only_what_it_can_be_changed_by_is_allowed(shop, tmp_path) -> None:
    file = tmp_path / "fusions.yaml"
    text = f"run: {shop[0]}\nvary: ['fusion=sum,concat']\nseeds: 3\nset: [training.epochs=1, evaluation.samples=100]\n"
    file.write_text(text, encoding="utf-8")
    for option, value in (("--vary", "gan=off"), ("--reference", "fusion=concat")):
        found = tuwen("compare", file, shop[1], "--out", tmp_path / "out", option, value, "--json")
        error = json.loads(found.stderr)["error"]
        assert found.exit_code == 2 and error["seen"] == f"{option} {value}" and error["where"] == str(file)
    assert not (tmp_path / "out").exists()
    found = tuwen("compare", file, shop[1], "--out", tmp_path / "out", "--seeds", "1", "--json")
    assert json.loads(found.stdout)["seeds"] == [3]
    other = ["compare", *shop, "--vary", "fusion.width=8,4", "--out", tmp_path / "out", *QUICK, "--json"]
    refused = tuwen(*other)
    assert refused.exit_code == 2 and "--replace" in json.loads(refused.stderr)["error"]["todo"]
    assert tuwen(*other, "--replace").exit_code == 0


@pytest.mark.parametrize("place", ["file", "file/below"])
@pytest.mark.parametrize(
    "command",
    [
        "collect SHOP",
        "train RUN DATA",
        "evaluate BUNDLE DATA",
        "run RUN",
        "compare RUN DATA --vary fusion=sum",
        "compare RUN --vary fusion=sum",
        "tune RUN DATA --search fusion=sum,concat",
    ],
)
def test_a_file_where_a_folder_is_to_be_written_is_told_as_such(shop, tmp_path, command, place) -> None:
    (tmp_path / "file").write_text("kept", encoding="utf-8")
    places = {"RUN": shop[0], "DATA": shop[1], "SHOP": shop[0].with_name("SHOP.yaml"), "BUNDLE": tmp_path}
    words = [places.get(word, word) for word in command.split()]
    found = tuwen(*words, "--out", tmp_path / place, "--json")
    error = json.loads(found.stderr)["error"]
    assert found.exit_code == (4 if (words[0], place) == ("train", "file") else 3)
    assert error["where"] == str(tmp_path / "file") and error["todo"].startswith("name another folder")
    assert (tmp_path / "file").read_text(encoding="utf-8") == "kept" and len(list(tmp_path.iterdir())) == 1


def test_compare_fails_only_when_everything_does(shop, tmp_path) -> None:
    found = tuwen("compare", *shop, "--vary", "training.learning_rate=1e30,1e31", "--out", tmp_path, *QUICK, "--json")
    assert found.exit_code == 1
    assert "none of the 2 cells" in json.loads(found.stderr)["error"]["what"]
    found = tuwen("compare", *shop, "--vary", "split=hash,random", "--out", tmp_path, "--json")
    assert found.exit_code == 2


def test_tune_prints_one_json_document_and_then_a_table(shop, tmp_path) -> None:
    command = ["tune", *shop, "--search", "fusion=sum,concat", "--search", "fusion.dropout=0:0.5", "--trials", "3"]
    command += ["--out", tmp_path / "out", "--set", "training.epochs=1"]
    found = tuwen(*command, "--json")
    assert found.exit_code == 0, found.output
    told = json.loads(found.stdout)
    assert len(told["trials"]) == 3 and set(told["best"]["values"]) == {"fusion", "fusion.dropout"}
    table = tuwen(*command)
    for words in ("as it is written", "best.yaml", "tune.html"):
        assert words in table.stdout
    aside = tuwen("tune", *shop, "--search", "fusion=gated", "--trials", "1", "--out", tmp_path / "aside", *QUICK[:2])
    told = " ".join(aside.stdout.split())
    assert "as it is written is outside the search, so it was not tried: fusion=" in told
    refused = tuwen("tune", *shop, "--out", tmp_path / "out", "--json")
    assert refused.exit_code == 2 and "what to search" in json.loads(refused.stderr)["error"]["what"]
