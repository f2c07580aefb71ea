"""Errors as ``application/problem+json`` (RFC 9457): the same fields that the command line prints."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from tuwen.apps.storefront.cards import NoSuchItem
from tuwen.apps.storefront.parts import NotServed
from tuwen.errors import BundleError, ConfigError, DataError, InUse, MissingExtra, TuwenError
from tuwen.store.engine import StoreUnavailable


class RequestError(DataError):
    """A request that is refused with a status of its own."""

    def __init__(self, status: HTTPStatus, what: str, **fields: str | None) -> None:
        self.status = status
        super().__init__(what, **fields)


class Problem(BaseModel):
    """What went wrong, where, what was seen there, what would have been accepted, what to do."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "about:blank",
                    "title": "Unprocessable Content",
                    "status": 422,
                    "what": "the bundle reads no column 'titel'",
                    "where": "row 1",
                    "allowed": "items.title, items.images",
                    "todo": "did you mean 'title'?",
                    "request": "8c0f2f3a9d1b",
                }
            ]
        }
    )
    type: str = "about:blank"
    title: str
    status: int
    what: str
    where: str | None = None
    seen: str | None = None
    allowed: str | None = None
    todo: str | None = None
    request: str | None = Field(None, description="the number of the request, as the log has it")


def refusals(described: dict[int, str]) -> dict[int | str, dict[str, Any]]:
    """What a route's OpenAPI tells of how it refuses: status → words."""
    return {status: {"model": Problem, "description": what} for status, what in described.items()}


STATUS: dict[type[TuwenError], HTTPStatus] = {
    ConfigError: HTTPStatus.UNPROCESSABLE_ENTITY,
    DataError: HTTPStatus.UNPROCESSABLE_ENTITY,
    InUse: HTTPStatus.CONFLICT,
    MissingExtra: HTTPStatus.SERVICE_UNAVAILABLE,
    BundleError: HTTPStatus.INTERNAL_SERVER_ERROR,
    NoSuchItem: HTTPStatus.NOT_FOUND,
    NotServed: HTTPStatus.NOT_FOUND,
    StoreUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
}
WAIT = {HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS}


def response(error: TuwenError, request_number: str | None = None) -> JSONResponse:
    """The answer that tells ``error``."""
    status = error.status if isinstance(error, RequestError) else STATUS.get(type(error), HTTPStatus.BAD_REQUEST)
    problem = Problem(title=status.phrase, status=status, request=request_number, **error.fields())
    headers = {"Retry-After": "1"} if status in WAIT else {}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    content = problem.model_dump(exclude_none=True)
    return JSONResponse(content, status, headers, media_type="application/problem+json")


async def on_tuwen_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, TuwenError)
    return response(error, request.scope.get("tuwen.request"))


async def on_http_error(request: Request, error: Exception) -> JSONResponse:
    """No such path, wrong method, a form that cannot be read."""
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    what = error.detail if error.detail != status.phrase else f"{status.phrase.lower()}: {request.url.path}"
    answer = response(RequestError(status, what), request.scope.get("tuwen.request"))
    answer.headers.update(error.headers or {})
    return answer


async def on_invalid_request(request: Request, error: Exception) -> JSONResponse:
    """A body, a query or a path that is not what the route takes."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    found = DataError(
        f"the request is not what was expected: {first['msg'].lower()}",
        where=".".join(map(str, first["loc"])),
        seen=_shown(first.get("input")),
        todo="/openapi.json tells what each route takes",
    )
    return response(found, request.scope.get("tuwen.request"))


def _shown(value: object) -> str | None:
    text = repr(value)
    return None if isinstance(value, dict | list | bytes) else text if len(text) <= 80 else f"{text[:80]}…"
