"""Recommendation in generated shops of 10,000 and 100,000 items (with --large also 1,000,000): learning, and one list.

Prints one JSON line each. A shop of n items has n / 2 shoppers and 10 n purchases in two years; items come to it all
the time, a few sell most, shoppers keep to a few styles, and pictures and texts (64 numbers each) tell the style. It
is asked through the retrievers of runs/hm.yaml, each size in a process of its own. Everything counts processor time,
so that busy neighbours do not (the clock's is told beside it). One list: of a shopper in a warm process, everything
from her events to the items. The growth is the exponent x of n^x between two sizes.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from tuwen.apps.recommend import RETRIEVERS
from tuwen.apps.recommend.history import Catalogue, History, Shoppers
from tuwen.apps.recommend.ranker import LambdaRank
from tuwen.apps.recommend.recommender import Recommender, Windows, candidates
from tuwen.apps.recommend.rules import Rules

DAYS, WIDTH, STYLES, LEVELS = 730.0, 64, 60, {"department": 240, "section": 50, "colour": 20, "kind": 120}
MOMENTS = 3  # of the past that the ranker learns from, so that its trees do not hide how the rest grows
DEPTH, MOST_MS, MOST_GROWTH, MOST_GIB = 20, 10.0, 1.1, 24.0
_BY = {
    "bought this week": ("popularity", {"half_life": 7}),
    "bought this month": ("popularity", {"half_life": 30}),
    "bought this season": ("popularity", {"half_life": 120}),
    "bought at this age": ("segment", {"column": "users.age"}),
    "favourite departments": ("favourites", {"column": "items.department"}),
    "favourite sections": ("favourites", {"column": "items.section"}),
    "bought before": ("again", {}),
    "bought together": ("item-knn", {}),
    "ease": ("ease", {}),
    "looks alike": ("content", {"kind": "picture"}),
    "reads alike": ("content", {"kind": "text"}),
    "newcomers": ("newcomers", {"column": "items.department"}),
}


def shop(items: int, seed: int = 0) -> History:
    """Everything that happened in a shop; the same for the same numbers."""
    rng = np.random.default_rng(seed)
    shoppers, events = items // 2, 10 * items
    style = np.sort(rng.integers(0, STYLES, items))
    launch = rng.uniform(-DAYS / 2, DAYS, items)  # half a catalogue is there on the first day
    popular = rng.permutation(1.0 / np.arange(1, items + 1) ** 0.8)
    total = np.concatenate([[0.0], np.cumsum(popular)])
    edges = total[np.searchsorted(style, np.arange(STYLES + 1))]
    active = np.minimum(rng.pareto(1.5, shoppers) + 0.2, 100.0)
    who = rng.choice(shoppers, events, p=active / active.sum())
    tastes = rng.integers(0, STYLES, (shoppers, 3))
    wanted = np.where(
        rng.random(events) < 0.7, tastes[who, rng.integers(0, 3, events)], rng.integers(0, STYLES, events)
    )
    drawn = edges[wanted] + rng.random(events) * (edges[wanted + 1] - edges[wanted])
    what = np.clip(np.searchsorted(total, drawn, side="right") - 1, 0, items - 1)
    since = np.maximum(launch[what], 0.0)
    day = since + (rng.exponential(150.0, events)) % np.maximum(DAYS - since, 1.0)
    price = np.exp(rng.normal(3, 0.6, items))
    catalogue = Catalogue(
        np.array([f"i{n}" for n in range(items)]),
        {kind: _vectors(style, rng) for kind in ("picture", "text")},
        {f"items.{name}": _levels(style, count, rng) for name, count in LEVELS.items()},
        {},
        launch,
    )
    age = rng.normal(35, 12, shoppers).clip(16, 90).astype(np.float32)
    return History.of(catalogue, Shoppers(shoppers, {"users.age": age}), who, what, day, price[what], DAYS)


def _vectors(style: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A look within a style, and what is an item's own: f32 [items, WIDTH] of length 1."""
    looks = 40
    centres = rng.standard_normal((STYLES, 1, WIDTH)) + 0.7 * rng.standard_normal((STYLES, looks, WIDTH))
    found = centres.astype(np.float32)[style, rng.integers(0, looks, len(style))]
    found += 0.5 * rng.standard_normal(found.shape, dtype=np.float32)
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True))


