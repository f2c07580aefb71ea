"""For who runs the service: is it alive, is it ready, what does it do, what is live, and what was before."""

from __future__ import annotations

from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from pydantic import Field

from tuwen.apps.storefront import Parts
from tuwen.bundle.home import Home
from tuwen.errors import BundleError, DataError, TuwenError
from tuwen.service.language import asked_for, said
from tuwen.service.messages import HealthResponse
from tuwen.service.problems import RequestError, refusals
from tuwen.service.served import PROBLEMS, Served
from tuwen.service.shop_messages import ReadyResponse, ShopResponse, Strict
from tuwen.store.engine import StoreUnavailable

BUSY = refusals({409: "another process changes what is live, or writes to its index"})


class BackRequest(Strict):
    """Which revision is to be live again; default: the one before."""

    revision: int | None = None


class PromoteRequest(Strict):
    """The name of a folder in the home's own ``incoming``: nothing else of the machine can be named."""

    folder: str = Field(min_length=1, max_length=200, pattern=r"^[\w][\w. -]*$", examples=["bundle-2025-06"])


def add_operations(service: FastAPI, served: Served) -> None:
    _add_health(service, served)
    _add_revisions(service, served)


def served_parts(parts: Parts) -> dict[str, bool]:
    """Kind → whether it is there."""
    return {
        "predict": parts.predictor is not None,
        "recommend": parts.recommender is not None,
        "search": parts.searcher is not None,
        "dataset": parts.dataset is not None,
    }


def _add_health(service: FastAPI, served: Served) -> None:
    @service.get("/healthz", summary="Is it alive?", responses=PROBLEMS)
    async def healthz() -> HealthResponse:
        return HealthResponse()

    @service.get("/readyz", summary="Does it answer, and from what?", responses=PROBLEMS)
    async def readyz(request: Request, response: Response) -> ReadyResponse:
        parts, faults, language = served.front.parts, served.live.faults, asked_for(request.headers)
        found = served_parts(parts)
        ready, outbox = any(found.values()), 0
        try:
            if served.live.store is not None:
                await served.probe(served.live.store.ping)
                outbox = await served.probe(served.front.outbox.backlog)
        except StoreUnavailable as error:
            ready, faults = False, [error.what]
        if not ready:
            response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
        return ReadyResponse(
            ready=ready,
            revision=parts.revision,
            parts=found,
            fault="; ".join(said(fault, language) for fault in faults) or None,
            outbox=outbox,
            journal=_waiting(served),
            full=served.room.full(),
        )

    @service.get("/v1/shop", summary="Which shop is it, and what can be asked?", responses=PROBLEMS)
    async def shop() -> ShopResponse:
        parts = served.front.parts
        dataset = parts.dataset
        target = {} if parts.predictor is None else parts.predictor.manifest.get("target", {})
        low, high = target.get("low"), target.get("high")
        return ShopResponse(
            name=None if dataset is None else dataset.manifest["shop"],
            items=0 if dataset is None else dataset.table("items").height,
            revision=parts.revision,
            parts=served_parts(parts),
            keeps=served.live.store is not None,
            photos=parts.searcher is not None and parts.searcher.sees_photos,
            similar_by=[] if parts.recommender is None else list(parts.recommender.shelf.catalogue.vectors),
            rating_range=None if low is None or high is None else [low, high],
        )

    @service.get("/metrics", summary="For Prometheus", response_class=Response, responses=PROBLEMS)
    async def metrics() -> Response:
        with suppress(StoreUnavailable):  # the last number stays
            served.measures.outbox(await served.probe(served.front.outbox.backlog))
        disk = served.room.disk()
        served.measures.room(None if disk is None else disk.free, served.room.memory(), served.room.full())
        served.measures.journal(_waiting(served))
        return Response(served.measures.text(served.front.parts.revision), media_type="text/plain; version=0.0.4")


def _waiting(served: Served) -> int:
    return 0 if served.live.journal is None else served.live.journal.size()


def _add_revisions(service: FastAPI, served: Served) -> None:
    def home_of() -> Home:
        if served.live.home is None:
            raise RequestError(HTTPStatus.NOT_FOUND, "this service has no home", todo="tuwen serve HOME")
        return served.live.home

    @service.get("/v1/operator/revisions", summary="What was live, and when", responses=PROBLEMS)
    async def revisions() -> dict[str, Any]:
        home = home_of()
        known, waiting = await served.work(home.revisions), await served.work(home.waiting)
        return {
            "live": served.front.parts.revision,
            "revisions": [vars(one) for one in reversed(known)],
            "incoming": waiting,
            "fault": served.live.fault,
        }

    @service.post("/v1/operator/promote", summary="Make a folder of HOME/incoming live", responses=PROBLEMS | BUSY)
    async def promote(asked: PromoteRequest) -> dict[str, Any]:
        from tuwen.workflow import serving

        home = home_of()
        folder = home.incoming / asked.folder
        try:
            added = await served.change(lambda: serving.promote(folder, home.folder))
        except (BundleError, DataError) as error:
            raise _refused(error, home.incoming) from None
        await served.change(served.live.look)
        return vars(added)

    @service.post("/v1/operator/back", summary="Make an earlier revision live again", responses=PROBLEMS | BUSY)
    async def back(asked: BackRequest) -> dict[str, Any]:
        home = home_of()
        try:
            added = await served.change(lambda: home.back(asked.revision))
        except DataError as error:
            raise _refused(error, home.folder) from None
        await served.change(served.live.look)
        return vars(added)


def _refused(error: TuwenError, folder: Path) -> RequestError:
    """What an operator asked for and cannot have, in the names that she knows: those inside ``folder``."""
    error.rename(f"{folder}/", "")
    return RequestError(HTTPStatus.UNPROCESSABLE_ENTITY, **error.fields())
