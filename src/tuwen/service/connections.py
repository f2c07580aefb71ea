"""Limits of connections: silence, slow reading, and their number.

uvicorn limits none of these while a request's headers arrive. The parser is h11, whatever else is installed, so that
every machine reads a request alike.
"""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from tuwen.service.limits import Limits

log = logging.getLogger("tuwen.service")
LINGER_SECONDS = 5.0  # in which the rest of a body that nobody reads is taken, so that the client reads its answer
SPARE_FILES = 64  # file descriptors kept for the store, pictures and the decoder
LEAST = 8
PART = 1 << 16  # bytes that are read of one connection before the next has its turn; asyncio takes four times as many


class Connection(H11Protocol):
    """One connection."""

    limits: Limits = Limits()
    most: int = Limits().connections

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self.waits_since = time.monotonic()

    @property
    def idle(self) -> bool:
        """Whether no request is being read or answered."""
        return self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.max_size = PART  # type: ignore[attr-defined]  # asyncio's own name for it
        self._await_headers()
        if len(self.connections) > self.most:
            idle = [
                connection
                for connection in self.connections
                if isinstance(connection, Connection) and connection is not self and connection.idle
            ]
            (min(idle, key=lambda connection: connection.waits_since) if idle else self).abort()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._cancel()
        if self._write_timer is not None:
            self._write_timer.cancel()

    def data_received(self, data: bytes) -> None:
        if self.idle and self._timer is None and self.conn.their_state is h11.IDLE:
            self._await_headers()
        super().data_received(data)

    def handle_events(self) -> None:
        super().handle_events()
        if not self.idle:  # the headers are whole; the guard limits the body
            self._cancel()

    def on_response_complete(self) -> None:
        unread = self.conn.their_state is h11.SEND_BODY
        super().on_response_complete()
        self.waits_since = time.monotonic()
        if unread and self.idle:
            self._start(LINGER_SECONDS)

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        if self.transport.get_write_buffer_size():  # closed, and its answer is not taken
            self._start(self.limits.write_seconds)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._write_timer is None:
            self._write_timer = self.loop.call_later(self.limits.write_seconds, self.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def shutdown(self) -> None:
        super().shutdown()
        if self.transport.get_write_buffer_size():
            self._start(self.limits.grace_seconds)

    def abort(self) -> None:
        """Close at once. Unsent bytes are lost."""
        self.connections.discard(self)
        self.transport.abort()

    def _await_headers(self) -> None:
        self.waits_since = time.monotonic()
        self._start(self.limits.header_seconds)

    def _start(self, seconds: float) -> None:
        self._cancel()
        self._timer = self.loop.call_later(seconds, self.abort)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def connection_class(limits: Limits) -> type[Connection]:
    """Return the protocol class that uvicorn uses, bound to these limits."""
    return type("Connection", (Connection,), {"limits": limits, "most": most_connections(limits)})


def most_connections(limits: Limits) -> int:
    """How many connections this process may have: beyond its open files none could be accepted, nor closed in turn."""
    try:
        import resource
    except ModuleNotFoundError:  # not a Unix
        return limits.connections
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return limits.connections
    return max(LEAST, min(limits.connections, soft - _open_files() - SPARE_FILES))


def _open_files() -> int:
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.is_dir() else 0


class Faults:
    """What asyncio tells of itself, a line a second: where files run out, it tells of each accept that fails."""

    def __init__(self) -> None:
        self._next = 0.0

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if not isinstance(context.get("exception"), OSError):
            loop.default_exception_handler(context)
        elif time.monotonic() >= self._next:
            self._next = time.monotonic() + 1.0
            log.error("%s: %s", context["message"], context["exception"])
