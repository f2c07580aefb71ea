"""A served home as a process of its own, and what goes wrong around it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from homes import make_home
from tuwen import workflow
from tuwen.store import Store

SERVE = "from tuwen.cli import main; main()"


class Served:
    def __init__(self, home: Path, *more: str) -> None:
        command = [sys.executable, "-c", SERVE, "serve", str(home), "--port", "0", *more]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout
        line = self.process.stdout.readline()
        found = re.search(r"at (http://[\d.]+:(\d+))", line)
        assert found, line
        self.url, self.port = found[1], int(found[2])
        self.client = httpx.Client(base_url=self.url, timeout=30)

    def end(self) -> int:
        self.client.close()
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=30)
        return self.process.returncode

    def workers(self) -> list[int]:
        told = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.process.pid)], capture_output=True, text=True)
        return [int(pid) for pid in told.stdout.split()]

    def ready(self) -> dict:
        return self.client.get("/readyz").json()


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    return make_home(tmp_path_factory.mktemp("home"), items=16)


@pytest.fixture(scope="module")
def served(home) -> Iterator[Served]:
    found = Served(home, "--workers", "2")
    yield found
    assert found.end() == 0


def event(number: int) -> dict:
    return {"event": f"e{number}", "user": "u", "item": "SKU-0001", "kind": "click"}


def test_workers_answer_alike_and_one_that_dies_is_replaced(served) -> None:
    before = served.workers()
    assert len(before) == 2
    lists = {json.dumps(served.client.post("/v1/recommend", json={"count": 3}).json()["items"]) for _ in range(8)}
    assert len(lists) == 1
    os.kill(before[0], signal.SIGKILL)
    deadline = time.monotonic() + 30
    while len(set(served.workers()) - {before[0]}) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert len(set(served.workers()) - {before[0]}) == 2
    with httpx.Client(base_url=served.url, timeout=30) as fresh:
        assert fresh.get("/readyz").json()["ready"]


def test_an_acknowledged_event_survives_the_death_of_everything(home, tmp_path) -> None:
    store = tmp_path / "store.db"
    found = Served(home, "--store", f"sqlite:///{store}")
    acknowledged = 0
    for number in range(40):
        acknowledged += found.client.post("/v1/events", json={"events": [event(number)]}).json()["new"]
    found.process.kill()
    found.process.communicate(timeout=30)
    found.client.close()
    with Store(store) as kept:
        assert kept.events.count() == acknowledged == 40


def test_what_is_promoted_is_taken_up_without_a_failed_request(served, home) -> None:
    revision, failed, seen = served.ready()["revision"], 0, set()
    workflow.promote(home.parent / "next", home)
    deadline = time.monotonic() + 30
    while not {revision, revision + 1} <= seen and time.monotonic() < deadline:
        with httpx.Client(base_url=served.url, timeout=30) as fresh:  # either worker
            answer = fresh.post("/v1/recommend", json={"count": 3})
        failed += answer.status_code != 200
        seen.add(answer.json()["revision"])
        if revision + 1 in seen:
            break
    assert failed == 0 and revision + 1 in seen


def test_slow_and_silent_clients_keep_nobody_waiting(served) -> None:
    slow = []
    try:
        for number in range(300):
            one = socket.create_connection(("127.0.0.1", served.port), timeout=10)
            if number % 2:
                one.sendall(b"POST /v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\n{")
            slow.append(one)
        began = time.monotonic()
        with httpx.Client(base_url=served.url, timeout=30) as fresh:
            assert fresh.get("/healthz").status_code == 200
            assert fresh.post("/v1/recommend", json={"count": 3}).status_code == 200
        assert time.monotonic() - began < 10
    finally:
        for one in slow:
            one.close()


def test_a_wrong_clock_is_told_and_an_old_event_is_kept(served) -> None:
    for number, (moment, status) in enumerate((("2099-01-01T00:00:00Z", 422), ("1971-01-01T00:00:00+08:00", 200))):
        sent = {**event(number + 1000), "user": "clock", "time": moment}
        assert served.client.post("/v1/events", json={"events": [sent]}).status_code == status
    assert served.client.post("/v1/recommend", json={"user": "clock", "count": 3}).status_code == 200


def test_the_measures_of_all_workers_are_added_up(served) -> None:
    def counted() -> float:
        text = served.client.get("/metrics").text
        return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith("tuwen_requests_total"))

    before = counted()
    for _ in range(12):
        with httpx.Client(base_url=served.url, timeout=30) as fresh:  # either worker
            fresh.get("/healthz")
    assert counted() >= before + 12


def test_work_that_nobody_looks_at_any_more_is_done_all_the_same(tmp_path) -> None:
    program = f"{sys.executable} -c '{SERVE}' sample {tmp_path / 'shop'} --items 8"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {program} 2>&1 | true"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "shop" / "SHOP.yaml").is_file()


def test_probes_find_nothing(served) -> None:
    for path in (
        "/../../etc/passwd",
        "/web/../../../etc/passwd",
        "/web/%2e%2e/%2e%2e/pyproject.toml",
        "/v1/items/..%2f..%2fx",
    ):
        answer = served.client.get(path)
        assert answer.status_code in (400, 404) and "root:" not in answer.text
    for words in ("'; DROP TABLE events; --", '" OR 1=1', "<script>alert(1)</script>", "{{7*7}}", "%s%n"):
        assert served.client.get("/v1/search", params={"words": words}).status_code == 200
        sent = {"event": words, "user": words, "item": words, "kind": "click"}
        assert served.client.post("/v1/events", json={"events": [sent]}).status_code == 200
    answer = served.client.get("/v1/search", params={"words": "a\r\nX-Evil: 1"})
    assert "x-evil" not in answer.headers and answer.headers["x-content-type-options"] == "nosniff"
    assert served.client.get("/healthz", headers={"Host": "evil.example"}).status_code == 421
    picture = {"item": "x", "pictures": ["http://127.0.0.1:1/secret"]}  # nothing is ever fetched
    assert served.client.post("/v1/items", json=picture).status_code == 422


def test_another_machine_needs_a_key(home) -> None:
    command = [sys.executable, "-c", SERVE, "serve", str(home), "--host", "0.0.0.0", "--port", "0"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert told.returncode == 2 and "--allow-remote" in told.stderr
    told = subprocess.run([*command, "--allow-remote"], capture_output=True, text=True, timeout=60)
    assert told.returncode == 2 and "tuwen key" in told.stderr


def test_the_examples_of_a_client_work(served) -> None:
    page = (Path(__file__).parents[1] / "docs" / "client.md").read_text(encoding="utf-8")
    (python,) = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    environment = {**os.environ, "TUWEN": served.url}
    done = subprocess.run([sys.executable, "-c", python], capture_output=True, text=True, env=environment)
    assert done.returncode == 0 and done.stdout.startswith("['"), done.stderr
    (script,) = re.findall(r"^```js\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    if node := shutil.which("node"):
        script = script.replace("http://127.0.0.1:8000", served.url)
        done = subprocess.run([node, "--input-type=module", "-e", script], capture_output=True, text=True)
        assert done.returncode == 0 and "[" in done.stdout, done.stderr
