"""Send honest and hostile traffic to a served home, and check that nothing is lost or doubled.

    make soak                 ten minutes, two workers
    make soak ARGS="--seconds 60"

Honest clients send events, change items, ask for lists, search and predict. One attack after the other runs beside
them, in an order drawn by --seed. At the end the store is opened: every event that was acknowledged stands there
once, every item as its last acknowledged change left it. One JSON line a figure; exit status 1 where one is not met.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))

from attacks.health import Health
from attacks.requests import ATTACKS, memory_of
from fuzz import good_of, make_home
from load.__main__ import told_port
from tuwen.store import Store

HEALTH_SECONDS = 0.1  # the 99th percentile
MEMORY_RATIO = 1.1  # of what it was after the first tenth
PAUSE = 0.05  # of an honest client between two requests
CALM = 5.0  # seconds without an attack before memory is measured
LAST_ANSWER = 60.0  # seconds for which an honest client waits


@dataclass
class Ledger:
    """The acknowledgements that honest clients received.

    Attributes:
        events: keys of acknowledged events.
        items: item → whether its last acknowledged change left it in the shop; None while a change is not answered.
        statuses: of all honest requests.
        faults: answers of 500, with their requests.
    """

    events: set[str] = field(default_factory=set)
    items: dict[str, bool | None] = field(default_factory=dict)
    statuses: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


class Client:
    """One honest client, with a connection of its own."""

    def __init__(self, number: int, port: int, sample: dict[str, Any], ledger: Ledger, seed: int) -> None:
        self.number, self.port, self.sample, self.ledger = number, port, sample, ledger
        self.rng = random.Random(f"{seed} {number}")
        self.sent = 0
        self.connection = self._connect()

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=LAST_ANSWER)

    def run(self, end: float) -> None:
        while time.monotonic() < end:
            self.act()
            time.sleep(PAUSE)
        self.connection.close()

    def act(self) -> None:
        """Send one request of a kind that is drawn."""
        self.sent += 1
        draw = self.rng.random()
        if draw < 0.4:
            self.send_event()
        elif draw < 0.5:
            self.change_item()
        elif draw < 0.75:
            self.ask("POST", "/v1/recommend", {"user": f"soak-{self.rng.randrange(50)}", "count": 5})
        elif draw < 0.95:
            self.ask("GET", f"/v1/search?words={self.rng.choice(['teapot', 'mug', 'lamp'])}")
        else:
            self.ask("POST", "/v1/predict", {"rows": [self.sample["row"]]})

    def send_event(self) -> None:
        key = f"soak-{self.number}-{self.sent}"
        event = {"event": key, "user": f"soak-{self.number}", "item": self.sample["item"], "kind": "click"}
        if self.ask("POST", "/v1/events", {"events": [event]}) == 200:
            with self.ledger.lock:
                self.ledger.events.add(key)

    def change_item(self) -> None:
        """Add an item of this client, or remove it."""
        item = f"soak-{self.number}-{self.rng.randrange(5)}"
        live = self.rng.random() < 0.6
        self.ledger.items[item] = None
        body = {"item": item, "columns": {"title": "a teapot of the soak", "price": 9}}
        status = self.ask("POST", "/v1/items", body) if live else self.ask("DELETE", f"/v1/items/{item}")
        if status in (200, 404):
            self.ledger.items[item] = live

    def ask(self, method: str, path: str, body: Any = None) -> int | None:
        """Send a request. Returns the status; None without a response."""
        data = None if body is None else json.dumps(body)
        try:
            self.connection.request(method, path, data, {"Content-Type": "application/json"})
            answer = self.connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.connection.close()
            self.connection = self._connect()
            with self.ledger.lock:
                self.ledger.statuses[type(error).__name__] += 1
            return None
        with self.ledger.lock:
            self.ledger.statuses[str(answer.status)] += 1
            if answer.status == 500:
                self.ledger.faults.append(f"{method} {path}: {text[:300].decode(errors='replace')}")
        return answer.status


def attack(port: int, end: float, seed: int, statuses: Counter[str]) -> None:
    """Run all attacks one after the other, in a new random order each round."""
    rng = random.Random(seed)
    while True:
        for attack in rng.sample(ATTACKS, len(ATTACKS)):
            if time.monotonic() > end:
                return
            try:
                statuses.update(attack.run("127.0.0.1", port))
            except OSError as error:
                statuses[type(error).__name__] += 1


def soak(port: int, pid: int, sample: dict[str, Any], how: argparse.Namespace) -> tuple[Ledger, dict[str, Any]]:
    """Run the traffic. Memory is measured while no attack runs."""
    ledger, hostile = Ledger(), Counter[str]()
    memory = []
    with Health("127.0.0.1", port) as health:
        for share in (0.1, 0.9):  # the first tenth warms everything up
            end = time.monotonic() + share * how.seconds
            clients = [Client(n + int(share * 100), port, sample, ledger, how.seed) for n in range(how.clients)]
            threads = [threading.Thread(target=client.run, args=(end,)) for client in clients]
            threads.append(threading.Thread(target=attack, args=(port, end, how.seed, hostile)))
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            time.sleep(CALM)
            memory.append(memory_of(pid))
    figures = {
        "health_p99_ms": round(health.p99 * 1000, 1),
        "health_longest_ms": round(max(health.seconds) * 1000, 1),
        "memory_mb": [round(size / 1e6) for size in memory],
        "memory_ratio": round(memory[1] / memory[0], 3),
        "honest": dict(ledger.statuses),
        "hostile": dict(hostile),
    }
    return ledger, figures


def search_hits(port: int) -> set[str]:
    """Return the items of this soak that search finds."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LAST_ANSWER)
    connection.request("GET", "/v1/search?words=teapot+soak&size=200&where=price%3D9")
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return {hit["item"] for hit in answer["hits"] if hit["item"].startswith("soak-")}


