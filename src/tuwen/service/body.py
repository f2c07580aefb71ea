"""Read the body of a request before any route, within limits of bytes, seconds and total memory."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.types import Receive

from tuwen.service.json_shape import check_shape
from tuwen.service.limits import Limits
from tuwen.service.parsing import parse
from tuwen.service.problems import RequestError

# routes whose bodies may hold media
WITH_FILES = ("/v1/predict", "/v1/explain", "/v1/embed", "/v1/search", "/v1/items")
WITH_BODY = ("POST", "PUT", "PATCH")


def most_bytes(method: str, path: str, limits: Limits) -> int:
    """Return the largest body that a request may have, in bytes. 0 if no body is read."""
    if method not in WITH_BODY or not path.startswith("/v1/"):
        return 0
    return limits.body_bytes if path.startswith(WITH_FILES) else min(limits.text_bytes, limits.body_bytes)


def is_form(headers: Headers) -> bool:
    """Whether the body is a form with files."""
    return headers.get("content-type", "").lstrip().lower().startswith("multipart/")


class Flight:
    """Count the bytes of all request bodies in memory of this process.

    Args:
        most: more are refused.
    """

    def __init__(self, most: int) -> None:
        self.most, self.bytes = most, 0

    def take(self, count: int) -> None:
        """Raises:
        RequestError: 503, the service holds too much at once.
        """
        if self.bytes + count > self.most:
            raise RequestError(
                HTTPStatus.SERVICE_UNAVAILABLE, "too many bytes are being received", todo="try again later"
            )
        self.bytes += count

    def give(self, count: int) -> None:
        """Release the bytes of an answered request."""
        self.bytes -= count


class Body:
    """Reads one body.

    Args:
        most: bytes that it may have.

    Attributes:
        size: bytes that were taken from ``flight``, to be given back when the request is answered.
    """

    def __init__(self, limits: Limits, flight: Flight, most: int) -> None:
        self._limits, self._flight, self._most = limits, flight, most
        self.size = 0

    def check_length(self, headers: Headers) -> None:
        """Before a byte is read.

        Raises:
            RequestError: 413, more bytes are announced than may come.
        """
        length = headers.get("content-length", "")
        if length.isdecimal() and (len(length) > 18 or int(length) > self._most > 0):
            raise self._too_large(f"{length[:20]} bytes")

    async def read(self, headers: Headers, receive: Receive) -> bytes:
        """All of it.

        Raises:
            RequestError: 408 too slow, 413 too long, 422 too much JSON, 503 the service holds too much at once.
            ClientGone: it hung up before the end.
        """
        content = await self._arrived(receive)
        if not is_form(headers):
            await parse(lambda content: check_shape(content, self._limits), content)
        return content

    async def _arrived(self, receive: Receive) -> bytes:
        loop, limits = asyncio.get_running_loop(), self._limits
        parts: list[bytes] = []  # of an array that grows the old places stay with the allocator: 615 MB of 128
        more, before, stalled = True, 0, False
        end = loop.time() + limits.read_seconds
        timer: asyncio.TimerHandle

        def look() -> None:
            """At the end of each window: what came in it? One timer for both limits: each costs a list 5 µs."""
            nonlocal before, stalled, timer
            seconds_left = end - loop.time()
            stalled = seconds_left > 0 and self.size - before < limits.stall_bytes
            if stalled or seconds_left <= 0:
                timeout.reschedule(loop.time())
                return
            before = self.size
            timer = loop.call_later(min(limits.stall_seconds, seconds_left), look)

        timer = loop.call_later(min(limits.stall_seconds, limits.read_seconds), look)
        try:
            async with asyncio.timeout(None) as timeout:
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ClientGone
                    chunk = message.get("body", b"")
                    more = message.get("more_body", False)
                    if self.size + len(chunk) > self._most:
                        raise self._too_large(f"more than {self._most} bytes")
                    self._flight.take(len(chunk))
                    self.size += len(chunk)
                    parts.append(chunk)
        except TimeoutError:
            raise self._too_slow(over=not stalled) from None
        finally:
            timer.cancel()
        return b"".join(parts)

    def _too_large(self, seen: str) -> RequestError:
        return RequestError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            "the request is too large",
            seen=seen,
            allowed=f"{self._most} bytes",
            todo="send fewer rows, or smaller pictures",
        )

    def _too_slow(self, over: bool) -> RequestError:
        limits = self._limits
        least = f"at least {limits.stall_bytes} bytes in {limits.stall_seconds:g} seconds"
        return RequestError(
            HTTPStatus.REQUEST_TIMEOUT,
            "the body came too slowly",
            allowed=f"{limits.read_seconds:g} seconds" if over else least,
        )


class ClientGone(Exception):
    """The client hung up before its body was whole: there is nobody to answer."""
