"""Classes that the train part never had: told wherever figures are told, and other data with other classes is judged as
far as it can be.
"""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from shops import refused
from tuwen import workflow
from tuwen.cli import app
from twofold import write_shop

SPLIT = "split: {use: column, column: items.part, test: [test], validation: [validation]}"


def shop_of(folder: Path, test, train=str) -> Path:
    """The twofold shop with a column ``part``; ``test`` and ``train`` rename the classes of those parts."""
    run = write_shop(folder, items=120)
    header, *lines = (folder / "items.csv").read_text(encoding="utf-8").splitlines()
    rows = [f"{header},part"]
    for i, line in enumerate(lines):
        part = ["test", "validation", "train", "train"][i % 4]
        start, _, name = line.rpartition(",")
        rows.append(f"{start},{(test if part == 'test' else train)(name)},{part}")
    (folder / "items.csv").write_text("\n".join(rows), encoding="utf-8")
    text = run.read_text(encoding="utf-8").replace("split: {use: hash, test: 0.3, validation: 0.2, salt: two}", SPLIT)
    run.write_text(text.replace("epochs: 12", "epochs: 2"), encoding="utf-8")
    workflow.collect(folder / "SHOP.yaml", folder / "dataset")
    return run


def newer(name: str) -> str:
    return name if name in "ab" else f"{name}-new"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with a shop whose test part has two classes that its train part has not, and the bundle."""
    folder = tmp_path_factory.mktemp("home")
    run = shop_of(folder / "shop", test=newer)
    workflow.train(run, folder / "shop" / "dataset", folder / "bundle")
    return folder


def test_report_page_card_and_terminal_tell_of_test_rows_that_it_cannot_know(home):
    told = CliRunner().invoke(
        app, ["evaluate", str(home / "bundle"), str(home / "shop" / "dataset"), "--out", str(home / "report")]
    )
    report = json.loads((home / "report" / "report.json").read_text(encoding="utf-8"))
    lost = report["unseen"]["rows"]
    assert report["unseen"] == {"classes": 2, "rows": lost, "names": report["unseen"]["names"]}
    assert sorted(report["unseen"]["names"]) == ["c-new", "d-new"]
    (warning,) = report["warnings"]
    right = report["metrics"]["accuracy"]["value"] * 30 / (30 - lost)
    assert f"{lost} of 30 test rows belong to 2 classes that it never learned" in warning["en"]
    assert f"of the other {30 - lost} rows, {right:.1%}".replace("%", " %") in warning["en"]
    assert "“c-new”" in warning["en"] and "“c-new”" in warning["zh"] and "train again" in warning["en"]
    assert f"warning: {warning['en']}" in told.stdout
    page = (home / "report" / "report.html").read_text(encoding="utf-8")
    assert warning["en"] in page and warning["zh"] in page
    assert f"> {warning['en']}" in (home / "bundle" / "card.md").read_text(encoding="utf-8")


def test_other_data_with_some_known_classes_is_judged_and_the_rest_told(home, tmp_path):
    shop_of(tmp_path / "shop", test=newer, train=newer)
    report = workflow.evaluate(home / "bundle", tmp_path / "shop" / "dataset", tmp_path / "report")
    assert sorted(report["unseen"]["names"]) == ["c-new", "d-new"]
    assert [w["en"].partition(" ")[0] for w in report["warnings"]] == ["Tested", str(report["unseen"]["rows"])]
    assert set(report["baselines"]) == {"majority", "tfidf_linear", "table_linear", "text_only", "table_only"}
    rows = {one["label"]: (one["rows"], one["answers"]) for one in report["confusion"]["classes"]}
    assert set(rows) == {"a", "b", "c", "d", "c-new", "d-new"}
    assert rows["c-new"][0] > 0 and rows["c-new"][1] == 0 and rows["c"][0] == 0


def test_other_data_that_lacks_some_of_the_classes_is_judged_without_a_word(home, tmp_path):
    shop_of(tmp_path / "shop", test=lambda name: "a" if name in "ab" else "c", train=lambda name: "ac"[name in "cd"])
    report = workflow.evaluate(home / "bundle", tmp_path / "shop" / "dataset", tmp_path / "report")
    assert report["unseen"]["rows"] == 0 and len(report["warnings"]) == 1


def test_the_most_common_class_of_other_data_may_be_one_that_the_bundle_does_not_know(home, tmp_path):
    shop_of(tmp_path / "shop", test=lambda name: name if name == "a" else "z", train=lambda name: "az"[name != "a"])
    report = workflow.evaluate(home / "bundle", tmp_path / "shop" / "dataset", tmp_path / "report")
    share = 1 - next(one["rows"] for one in report["confusion"]["classes"] if one["label"] == "a") / 30
    assert report["baselines"]["majority"]["accuracy"]["value"] == pytest.approx(share) and share > 0.5


def test_other_data_without_a_known_class_is_refused_before_a_baseline_is_trained(home, tmp_path):
    shop_of(tmp_path / "shop", test=lambda name: f"new {name}", train=lambda name: f"new {name}")
    with refused("knows none of the classes") as errors:
        workflow.evaluate(home / "bundle", tmp_path / "shop" / "dataset", tmp_path / "report")
    error = errors[0]
    assert error.where == str(tmp_path / "shop" / "dataset") and "30 rows of 'new " in error.seen
    assert error.allowed == "rows of 'a', 'b', 'c', 'd'" and error.todo.startswith("train again")
    assert not (tmp_path / "report" / "baselines").exists()


def test_a_class_that_one_fold_only_tests_counts_as_one_it_cannot_know(tmp_path):
    """The pooled table holds all classes; each fold's model does not."""
    run = write_shop(tmp_path, items=60, poisoned=["i7"])  # a class with a single row
    text = run.read_text(encoding="utf-8").replace("epochs: 12", "epochs: 1")
    text = text.replace("{use: hash, test: 0.3, validation: 0.2, salt: two}", "{use: folds, folds: 2}")
    run.write_text(text.replace("evaluation: {", "evaluation: {baselines: [trivial], "), encoding="utf-8")
    report = workflow.run(run, tmp_path / "out")
    assert report["unseen"] == {"classes": 1, "rows": 1, "names": ["poison7"]}
    assert report["warnings"][0]["en"].startswith("1 of 60 test rows belongs to a class")


def test_a_comparison_tells_of_them_too(home, tmp_path):
    run = home / "shop" / "RUN.yaml"
    asked = ["compare", str(run), str(home / "shop" / "dataset"), "--vary", "fusion=sum,concat", "--seeds", "1"]
    told = CliRunner().invoke(app, [*asked, "--out", str(tmp_path)])
    result = json.loads((tmp_path / "compare.json").read_text(encoding="utf-8"))
    lost = {cell["unseen"]["rows"] for cell in result["cells"]}
    assert all(sorted(cell["unseen"]["names"]) == ["c-new", "d-new"] for cell in result["cells"]) and len(lost) == 1
    warning = f"{lost.pop()} of 30 test rows belong to 2 classes that it never learned"
    assert f"warning: {warning}" in told.stdout
    page = (tmp_path / "compare.html").read_text(encoding="utf-8")
    assert warning in page and "从未学过的 2 个类别" in page
