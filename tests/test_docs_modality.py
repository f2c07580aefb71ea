"""docs/add-a-modality.md tells the truth: its code stands in the files it names, and its shop is trained and asked."""

from __future__ import annotations

import csv
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from media import sound, tone
from tuwen.cli import app
from tuwen.data.dataset import Dataset
from tuwen.data.kinds import MEDIA
from tuwen.models import ENCODERS
from tuwen.preprocess import MODALITIES

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "add-a-modality.md").read_text(encoding="utf-8")
FENCED = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
QUOTED = [code.split("\n", 1) for language, code in FENCED if language == "python" and code.startswith("# src/")]


@pytest.mark.parametrize(("place", "code"), QUOTED, ids=lambda text: text[2:] if text.startswith("# ") else "")
def test_the_code_stands_in_the_file_it_names(place: str, code: str) -> None:
    assert code.strip("\n") in (ROOT / place.removeprefix("# ")).read_text(encoding="utf-8")


def test_every_file_it_names_is_there() -> None:
    for path in re.findall(r"`((?:src|tests)/[\w./-]+|pyproject\.toml)`", PAGE):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("name", ["audio", "shape"])
def test_there_is_one_file_a_floor(name: str) -> None:
    for floor in ("data", "preprocess", "models"):
        assert (ROOT / "src" / "tuwen" / floor / f"{name}.py").is_file()
    assert MEDIA[name].door == f"tuwen.data.{name}:normalise"
    assert MODALITIES.entries()[name][0].startswith(f"tuwen.preprocess.{name}:")
    assert any(place.startswith(f"tuwen.models.{name}:") for place, _ in ENCODERS.entries().values())


def test_the_shop_at_the_end_is_collected_trained_and_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (rows,) = (code for language, code in FENCED if language == "csv")
    header, *listed = csv.reader(rows.splitlines())
    for i in range(40):  # the three of the page, and more of them
        kind = "bell" if i % 2 else "drum"
        Path(f"{i}.wav").write_bytes(sound(tone(1_200 if kind == "bell" else 120, 0.2 + 0.01 * i, noise=0.02, seed=i)))
        listed.append([f"{i + 10}", f"{kind} {i}", f"{i}.wav", kind])
    Path("bell.wav").write_bytes(sound(tone(1_250, 0.4)))
    Path("drum.wav").write_bytes(sound(tone(110, 0.4)))
    with Path("items.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *listed])
    for language, code in FENCED:
        if language == "yaml":
            name, _, text = code.partition("\n")
            Path(name.removeprefix("# ")).write_text(text, encoding="utf-8")
    for line in next(code for language, code in FENCED if language == "sh").splitlines():
        done = CliRunner().invoke(app, shlex.split(line)[1:])
        assert done.exit_code == 0, done.output
    assert Dataset.open("dataset").media.quarantine()["reference"].to_list() == ["sound:missing.wav"]
    found: dict[str, object] = {}
    exec(next(code for language, code in FENCED if language == "python" and not code.startswith("# ")), found)
    assert [answer["prediction"] for answer in found["answers"]] == ["bell"]  # type: ignore[attr-defined]
