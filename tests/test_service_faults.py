"""A served home as a process of its own, and what goes wrong around it."""

from __future__ import annotations

import base64
import io
import json
import os
import random
import re
import resource
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
from PIL import Image

from homes import Shop, problem
from processes import TUWEN, Command
from tuwen import workflow
from tuwen.bundle.home import Home
from tuwen.errors import TuwenError
from tuwen.service.rate import Rate
from tuwen.store import Store

CLIENTS = 1000
DAYS = 86_400  # seconds
FILES = 256  # that the shell lets the service open: it asks for more itself


class Served:
    def __init__(self, home: Path, *more: str) -> None:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        limits = {resource.RLIMIT_NOFILE: (FILES, hard)}
        self.process = Command("serve", str(home), "--port", "0", *more, limits=limits)
        line = self.process.readline()
        found = re.search(r"at (http://[\d.]+:(\d+))", line)
        assert found, line + self.process.stderr
        self.url, self.port = found[1], int(found[2])
        self.client = httpx.Client(base_url=self.url, timeout=30)

    def end(self) -> int:
        self.client.close()
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(30)

    def workers(self) -> list[int]:
        told = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.process.pid)], capture_output=True, text=True)
        return [int(pid) for pid in told.stdout.split()]

    def ready(self) -> dict:
        return self.client.get("/readyz").json()


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


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_home_that_cannot_be_opened_is_told_and_nothing_stays_behind(workers, home, tmp_path) -> None:
    broken = shutil.copytree(home, tmp_path / "home", ignore=shutil.ignore_patterns("store.db*"))
    next((broken / "parts").glob("recommend-*/bundle.json")).write_bytes(b"")
    told = Command("serve", str(broken), "--port", "0", "--workers", workers)
    assert told.wait() == 4 and "bundle.json" in told.stderr and "Traceback" not in told.stderr


def test_an_acknowledged_event_survives_the_death_of_everything(home, tmp_path) -> None:
    store = tmp_path / "store.db"
    found = Served(home, "--store", f"sqlite:///{store}")
    acknowledged = 0
    for number in range(40):
        acknowledged += found.client.post("/v1/events", json={"events": [event(number)]}).json()["new"]
    found.process.kill()
    found.process.wait(30)
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


def test_with_a_full_disk_events_are_refused_and_lists_go_on(served) -> None:
    pids = served.workers()
    sent = {"events": [{**event(5000), "query": "x" * 10_000}]}
    before = [resource.prlimit(pid, resource.RLIMIT_FSIZE) for pid in pids]
    try:
        for pid, (_, hard) in zip(pids, before, strict=True):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, hard))
        answer = served.client.post("/v1/events", json=sent)
        assert answer.status_code == 503 and "tell who runs" in answer.json()["todo"], answer.text
        assert served.client.post("/v1/recommend", json={"user": "full", "count": 3}).status_code == 200
    finally:
        for pid, limit in zip(pids, before, strict=True):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, limit)
    assert served.client.post("/v1/events", json=sent).json()["new"] == 1


