"""Requests a second, latency, memory and reloads of a served home, beside an empty FastAPI route. One JSON line each.

Everything is on loopback, and bounded: by --seconds for each part, by --connections, and by what the parts are.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from load.client import Request, load
from tuwen import workflow
from tuwen.bundle.home import Home
from tuwen.data.sample import write_sample_shop
from tuwen.workflow.indexing import Recipe
from tuwen.workflow.kinds import part_of
from tuwen.workflow.serving import open_parts

RUN = """\
name: next
shop: SHOP.yaml
task: {use: rank, depth: 20, horizon: 28}
events: {where: kind = 'purchase'}
facts: [items.category, items.price]
per: 50
windows: {count: 4, least: 60, negatives: 50}
"""
EMPTY = """
import sys, uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
class Answer(BaseModel):
    status: str = "ok"
app = FastAPI()
@app.post("/empty")
async def empty() -> Answer:
    return Answer()
uvicorn.run(app, port=int(sys.argv[1]), log_level="error", access_log=False)
"""
FLAT = 1.1  # times the memory after the first tenth
TURNS = 5


def make_home(folder: Path, items: int) -> Path:
    write_sample_shop(folder / "shop", items=items, seed=0)
    (folder / "shop" / "NEXT.yaml").write_text(RUN, encoding="utf-8")
    workflow.collect(folder / "shop" / "SHOP.yaml", folder / "dataset")
    workflow.index(folder / "dataset", folder / "index", Recipe(text="none", picture="none"))
    part_of("rank", "train")(folder / "shop" / "NEXT.yaml", folder / "dataset", folder / "next")
    for name in ("dataset", "index", "next"):
        workflow.promote(folder / name, folder / "home")
    return folder / "home"


@contextmanager
def running(command: list[str], ready: Callable[[subprocess.Popen[str]], int]) -> Any:
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield ready(process), process.pid
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)


def told_port(process: subprocess.Popen[str]) -> int:
    assert process.stdout
    for line in process.stdout:
        if found := re.search(r"at http://[\d.]+:(\d+)", line):
            return int(found[1])
    raise SystemExit("the service did not start")


def known_port(port: int) -> Callable[[subprocess.Popen[str]], int]:
    import socket

    def wait(_: subprocess.Popen[str]) -> int:
        for _ in range(300):
            with socket.socket() as one:
                if one.connect_ex(("127.0.0.1", port)) == 0:
                    return port
            time.sleep(0.1)
        raise SystemExit("the empty service did not start")

    return wait


def memory_mb(pid: int) -> float:
    """Resident, of a process and its children."""
    rows = subprocess.run(["ps", "-eo", "pid=,ppid=,rss="], capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    table = [tuple(map(int, row.split())) for row in rows if row.strip()]
    return sum(rss for one, parent, rss in table if pid in (one, parent)) / 1024


def say(**row: Any) -> None:
    print(json.dumps(row), flush=True)


def shoppers_of(home: Path) -> tuple[list[str], list[str]]:
    opened = Home(home)
    recommender = open_parts(opened, opened.live()).recommender
    assert recommender is not None
    return list(recommender.shelf.users), recommender.shelf.catalogue.items.tolist()


def drawing(users: list[str], items: list[str], mixed: bool) -> Callable[[], Request]:
    rng, number = random.Random(0), iter(range(10**9))
    words = ["lamp", "红色 茶壶", "teapot blue", "mug", "连衣裙"]

    def draw() -> Request:
        chance = rng.random() if mixed else 0.0
        if chance < 0.7:
            return Request.of("recommend", "POST", "/v1/recommend", {"user": rng.choice(users)})
        if chance < 0.85:
            event = {"event": f"{time.time_ns()}-{next(number)}", "user": rng.choice(users), "item": rng.choice(items)}
            return Request.of("events", "POST", "/v1/events", {"events": [{**event, "kind": "click"}]})
        if chance < 0.95:
            return Request.of("search", "POST", "/v1/search", {"words": rng.choice(words)})
        return Request.of("item", "GET", f"/v1/items/{rng.choice(items)}")

    return draw


def watched(pid: int, call: Callable[[], Any]) -> tuple[Any, list[float]]:
    """What ``call`` gives, and the memory each second meanwhile."""
    seen, ended = [memory_mb(pid)], threading.Event()

    def look() -> None:
        while not ended.wait(1.0):
            seen.append(memory_mb(pid))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        return call(), seen
    finally:
        ended.set()
        thread.join()


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--home", type=Path, help="serve a copy of nothing: this home itself; default: of a sample shop")
    asked.add_argument("--items", type=int, default=200, help="of the sample shop")
    asked.add_argument("--seconds", type=float, default=20, help="of each part")
    asked.add_argument(
        "--mix", type=float, help="of the mixed part; 600 for memory over ten minutes; default: --seconds"
    )
    asked.add_argument("--connections", type=int, default=8)
    asked.add_argument("--workers", type=int, default=1)
    how = asked.parse_args()
    with tempfile.TemporaryDirectory(prefix="tuwen-load-") as folder:
        home = how.home or make_home(Path(folder), how.items)
        _measure(home, Path(folder) / "next" if how.home is None else None, how)


def _measure(home: Path, other: Path | None, how: argparse.Namespace) -> None:
    users, items = shoppers_of(home)
    tuwen = str(Path(sys.executable).with_name("tuwen"))
    command = [tuwen, "serve", str(home), "--port", "0", "--workers", str(how.workers)]
    with running(command, told_port) as (port, pid):
        with running([sys.executable, "-c", EMPTY, "8977"], known_port(8977)) as (empty, _):
            _beside_empty(port, empty, users, items, how)
        alone = load(port, drawing(users, items, False), connections=1, seconds=how.seconds / 4)["recommend"]
        say(
            bench="POST /v1/recommend, one at a time",
            limit="p99 10 ms",
            ratio=round(alone["p99_ms"] / 10, 3),
            target=1.0,
            met=alone["p99_ms"] <= 10,
            **alone,
        )
        _mixed(port, pid, users, items, how)
        if other is not None:
            _reloads(port, home, other, users, items, how)


def _beside_empty(port: int, empty: int, users: list[str], items: list[str], how: argparse.Namespace) -> None:
    """In turns, so that both meet the same neighbours on this machine; the first one, in which lists are made that are
    then remembered, is not told.
    """
    asked = {
        "empty": (empty, lambda: Request.of("empty", "POST", "/empty")),
        "recommend": (port, drawing(users, items, False)),
    }
    found: dict[str, list[dict[str, Any]]] = {"empty": [], "recommend": []}
    for _ in range(TURNS + 1):
        for kind, (where, draw) in asked.items():
            found[kind].append(load(where, draw, connections=how.connections, seconds=how.seconds / TURNS)[kind])
    found = {kind: rows[1:] for kind, rows in found.items()}
    pairs = zip(found["recommend"], found["empty"], strict=True)
    ratios = sorted(one["per_second"] / max(other["per_second"], 1e-9) for one, other in pairs)
    ratio = statistics.median(ratios)
    say(bench="empty FastAPI route", **median_of(found["empty"]))
    say(
        bench="POST /v1/recommend",
        limit="half of the empty route",
        ratio=round(ratio, 3),
        least=round(ratios[0], 3),
        most=round(ratios[-1], 3),
        target=0.5,
        met=ratio >= 0.5,
        **median_of(found["recommend"]),
    )


def median_of(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Each number's median over turns, and all that failed."""
    found = {name: statistics.median(row[name] for row in rows) for name in rows[0] if name.endswith(("second", "_ms"))}
    return found | {"failed": sum(row["failed"] for row in rows)}


