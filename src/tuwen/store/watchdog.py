"""A watchdog for a database that hangs: it limits the wait, and decides who tries again.

PostgreSQL's own ``statement_timeout`` ends a slow query, but a server that is frozen ends nothing, and its kernel goes
on to acknowledge what is sent. So a thread of ours shuts the socket of a connection that was lent for too long: whoever
waits on it wakes with an error.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import suppress
from typing import Any

CONNECT_SECONDS = 3
ANSWER_SECONDS = 6.0  # of one lent connection
PING_SECONDS = 2.0
PAUSE_SECONDS = 1.0  # after a failure, before the next try
AWAY = "it did not answer a moment ago"


class Watchdog:
    """Watches the connections of one engine. While somebody watches the database (:attr:`watched`) and it is away, only
    that one asks it; all others are told at once, and keep no thread waiting. Where nobody watches, one asks a second.
    """

    def __init__(self) -> None:
        self._deadlines: dict[Any, float] = {}  # by connection of the driver
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._mine = threading.local()
        self._ended = False
        self._failed = 0.0
        self.watched = False
        self.away = False

    def lend(self, connection: Any, seconds: float | None = None) -> None:
        """Watch a connection from now on, for the time of one answer or the given seconds."""
        with self._changed:
            self._deadlines[connection] = time.monotonic() + (self._seconds() if seconds is None else seconds)
            if self._thread is None or not self._thread.is_alive():  # a fork has none
                self._thread = threading.Thread(target=self._run, name="tuwen-store-watchdog", daemon=True)
                self._thread.start()
            self._changed.notify()

    def give_back(self, connection: Any) -> None:
        with self._changed:
            self._deadlines.pop(connection, None)

    def refuses(self) -> bool:
        """Whether this thread must not try the database."""
        waits = self.watched or time.monotonic() - self._failed < PAUSE_SECONDS
        return self.away and waits and not getattr(self._mine, "probes", False)

    def failed(self) -> None:
        """Record that the database did not answer, and wake the waiting threads."""
        self.away, self._failed = True, time.monotonic()
        if self.watched:
            with self._changed:
                for connection in self._deadlines:
                    self._deadlines[connection] = 0.0
                self._changed.notify()

    def answered(self) -> None:
        self.away = False

    def probe(self, on: bool) -> None:
        """Mark this thread's queries as the probe of the database, or no longer."""
        self._mine.probes = on

    def end(self) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify()

    def _seconds(self) -> float:
        return PING_SECONDS if getattr(self._mine, "probes", False) else ANSWER_SECONDS

    def _run(self) -> None:
        with self._changed:
            while not self._ended:
                now = time.monotonic()
                late = [connection for connection, deadline in self._deadlines.items() if deadline <= now]
                for connection in late:
                    del self._deadlines[connection]
                    _shut(connection)
                first = min(self._deadlines.values(), default=None)
                self._changed.wait(None if first is None else max(0.0, first - now))


def _shut(connection: Any) -> None:
    """Shut a connection's socket from another thread, in both directions."""
    with suppress(Exception), socket.socket(fileno=os.dup(connection.pgconn.socket)) as handle:  # it may be closed
        handle.shutdown(socket.SHUT_RDWR)