def test_a_thousand_slow_and_silent_clients_keep_nobody_waiting(served) -> None:
    begun = b"POST /v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    said = (b"", b"POST", begun, begun + b"Content-Length: 1000\r\n\r\n{")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < CLIENTS + 200:
        pytest.skip(f"this machine allows {hard} open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, CLIENTS + 200), hard))
    slow = []
    try:
        for number in range(CLIENTS):
            one = socket.create_connection(("127.0.0.1", served.port), timeout=10)
            one.sendall(said[number % len(said)])
            slow.append(one)
        began = time.monotonic()
        for number in range(5):
            with httpx.Client(base_url=served.url, timeout=30) as fresh:  # either worker
                assert fresh.get("/healthz").status_code == 200
                assert fresh.post("/v1/events", json={"events": [event(6000 + number)]}).json()["new"] == 1
                assert fresh.post("/v1/recommend", json={"user": "u", "count": 3}).status_code == 200
        assert time.monotonic() - began < 10
        for one in slow:  # none of them was turned away
            one.setblocking(False)
            with pytest.raises(BlockingIOError):
                one.recv(1)
    finally:
        for one in slow:
            one.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_wrong_clock_is_told_and_an_old_event_is_kept(served) -> None:
    for number, (moment, status) in enumerate((("2099-01-01T00:00:00Z", 422), ("1991-01-01T00:00:00+08:00", 200))):
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
    program = f"{sys.executable} -c '{TUWEN}' sample {tmp_path / 'shop'} --items 8"
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
    command = ["serve", str(home), "--host", "0.0.0.0", "--port", "0"]
    told = Command(*command)
    assert told.wait() == 2 and "--allow-remote" in told.stderr
    told = Command(*command, "--allow-remote")
    assert told.wait() == 2 and "tuwen key" in told.stderr


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


# --- In this process ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("jump", [-400 * DAYS, 400 * DAYS])
def test_a_clock_that_jumps_loses_no_event_and_no_list(home, tmp_path, monkeypatch, jump) -> None:
    shop = Shop(home, tmp_path / "store.db", access=None, rate=Rate(1000.0, 1000))
    lists = [shop.items("POST", "/v1/recommend", {"user": "u", "count": 5})]
    true = time.time_ns
    for number, late in enumerate((0, jump, 0)):
        monkeypatch.setattr(time, "time_ns", lambda late=late: true() + int(late * 1e9))
        sent = {"event": f"e{number}", "user": "u", "item": f"SKU-000{number + 1}", "kind": "purchase"}
        assert shop.good("POST", "/v1/events", {"events": [sent]})["new"] == 1
        front = shop.live.storefront
        assert front.remembered("u", (), 5) is None  # what she did is seen, whatever the clock says
        lists.append(shop.items("POST", "/v1/recommend", {"user": "u", "count": 5}))
        assert lists[-1] == [one["item"] for one in front._recommended("u", (), 5, {}).items]
    assert lists[-1] != lists[0] and all(len(one) == 5 for one in lists)
    assert {one["event"] for one in shop.store.events.all()} == {"e0", "e1", "e2"}
    shop.store.close()


@pytest.mark.parametrize("kind", ["recommend", "search", "predict", "dataset"])
def test_a_part_that_is_damaged_is_not_taken_up_and_the_one_before_goes_on(home, tmp_path, kind) -> None:
    folder = tmp_path / "home"
    shutil.copytree(home, folder)
    shop = Shop(folder, tmp_path / "store.db")
    part = Home(folder).part(kind)
    assert part is not None
    copy = tmp_path / "copy"
    shutil.copytree(part, copy)
    damage(copy)
    with pytest.raises(TuwenError):  # what does not answer is not made live
        workflow.promote(copy, folder)
    before = shop.good("GET", "/readyz")["revision"]
    assert not shop.live.look() and shop.good("GET", "/readyz")["revision"] == before
    workflow.promote(part, folder)
    damage(Home(folder).part(kind))
    assert not shop.live.look()
    told = shop.good("GET", "/readyz")
    assert told["revision"] == before and "could not be loaded" in told["fault"]
    assert shop.items("POST", "/v1/recommend", {"count": 3}) and shop.good("GET", "/v1/search?words=lamp")
    shop.store.close()


def damage(folder: Path) -> None:
    """Half of the largest file that is read when it is opened is gone."""
    seen = ("items.parquet", "reviews.parquet") if (folder / "media").is_dir() else ("*",)
    files = [file for name in seen for file in folder.rglob(name) if file.is_file() and file.parent.name != "media"]
    largest = max(files, key=lambda file: file.stat().st_size)
    largest.write_bytes(largest.read_bytes()[: largest.stat().st_size // 2])


def test_a_picture_that_was_damaged_on_the_disk_is_told_and_hides_nothing_else(home, tmp_path) -> None:
    folder = tmp_path / "home"
    shutil.copytree(home, folder)
    for shard in folder.rglob("*.shard"):
        shard.write_bytes(shard.read_bytes()[:100])
    shop = Shop(folder, tmp_path / "store.db")
    known = shop.live.storefront.cards.keys()
    shown = next(item for item in known if shop.good("GET", f"/v1/items/{item}")["pictures"])
    answer = shop.ask("GET", f"/v1/items/{shown}/pictures/0")
    assert "cut short" in problem(answer, 500)["what"]
    assert shop.good("GET", f"/v1/items/{shown}")["columns"]["title"]
    assert shop.items("POST", "/v1/recommend", {"count": 3})
    shop.store.close()


def test_damaged_pictures_are_refused_in_words(home, tmp_path) -> None:
    shop, out = Shop(home, tmp_path / "store.db"), io.BytesIO()
    Image.effect_noise((60, 40), 80).save(out, "JPEG")
    whole, rng = out.getvalue(), random.Random(0)
    cuts = [whole[:size] for size in (0, 2, 20, len(whole) // 2, len(whole) - 2)]
    flipped = [bytes(b ^ (rng.random() < 0.02) * rng.randrange(256) for b in whole) for _ in range(6)]
    for number, data in enumerate([*cuts, *flipped, b"GIF89a" + whole, b"<svg/>"]):
        sent = {"item": f"P{number}", "pictures": [base64.b64encode(data).decode()]}
        answers = [
            shop.ask("POST", "/v1/items", sent),
            shop.ask("POST", "/v1/search", {"picture": sent["pictures"][0]}),
            *([shop.ask("POST", "/v1/search/photo", files={"photo": ("a.jpg", data)})] if data else []),
        ]
        assert {one.status_code for one in answers} <= {200, 422}, (number, [one.text for one in answers])
        if number in (0, 1, 2, 12):
            assert all(problem(one, 422)["what"] for one in answers)
    shop.store.close()
