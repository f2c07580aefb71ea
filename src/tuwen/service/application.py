"""The FastAPI application around one predictor."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse
from starlette.exceptions import HTTPException

from tuwen import __version__
from tuwen.data.decoder import shared_decoder
from tuwen.errors import BundleError, TuwenError
from tuwen.service.guard import LOCAL_HOSTS, Guard, Rules
from tuwen.service.lane import Lane
from tuwen.service.language import asked_for
from tuwen.service.limits import Limits
from tuwen.service.messages import (
    BundleResponse,
    HealthResponse,
    PredictResponse,
    describe,
    request_body,
)
from tuwen.service.pages import add_lost
from tuwen.service.predictor import Predictor
from tuwen.service.problems import on_http_error, on_tuwen_error, refusals
from tuwen.service.reading import sent_rows
from tuwen.service.rows import to_rows

WEB = Path(__file__).parent / "web"
PROBLEMS = refusals(
    {
        400: "the form cannot be read",
        408: "the body came too slowly",
        413: "the body or a file is too large",
        415: "neither JSON nor a form",
        421: "the service does not answer to that name",
        422: "a column or a value is not what the bundle reads",
        500: "the bundle is damaged, or the service has a fault of its own",
        403: "a page of another site asks",
        431: "the headers are too large",
        503: "too many are waiting, or the answer took too long",
    }
)


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
    service.add_middleware(Guard, rules=Rules(hosts=hosts, limits=limits))
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
    lane, decoder = Lane(limits.workers, limits.waiting), shared_decoder(limits.decoder_bytes)

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
        raw = await sent_rows(request, limits, predictor)

        def answers() -> list[dict[str, Any]]:
            return predictor.predict(to_rows(raw(), predictor.inputs, limits.picture_bytes))

        with decoder.active():
            results = await lane.run(answers)
        return PredictResponse.of(bundle.name, results, asked_for(request.headers))


def _add_pages(service: FastAPI) -> None:
    """The page a person sees who opens the address in a browser; everything on it comes from here."""

    def page(path: str, file: str, media_type: str) -> None:
        @service.get(path, include_in_schema=False, response_class=FileResponse)
        async def send() -> FileResponse:
            return FileResponse(WEB / file, media_type=media_type)

    page("/", "index.html", "text/html; charset=utf-8")
    page("/page.js", "page.js", "text/javascript; charset=utf-8")
    page("/page.css", "page.css", "text/css; charset=utf-8")
    add_lost(service)
