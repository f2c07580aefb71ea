"""A home served by a process of its own, for tests that speak to its sockets."""

from __future__ import annotations

import re
import resource
import signal
import socket
import time
from pathlib import Path

from processes import TUWEN, Command


class ServedHome:
    """Args:
    more: arguments of ``tuwen serve``.
    files: that the process may open, at most.
    """

    def __init__(self, home: Path, *more: str, files: int | None = None, code: str = TUWEN) -> None:
        limits = {} if files is None else {resource.RLIMIT_NOFILE: (files, files)}
        self.process = Command("serve", str(home), "--port", "0", *more, code=code, limits=limits)
        line = self.process.readline()
        match = re.search(r"at http://[\d.]+:(\d+)", line)
        assert match, line + self.process.stderr
        self.port = int(match[1])

    def connect(self, source: str = "127.0.0.1") -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20, source_address=(source, 0))

    def say(self, text: bytes, source: str = "127.0.0.1") -> bytes:
        """Send bytes, and return the response until the server closes the connection."""
        with self.connect(source) as connection:
            connection.sendall(text)
            return rest(connection)

    def status(self, method: str = "GET", path: str = "/healthz", *headers: str, source: str = "127.0.0.1") -> int:
        lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", "Connection: close", *headers, "", ""]
        return int(self.say("\r\n".join(lines).encode(), source).split(b" ")[1])

    def end(self, number: int = signal.SIGTERM, seconds: float = 20) -> tuple[int, float, str]:
        """(exit status, seconds until then, what it wrote as errors)."""
        began = time.monotonic()
        self.process.send_signal(number)
        code = self.process.wait(seconds)
        return code, time.monotonic() - began, self.process.stderr


def rest(connection: socket.socket) -> bytes:
    """Read until the other side closes the connection, which must happen within the socket's timeout."""
    parts = []
    try:
        while part := connection.recv(1 << 16):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)
