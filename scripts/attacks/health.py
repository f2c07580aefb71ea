"""Measure ``GET /healthz`` under load, from a separate process so that the load does not delay the clock."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from types import TracebackType

EVERY = 0.02  # seconds between two requests
LONGEST = 60.0  # seconds for which an answer is awaited


class Health:
    """Send requests while the block is open. ``seconds`` holds the time of each request afterwards."""

    def __init__(self, host: str, port: int) -> None:
        self._command = [sys.executable, __file__, host, str(port)]
        self.seconds: list[float] = []

    def __enter__(self) -> Health:
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdout
        self._process.stdout.readline()  # it asks
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        output, _ = self._process.communicate()
        self.seconds = json.loads(output)

    @property
    def p99(self) -> float:
        """Seconds."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))] if ordered else float("inf")


def ask(host: str, port: int) -> float:
    """Return the seconds of one request over a new connection. Infinite if the status is not 200."""
    began = time.perf_counter()
    try:
        with socket.create_connection((host, port), timeout=LONGEST) as connection:
            connection.sendall(f"GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            answer = b""
            while part := connection.recv(4096):
                answer += part
    except OSError:
        return float("inf")
    return time.perf_counter() - began if b" 200 " in answer[:20] else float("inf")


def main() -> None:
    """Send requests until standard input ends."""
    host, port = sys.argv[1], int(sys.argv[2])
    over = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
    print("ready", flush=True)
    seconds = []
    while not over.wait(EVERY):
        seconds.append(ask(host, port))
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()
