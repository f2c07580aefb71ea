"""Tables on a terminal: no header is broken, nothing that a cell holds commands the terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from tuwen.cli.bars import Bars
from tuwen.cli.guard import show_error, show_interrupted
from tuwen.cli.screen import Screen, alike, harmless, shown
from tuwen.errors import DataError

ANSWERS = ("prediction", "probability", "problem")


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line for line in capsys.readouterr().out.splitlines() if line.strip()]


@pytest.fixture(autouse=True)
def eighty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.parametrize("others", [1, 4, 30])
@pytest.mark.parametrize("text", ["质量很好，包装精美。" * 30, "word " * 100, "x" * 100_000])
def test_answers_keep_their_headers_and_other_cells_are_shortened(
    capsys: pytest.CaptureFixture[str], others: int, text: str
) -> None:
    header = [*(f"a_column_of_the_shop_{i}" for i in range(others)), *ANSWERS]
    Screen().table(header, [[*[text] * others, 3.14159, 0.5, None]] * 2, whole=ANSWERS)
    told = lines(capsys)
    assert all(cell_len(line.rstrip()) <= 80 for line in told)
    assert told[0].split()[-3:] == list(ANSWERS)
    assert [line.split()[-3:] for line in told[2:4]] == [["3.142", "0.5", "–"]] * 2  # one line a row
    assert "…" in told[2]
    assert (f"… and {others - 4} more columns" in told) == (others == 30)


@pytest.mark.parametrize("whole", [None, ("cell", "accuracy")])
@pytest.mark.parametrize(
    "name", ["learning_rate=0.001 · modality_dropout=0.2", "init=contrast-pairs · text: transformer"]
)
def test_words_of_a_name_stay_whole_in_a_narrow_terminal(
    capsys: pytest.CaptureFixture[str], name: str, whole: tuple[str, ...] | None
) -> None:
    header = ["cell", "accuracy", *(f"{how} without {kind}" for kind in ("text", "table") for how in ("half", "all"))]
    Screen().table(header, [[name, 0.6618, 0.52941, 0.39712, 0.63244, 0.47793]] * 3, whole=whole)
    told = lines(capsys)
    assert all(cell_len(line.rstrip()) <= 80 for line in told)
    words = " ".join(told).split()
    assert all(words.count(word) == 3 * name.split().count(word) for word in name.split())


def test_numbers_that_stand_together_have_the_same_decimals() -> None:
    assert alike(0.0045, -0.001, 0.01) == ["0.0045", "-0.0010", "0.0100"]
    assert alike(0.1397, -0.04412, 0.3088) == ["0.1397", "-0.0441", "0.3088"]
    assert alike(12345.6, 2.0) == ["12,346", "2"] and alike(1.0, 0.5) == ["1.0000", "0.5000"]
    assert alike(0.0, 0.0) == ["0", "0"]


def test_a_problem_is_told_whole(capsys: pytest.CaptureFixture[str]) -> None:
    problem = "time: the value is not a date: 'soon'; images: photo.jpg: No such file or directory"
    Screen().table(["text", "prediction", "problem"], [["word " * 100, 3.0, problem]], whole=ANSWERS)
    assert problem.split()[-1] in " ".join(lines(capsys))


def test_a_cell_or_a_column_name_does_not_command_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    evil = "a\x1b[31mred\x1b]0;title\x07\x9b2J\u202eback\r\nnew\tline"
    Screen().table([evil[:6], "prediction"], [[evil, 1]], whole=ANSWERS)
    told = capsys.readouterr().out
    assert not set(told) & set("\x1b\x07\x9b\u202e\r\t")
    assert "\\x1b" in told


EVIL = "a\x1b[31mred\x1b]0;title\x07\x9b2J\u202eback\roverwritten\u2028"


def test_what_a_command_says_does_not_command_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    Screen().say(f"warning: seen {EVIL}", "one\ntwo", "[red] and :smile: stay")
    told = capsys.readouterr().out
    assert not set(told) & set("\x1b\x07\x9b\u202e\r\u2028")
    assert "seen a\\x1b[31mred\\x1b]0;title\\x07\\x9b2J\\u202eback overwritten" in told
    assert told.splitlines()[1:] == ["one", "two", "[red] and :smile: stay"]


def test_an_error_does_not_command_the_terminal_nor_look_like_another(capsys: pytest.CaptureFixture[str]) -> None:
    show_error(DataError(f"what {EVIL}", where=EVIL, seen=f"{EVIL}\nerror forged\n    where  here"), as_json=False)
    show_interrupted(["run", EVIL])
    told = capsys.readouterr().err
    assert not set(told) & set("\x1b\x07\x9b\u202e\r\u2028")
    assert told.count("\\x1b[31m") == 4
    assert told.splitlines()[3:5] == [f"{' ' * 11}error forged", f"{' ' * 15}where  here"]


@pytest.mark.parametrize("terminal", [False, True])
def test_a_name_of_work_does_not_command_the_terminal(capsys: pytest.CaptureFixture[str], terminal: bool) -> None:
    console = Console(stderr=True, force_terminal=terminal, width=200, color_system=None)
    with Bars(console).task(f"read {EVIL}.csv", 1) as task:
        task.advance()
    told = capsys.readouterr().err
    assert "\\x1b[31mred" in told and not set(told) & set("\x07\x9b\u202e\u2028")
    assert "\x1b[31mred" not in told


@given(st.text())
def test_harmless_text_is_printable_and_good_text_stays(text: str) -> None:
    assert not any(one < " " or "\x7f" <= one <= "\x9f" for one in harmless(text))
    good = "很好 👨\u200d👩\u200d👧 é ¥12"
    assert shown(good) == good == harmless(harmless(good))
