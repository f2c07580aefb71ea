"""A real PostgreSQL server, started on loopback and ended with the tests that asked for it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = os.geteuid() == 0
PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
MISSING = not PROGRAMS or (ROOT and not shutil.which("runuser"))
REASON = "needs Debian's postgresql package"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@dataclass(frozen=True)
class Server:
    folder: Path
    port: int

    @property
    def url(self) -> str:
        return f"postgresql://shop@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        self._run("pg_ctl", "-w", "-l", self.folder / "log", "-o", options, "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-w", "-m", "immediate", "stop")

    def freeze(self) -> None:
        """Every process of the server stands still; its kernel goes on to take what is sent."""
        stopped: set[int] = set()
        while fresh := set(self._processes()) - stopped:  # the first one makes others until it stands still
            for process in sorted(fresh, key=lambda one: one != self._first):
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGSTOP)
            stopped |= fresh

    def thaw(self) -> None:
        for process in self._processes():
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGCONT)

    @property
    def _first(self) -> int:
        return int((self.folder / "data" / "postmaster.pid").read_text().split()[0])

    def _processes(self) -> list[int]:
        told = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self._first)], capture_output=True, text=True)
        return [self._first, *map(int, told.stdout.split())]

    def initialise(self) -> None:
        if ROOT:
            shutil.chown(self.folder, "postgres", "postgres")
        self._run("initdb", "-A", "trust", "-U", "shop", "--no-sync")

    def _run(self, program: str, *arguments: object) -> None:
        as_owner = ["runuser", "-u", "postgres", "--"] if ROOT else []  # PostgreSQL refuses to run as root
        command = [*as_owner, str(PROGRAMS[-1].parent / program), "-D", str(self.folder / "data"), *map(str, arguments)]
        subprocess.run(command, check=True, capture_output=True)


@contextmanager
def postgresql() -> Iterator[Server]:
    server = Server(Path(tempfile.mkdtemp(prefix="tuwen-pg-")), free_port())
    try:
        server.initialise()
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(server.folder, ignore_errors=True)
