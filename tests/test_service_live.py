"""What is wrong with what is promoted or served is told by its name: file, line, and the path that was given."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from homes import make_home
from tuwen import workflow
from tuwen.apps.search import Question
from tuwen.bundle.home import Home
from tuwen.cli import app
from tuwen.errors import BundleError
from tuwen.workflow.serving import Live


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("shop")
    make_home(place, items=16)
    return place


def test_a_part_that_fails_its_self_test_is_named_by_the_path_that_was_given(folder: Path, tmp_path: Path) -> None:
    index = tmp_path / "index"
    shutil.copytree(folder / "index", index)
    (index / "synonyms.txt").write_text("tv, television\nonly one\n", encoding="utf-8")
    with pytest.raises(BundleError, match="this line names no synonyms") as told:
        workflow.promote(index, folder / "home")
    assert told.value.where == f"{index}/synonyms.txt:2" and told.value.seen == "only one"

    stars = str(folder / "stars")  # predicts, and recommends nothing
    given = ["ab", str(folder / "home"), "--against", stars, "--name", "other"]
    done = CliRunner().invoke(app, given)
    assert done.exit_code == BundleError.exit_code
    assert f"tuwen predict {stars} FILE" in done.output and "/parts/" not in done.output


def test_synonyms_of_a_live_index_are_read_when_written_and_told_when_broken(folder: Path, caplog) -> None:
    live = Live(Home(folder / "home"), None)
    index = live.storefront.parts.need_searcher().index
    file = index.folder / "synonyms.txt"
    (title,) = live.storefront.cards.full(live.storefront.cards.keys()[0])["title"].split()[-1:]

    def held(words: str) -> int:
        return int(live.storefront.search(Question(words=words))["holding"])

    def write(text: str) -> None:
        file.write_text(text, encoding="utf-8")
        live.look()

    assert live.fault is None and held("zzqx") == 0
    write(f"zzqx, {title}\n")
    assert live.fault is None and (found := held("zzqx")) > 0
    with caplog.at_level(logging.ERROR):
        write(f"zzqx, {title}\nnothing =>\n")
    assert live.fault is not None and "synonyms.txt:2: this line names no synonyms" in live.fault
    assert str(folder) not in live.fault and f"{file}:2" in caplog.text  # the path is for who reads the log
    assert held("zzqx") == found  # those before count
    again = Live(Home(folder / "home"), None)  # after a restart: nothing before, and the service answers
    assert again.fault is not None and again.storefront.search(Question(words="zzqx"))["holding"] == 0
    file.unlink()
    live.look()
    assert live.fault is None and held("zzqx") == 0
