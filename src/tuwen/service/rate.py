"""How often each may ask: one count for all processes of a service, however many answer."""

from __future__ import annotations

import hashlib
import math
import mmap
import os
import secrets
import struct
import tempfile
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path

from tuwen.service.problems import RequestError

PLACES = 1 << 16  # of who asked lately; one that waits for nothing is free for another
TRIED = 8  # places in a row where one may stand
PLACE = struct.Struct("=Qd")  # who, as a hash; the moment from which she may have her whole burst again


class Rate:
    """``rate`` requests a second on average, ``burst`` at once (the generic cell rate algorithm, ITU-T I.371: what a
    token bucket counts, in one number). Made before processes are forked, it is theirs together: the memory is shared,
    and the lock is the system's, which lets go where a process dies.

    Args:
        rate: 0 for no limit.
    """

    def __init__(self, rate: float, burst: int) -> None:
        self._rate, self._burst = rate, burst
        if rate:
            self._places = mmap.mmap(-1, PLACES * PLACE.size)
            self._lock, name = tempfile.mkstemp(prefix="tuwen-rate-")
            Path(name).unlink()  # it has no content: what is locked is the open file
            weakref.finalize(self, os.close, self._lock)
            self._secret = secrets.token_bytes(16)  # who asks cannot choose a place beside another's

    def take(self, who: str) -> None:
        """Raises:
        RequestError: 429, with what to wait for.
        """
        if not self._rate:
            return
        named = hashlib.blake2b(who.encode("utf-8", "surrogatepass"), digest_size=8, key=self._secret).digest()
        digest = int.from_bytes(named) or 1  # 0 is nobody
        spacing = 1 / self._rate
        with self._alone():
            now = time.monotonic()
            offset, whole = self._place(digest, now)
            wait = max(whole, now) - now - (self._burst - 1) * spacing
            if wait <= 0:
                PLACE.pack_into(self._places, offset, digest, max(whole, now) + spacing)
                return
        seconds = math.ceil(wait)
        refused = RequestError(
            HTTPStatus.TOO_MANY_REQUESTS,
            "too many requests",
            seen=f"more than {self._burst} at once",
            allowed=f"{self._rate:g} a second",
            todo="wait 1 second" if seconds == 1 else f"wait {seconds} seconds",
        )
        refused.wait = seconds  # as the header tells it
        raise refused

    def _place(self, digest: int, now: float) -> tuple[int, float]:
        """Where one stands, or may stand: a place of nobody who waits, else of who waits least."""
        free, least = 0, float("inf")
        for turn in range(TRIED):
            offset = (digest + turn) % PLACES * PLACE.size
            who, whole = PLACE.unpack_from(self._places, offset)
            if who == digest:
                return offset, whole
            if whole < least:
                free, least = offset, whole
        return free, now

    @contextmanager
    def _alone(self) -> Iterator[None]:
        import fcntl

        fcntl.lockf(self._lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self._lock, fcntl.LOCK_UN)