def _mixed(port: int, pid: int, users: list[str], items: list[str], how: argparse.Namespace) -> None:
    seconds = how.mix or how.seconds
    mixed, seen = watched(
        pid, lambda: load(port, drawing(users, items, True), connections=how.connections, seconds=seconds)
    )
    for kind, row in mixed.items():
        say(bench=f"mixed: {kind}", **row)
    early = seen[max(1, len(seen) // 10)]
    say(
        bench="memory under mixed load",
        limit=f"{FLAT} × after the first tenth",
        ratio=round(max(seen) / early, 3),
        target=FLAT,
        met=max(seen) <= FLAT * early,
        seconds=seconds,
        first_mb=round(seen[0], 1),
        last_mb=round(seen[-1], 1),
        mb=[round(one, 1) for one in seen[:: max(1, len(seen) // 10)]],
    )


def _reloads(port: int, home: Path, other: Path, users: list[str], items: list[str], how: argparse.Namespace) -> None:
    """Promote and go back while requests run: none may fail."""
    ended = threading.Event()
    done = []

    def change() -> None:
        while not ended.wait(1.0):
            workflow.promote(other, home)
            workflow.roll_back(home)
            done.append(2)

    thread = threading.Thread(target=change)
    thread.start()
    found = load(port, drawing(users, items, True), connections=how.connections, seconds=how.seconds)
    ended.set()
    thread.join()
    failed = sum(row["failed"] for row in found.values())
    say(
        bench="reload under load",
        limit="no failed request",
        met=failed == 0 and bool(done),
        failed=failed,
        revisions=sum(done),
        requests=sum(row["requests"] for row in found.values()),
    )


if __name__ == "__main__":
    main()
