"""Parse large JSON bodies beside the event loop, one at a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any, TypeVar

import anyio
import anyio.to_thread
from fastapi import HTTPException, Request, Response
from fastapi.routing import APIRoute
from pydantic_core import from_json

from tuwen.data.json_names import RepeatedName, need_single_names
from tuwen.service.problems import RequestError

T = TypeVar("T")
ONCE = "each name once in an object"
LARGE = 16_384  # bytes; less is parsed in about a millisecond
AS_JSON = 'send it with -H "content-type: application/json"'
AS_FORM = "send it with -F photo=@FILE"
_LIMITER = anyio.CapacityLimiter(1)  # each parser holds Python's lock, so two would only keep the loop waiting longer


async def parse(call: Callable[[bytes], T], body: bytes) -> T:
    """``call(body)``, in a thread where the body is large."""
    return call(body) if len(body) <= LARGE else await anyio.to_thread.run_sync(call, body, limiter=_LIMITER)


def loads(body: bytes) -> Any:
    """What JSON says. The fast parser knows no half of a surrogate pair; the other one has the last word.

    Raises:
        ValueError: it is no JSON.
        HTTPException: 422, an object has a name twice.
    """
    try:
        value = from_json(body)
    except ValueError:
        try:
            value = json.loads(body)
        except UnicodeDecodeError as error:
            raise json.JSONDecodeError("no UTF-8", "", error.start) from None
    try:
        need_single_names(body, value)
    except RepeatedName as error:
        status, todo = HTTPStatus.UNPROCESSABLE_ENTITY, "leave one of them out"
        cause = RequestError(status, str(error), where="body", seen=error.name[:100], allowed=ONCE, todo=todo)
        raise HTTPException(status) from cause  # FastAPI lets no other exception out
    return value


def media_type(request: Request) -> str:
    """What a request says that its body is, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def need_json(request: Request) -> None:
    """Raises:
    RequestError: 415, there is a body, and it does not come as JSON: ``curl -d`` calls it a form.
    """
    kind = media_type(request)
    is_json = kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))
    if not is_json and (kind or await request.body()):
        raise RequestError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "the body does not come as JSON",
            where="Content-Type header",
            seen=kind[:100] or "nothing",
            allowed="application/json",
            todo=AS_JSON,
        )


class BodyRequest(Request):
    """A request whose JSON is read by :func:`parse`."""

    async def json(self) -> Any:
        if not hasattr(self, "_json"):
            self._json = await parse(loads, await self.body())
        return self._json


class BodyRoute(APIRoute):
    """A route whose requests are of :class:`BodyRequest`, and whose bodies are JSON where it takes one."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            request = BodyRequest(request.scope, request.receive)
            if self.body_field is not None:
                await need_json(request)
            return await handler(request)

        return handle
