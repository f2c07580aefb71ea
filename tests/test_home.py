"""The home of a service: what is live, what was before, and nothing lost whatever fails in between."""

import json
import multiprocessing
import os
from datetime import datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from test_evaluation_comparison_page import result_of
from tuwen.bundle.files import writing
from tuwen.bundle.home import Home
from tuwen.bundle.parts import kind_of, read_report
from tuwen.bundle.revisions import KEPT
from tuwen.cli import app
from tuwen.errors import BundleError, DataError, InUse
from tuwen.evaluation.report import write_report
from tuwen.outputs import PLACING, finish
from tuwen.workflow.serving import promote


def bundle(folder: Path, text: str = "words", task: str = "rate") -> Path:
    with writing(folder, {"name": folder.name, "task": task}) as place:
        (place / "weights.npz").write_bytes(text.encode())
    return folder


def good(kind, folder):
    assert (folder / "bundle.json").is_file()


def bad(kind, folder):
    raise BundleError("it says nothing", todo="train it again")


def test_what_is_promoted_is_live_and_a_copy(tmp_path):
    home = Home(tmp_path / "home")
    assert home.live().number == 0 and home.part("predict") is None
    added = home.promote(bundle(tmp_path / "one"), good)
    assert added.number == 1 and home.live() == added and added.note == "promoted one (predict)"
    place = home.part("predict")
    assert place is not None and (place / "weights.npz").read_bytes() == b"words"
    bundle(tmp_path / "one", "other words")  # trained anew in its place: what is live stays
    assert (place / "weights.npz").read_bytes() == b"words"


def test_kinds_live_beside_each_other(tmp_path):
    home = Home(tmp_path / "home")
    home.promote(bundle(tmp_path / "one"), good)
    home.promote(bundle(tmp_path / "two", task="rank"), good)
    assert set(home.live().parts) == {"predict", "recommend"}
    assert kind_of(tmp_path / "two") == "recommend"


def test_what_fails_its_test_changes_nothing(tmp_path):
    home = Home(tmp_path / "home")
    before = home.promote(bundle(tmp_path / "one"), good)
    with pytest.raises(BundleError, match="what is live stays: it says nothing") as found:
        home.promote(bundle(tmp_path / "two"), bad)
    assert found.value.todo == "train it again"
    assert home.live() == before and len(list((home.folder / "parts").iterdir())) == 1


def test_a_step_back_and_another_one(tmp_path):
    home = Home(tmp_path / "home")
    for name in ("one", "two", "three"):
        home.promote(bundle(tmp_path / name, name), good)

    def live() -> str:
        place = home.part("predict")
        assert place is not None
        return (place / "weights.npz").read_text()

    home.back()
    assert live() == "two"
    home.back()
    assert live() == "one"
    with pytest.raises(DataError, match="no such revision"):
        home.back()
    home.back(3)
    assert live() == "three" and home.live().number == 6 and home.live().note == "back to revision 3"
    with pytest.raises(DataError, match="no such revision"):
        home.back(99)


def test_parts_that_cannot_come_back_are_deleted(tmp_path):
    home = Home(tmp_path / "home")
    for number in range(KEPT + 3):
        home.promote(bundle(tmp_path / f"b{number}"), good)
    assert len(list((home.folder / "parts").iterdir())) == KEPT
    with pytest.raises(DataError, match="parts of that revision are gone"):
        home.back(1)