def judge(home: Path, ledger: Ledger, hits: set[str], figures: dict[str, Any]) -> list[str]:
    """Return a sentence for each broken promise."""
    with Store(str(home / "store.db")) as store:
        events = Counter(event["event"] for event in store.events.all())
        rows = {item: store.items.get(item) for item in ledger.items}
    live = {item for item, row in rows.items() if row is not None and row.live}
    lost = ledger.events - events.keys()
    doubled = [event for event, count in events.items() if count > 1]
    differing = [item for item, expected in ledger.items.items() if expected is not None and (item in live) != expected]
    figures |= {"acknowledged": len(ledger.events), "lost": len(lost), "doubled": len(doubled), "items": len(rows)}
    faults = [f"{name} events: {rows[:3]}" for name, rows in (("lost", [*lost]), ("doubled", doubled)) if rows]
    faults += [f"items that are not as they were left: {differing[:3]}"] if differing else []
    faults += [f"search shows other items than the store has: {sorted(live ^ hits)[:3]}"] if live != hits else []
    faults += ledger.faults[:5]
    faults += [f"{figures['hostile']['500']} attacks were answered with 500"] if figures["hostile"].get("500") else []
    if figures["health_p99_ms"] > HEALTH_SECONDS * 1000:
        faults.append(f"health p99 {figures['health_p99_ms']} ms, allowed are {HEALTH_SECONDS * 1000:g}")
    if figures["memory_ratio"] > MEMORY_RATIO:
        faults.append(f"memory grew {figures['memory_ratio']} times, allowed are {MEMORY_RATIO}")
    return faults


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--clients", type=int, default=4, help="honest ones")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    how = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tuwen-soak-") as folder:
        home = make_home(Path(folder), 40)
        sample = good_of(Path(folder) / "dataset")
        command = [str(Path(sys.executable).with_name("tuwen")), "serve", str(home), "--port", "0"]
        process = subprocess.Popen([*command, "--workers", str(how.workers)], stdout=subprocess.PIPE, text=True)
        try:
            port = told_port(process)
            ledger, figures = soak(port, process.pid, sample, how)
            hits = search_hits(port)
        finally:
            process.terminate()
            began = time.monotonic()
            code = process.wait(timeout=60)
        figures |= {"stopped_after_s": round(time.monotonic() - began, 1), "exit": code}
        faults = judge(home, ledger, hits, figures)
    print(json.dumps({"soak": how.seconds, **figures, "faults": faults}, ensure_ascii=False))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
