"""The folder that a command writes: all of its files in one step, and nothing left of a command that failed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from shops import Desk
from tuwen import workflow
from tuwen.cli import app
from tuwen.data.dataset import Dataset
from tuwen.errors import DataError, InUse
from tuwen.evaluation.report import write_report
from tuwen.files import final_name
from tuwen.outputs import LOCK, PLACING, Ready, finish, folders_above, held, sweep, write_files
from tuwen.workflow.indexing import Recipe


class Killed(BaseException):
    pass


def kill_at(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Make the process end when so many files have got their names."""
    replace, names = Path.replace, []

    def dying(self: Path, target: Path) -> Path:
        if self.name.endswith(".half") and Path(target).name != PLACING:
            if len(names) == count:
                raise Killed
            names.append(target)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", dying)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != LOCK}


def report(folder: Path, number: int) -> None:
    table = {"predictions.parquet": lambda path: path.write_bytes(b"%d" % number)}
    write_report(folder, {"n": number}, f"<p>{number}</p>", table)


def comparison(folder: Path, number: int) -> None:
    write_files(folder, {"compare.json": b"%d" % number, "compare.html": b"<p>%d</p>" % number})


@pytest.mark.parametrize("write", [report, comparison])
def test_a_kill_leaves_the_old_files_or_the_new_ones(
    write: Callable[[Path, int], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    write(tmp_path, 1)
    old = contents(tmp_path)
    write(tmp_path, 2)
    new = contents(tmp_path)
    assert all(old[name] != new[name] for name in old if name != "notes.txt")
    for count in range(len(new) - 1):  # all but the notes
        with monkeypatch.context() as patch, pytest.raises(Killed):
            kill_at(patch, count)
            write(tmp_path, 1)
        finish(tmp_path)
        assert contents(tmp_path) == old
        write(tmp_path, 2)
        assert contents(tmp_path) == new


def test_a_fault_while_files_are_written_leaves_the_old_ones(tmp_path: Path) -> None:
    report(tmp_path, 1)
    old = contents(tmp_path)

    def full(path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device", str(path))

    with pytest.raises(DataError, match="the disk is full"):
        write_report(tmp_path, {"n": 2}, "<p>2</p>", {"predictions.parquet": full})
    assert contents(tmp_path) == old


@pytest.mark.parametrize(
    "content",
    [
        '{"../out": ".out.1.half"}',
        '{"../out": "../.out.1.half"}',
        '{"/tmp/out": "/tmp/.out.1.half"}',
        '{"report.html": "secret"}',
        '{"report.html": "../.report.html.1.half"}',
        '{"a/../../out": "a/../../.out.1.half"}',
        '{"report.html": 1}',
        '["report.html"]',
        "{",
        "[" * 100_000,
    ],
)
def test_the_list_of_a_strangers_folder_leads_nowhere(content: str, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "a").mkdir(parents=True)
    for path in (tmp_path / ".out.1.half", folder / ".out.1.half", folder / "secret", folder / "manifest.json"):
        path.write_text("{}")
    (folder / PLACING).write_text(content)
    before = sorted(tmp_path.rglob("*"))
    for read in (finish, Dataset.open):
        with pytest.raises(DataError, match="damaged") as caught:
            read(folder)
        assert "delete it" in str(caught.value.todo)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("error", [DataError("no"), KeyboardInterrupt(), OSError(28, "full")])
def test_a_failure_leaves_no_folder(error: BaseException, tmp_path: Path) -> None:
    with pytest.raises(type(error)), held(tmp_path / "a" / "b"):
        (tmp_path / "a" / "b" / "media" / "empty").mkdir(parents=True)
        raise error
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(type(error)), folders_above(tmp_path / "a" / "b" / "answers.csv"):
        raise error
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_what_was_there_and_what_was_finished(tmp_path: Path) -> None:
    (tmp_path / "old" / "empty").mkdir(parents=True)
    (tmp_path / "old" / LOCK).touch()
    with pytest.raises(DataError), held(tmp_path / "old"):
        (tmp_path / "old" / "new").mkdir()
        raise DataError("no")
    assert sorted(path.name for path in (tmp_path / "old").iterdir()) == [LOCK, "empty"]
    with pytest.raises(DataError), held(tmp_path / "new"):
        (tmp_path / "new" / "trainings").mkdir()
        (tmp_path / "new" / "trainings" / "one.json").touch()
        raise DataError("no")
    assert [path.name for path in (tmp_path / "new").rglob("*")] == ["trainings", "one.json"]
    with held(tmp_path / "good"):
        pass
    assert (tmp_path / "good").is_dir()


def test_a_lock_file_that_was_removed_holds_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that fails removes the lock file and its folder while another opens it."""
    folder, opened = tmp_path / "out", []
    original = os.open

    def racing(path: str | Path, *how: int) -> int:
        descriptor = original(path, *how)
        if Path(path).name == LOCK and not opened:
            opened.append(path)
            Path(path).unlink()
            folder.rmdir()
        return descriptor

    monkeypatch.setattr(os, "open", racing)
    with held(folder), pytest.raises(InUse), held(folder):
        pass
    assert opened


def test_only_files_half_written_are_swept(tmp_path: Path) -> None:
    (tmp_path / ".bundle.12.half").mkdir()
    for name in (".report.html.12.half", ".notes.half", "report.html"):
        (tmp_path / name).touch()
    sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".bundle.12.half", ".notes.half", "report.html"]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/a/.home.12.half/parts/x", "/a/home/parts/x"),
        (".b.c.9.half", "b.c"),
        ("/a/.x.half", "/a/.x.half"),
        ("a.1.half", "a.1.half"),
        (".1.half", ".1.half"),
        (".a.１.half", ".a.１.half"),
    ],
)
def test_a_message_has_the_name_that_people_know(path: str, name: str) -> None:
    assert final_name(path) == name


def test_files_in_folders_get_their_names_too(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    with Ready(tmp_path) as ready:
        ready.path("photos/a.jpg").write_bytes(b"a")
        ready.place()
    assert (tmp_path / "photos" / "a.jpg").read_bytes() == b"a"
    with pytest.raises(ZeroDivisionError), Ready(tmp_path) as ready:
        ready.path("photos/b.jpg").write_bytes(b"b")
        raise ZeroDivisionError
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["a.jpg"]


COMMANDS = {
    "collect: no source": ["collect", "SHOP.yaml", "--out", "a/b", "--set", "items.source=none.csv"],
    "collect: no column": ["collect", "SHOP.yaml", "--out", "a/b", "--set", "items.columns.title=nothing"],
    "collect: no row": ["collect", "SHOP.yaml", "--out", "a/b", "--set", "items.source=empty.csv"],
    "train": ["train", "RUN.yaml", "dataset", "--out", "a/b"],
    "run": ["run", "RUN.yaml", "--out", "a/b", "--set", "shop=NONE.yaml"],
    "evaluate": ["evaluate", "none", "dataset", "--out", "a/b"],
    "evaluate: no bundle": ["evaluate", "dataset", "dataset", "--out", "a/b"],
    "compare": ["compare", "RUN.yaml", "dataset", "--out", "a/b", "--seeds", "1"],
    "tune": ["tune", "RUN.yaml", "dataset", "--out", "a/b", "--search", "training.epochs=1..2"],
    "predict": ["predict", "none", "items.csv", "--out", "a/b.csv"],
    "index": ["index", "dataset", "--out", "a/b", "--text", "none", "--picture", "none", "--where", "none = 1"],
    "judge": ["judge", "none", "items.csv", "--out", "a/b"],
    "sample": ["sample", "dataset"],
    "promote": ["promote", "none", "a/b"],
    "restore": ["restore", "items.csv", "a/b"],
}
RUN = """
name: stars
shop: SHOP.yaml
rows: {from: items}
task: {use: rate, target: items.brand}
modalities: {text: {use: text, columns: [items.title], encoder: {use: bag}}}
split: {use: random}
training: {epochs: 1}
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    desk = Desk(tmp_path_factory.mktemp("failures"))
    desk.write("items.csv", "item,title,brand\n" + "".join(f"{n},cup {n},acme\n" for n in range(9)))
    desk.write("empty.csv", "item,title\n")
    desk.write("SHOP.yaml", "name: s\nitems: {source: items.csv}\nmedia: {root: .}\n")
    desk.write("RUN.yaml", RUN)
    command = ["collect", str(desk.shop / "SHOP.yaml"), "--out", str(desk.shop / "dataset"), "--json"]
    assert CliRunner().invoke(app, command).exit_code == 0
    return desk.shop


@pytest.mark.parametrize("name", list(COMMANDS))
def test_a_command_that_fails_leaves_nothing(name: str, shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shop)
    before = sorted(shop.rglob("*"))
    done = CliRunner().invoke(app, [*COMMANDS[name], "--json"])
    assert done.exit_code in (2, 3, 4, 5, 6), done.output
    assert json.loads(done.stderr.strip().splitlines()[-1])["error"]["what"]
    assert sorted(shop.rglob("*")) == before


def test_an_index_that_fails_leaves_no_encoders(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(table: object, dataset: object, settings: object, encoders: Path, *_: object, **__: object) -> None:
        encoders.mkdir(parents=True)
        (encoders / "weights").write_bytes(b"1")
        raise DataError("no")

    monkeypatch.setattr("tuwen.workflow.indexing.batch_of", failing)
    before = sorted(shop.rglob("*"))
    with pytest.raises(DataError):
        workflow.index(shop / "dataset", shop / "a" / "index", Recipe(text="none", picture="none"))
    assert sorted(shop.rglob("*")) == before
