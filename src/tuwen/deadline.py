"""Deadlines: how long work may take, how much it may use, and what stops with it.

A service opens a :class:`Deadline` for each request. Code on any floor calls :func:`check` between two parts of its
work. Outside of a deadline that does nothing, so the command line and Python are not limited.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from tuwen.errors import TuwenError


class Interrupted(TuwenError):
    """The work was stopped: its time is over, or its client has gone."""


class Deadline:
    """The limits of one piece of work. Any thread may call its methods.

    Args:
        seconds: from now until the work must end.
        pixels: of all pictures that the work may decode; None for any number.
    """

    def __init__(self, seconds: float, *, pixels: int | None = None) -> None:
        self.seconds, self.pixels = seconds, pixels
        self._end = time.monotonic() + seconds
        self._over = False
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[], object]] = []

    @property
    def left(self) -> float:
        """Seconds until the end; 0 when the work must end."""
        return 0.0 if self._over else max(0.0, self._end - time.monotonic())

    def stop(self) -> None:
        """End the work now: the next :meth:`check` raises, and what can be ended at once is."""
        with self._lock:
            if self._over:
                return
            self._over = True
            callbacks = list(self._callbacks)
        for callback in callbacks:
            callback()

    def check(self) -> None:
        """Raises:
        Interrupted: the time is over, or :meth:`stop` was called.
        """
        if self.left > 0:
            return
        self.stop()
        raise Interrupted(
            "the answer took too long", allowed=f"{self.seconds:g} seconds", todo="ask for less in one request"
        )

    @contextmanager
    def ending(self, callback: Callable[[], object]) -> Iterator[None]:
        """Wrap a call that cannot call :func:`check`. ``callback`` stops it from another thread."""
        with self._lock:
            over = self._over
            self._callbacks.append(callback)
        if over:
            callback()
        try:
            yield
        finally:
            with self._lock:
                self._callbacks.remove(callback)

    @contextmanager
    def active(self) -> Iterator[None]:
        """Set the deadline of this context, and of threads that run in a copy of it."""
        token = _CURRENT.set(self)
        try:
            yield
        finally:
            _CURRENT.reset(token)


_CURRENT: ContextVar[Deadline | None] = ContextVar("tuwen deadline", default=None)


def current() -> Deadline | None:
    """Return the deadline of this context, or None."""
    return _CURRENT.get()


def check() -> None:
    """Raises:
    Interrupted: the work must end.
    """
    deadline = _CURRENT.get()
    if deadline is not None:
        deadline.check()
