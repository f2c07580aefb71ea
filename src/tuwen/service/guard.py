"""The outermost wall: which hosts may ask, how much they may send, and that no traceback leaves."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Collection
from http import HTTPStatus

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tuwen.service.limits import Limits
from tuwen.service.problems import RequestError, response

log = logging.getLogger("tuwen.service")

LOCAL_HOSTS = ("127.0.0.1", "localhost", "[::1]")
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Guard:
    """ASGI middleware.

    Args:
        hosts: values of the Host header that are answered (without port); None for any. A page on the internet whose
            name was made to point at 127.0.0.1 (DNS rebinding) sends another one.
        limits: a body above ``body_bytes`` is refused before or while it is read.
    """

    def __init__(self, app: ASGIApp, *, hosts: Collection[str] | None, limits: Limits) -> None:
        self.app, self.hosts, self.limits = app, hosts, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        number = scope["tuwen.request"] = secrets.token_hex(6)
        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, value in {**HEADERS, "X-Request-Id": number}.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            self._check(Headers(scope=scope))
            await self.app(scope, self._counted(receive), send_with_headers)
        except RequestError as error:
            await response(error, number)(scope, receive, send_with_headers)
        except Exception:
            log.exception("request %s failed: %s %s", number, scope["method"], scope["path"])
            if not started:
                fault = RequestError(
                    HTTPStatus.INTERNAL_SERVER_ERROR,
                    "the service ran into a fault of its own",
                    todo="look for the request's number in the log of the service",
                )
                await response(fault, number)(scope, receive, send_with_headers)

    def _check(self, headers: Headers) -> None:
        host = _without_port(headers.get("host", ""))
        if self.hosts is not None and host not in self.hosts:
            raise RequestError(
                HTTPStatus.MISDIRECTED_REQUEST,
                "this service does not answer to that name",
                where="Host header",
                seen=host,
                allowed=", ".join(self.hosts),
            )
        length = headers.get("content-length", "")
        if length.isdigit() and int(length) > self.limits.body_bytes:
            raise self._too_large(f"{length} bytes")

    def _counted(self, receive: Receive) -> Receive:
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self.limits.body_bytes:
                raise self._too_large(f"more than {self.limits.body_bytes} bytes")
            return message

        return counted

    def _too_large(self, seen: str) -> RequestError:
        return RequestError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            "the request is too large",
            seen=seen,
            allowed=f"{self.limits.body_bytes} bytes",
            todo="send fewer rows, or smaller pictures",
        )


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0].lower()
