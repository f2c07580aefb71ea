"""The outermost wall: who may ask, how much and how often, what is counted and logged; and no traceback leaves."""

from __future__ import annotations

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

from tuwen.deadline import Deadline
from tuwen.service.access import Access, Need
from tuwen.service.body import Body, ClientGone, Flight, is_form, most_bytes
from tuwen.service.client import Client, network
from tuwen.service.limits import Limits
from tuwen.service.measures import Measures
from tuwen.service.origins import check_origin
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

FORM_PART = 1 << 16  # bytes of a form that are parsed before others are answered
CLIENT_GONE = 499  # in log and measures, as nginx has it: nobody is left to be answered
OPEN = ("/healthz", "/readyz")  # asked by what starts and stops services
OPERATORS = ("/metrics", "/v1/report", "/v1/operator")
SHOPPERS_ANSWERS = ("/v1/",)
SCHEMA = "/openapi.json"  # it names the columns of the shop


def needed(method: str, path: str) -> Need:
    """Which role a request asks for. The pages themselves are for anybody: what they show they ask for with a key."""
    if path in OPEN:
        return "nobody"
    writes_items = path.startswith("/v1/items") and method not in ("GET", "HEAD")
    if writes_items or path.startswith(OPERATORS) or path.startswith("/v1/users"):
        return "operator"
    return "shop" if path.startswith(SHOPPERS_ANSWERS) or path == SCHEMA else "nobody"


@dataclass(frozen=True)
class Rules:
    """How a service is guarded.

    Attributes:
        hosts: values of the Host header that are answered (without port); None for any. A page on the internet whose
            name was made to point at 127.0.0.1 (DNS rebinding) sends another one.
        origins: pages of other sites that may ask from a browser (CORS).
        access: who may ask; None for anybody.
        rate: how often; None for any.
        open_rate: how often pages and health may be asked for, by address; None for any.
        flight: the memory of bodies of all requests; None for one of this application alone.
        measures: what is counted; None for nothing.
        log: whether each request is a line of JSON in the log ``tuwen.requests``.
    """

    hosts: Collection[str] | None = LOCAL_HOSTS
    origins: Collection[str] = ()
    access: Access | None = None
    rate: Rate | None = None
    open_rate: Rate | None = None
    flight: Flight | None = None
    measures: Measures | None = None
    log: bool = False
    limits: Limits = field(default_factory=Limits)


class Guard:
    """ASGI middleware. What costs nothing comes first: a body is read only of a request that may be answered."""

    def __init__(self, app: ASGIApp, *, rules: Rules) -> None:
        self.app, self.rules, self.limits = app, rules, rules.limits
        self._flight = rules.flight or Flight(rules.limits.flight_bytes)

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
                if "tuwen.close" in scope:
                    headers.append((b"connection", b"close"))
            await send(message)

        if self.rules.measures is not None:
            self.rules.measures.begin()
        body = Body(self.limits, self._flight, most_bytes(scope["method"], scope["path"], self.limits))
        try:
            await self._answer(scope, request, body, receive, send_with_headers)
        except ClientGone:
            status = CLIENT_GONE
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
            self._flight.give(body.size)
            self._told(scope, status, time.perf_counter() - began, number)

    async def _answer(self, scope: Scope, headers: Headers, body: Body, receive: Receive, send: Send) -> None:
        method, path = scope["method"], scope["path"]
        self._check(scope, headers)
        check_origin(method, path, headers, self.rules.origins)
        if method == "OPTIONS" and self._cors(headers):
            await Response(status_code=204)(scope, receive, send)
            return
        scope["tuwen.key"] = self._asked_by(scope, headers)
        body.check_length(headers)
        content = await body.read(headers, receive) if most_bytes(method, path, self.limits) else b""
        deadline = Deadline(self.limits.request_seconds, pixels=self.limits.pixels)
        client = Client(content, receive, deadline, part=FORM_PART if is_form(headers) else 0)
        with deadline.active(), client.active():
            await self.app(scope, client.receive, send)

    def _asked_by(self, scope: Scope, headers: Headers) -> str | None:
        key, need = None, needed(scope["method"], scope["path"])
        if self.rules.access is not None:
            key = self.rules.access.name(headers, need)
        rate = self.rules.open_rate if need == "nobody" else self.rules.rate
        if rate is not None:
            rate.take(key or network(str((scope.get("client") or ("",))[0])))
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

    def _check(self, scope: Scope, headers: Headers) -> None:
        """What stands in the headers alone.

        Raises:
            RequestError: 400 two lengths of one body, 421 another host, 431 too much.
        """
        host = _without_port(headers.get("host", ""))
        if self.rules.hosts is not None and host not in self.rules.hosts:
            raise RequestError(
                HTTPStatus.MISDIRECTED_REQUEST,
                "this service does not answer to that name",
                where="Host header",
                seen=host,
                allowed=", ".join(self.rules.hosts),
            )
        if "transfer-encoding" in headers and "content-length" in headers:
            # a proxy that believes the other one would see two requests where there is one
            scope["tuwen.close"] = True
            raise RequestError(
                HTTPStatus.BAD_REQUEST,
                "the request has two lengths",
                seen="Content-Length, Transfer-Encoding",
                allowed="one of them",
            )
        size = len(scope.get("raw_path") or b"") + len(scope.get("query_string") or b"")
        size += sum(len(name) + len(value) for name, value in headers.raw)
        if size > self.limits.header_bytes:
            raise RequestError(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                "the headers are too large",
                seen=f"{size} bytes",
                allowed=f"{self.limits.header_bytes} bytes",
            )


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0].lower()


def _route(scope: Scope) -> str:
    return str(getattr(scope.get("route"), "path", "none"))
