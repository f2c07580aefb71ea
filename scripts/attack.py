"""Run every known attack on a served home, and print its figures before and after the repair.

    make attack                      all of them, some five minutes on two cores
    make attack ARGS="requests"      one kind: patterns, requests, store, durability

make puts ``bench`` and ``tests`` on the path of this process and of its children.

The output is a table with one line per attack. The exit status is 1 if an attack does harm. All attacks run on
loopback against copies of a sample shop, have limits, and end by themselves.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from attacks import durability, patterns, requests, store
from attacks.served import copy_of
from fuzz import make_home
from load.__main__ import told_port

HEALTH_SECONDS = 0.1  # the 99th percentile, under every attack
TEXT_SECONDS = 1.0  # of processor time, for one hostile text
# The expected value of a figure, by its name. Other figures are for information.
EXPECTED: dict[str, Any] = {
    "copies left behind": 0,
    "doubled": 0,
    "events": 507,
    "events lost": 0,
    "faults": 0,
    "files open to others": 0,
    "files with the name": 0,
    "files written": 0,
    "forget": 200,
    "forgetting": 200,
    "homes that did not open": 0,
    "item still shown": False,
    "lost": 0,
    "new one shown in the end": True,
    "outbox": 0,
    "port free": True,
    "readyz": "disk",
    "removal": 200,
    "secrets served": 0,
    "shown": 0,
    "shown in the end": False,
    "shown meanwhile": False,
    "with a personal list still": 0,
}


class Row(NamedTuple):
    """One line of the table.

    Attributes:
        faults: figures that are not as expected. Empty if the attack does no harm.
    """

    name: str
    before: str
    now: str
    faults: list[str]


def text_rows(home: Path) -> Iterator[Row]:
    for figure in patterns.figures():
        slow = figure.seconds > TEXT_SECONDS
        faults = [f"{figure.seconds:.1f} s, allowed are {TEXT_SECONDS:g}"] if slow else []
        yield Row(figure.name, figure.before, f"{figure.seconds * 1000:.0f} ms: {figure.answer}", faults)


def request_rows(home: Path) -> Iterator[Row]:
    command = [str(Path(sys.executable).with_name("tuwen")), "serve", str(home), "--port", "0", "--workers", "2"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        port = told_port(process)
        for attack in requests.ATTACKS:
            outcome = requests.measure(attack, "127.0.0.1", port, process.pid)
            now = f"health p99 {outcome.health * 1000:.0f} ms, {outcome.seconds:.1f} s, +{outcome.memory / 1e6:.0f} MB"
            faults = [f"health p99 {outcome.health:.2f} s"] if outcome.health > HEALTH_SECONDS else []
            faults += ["answered with 500"] if "500" in outcome.statuses else []
            yield Row(attack.name, attack.before, f"{now}, {' '.join(outcome.statuses)}", faults)
    finally:
        process.terminate()
        process.wait(timeout=60)


def store_rows(home: Path) -> Iterator[Row]:
    for attack, before in store.ATTACKS:
        name, figures = attack(home)
        yield row_of(name, before, figures)


def durability_rows(home: Path) -> Iterator[Row]:
    for name, attack in durability.ATTACKS.items():
        with copy_of(home) as copy:
            yield row_of(name, figures_text(durability.BEFORE[name]), attack(copy))


def row_of(name: str, before: str, figures: Mapping[str, Any]) -> Row:
    faults = [f"{key}: {value}" for key, value in figures.items() if key in EXPECTED and value != EXPECTED[key]]
    return Row(name, before, figures_text(figures) or "could not run here", faults)


def figures_text(figures: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in figures.items())


KINDS: dict[str, Callable[[Path], Iterator[Row]]] = {
    "patterns": text_rows,
    "requests": request_rows,
    "store": store_rows,
    "durability": durability_rows,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", choices=[*KINDS, []], help="default: all")
    kinds = parser.parse_args().kinds or list(KINDS)
    faults = count = 0
    print("| attack | before | now |\n|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory(prefix="tuwen-attack-") as folder:
        home = make_home(Path(folder), 40)
        for kind in kinds:
            for row in KINDS[kind](home):
                count, faults = count + 1, faults + bool(row.faults)
                mark = f" **{'; '.join(row.faults)}**" if row.faults else ""
                print(f"| {row.name} | {row.before} | {row.now}{mark} |", flush=True)
    print(f"{count} attacks, {faults} that do what they must not")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