def test_an_experiment_needs_two_and_ends(tmp_path):
    home = Home(tmp_path / "home")
    other = bundle(tmp_path / "other", task="rank")
    with pytest.raises(DataError, match="no recommender to compare with"):
        home.begin_experiment(other, good, "test", 0.5)
    home.promote(bundle(tmp_path / "one", task="rank"), good)
    for share in (0.0, 1.0, 1.5, float("nan")):
        with pytest.raises(DataError, match="one of the two would answer nobody") as refused:
            home.begin_experiment(other, good, "test", share)
        assert "promote it" in refused.value.todo
    begun = home.begin_experiment(other, good, "test", 0.25)
    assert begun.parts == home.revisions()[0].parts and (home.folder / begun.experiment["part"]).is_dir()
    with pytest.raises(DataError, match="experiment 'test' still runs") as refused:
        home.begin_experiment(other, good, "t2", 0.25)
    assert "--end" in refused.value.todo and home.live() == begun
    assert home.end_experiment().experiment == {}
    for name in ("", " ", "a\nb", "a\x7f", "\ud800", "x" * 101):
        with pytest.raises(DataError, match="no name of an experiment") as refused:
            home.begin_experiment(other, good, name, 0.25)
        assert "1 to 100 characters" in refused.value.allowed and "another name" in refused.value.todo
        assert len(refused.value.seen) < 120
    with pytest.raises(DataError, match="no experiment runs"):
        home.end_experiment()
    with pytest.raises(DataError, match="counted together"):
        home.begin_experiment(other, good, "test", 0.25)
    home.begin_experiment(other, good, "another", 0.25)
    assert home.back().experiment == {} and home.back().experiment == begun.experiment  # steps, not leaps
    assert home.back().experiment == {} and home.live().parts == begun.parts
    times = [datetime.fromisoformat(one.time) for one in home.revisions()]
    ran = home.periods("test")  # revisions 2 and 6: a step back brought it again
    assert ran == [(times[1], times[2]), (times[5], times[6])] and home.periods("another") == [(times[3], times[4])]
    assert home.periods("never") == [] and len(set(times)) == len(times)


UNTIMED = '{"format": 1, "revisions": [{"number": 1, "time": "soon", "note": "", "parts": {}, "experiment": {}}]}'


@pytest.mark.parametrize("damage", ["", "[]", '{"format": 1}', '{"format": 1, "revisions": [{"x": 1}]}', UNTIMED])
def test_a_damaged_list_is_told_and_not_overwritten(tmp_path, damage):
    home = Home(tmp_path / "home")
    home.promote(bundle(tmp_path / "one"), good)
    (home.folder / "live.json").write_text(damage)
    with pytest.raises(DataError, match="the list of what is live is damaged"):
        home.promote(bundle(tmp_path / "two"), good)
    assert (home.folder / "live.json").read_text() == damage


def test_a_folder_of_something_else_is_no_home(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"x")
    with pytest.raises(DataError, match="something that is not a home"):
        Home(tmp_path / "photos")
    with pytest.raises(DataError, match="nothing here that can be served"):
        Home(tmp_path / "home").promote(tmp_path / "photos", good)


def slow(kind, folder):
    (folder.parents[1] / "testing").touch()
    while not (folder.parents[1] / "go").exists():
        pass


def promote_slowly(home: str, source: str) -> None:
    Home(home).promote(source, slow)


def test_of_two_promoters_at_once_one_waits_its_turn(tmp_path):
    home = Home(tmp_path / "home")
    one, two = bundle(tmp_path / "one"), bundle(tmp_path / "two")
    process = multiprocessing.get_context("fork").Process(target=promote_slowly, args=(str(home.folder), str(one)))
    process.start()
    while not (home.folder / "testing").exists():
        pass
    with pytest.raises(InUse, match="another run is writing"):
        home.promote(two, good)
    (home.folder / "go").touch()
    process.join(30)
    assert [revision.note for revision in home.revisions()] == ["promoted one (predict)"]


def test_a_promoter_that_is_killed_leaves_what_is_live(tmp_path):
    home = Home(tmp_path / "home")
    home.promote(bundle(tmp_path / "one"), good)
    process = multiprocessing.get_context("fork").Process(
        target=promote_slowly, args=(str(home.folder), str(bundle(tmp_path / "two")))
    )
    process.start()
    while not (home.folder / "testing").exists():
        pass
    assert process.pid
    os.kill(process.pid, 9)
    process.join(30)
    assert home.live().number == 1
    home.promote(bundle(tmp_path / "three"), good)  # and what it left is swept away
    assert len(list((home.folder / "parts").iterdir())) == 2
    assert json.loads((home.folder / "live.json").read_text())["revisions"][-1]["number"] == 2


