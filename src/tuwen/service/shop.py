"""The FastAPI application of a home: a whole shop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from tuwen import __version__
from tuwen.errors import TuwenError
from tuwen.service.guard import Guard, Rules
from tuwen.service.messages import request_body
from tuwen.service.pages import add_pages
from tuwen.service.parsing import BodyRoute
from tuwen.service.problems import on_http_error, on_invalid_request, on_tuwen_error
from tuwen.service.room import KEEPING, RoomGuard
from tuwen.service.routes.answers import add_answers
from tuwen.service.routes.operations import add_operations
from tuwen.service.routes.operator import add_operator
from tuwen.service.routes.shop import add_shop
from tuwen.service.served import Served


def shop_app(served: Served, rules: Rules) -> FastAPI:
    """The HTTP service of a home.

    Args:
        served: what answers.
        rules: who may ask, how much and how often.
    """
    service = FastAPI(
        title="tuwen 图文",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        description="Recommendations, search and predictions from a shop's own pictures, words and clicks. "
        "Refusals are in English; with `Accept-Language: zh` in Chinese.",
    )
    service.router.route_class = BodyRoute
    service.add_middleware(RoomGuard, room=served.room)  # inside the next one, which answers what it refuses
    service.add_middleware(Guard, rules=rules)
    service.add_exception_handler(TuwenError, on_tuwen_error)
    service.add_exception_handler(HTTPException, on_http_error)
    service.add_exception_handler(RequestValidationError, on_invalid_request)
    add_answers(service, served)  # asked most, so first: a request is held against the routes in their order
    add_operations(service, served)
    add_shop(service, served)
    add_operator(service, served)
    add_pages(service, served)
    plain = service.openapi
    service.openapi = lambda: _with_columns(_as_problems(plain()), served)  # type: ignore[method-assign]
    return service


def _with_columns(schema: dict[str, Any], served: Served) -> dict[str, Any]:
    """What ``/v1/predict`` takes are the columns of the bundle that is live."""
    predictor = served.front.parts.predictor
    if predictor is not None:
        inputs: Sequence[Any] = predictor.inputs
        schema["paths"]["/v1/predict"]["post"]["requestBody"] = request_body(inputs)
    return schema


def _as_problems(schema: dict[str, Any]) -> dict[str, Any]:
    """Refusals under the media type that they are sent with."""
    for name, path in schema["paths"].items():
        for method, operation in path.items():
            _keep_possible(name, method, operation)
            for status, told in operation["responses"].items():
                if status >= "400" and "application/json" in told.get("content", {}):
                    told["content"]["application/problem+json"] = told["content"].pop("application/json")
    return schema


def _keep_possible(path: str, method: str, operation: dict[str, Any]) -> None:
    """Without a body none is too large, too slow or of the wrong kind; only what is kept can find the disk full."""
    responses = operation["responses"]
    if method not in ("post", "put"):
        for status in ("408", "413", "415"):
            responses.pop(status, None)
    if method not in ("post", "put") or not path.startswith(KEEPING):
        responses.pop("507", None)
