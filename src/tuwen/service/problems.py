"""Errors as ``application/problem+json`` (RFC 9457): the fields that the command line prints, in words for a client."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from tuwen.apps.storefront.cards import NoSuchItem
from tuwen.apps.storefront.parts import NotServed
from tuwen.deadline import Interrupted
from tuwen.errors import BundleError, ConfigError, DataError, InUse, MissingExtra, TuwenError
from tuwen.service.chinese_machine import ASK
from tuwen.service.invalid_values import Fields, invalid_value
from tuwen.service.language import asked_for, phrase, said
from tuwen.service.refusal_page import refusal_page, wants_page
from tuwen.store.engine import StoreUnavailable

log = logging.getLogger("tuwen.service")


class RequestError(DataError):
    """A request that is refused with a status of its own. ``wait``: whole seconds until it may be sent again, where
    waiting helps.
    """

    wait = 1

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
    Interrupted: HTTPStatus.SERVICE_UNAVAILABLE,
    StoreUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
}
SPOKEN = ("what", "where", "seen", "allowed", "todo")
_ON_THIS_MACHINE = re.compile(r"/|~|[A-Za-z]:[\\/]|[a-z+]+://")
WAIT = {HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS}


# of these a client learns what is wrong; where, and what the system said, is for who reads the log
MACHINE = (BundleError, MissingExtra, InUse, StoreUnavailable)
AGAIN = "try again; if it stays so, tell who runs this service"


class ProblemResponse(Response):
    """A problem, sent in the language that the request asks for (``Accept-Language``); as a page to who opened one."""

    def __init__(self, problem: Problem, headers: Mapping[str, str]) -> None:
        super().__init__(status_code=problem.status, headers=headers)
        self.problem = problem

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        language = asked_for(Headers(scope=scope))
        told = self.problem.model_dump(exclude_none=True)
        told |= {name: said(told[name], language) for name in SPOKEN if name in told}
        # half a pair of surrogates may be sent and told back, though no file of bytes holds one
        told = {n: v.encode("utf-8", "backslashreplace").decode() if n in SPOKEN else v for n, v in told.items()}
        told["title"] = phrase(self.problem.status, self.problem.title, language)
        headers = {name: value for name, value in self.headers.items() if name != "content-length"}
        headers |= {"content-language": language, "vary": "Accept-Language, Origin"}
        answer: Response
        if wants_page(scope):
            answer = refusal_page(scope, self.status_code, headers)
        else:
            answer = JSONResponse(told, self.status_code, headers, media_type="application/problem+json")
        await answer(scope, receive, send)


def response(error: TuwenError, request_number: str | None = None) -> ProblemResponse:
    """The answer that tells ``error``: without what is nobody's business outside, places on this machine and commands
    for it. What is kept back stands in the log under the number of the request.
    """
    fields, status = error.fields(), _status(error)
    if _is_of_the_machine(error):
        log.warning("request %s: %s", request_number, error)
        waits = isinstance(error, InUse | StoreUnavailable)
        fields = {"what": error.what, "todo": AGAIN if waits else ASK}
    elif fields.get("where", "").startswith("--"):  # an option of the command line is a field of the request
        fields["where"] = fields["where"].removeprefix("--")
    problem = Problem(title=status.phrase, status=status, request=request_number, **fields)
    wait = error.wait if isinstance(error, RequestError) else 1
    headers = {"Retry-After": str(wait)} if status in WAIT else {}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return ProblemResponse(problem, headers)


def _status(error: TuwenError) -> HTTPStatus:
    if isinstance(error, RequestError):
        return error.status
    status = STATUS.get(type(error), HTTPStatus.BAD_REQUEST)
    asked_wrongly = status == HTTPStatus.UNPROCESSABLE_ENTITY
    return HTTPStatus.INTERNAL_SERVER_ERROR if asked_wrongly and _is_of_the_machine(error) else status


def _is_of_the_machine(error: TuwenError) -> bool:
    """Whether something is wrong here, and not with the request."""
    return isinstance(error, MACHINE) or _ON_THIS_MACHINE.match(error.where or "") is not None


async def on_tuwen_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, TuwenError)
    return response(error, request.scope.get("tuwen.request"))


async def on_http_error(request: Request, error: Exception) -> Response:
    """No such path, wrong method, a form that cannot be read; or what a parser raised it from."""
    assert isinstance(error, HTTPException)
    if isinstance(error.__cause__, RequestError):
        return response(error.__cause__, request.scope.get("tuwen.request"))
    status = HTTPStatus(error.status_code)
    what = error.detail if error.detail != status.phrase else f"{status.phrase.lower()}: {request.url.path}"
    answer = response(RequestError(status, what), request.scope.get("tuwen.request"))
    answer.headers.update(error.headers or {})
    return answer


async def on_invalid_request(request: Request, error: Exception) -> Response:
    """A body, a query or a path that is not what the route takes."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    begin = first["loc"][:1] if first["loc"][:1] and first["loc"][0] in ("body", "query", "path", "header") else ()
    refusal = invalid_value({**first, "loc": first["loc"][len(begin) :]}, _fields_of(request, *begin), begin)
    return response(refusal, request.scope.get("tuwen.request"))


def _fields_of(request: Request, part: str = "body") -> Fields:
    """What the route of a request reads from one part of it."""
    route = request.scope["route"]
    if part == "body":
        model = None if route.body_field is None else route.body_field.field_info.annotation
        return getattr(model, "model_fields", {})
    return {field.alias: field.field_info for field in getattr(route.dependant, f"{part}_params")}