def _levels(style: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Levels from 1, most of them of one style: int32 [items]."""
    own = (style * count // STYLES + rng.integers(0, max(1, count // STYLES), len(style))) % count
    return (1 + np.where(rng.random(len(style)) < 0.8, own, rng.integers(0, count, len(style)))).astype(np.int32)


def recommender() -> Recommender:
    makers = {name: partial(RETRIEVERS.build, use, options) for name, (use, options) in _BY.items()}
    return Recommender(makers, LambdaRank, windows=Windows(count=MOMENTS))


def percentiles(seconds: list[float]) -> dict[str, float]:
    return {f"p{p}": round(1000 * float(np.percentile(seconds, p)), 2) for p in (50, 99)}


def stages(made: Recommender, history: History, who: np.ndarray) -> dict[str, float]:
    """The share of each stage in the processor time of a list."""
    spent = dict.fromkeys(("shopper", "retrievers", "candidates", "features", "ranker", "rules"), 0.0)

    def timed(stage: str, work: Callable[[], Any]) -> Any:
        began = time.process_time()
        found = work()
        spent[stage] += time.process_time() - began
        return found

    for one in who.tolist():
        asked = timed("shopper", lambda one=one: history.asked([one]))
        scores = timed("retrievers", lambda asked=asked: made.stage.scores(asked))
        row, item = timed("candidates", lambda scores=scores: candidates(scores, made.per))
        seen = timed("features", lambda a=asked, r=row, i=item, s=scores: made.stage.features.of(a, r, i, s)[0])
        order = timed("ranker", lambda seen=seen: made.model.order(seen))
        new = ~made.stage.features.sold
        rules = Rules(newcomers=0.3)
        listed = partial(rules.listed, item, order, DEPTH, new=new, had=asked.item, vectors=None)
        timed("rules", listed)
    total = sum(spent.values())
    return {stage: round(seconds / total, 3) for stage, seconds in spent.items()}


def measured(items: int, times: int) -> dict[str, Any]:
    """One size, in this process."""
    history = shop(items)
    base = _memory()
    began = time.perf_counter(), time.process_time()
    made = recommender().fit(history)
    clock, spent = time.perf_counter() - began[0], time.process_time() - began[1]
    memory = _memory()
    who = np.random.default_rng(1).permutation(np.unique(history.shopper))[: times + 20]
    waited, each = [], []
    for turn, one in enumerate(who.tolist()):
        began = time.perf_counter(), time.process_time()
        made.recommend(history.asked([one]), DEPTH, Rules(newcomers=0.3))
        if turn >= 20:
            waited.append(time.perf_counter() - began[0])
            each.append(time.process_time() - began[1])
    return {
        "items": items,
        "events": len(history.item),
        "fit_seconds": round(spent, 1),
        "fit_seconds_on_the_clock": round(clock, 1),
        "shop_gib": round(base, 2),
        "peak_gib": round(memory, 2),
        "milliseconds": percentiles(each),
        "milliseconds_on_the_clock": percentiles(waited),
        "stages": stages(made, history, who[:50]),
    }


def _memory() -> float:
    """The most that this process held so far, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def rows_of(found: dict[str, Any]) -> list[dict[str, Any]]:
    size, p99 = f"{found['items']:,} items", found["milliseconds"]["p99"]
    learned = {key: found[key] for key in ("events", "fit_seconds", "fit_seconds_on_the_clock", "shop_gib")}
    listed = {key: found[key] for key in ("milliseconds", "milliseconds_on_the_clock", "stages")}
    return [
        {
            "bench": f"recommend: learn, {size}",
            "limit": f"{MOST_GIB:g} GiB",
            "ratio": round(MOST_GIB / found["peak_gib"], 3),
            "target": 1.0,
            "met": found["peak_gib"] <= MOST_GIB,
            "peak_gib": found["peak_gib"],
            **learned,
        },
        {
            "bench": f"recommend: one list, {size}",
            "limit": f"{MOST_MS:g} ms of processor time at p99",
            "ratio": round(MOST_MS / p99, 3),
            "target": 1.0,
            "met": p99 <= MOST_MS,
            **listed,
        },
    ]


def growth(small: dict[str, Any], large: dict[str, Any]) -> dict[str, Any]:
    def exponent(key: str) -> float:
        return round(math.log(large[key] / small[key]) / math.log(large["items"] / small["items"]), 3)

    found = exponent("fit_seconds")
    return {
        "bench": f"recommend: growth, {small['items']:,} to {large['items']:,} items",
        "limit": f"learning grows no faster than n^{MOST_GROWTH:g}",
        "ratio": round(MOST_GROWTH / found, 3),
        "target": 1.0,
        "met": found <= MOST_GROWTH,
        "exponent_of_seconds": found,
        "exponent_of_memory": exponent("peak_gib"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="sizes that begin so: 10, 100 or 1000 (thousand items)")
    parser.add_argument("--large", action="store_true", help="also 1,000,000 items")
    parser.add_argument("--times", type=int, default=300, help="lists that are timed")
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        print(json.dumps(measured(asked.measure, asked.times)))
        return
    sizes = [10, 100, 1000] if asked.large else [10, 100]
    sizes = [size for size in sizes if not asked.only or str(size) == asked.only]
    before: dict[str, Any] | None = None
    for size in sizes:
        command = [sys.executable, __file__, "--measure", str(1000 * size), "--times", str(asked.times)]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        for row in rows_of(found) + ([growth(before, found)] if before else []):
            print(json.dumps(row), flush=True)
        before = found


if __name__ == "__main__":
    main()
