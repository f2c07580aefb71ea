"""The doctor and the lock: what is installed, what is missing, and that the lock holds all of it."""

from __future__ import annotations

import ast
import json
import re
import sys
import tomllib
from collections.abc import Iterable
from importlib import metadata
from importlib.metadata import packages_distributions
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from typer.testing import CliRunner

from tuwen import doctor
from tuwen.cli import app
from tuwen.errors import install_command
from tuwen.preprocess.weights import WEIGHTS

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT, GROUPS = PYPROJECT["project"], PYPROJECT["dependency-groups"]
# What only encoders by name need, some 280 MB, stands in a lock of its own (make test-hub).
LOCKS = ("requirements.lock", "requirements-hub.lock", "requirements-release.lock", "requirements-cuda.lock")
ENTRY = re.compile(r"([A-Za-z0-9._-]+)==([0-9][0-9A-Za-z.+]*)((?: \\\n    --hash=sha256:[0-9a-f]{64})+)")


def pins(name: str) -> dict[str, Version]:
    """The versions of a lock file by package, once each of its lines was read as a pin with hashes."""
    text = (ROOT / name).read_text(encoding="utf-8")
    entries = ENTRY.findall(text)
    lines = [line for line in text.splitlines() if line and not line.startswith(("#", "    --hash"))]
    assert len(lines) == len(entries), name
    return {canonicalize_name(package): Version(version) for package, version, _ in entries}


def test_it_looks_at_every_extra_and_every_weight() -> None:
    done = CliRunner().invoke(app, ["doctor", "--json"])
    found = json.loads(done.stdout)
    names = [part["name"] for part in found["parts"]]
    for extra in PROJECT["optional-dependencies"].keys() - {"dev"}:
        assert any(name.startswith(f"{extra}: ") for name in names)
    for name in WEIGHTS:
        assert f"weights {name}" in names
    assert found["well"] is True and done.exit_code == 0
    assert int(found["machine"]["cores"]) >= 1
    assert float(found["machine"]["memory"].split()[0]) > 0
    assert "tuwen can work" in CliRunner().invoke(app, ["doctor"]).stdout


def test_what_is_missing_or_too_old_is_told_with_the_way_to_get_it() -> None:
    wanted = [Requirement("numpy>=1"), Requirement("tuwen-no-such-package")]
    (part,) = doctor._judged("core", wanted, "pip install it", needed=True)
    assert (part.state, part.todo) == ("missing", "pip install it")
    assert "tuwen-no-such-package" in part.seen and "numpy" not in part.seen
    (part,) = doctor._judged("core", [Requirement("numpy<1")], "pip install it", needed=True)
    assert part.state == "wrong" and "numpy" in part.seen
    assert not doctor.Findings({}, [part]).well
    assert doctor.Findings({}, [doctor.Part("serve", "missing", "")]).well  # an extra may be absent


def test_nobody_is_told_to_install_what_only_developers_need(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = [Requirement("tuwen-no-such-package")]
    monkeypatch.setattr(doctor, "requirements", lambda: {"": [], "serve": absent, "dev": absent})
    (part,) = doctor.extras()
    assert part.name == "serve: tuwen serve" and part.todo == f"for tuwen serve: {install_command('serve')}"
    monkeypatch.setattr(doctor, "requirements", lambda: {"": [], "dev": [Requirement("numpy")]})
    assert [part.state for part in doctor.extras()] == ["fine"]


def test_the_way_to_get_an_extra_suits_how_tuwen_was_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def installed(told: str | None) -> str:
        monkeypatch.setattr(metadata.PathDistribution, "read_text", lambda self, name: told)
        return install_command("serve")

    clone = tmp_path / "my clone"
    clone.mkdir()
    url = clone.as_uri()
    assert installed(json.dumps({"url": url, "dir_info": {"editable": True}})) == f"pip install -e '{clone}[serve]'"
    assert installed(json.dumps({"url": url, "dir_info": {}})) == f"pip install '{clone}[serve]'"
    assert installed(json.dumps({"url": f"{url}/gone", "dir_info": {}})) == "pip install 'tuwen[serve]'"
    assert installed(json.dumps({"url": "https://host/tuwen.whl", "archive_info": {}})) == "pip install 'tuwen[serve]'"
    assert installed(None) == "pip install 'tuwen[serve]'"


def test_a_full_disk_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "NEEDED_FREE", 2**80)
    (part,) = doctor.disk()
    assert part.state == "wrong" and "make room" in part.todo


def test_the_requirements_are_those_of_the_project() -> None:
    def plain(wanted: Iterable[Requirement]) -> set[tuple[str, str]]:
        return {(canonicalize_name(r.name), str(r.specifier)) for r in wanted}

    found = doctor.requirements()
    assert plain(found[""]) == plain(map(Requirement, PROJECT["dependencies"]))
    for extra, lines in PROJECT["optional-dependencies"].items():
        assert plain(found[extra]) == plain(map(Requirement, lines))


# --- The lock -----------------------------------------------------------------------------------------------------


def test_the_lock_pins_everything_the_project_asks_for() -> None:
    project, hub, release, cuda = map(pins, LOCKS)
    ocr = pins("requirements-ocr.lock")
    assert not project.keys() & (hub.keys() | cuda.keys())
    assert pins("requirements-cpu.lock")["torch"].public == str(project["torch"])
    pinned = project | hub | ocr
    assert pinned["torch"] == Version("2.13.0")
    for line in GROUPS["release"]:
        wanted = Requirement(line)
        assert wanted.specifier.contains(release[canonicalize_name(wanted.name)]), line
    for line in chain(PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()):
        wanted = Requirement(line)
        assert wanted.specifier.contains(pinned[canonicalize_name(wanted.name)], prereleases=True), line


def test_every_import_comes_from_the_lock() -> None:
    locked = pins("requirements.lock").keys() | pins("requirements-hub.lock").keys()
    homes = packages_distributions()
    for file in [*ROOT.glob("src/**/*.py"), *ROOT.glob("tests/*.py"), *ROOT.glob("bench/*.py")]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            else:
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in (full.partition(".")[0] for full in names):
                beside = any((ROOT / folder / f"{name}.py").is_file() for folder in ("tests", "bench"))
                if name in sys.stdlib_module_names or name == "tuwen" or beside:
                    continue
                found = {canonicalize_name(home) for home in homes.get(name, [])} or {canonicalize_name(name)}
                assert found & locked, f"{file}: {name}"
