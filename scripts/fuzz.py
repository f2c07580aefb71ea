"""Schemathesis over the whole API of a served home, request by request and along walks from one to the next: no answer
may be a fault, and each must be what the schema says.

Schemathesis lives in an environment of its own (out/fuzz), made once: it is no dependency of tuwen.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))

from load.__main__ import make_home, running, told_port

VERSION = "4.32.5"
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


def schemathesis(folder: Path) -> Path:
    program = folder / "bin" / "schemathesis"
    if not program.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        install = ["-m", "pip", "install", "-qq", "--disable-pip-version-check", f"schemathesis=={VERSION}"]
        subprocess.run([folder / "bin" / "python", *install], check=True)
    return program


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--examples", type=int, default=30, help="of each operation, and of walks from one to the next")
    asked.add_argument("--seed", type=int, default=0)
    asked.add_argument("--phases", default="examples,coverage,fuzzing stateful", help="of schemathesis, a run each")
    how = asked.parse_args()
    program = schemathesis(Path("out/fuzz").absolute())
    with tempfile.TemporaryDirectory(prefix="tuwen-fuzz-") as folder:
        home = make_home(Path(folder), 40)
        command = [str(Path(sys.executable).with_name("tuwen")), "serve", str(home), "--port", "0"]
        with running(command, told_port) as (port, _):
            codes = [fuzz(program, port, phases, Path(folder), how) for phases in how.phases.split()]
    sys.exit(next((code for code in codes if code), 0))  # one that was killed is below 0


def fuzz(program: Path, port: int, phases: str, folder: Path, how: argparse.Namespace) -> int:
    """The exit status of one run. Walks follow the links of the OpenAPI page and those that schemathesis infers: an
    item is made, read, found, recommended, taken out; an event is kept and a list asked for.
    """
    walks = phases == "stateful"
    hooks = {"PYTHONPATH": str(Path(__file__).parent), "SCHEMATHESIS_HOOKS": "fuzz_hooks"} if walks else {}
    tested = subprocess.run(
        [
            *(program, "run", f"http://127.0.0.1:{port}/openapi.json", "--checks", CHECKS),
            *("--max-examples", str(how.examples), "--seed", str(how.seed), "--continue-on-failure"),
            *("--phases", phases, "--suppress-health-check", "all"),
        ],
        check=False,
        cwd=folder,
        env=os.environ | hooks,
    )
    return tested.returncode


if __name__ == "__main__":
    main()