def report(folder: Path, name: str = "stars", file: str = "report.json") -> Path:
    (folder / "baselines").mkdir(parents=True)
    (folder / file).write_text(json.dumps({"name": name}), encoding="utf-8")
    (folder / file).with_suffix(".html").write_text("page")
    return folder


def test_a_home_holds_as_many_reports_as_have_names(tmp_path):
    home, quiet = Home(tmp_path / "home"), lambda kind, folder: None
    first = home.promote(report(tmp_path / "a"), quiet)
    home.promote(report(tmp_path / "b", file="compare.json"), quiet)
    home.promote(report(tmp_path / "judged", ""), quiet)  # nobody named it: as its folder
    home.promote(report(tmp_path / "c", "../x y"), quiet, name="third")
    home.promote(report(tmp_path / "d", "../x y"), quiet)
    assert list(home.reports()) == ["judged", "stars", "stars-compared", "third", "x-y"] and first.parts
    assert read_report(home.reports()["stars-compared"])[1].read_text() == "page"
    assert {file.name for file in home.reports()["stars"].iterdir()} == {"report.json", "report.html"}
    before = home.reports()["stars"]
    home.promote(report(tmp_path / "e"), quiet)  # of the same run, made anew
    assert home.reports()["stars"] != before and len(home.reports()) == 5
    home.drop("stars")
    assert "stars" not in home.reports() and home.live().note == "dropped report/stars"
    home.back()
    assert "stars" in home.reports()
    with pytest.raises(DataError, match="there is no such report") as found:
        home.drop("star")
    assert found.value.todo == "did you mean 'stars'?"
    for name, source in (("a/b", tmp_path / "a"), ("x", bundle(tmp_path / "one"))):
        with pytest.raises(DataError, match="cannot be promoted under that name"):
            home.promote(source, quiet, name=name)


@pytest.mark.parametrize("content", ["", "[]", '{"name": "a"}', '{"cells": [], "primary": "rmse"}'])
def test_a_report_that_is_none_is_not_promoted(tmp_path, content):
    (report(tmp_path / "a") / "report.json").write_text(content)
    with pytest.raises(BundleError, match="it failed its self-test"):
        promote(tmp_path / "a", tmp_path / "home")
    assert Home(tmp_path / "home").reports() == {}


def test_the_command_line_names_a_comparison_and_lets_it_go(tmp_path):
    def typed(*words: object) -> Result:
        return CliRunner().invoke(app, ["promote", *map(str, words)])

    home = tmp_path / "home"
    (tmp_path / "compared").mkdir()
    (tmp_path / "compared" / "compare.json").write_text(json.dumps(result_of("rate", seeds=1)), encoding="utf-8")
    assert typed(tmp_path / "compared", home, "--name", "fusions", "--quiet").exit_code == 0
    assert list(Home(home).reports()) == ["fusions"]
    told = typed("--drop", "fusion", home)
    assert told.exit_code != 0 and "did you mean 'fusions'?" in told.stderr
    assert typed("--drop", "fusions", home, tmp_path).exit_code != 0  # and a folder to promote: which of the two?
    assert typed("--drop", "fusions", tmp_path / "hom").exit_code != 0 and not (tmp_path / "hom").exists()
    assert json.loads(typed("--drop", "fusions", home, "--json").stdout)["note"] == "dropped report/fusions"
    assert Home(home).reports() == {}


def test_a_report_that_was_cut_off_is_not_promoted(tmp_path: Path) -> None:
    write_report(tmp_path / "out", {"name": "n"}, "<p>1</p>")
    (tmp_path / "out" / PLACING).write_text('{"report.html": ".report.html.1.half"}')
    with pytest.raises(DataError, match="cut off") as caught:
        Home(tmp_path / "home").promote(tmp_path / "out", lambda kind, part: None)
    assert "again" in str(caught.value.todo)
    finish(tmp_path / "out")
    assert Home(tmp_path / "home").promote(tmp_path / "out", lambda kind, part: None).number == 1
