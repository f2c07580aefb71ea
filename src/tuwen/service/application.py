"""The FastAPI application around one predictor."""

from __future__ import annotations

import json
from collections.abc import Collection
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

import anyio
from fastapi import FastAPI, Request
from fastapi.responses import FileResponse
from pydantic import ValidationError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from tuwen import __version__
from tuwen.errors import BundleError, DataError, TuwenError
from tuwen.service.guard import LOCAL_HOSTS, Guard
from tuwen.service.limits import Limits
from tuwen.service.messages import (
    BundleResponse,
    HealthResponse,
    Prediction,
    PredictRequest,
    PredictResponse,
    describe,
    request_body,
)
from tuwen.service.predictor import Predictor
from tuwen.service.problems import Problem, RequestError, on_http_error, on_tuwen_error
from tuwen.service.rows import to_rows, too_large

WEB = Path(__file__).parent / "web"
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": what}
    for status, what in {
        400: "the form cannot be read",
        408: "the body came too slowly",
        413: "the body or a file is too large",
        415: "neither JSON nor a form",
        422: "a column or a value is not what the bundle reads",
        503: "too many are waiting",
    }.items()
}


def app(predictor: Predictor, *, limits: Limits | None = None, hosts: Collection[str] | None = LOCAL_HOSTS) -> FastAPI:
    """The HTTP service of one bundle.

    Args:
        predictor: what answers; called in a worker thread, at most ``limits.workers`` at a time.
        limits: what is too much.
        hosts: the names it answers to (Host header, without port); None for any.

    Raises:
        BundleError: the bundle was pretrained by contrast and has no answers.
    """
    limits = limits or Limits()
    if predictor.manifest["task"] == "contrast":
        raise BundleError(
            "this bundle gives embeddings, and the service gives answers",
            where=str(predictor.manifest["name"]),
            allowed="a bundle of another task",
            todo="tuwen predict BUNDLE FILE --out FILE.parquet writes its embeddings; a run starts from it with init",
        )
    service = FastAPI(title="tuwen", version=__version__, docs_url=None, redoc_url=None)
    service.add_middleware(Guard, hosts=hosts, limits=limits)
    service.add_exception_handler(TuwenError, on_tuwen_error)
    service.add_exception_handler(HTTPException, on_http_error)
    _add_pages(service)
    _add_routes(service, predictor, limits)
    return service


def _add_routes(service: FastAPI, predictor: Predictor, limits: Limits) -> None:
    public_limits = {
        "body_bytes": limits.body_bytes,
        "picture_bytes": limits.picture_bytes,
        "rows": limits.rows,
    }
    bundle = describe(predictor.manifest, predictor.inputs, public_limits)
    queue = anyio.CapacityLimiter(limits.workers)

    @service.get("/healthz", summary="Is it alive?")
    async def healthz() -> HealthResponse:
        return HealthResponse()

    @service.get("/v1/bundle", summary="What is served, and which columns it reads", response_model_exclude_none=True)
    async def describe_bundle() -> BundleResponse:
        return bundle

    @service.post(
        "/v1/predict",
        summary="Answer rows: JSON, or one row as a form with its media as files",
        response_model_exclude_none=True,
        responses=PROBLEMS,
        openapi_extra={"requestBody": request_body(predictor.inputs)},
    )
    async def predict(request: Request) -> PredictResponse:
        raw = await _read(request, limits, predictor)
        rows = to_rows(raw, predictor.inputs, limits.picture_bytes)
        if queue.statistics().tasks_waiting >= limits.waiting:
            raise RequestError(HTTPStatus.SERVICE_UNAVAILABLE, "too many requests are waiting", todo="try again later")
        answers = await anyio.to_thread.run_sync(partial(predictor.predict, rows), limiter=queue)
        return PredictResponse(bundle=bundle.name, predictions=[Prediction.model_validate(a) for a in answers])


async def _read(request: Request, limits: Limits, predictor: Predictor) -> list[dict[str, Any]]:
    """The rows of a request as they were sent."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        with anyio.fail_after(limits.read_seconds):
            if kind == "application/json":
                return _from_json(await request.body(), limits)
            if kind == "multipart/form-data":
                return [await _from_form(request, limits, predictor)]
    except TimeoutError:
        raise RequestError(
            HTTPStatus.REQUEST_TIMEOUT, "the body came too slowly", allowed=f"{limits.read_seconds:g} seconds"
        ) from None
    raise RequestError(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "neither JSON nor a form",
        where="Content-Type header",
        seen=kind or "nothing",
        allowed="application/json, multipart/form-data",
    )


def _from_json(body: bytes, limits: Limits) -> list[dict[str, Any]]:
    try:
        rows = PredictRequest.model_validate_json(body).rows
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        place = ".".join(map(str, ("body", *first["loc"])))
        example = json.dumps({"rows": [{"COLUMN": "VALUE"}]})
        raise DataError(f"the body is not what was expected: {first['msg']}", where=place, allowed=example) from None
    if len(rows) > limits.rows:
        raise DataError("too many rows in one request", seen=len(rows), allowed=f"up to {limits.rows}")
    return [dict(row) for row in rows]


async def _from_form(request: Request, limits: Limits, predictor: Predictor) -> dict[str, Any]:
    """One row: every field a column, files are pictures, sounds or shapes; a field sent several times is a list."""
    row: dict[str, Any] = {}
    most = len(predictor.inputs) * 8 + 8
    async with request.form(max_files=most, max_fields=most, max_part_size=limits.body_bytes) as form:
        for name in form:
            sent = form.getlist(name)
            values = [await _content(value, name, limits) if isinstance(value, UploadFile) else value for value in sent]
            # an empty field of a web form is a column that was not filled in
            row[name] = (values if len(values) > 1 else values[0]) or None
    return row


async def _content(file: UploadFile, name: str, limits: Limits) -> bytes:
    if file.size is not None and file.size > limits.picture_bytes:
        raise too_large("file", f"row 1, '{name}'", file.size, limits.picture_bytes)
    return await file.read()


def _add_pages(service: FastAPI) -> None:
    """The page a person sees who opens the address in a browser; everything on it comes from here."""

    def page(path: str, file: str, media_type: str) -> None:
        @service.get(path, include_in_schema=False, response_class=FileResponse)
        async def send() -> FileResponse:
            return FileResponse(WEB / file, media_type=media_type)

    page("/", "index.html", "text/html; charset=utf-8")
    page("/page.js", "page.js", "text/javascript; charset=utf-8")
    page("/page.css", "page.css", "text/css; charset=utf-8")
