"""No secret stands in an error, a traceback, a log or a JSON answer."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from tuwen.cli import app, guard
from tuwen.masking import LONGEST, MaskedFormatter, masked, write_log
from tuwen.store.keys import PREFIX

KEY = PREFIX + "Zk3_" * 10 + "abc"
SIGNS = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="\"'<>`"), min_size=1)


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("postgresql://shop:geheim@host/db", "postgresql://shop:***@host/db"),
        ("at pg+psycopg://shop:ge:he/im@x@host:5432/db, twice", "at pg+psycopg://shop:***@host:5432/db, twice"),
        ('"sqlite:////srv/home/store.db"', '"sqlite:////srv/home/store.db"'),
        ("https://shop.example/a?x=1", "https://shop.example/a?x=1"),
        ("mail me@shop.example", "mail me@shop.example"),
        (f"key {KEY}.", f"key {PREFIX}***."),
        ("Authorization: Bearer abcdefgh123", "Authorization: Bearer ***"),
        ("host=h password=geheim user=u", "host=h password=*** user=u"),
        ('{"api_key": "geheim", "a": 1}', '{"api_key": "***", "a": 1}'),
        ("https://shop.example/a?token=geheim&x=1", "https://shop.example/a?token=***&x=1"),
    ],
)  # fmt: skip
def test_what_is_a_secret_is_hidden_and_the_rest_stays(text: str, safe: str) -> None:
    assert masked(text) == safe


@given(SIGNS, SIGNS)
def test_no_password_of_a_url_is_shown(user: str, password: str) -> None:
    user = user.replace("@", "").replace(":", "").replace("/", "") or "u"
    secret = f"geheim{password}geheim"
    assert "geheim" not in masked(f"what: no answer from postgresql://{user}:{secret}@host/db (timeout)")


def test_time_grows_with_the_length_of_a_text() -> None:
    worst = [
        "://" * 50_000,
        "a://b:" * 50_000,
        "bearer " * 50_000,
        "password=" * 30_000,
        "tuwen_" * 50_000,
        ":@" * 90_000,
    ]
    began = time.perf_counter()
    for text in worst:
        masked(text)
    assert time.perf_counter() - began < 2
    assert len(masked("x" * (LONGEST + 10))) == LONGEST


def test_a_log_is_exclusive_and_for_its_owner_alone(tmp_path: Path) -> None:
    write_log(tmp_path / "a.log", f"serve --store postgresql://u:geheim@h/d {KEY}")
    text = (tmp_path / "a.log").read_text()
    assert "geheim" not in text and KEY not in text and (tmp_path / "a.log").stat().st_mode & 0o077 == 0
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / "b.log").symlink_to(victim)
    for name in ("a.log", "b.log"):
        with pytest.raises(FileExistsError):
            write_log(tmp_path / name, "x")
    assert victim.read_text() == "mine"


def test_a_fault_of_tuwens_own_is_logged_without_secrets_and_never_through_a_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    arguments = ["key", "home", "--store", "postgresql://u:geheim@h/d"]
    guard.show_unexpected(ValueError("no postgresql://u:geheim@h/d"), arguments, as_json=True)
    output = capsys.readouterr().err
    log = Path(json.loads(output)["error"]["log"])
    assert "geheim" not in output + log.read_text() and log.stat().st_mode & 0o077 == 0
    name = log.name
    log.unlink()
    (tmp_path / "victim").write_text("mine")
    log.symlink_to(tmp_path / "victim")  # somebody who shares the folder for temporary files, and guesses
    monkeypatch.setattr(guard.time, "strftime", lambda _: name.split("-", 2)[2].rsplit("-", 1)[0])
    guard.show_unexpected(ValueError("x"), arguments, as_json=True)
    assert "could not be written" in capsys.readouterr().err and (tmp_path / "victim").read_text() == "mine"
    guard.show_interrupted(arguments)
    assert "geheim" not in capsys.readouterr().err


def test_an_error_tells_no_password(tmp_path: Path) -> None:
    url = "postgresql://shop:geheim@127.0.0.1:1/none"
    for more in ([], ["--json"]):
        done = CliRunner().invoke(app, ["key", str(tmp_path), "--store", url, *more])
        assert done.exit_code != 0 and "geheim" not in done.output
        done = CliRunner().invoke(app, ["serve", str(tmp_path), "--store", url, "--port", "0"])
        assert done.exit_code != 0 and "geheim" not in done.output


def test_a_line_of_the_log_and_its_traceback_are_masked() -> None:
    try:
        raise OSError("postgresql://u:geheim@h/d")
    except OSError as error:
        record = logging.LogRecord(
            "tuwen.service", 40, "", 1, "failed: %s", (KEY,), (OSError, error, error.__traceback__)
        )
    text = MaskedFormatter().format(record)
    assert "geheim" not in text and KEY not in text and "Traceback" in text
