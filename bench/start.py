"""Seconds of `tuwen --help` and of `import tuwen` against their budgets. Prints one JSON line each."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path


def seconds(command: list[str], rounds: int = 7) -> float:
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def main() -> None:
    bare = seconds([sys.executable, "-c", "pass"])
    for what, code, budget in (
        ("tuwen --help", [str(Path(sys.executable).with_name("tuwen")), "--help"], 0.3),
        ("import tuwen, beyond an empty interpreter", [sys.executable, "-c", "import tuwen"], 0.05),
    ):
        took = seconds(code) - (bare if budget == 0.05 else 0.0)
        print(
            json.dumps(
                {
                    "bench": what,
                    "limit": f"{budget} s",
                    "ratio": round(took / budget, 3),
                    "target": 1.0,
                    "met": took <= budget,
                    "seconds": round(took, 3),
                }
            )
        )
    loaded = subprocess.run(
        [sys.executable, "-c", "import tuwen.cli, sys; print('torch' in sys.modules)"],
        check=True,
        capture_output=True,
        text=True,
    )
    print(json.dumps({"bench": "torch imported by the command line", "met": loaded.stdout.strip() == "False"}))


if __name__ == "__main__":
    main()
