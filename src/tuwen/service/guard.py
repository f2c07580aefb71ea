"""The outermost wall: who may ask, how much and how often, what is counted and logged; and no traceback leaves."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tuwen.service.access import Access, Need
from tuwen.service.limits import Limits
from tuwen.service.measures import Measures
from tuwen.service.problems import RequestError, response
from tuwen.service.rate import Rate

log = logging.getLogger("tuwen.service")
requests_log = logging.getLogger("tuwen.requests")

LOCAL_HOSTS = ("127.0.0.1", "localhost", "[::1]")
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_RAW = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]

OPEN = ("/healthz", "/readyz")  # asked by what starts and stops services
OPERATORS = ("/metrics", "/v1/report", "/v1/operator")
SHOPPERS_ANSWERS = ("/v1/",)


def needed(method: str, path: str) -> Need:
    """Which role a request asks for. The pages themselves are for anybody: what they show they ask for with a key."""
    if path in OPEN:
        return "nobody"
    writes_items = path.startswith("/v1/items") and method not in ("GET", "HEAD")
    if writes_items or path.startswith(OPERATORS) or path.startswith("/v1/users"):
        return "operator"
    return "shop" if path.startswith(SHOPPERS_ANSWERS) else "nobody"


@dataclass(frozen=True)
class Rules:
    """How a service is guarded.

    Attributes:
        hosts: values of the Host header that are answered (without port); None for any. A page on the internet whose
            name was made to point at 127.0.0.1 (DNS rebinding) sends another one.
        origins: pages of other sites that may ask from a browser (CORS).
        access: who may ask; None for anybody.
        rate: how often; None for any.
        measures: what is counted; None for nothing.
        log: whether each request is a line of JSON in the log ``tuwen.requests``.
    """

    hosts: Collection[str] | None = LOCAL_HOSTS
    origins: Collection[str] = ()
    access: Access | None = None
    rate: Rate | None = None
    measures: Measures | None = None
    log: bool = False
    limits: Limits = field(default_factory=Limits)


class Guard:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, *, rules: Rules) -> None:
        self.app, self.rules, self.limits = app, rules, rules.limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        number = scope["tuwen.request"] = f"{random.getrandbits(48):012x}"
        request, began, status = Headers(scope=scope), time.perf_counter(), 500
        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started, status
            if message["type"] == "http.response.start":
                started, status = True, message["status"]
                headers = message["headers"] = list(message.get("headers", ()))
                told = {name for name, _ in headers}
                headers += [one for one in _RAW if one[0] not in told]
                headers += [(k.lower().encode(), v.encode()) for k, v in self._cors(request).items()]
                headers.append((b"x-request-id", number.encode()))
            await send(message)

        if self.rules.measures is not None:
            self.rules.measures.begin()
        try:
            self._check(request)
            if scope["method"] == "OPTIONS" and self._cors(request):
                await Response(status_code=204)(scope, receive, send_with_headers)
                return
            scope["tuwen.key"] = self._asked_by(scope, request)
            await self.app(scope, _again(await self._body(receive), receive), send_with_headers)
        except RequestError as error:
            await response(error, number)(scope, receive, send_with_headers)
        except Exception:
            log.exception("request %s failed: %s %s", number, scope["method"], _route(scope))
            if not started:
                fault = RequestError(
                    HTTPStatus.INTERNAL_SERVER_ERROR,
                    "the service ran into a fault of its own",
                    todo="look for the request's number in the log of the service",
                )
                await response(fault, number)(scope, receive, send_with_headers)
        finally:
            self._told(scope, status, time.perf_counter() - began, number)

    def _asked_by(self, scope: Scope, headers: Headers) -> str | None:
        key = None
        if self.rules.access is not None:
            key = self.rules.access.name(headers, needed(scope["method"], scope["path"]))
        if self.rules.rate is not None and scope["path"] not in OPEN:
            self.rules.rate.take(key or str((scope.get("client") or ("",))[0]))
        return key

    def _cors(self, headers: Headers) -> dict[str, str]:
        origin = headers.get("origin", "")
        if origin not in self.rules.origins:
            return {}
        return {
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Allow-Methods": "GET, POST, PUT, DELETE",
            "Access-Control-Allow-Headers": "authorization, content-type",
            "Access-Control-Max-Age": "600",
            "Vary": "Origin",
        }

    def _told(self, scope: Scope, status: int, seconds: float, number: str) -> None:
        """One line a request: by the route, never the path or the query, for these may name a shopper."""
        route = _route(scope)
        if self.rules.measures is not None:
            self.rules.measures.end(scope["method"], route, status, seconds)
        if self.rules.log:
            told = {"request": number, "method": scope["method"], "route": route, "status": status}
            requests_log.info(json.dumps(told | {"ms": round(seconds * 1000, 2), "key": scope.get("tuwen.key")}))

    def _check(self, headers: Headers) -> None:
        host = _without_port(headers.get("host", ""))
        if self.rules.hosts is not None and host not in self.rules.hosts:
            raise RequestError(
                HTTPStatus.MISDIRECTED_REQUEST,
                "this service does not answer to that name",
                where="Host header",
                seen=host,
                allowed=", ".join(self.rules.hosts),
            )
        length = headers.get("content-length", "")
        if length.isdigit() and int(length) > self.limits.body_bytes:
            raise self._too_large(f"{length} bytes")

    async def _body(self, receive: Receive) -> bytes:
        """The whole body, before any route sees it: so too much of it, or too slow, is refused alike on every route."""
        body, more = bytearray(), True
        try:
            async with asyncio.timeout(self.limits.read_seconds):
                while more:
                    message = await receive()
                    body += message.get("body", b"")
                    more = message.get("more_body", False)
                    if len(body) > self.limits.body_bytes:
                        raise self._too_large(f"more than {self.limits.body_bytes} bytes")
        except TimeoutError:
            raise RequestError(
                HTTPStatus.REQUEST_TIMEOUT,
                "the body came too slowly",
                allowed=f"{self.limits.read_seconds:g} seconds",
            ) from None
        return bytes(body)

    def _too_large(self, seen: str) -> RequestError:
        return RequestError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            "the request is too large",
            seen=seen,
            allowed=f"{self.limits.body_bytes} bytes",
            todo="send fewer rows, or smaller pictures",
        )


def _again(body: bytes, receive: Receive) -> Receive:
    """Gives a body that was read, and then whatever comes: that the client went away."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0].lower()


def _route(scope: Scope) -> str:
    return str(getattr(scope.get("route"), "path", "none"))
