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

T = TypeVar("T")
LARGE = 16_384  # bytes; less is parsed in about a millisecond
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
        value = json.loads(body)
    try:
        need_single_names(body, value)
    except RepeatedName as error:  # FastAPI lets no other exception out
        raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from None
    return value


class BodyRequest(Request):
    """A request whose JSON is read by :func:`parse`."""

    async def json(self) -> Any:
        if not hasattr(self, "_json"):
            self._json = await parse(loads, await self.body())
        return self._json


class BodyRoute(APIRoute):
    """A route whose requests are of :class:`BodyRequest`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            return await handler(BodyRequest(request.scope, request.receive))

        return handle
