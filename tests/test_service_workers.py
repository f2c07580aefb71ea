"""Workers end with the process that supervises them."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path

import pytest

from processes import Command
from test_service_faults import Served, event

ALONE = r"""
import os, signal, sys, time
from tuwen.service import lifeline
from tuwen.service.workers import Workers
if sys.argv[1] == "without prctl":
    lifeline._signal_at_death_of_parent = lambda: None

def work(answers):
    if sys.argv[1] == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    answers()
    os.write(1, b"%d\n" % os.getpid())
    while True:
        time.sleep(0.1)

lifeline.GRACE_SECONDS = 1
Workers(work, 2).run(None)
"""


def is_gone(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def wait_for_the_end(processes: list[int], seconds: float) -> float:
    began = time.monotonic()
    while not all(map(is_gone, processes)):
        assert time.monotonic() - began < seconds, f"still there: {processes}"
        time.sleep(0.01)
    return time.monotonic() - began


@pytest.mark.parametrize("how", ["as it is", "without prctl", "deaf"])
def test_workers_end_with_their_supervisor(how: str) -> None:
    supervisor = Command(how, code=ALONE)
    try:
        deadline = time.monotonic() + 60
        while supervisor.stdout.count("\n") < 2:
            assert time.monotonic() < deadline, supervisor.stderr
            time.sleep(0.01)
    finally:
        supervisor.kill()
        supervisor.wait()
    workers = [int(line) for line in supervisor.stdout.split()]
    wait_for_the_end(workers, 5)


def test_the_port_of_a_service_is_free_again_after_its_supervisor_was_killed(home: Path) -> None:
    served = Served(home, "--workers", "2")
    workers = served.workers()
    assert served.client.post("/v1/events", json={"events": [event(1)]}).json()["new"] == 1
    os.kill(served.process.pid, signal.SIGKILL)
    served.process.wait(30)
    served.client.close()
    wait_for_the_end(workers, 12)
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", served.port))
