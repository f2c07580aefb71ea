"""How an index grows: 10,000 and 100,000 generated items, with --large also 1,000,000; each in a process of its own.

Prints one JSON line each: building it (titles cut into terms, words, vectors of 128 numbers, facets; all on disk), a
search by words, by vectors and by both (filters, facets and slips of the keys among them, in both languages), and one
item added live. The shop and the questions are those of bench/search.py; vectors come from a table instead of a
network, which would cost the same at every size and hide how the rest grows. Everything counts processor time, so that
busy neighbours do not; an item added live is on the clock, and the processor's time is told beside it. The growth is
the exponent x of n^x between two sizes. Up to 50,000 vectors are searched one by one and cost nothing to build, more
get a graph: that step is in the exponent from 10,000 to 100,000 items.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import faiss
import numpy as np

from search import KINDS, LOOKS, added, shop
from tuwen.apps.matching import Mode
from tuwen.apps.search import Question, Searcher
from tuwen.preprocess.terms import terms

WIDTH, TIMES, ITEMS_LIVE = 128, 200, 12
MOST_GIB, MOST_GROWTH, MOST_MS, MOST_LIVE_MS = 24.0, 1.1, 30.0, 50.0
SIZES = (10, 100, 1000)  # thousand items


class Table:
    """Words on random axes: what a network does, in no time."""

    def __init__(self) -> None:
        self.known: dict[str, np.ndarray] = {}

    def of_text(self, text: str) -> np.ndarray:
        found = np.sum([self._of_term(term) for term in terms(text)] or [self._of_term("")], axis=0)
        return np.asarray(found / np.linalg.norm(found), np.float32)

    def of_picture(self, data: bytes) -> None:
        return None

    def _of_term(self, term: str) -> np.ndarray:
        if term not in self.known:
            seed = list(term.encode()) or [0]
            self.known[term] = np.random.default_rng(seed).standard_normal(WIDTH).astype(np.float32)
        return self.known[term]


def questions(mode: Mode) -> list[Question]:
    """Two words each, every tenth with a slip, Chinese or English, every third with a condition."""
    rng, found = np.random.default_rng(4), []
    for n in range(TIMES):
        kind = KINDS[rng.integers(len(KINDS))]
        if n % 10 == 0:
            kind = kind[:-1] + "怡" if not kind.isascii() else kind.replace("e", "", 1)
        words = f"{LOOKS[rng.integers(len(LOOKS))]} {kind}"
        found.append(Question(words, where=["price<100"] if n % 3 == 0 else (), size=20, mode=mode))
    return found


def spent(work: Callable[[], Any]) -> float:
    """Seconds of processor time."""
    began = time.process_time()
    work()
    return time.process_time() - began


def searched(searcher: Searcher, mode: Mode) -> dict[str, float]:
    asked = questions(mode)
    for question in asked[:20]:
        searcher.search(question)
    each = [1000 * spent(lambda question=question: searcher.search(question)) for question in asked]
    return {f"p{p}": round(float(np.percentile(each, p)), 2) for p in (50, 95)}


def measured(rows: int) -> dict[str, Any]:
    """One size, in this process."""
    faiss.omp_set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        place, made = Path(folder) / "index", list[Searcher]()
        clock = time.perf_counter()
        seconds = spent(lambda: made.append(shop(rows, place, Table())))
        clock = time.perf_counter() - clock
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        searcher = made[0]
        return {
            "items": rows,
            "build_seconds": round(seconds, 2),
            "build_seconds_on_the_clock": round(clock, 2),
            "peak_gib": round(peak, 3),
            "index_mb": round(sum(file.stat().st_size for file in place.rglob("*") if file.is_file()) / 1e6, 1),
            "search": {mode: searched(searcher, mode) for mode in get_args(Mode)},
            "live": added(searcher, rows, ITEMS_LIVE),
        }


def rows_of(found: dict[str, Any]) -> list[dict[str, Any]]:
    size, hybrid, live = f"{found['items']:,} items", found["search"]["hybrid"]["p95"], found["live"]["milliseconds"]
    built = {key: found[key] for key in ("build_seconds", "build_seconds_on_the_clock", "index_mb")}
    return [
        _row(f"index: build, {size}", f"{MOST_GIB:g} GiB", MOST_GIB / found["peak_gib"])
        | {"peak_gib": found["peak_gib"], **built},
        _row(f"index: search, {size}, without a network", f"{MOST_MS:g} ms at p95, hybrid", MOST_MS / hybrid)
        | {"milliseconds": found["search"]},
        _row(f"index: one item added live to {size}", f"{MOST_LIVE_MS:g} ms at p95", MOST_LIVE_MS / live["p95"])
        | {name: told for name, told in found["live"].items() if name.startswith("milliseconds")},
    ]


def growth(small: dict[str, Any], large: dict[str, Any]) -> dict[str, Any]:
    def exponent(of: Callable[[dict[str, Any]], float]) -> float:
        return round(math.log(of(large) / of(small)) / math.log(large["items"] / small["items"]), 3)

    built = exponent(lambda one: one["build_seconds"])
    name = f"index: growth, {small['items']:,} to {large['items']:,} items"
    return _row(name, f"building grows no faster than n^{MOST_GROWTH:g}", MOST_GROWTH / built) | {
        "exponent_of_building": built,
        "exponent_of_memory": exponent(lambda one: one["peak_gib"]),
        "exponent_of_size": exponent(lambda one: one["index_mb"]),
        "exponent_of_p95": {mode: exponent(lambda one, m=mode: one["search"][m]["p95"]) for mode in get_args(Mode)},
        "exponent_of_adding_one": exponent(lambda one: one["live"]["milliseconds_of_processor_time"]["p50"]),
    }


def _row(name: str, limit: str, ratio: float) -> dict[str, Any]:
    return {"bench": name, "limit": limit, "ratio": round(ratio, 3), "target": 1.0, "met": ratio >= 1.0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", type=int, choices=SIZES, help="one size, in thousand items")
    parser.add_argument("--large", action="store_true", help="also 1,000,000 items")
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        print(json.dumps(measured(asked.measure)))
        return
    sizes = [asked.only] if asked.only else [size for size in SIZES if asked.large or size < SIZES[-1]]
    before: dict[str, Any] | None = None
    for size in sizes:
        command = [sys.executable, __file__, "--measure", str(1000 * size)]
        found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
        for row in rows_of(found) + ([growth(before, found)] if before else []):
            print(json.dumps(row, ensure_ascii=False), flush=True)
        before = found


if __name__ == "__main__":
    main()
