"""The client of a request: its body, and whether it still waits."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from starlette.types import Message, Receive

from tuwen.deadline import Deadline

_CURRENT: ContextVar[Client | None] = ContextVar("tuwen client", default=None)


class Client:
    """Who waits for an answer.

    Args:
        body: was read already; routes receive it whole.
        receive: what comes after it: that the client hung up.
        deadline: of the request.
        part: bytes that a route receives at once; 0 for all.
    """

    def __init__(self, body: bytes, receive: Receive, deadline: Deadline, *, part: int = 0) -> None:
        self.deadline = deadline
        self._body: bytes | None = body
        self._at, self._part = 0, part
        self._receive = receive
        self._gone: asyncio.Task[None] | None = None

    async def receive(self) -> Message:
        """The body, then the end."""
        if self._body is not None:
            if self._at:
                await asyncio.sleep(0)  # between two parts of a form others are answered
            end = self._at + self._part if self._part else len(self._body)
            part = self._body[self._at : end]
            self._at, more = end, end < len(self._body)
            self._body = self._body if more else None
            return {"type": "http.request", "body": part, "more_body": more}
        await asyncio.shield(self.gone())
        return {"type": "http.disconnect"}

    def gone(self) -> asyncio.Task[None]:
        """Wait until the client hangs up. Only long work starts this."""
        if self._gone is None:
            self._gone = asyncio.ensure_future(self._hang_up())
        return self._gone

    async def _hang_up(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            continue

    @contextmanager
    def active(self) -> Iterator[None]:
        """Set the client of this context."""
        token = _CURRENT.set(self)
        try:
            yield
        finally:
            _CURRENT.reset(token)
            if self._gone is not None:
                self._gone.cancel()


def current() -> Client | None:
    """Return the client of this request, or None outside a request."""
    return _CURRENT.get()


def network(address: str) -> str:
    """Return what counts as one client: an IPv4 address, or a /64 network of IPv6."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    return str(parsed.ipv4_mapped or ipaddress.ip_network(f"{parsed}/64", strict=False))
