"""Compare the locked versions with the databases of known vulnerabilities.

    make audit            exit status 1 where one is affected

Without a reachable database nothing is audited. The last line says so.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PIP_AUDIT = ROOT / "out" / "tools" / "bin" / "pip-audit"


def main() -> int:
    status = 0
    for lock in sorted(ROOT.glob("requirements*.lock")):
        status |= audit(lock)
    return status


def audit(lock: Path) -> int:
    """Return 1 if a known vulnerability affects a pin of the lock file."""
    command = [
        PIP_AUDIT,
        "--requirement",
        lock,
        "--no-deps",
        "--disable-pip",
        "--format=json",
        "--progress-spinner=off",
    ]
    done = subprocess.run(command, check=False, text=True, capture_output=True)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        reason = (done.stderr.strip().splitlines() or ["no answer"])[-1]
        print(f"{lock.name}: not audited: no vulnerability database could be reached ({reason[:200]})")
        return 0
    audited = [package for package in packages if "skip_reason" not in package]
    if not audited:
        print(f"{lock.name}: not audited: the vulnerability database knows none of its {len(packages)} packages here")
        return 0
    affected = [(package, flaw) for package in audited for flaw in package["vulns"]]
    for package, flaw in affected:
        fixed = ", ".join(flaw["fix_versions"]) or "no version yet"
        print(f"{lock.name}: {package['name']} {package['version']}: {flaw['id']}; mended in {fixed}")
    print(f"{lock.name}: {len(audited)} of {len(packages)} packages audited, {len(affected)} vulnerabilities")
    return 1 if affected else 0


if __name__ == "__main__":
    sys.exit(main())
