"""The pages tell the truth: what they say to type works as it stands, and both languages say the same."""

from __future__ import annotations

import csv
import os
import re
import runpy
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import httpx
import numpy as np
import pytest
from typer.testing import CliRunner

from processes import Command
from tuwen.cli import app
from tuwen.data.sample import write_sample_shop
from tuwen.data.sample.pictures import draw_item

pytestmark = pytest.mark.usefixtures("exports")
ROOT = Path(__file__).parents[1]
ENGLISH, CHINESE = ROOT / "README.md", ROOT / "README.zh-CN.md"
FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"^ {4}(make .*)$", re.MULTILINE)
INLINE = re.compile(r"`((?:make|tuwen) [^`]*)`")


def blocks(page: Path, *languages: str) -> list[str]:
    return [code for language, code in FENCED.findall(page.read_text(encoding="utf-8")) if language in languages]


def commands(page: Path) -> list[str]:
    """Every command line of a page, comments left out."""
    text = page.read_text(encoding="utf-8")
    typed = [line for block in blocks(page, "sh", "bash") for line in block.replace("\\\n", " ").splitlines()]
    found = [*typed, *INDENTED.findall(text), *INLINE.findall(text)]
    return [re.sub(r"\s+#.*$", "", line).strip() for line in found if line.strip()]


def without_comments(code: str) -> str:
    return re.sub(r"[ \t]+#.*$", "", code, flags=re.MULTILINE)


# --- The two languages --------------------------------------------------------------------------------------------


def test_both_readmes_hold_the_same_commands_and_the_same_files() -> None:
    assert set(commands(ENGLISH)) == set(commands(CHINESE))
    for language in ("sh", "yaml", "python"):
        one, two = (list(map(without_comments, blocks(page, language))) for page in (ENGLISH, CHINESE))
        assert one == two, language


@pytest.mark.parametrize("page", [ENGLISH, CHINESE], ids=["en", "zh"])
def test_the_two_commands_stand_at_the_top(page: Path) -> None:
    assert INDENTED.findall(page.read_text(encoding="utf-8"))[:2] == ["make demo", "make test"]
    assert page.read_text(encoding="utf-8").index("make demo") < 1500


# --- What is named is there ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")], ids=lambda page: page.name)
def test_links_inside_the_repository_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
        if not re.match(r"[a-z]+:", target):
            assert (page.parent / target).exists(), target


@cache
def help_of(command: str) -> str:
    shown = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0, command
    return shown.output


@pytest.mark.parametrize("page", [ENGLISH, CHINESE], ids=["en", "zh"])
def test_every_target_command_and_option_exists(page: Path) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for line in commands(page):
        program, *words = shlex.split(line.replace("…", "x"))
        if program == "make":
            assert words[0] in targets, line
        elif program == "tuwen" and words and not words[0].startswith("-"):
            shown = help_of(words[0])
            for option in (word for word in words if word.startswith("--")):
                assert option in shown, line
    for path in re.findall(r"`((?:runs|src|docs|bench)/[\w./-]+)`", page.read_text(encoding="utf-8")):
        assert (ROOT / path).exists() or "*" in path, path


def test_the_page_of_options_is_what_the_code_reads() -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "options.py"))
    assert script["PAGE"].read_text(encoding="utf-8") == script["page"](), "stale: make docs"


# --- What it says to type works -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the reader has it: her export, new rows to ask about, and the README's own YAML files."""
    folder = tmp_path_factory.mktemp("reader")
    export = write_sample_shop(folder / "export", items=16).parent
    with (export / "reviews.csv").open(encoding="gb18030", newline="") as file:
        rows = list(csv.DictReader(file))
    with (export / "reviews-2025.csv").open("w", encoding="gb18030", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], "title"])
        writer.writeheader()
        writer.writerows({**row, "title": "四星" if i % 2 else "A review"} for i, row in enumerate(rows))
    (export / "reviews.csv").unlink()
    (folder / "photo.jpg").write_bytes(draw_item("lamp", (216, 164, 54), "stripes", np.random.default_rng(1)))
    (folder / "new.csv").write_text("text,images\n包装非常用心,photo.jpg\nIt broke.,\n", encoding="utf-8")
    (folder / "added.csv").write_text(
        "item,title,price,images\nNEW-1,red teapot 红色茶壶,￥88,photo.jpg\n", encoding="utf-8"
    )
    for code in blocks(ENGLISH, "yaml"):
        name = "NEXT.yaml" if "retrievers:" in code else "RUN.yaml" if "modalities:" in code else "SHOP.yaml"
        (folder / name).write_text(code, encoding="utf-8")
    (folder / "bin").mkdir()
    (folder / "bin" / "tuwen").write_text(
        f'#!/bin/sh\nexec "{sys.executable}" -c "from tuwen.cli import main; main()" "$@"\n', encoding="utf-8"
    )
    (folder / "bin" / "tuwen").chmod(0o755)
    return folder


def environment(desk: Path) -> dict[str, str]:
    return {**os.environ, "PATH": f"{desk / 'bin'}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}


def shell(desk: Path, script: str) -> str:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=desk, env=environment(desk), capture_output=True, text=True
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def typed(desk: Path, line: str) -> None:
    """As :func:`shell`, but a plain command of tuwen in this process: thirty starts of Python are a minute."""
    words = shlex.split(line, comments=True)
    if not words or words[0] != "tuwen":
        shell(desk, line)
        return
    done = CliRunner().invoke(app, words[1:])
    assert done.exit_code == 0, f"{line}\n{done.output}\n{done.exception!r}"


def steps(kind: str) -> Iterator[str]:
    """The shell blocks of the README in their order: those that ask a server, that serve, or the rest."""
    for block in blocks(ENGLISH, "sh", "bash"):
        for line in block.replace("\\\n", " ").splitlines():
            found = "ask" if line.startswith("curl") else "serve" if line.startswith("tuwen serve") else "rest"
            if found == kind:
                yield line


def test_the_readme_works_from_top_to_bottom(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk)
    for line in steps("rest"):
        typed(desk, line)
    assert (desk / "report" / "report.html").is_file() and (desk / "report" / "report.json").is_file()
    assert (desk / "next" / "report.html").is_file() and (desk / "lists.parquet").is_file()
    assert len((desk / "answers.csv").read_text(encoding="utf-8").splitlines()) == 3
    for line in steps("serve"):
        process = Command(*shlex.split(f"{line} --port 0")[1:])
        url = re.search(r"http://[\w.:]+", process.readline())
        assert url, process.stderr
        whole = line == "tuwen serve home"
        for asked in steps("ask") if shutil.which("curl") else ():
            (path,) = re.findall(r"/v1/([a-z]+)", asked)
            if path == "predict" or whole:
                answer = shell(desk, asked.replace("http://127.0.0.1:8000", url.group()))
                assert {"predict": '"predictions"', "events": '"received":1', "recommend": '"item"'}[path] in answer
        if whole:
            assert "<title>" in httpx.get(f"{url.group()}/operator").text
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    for code in blocks(ENGLISH, "python"):
        program = f"import warnings; warnings.simplefilter('ignore', ResourceWarning)\n{code}\nprint(answers)"
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=desk, env=environment(desk), capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert "prediction" in done.stdout
