"""What the operator's page asks for: the health of the data, how good the model is, what goes on."""

from __future__ import annotations

from contextlib import suppress
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.responses import FileResponse

from tuwen.data.dataset import Dataset
from tuwen.evaluation.outline import brief, outline
from tuwen.service.language import Language, asked_for, said
from tuwen.service.links import REPORTED
from tuwen.service.problems import RequestError
from tuwen.service.served import PROBLEMS, Served
from tuwen.service.shop_messages import BacklogResponse, JournalBacklog, OutboxBacklog
from tuwen.store import moments
from tuwen.store.engine import StoreUnavailable

ROWS = 100  # of what was rejected or cannot be read, that a page shows
COUNTED = ("rows", "read", "rejected", "merged", "reasons", "languages", "notes")
# The report is one file with its script and styles inside. In a sandbox it is of no origin: it reads nothing of ours.
REPORT_POLICY = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:"
)


def add_operator(service: FastAPI, served: Served) -> None:
    _add_data(service, served)
    _add_reports(service, served)
    _add_traffic(service, served)


def _add_data(service: FastAPI, served: Served) -> None:
    @service.get("/v1/operator/data", summary="What collect counted and left out", responses=PROBLEMS)
    async def data() -> dict[str, Any]:
        dataset = served.front.parts.dataset
        if dataset is None:
            raise RequestError(
                HTTPStatus.NOT_FOUND, "no dataset was promoted", todo="tuwen promote DATASET HOME, then look again"
            )
        return await served.work(lambda: health(dataset))


def health(dataset: Dataset) -> dict[str, Any]:
    """Counts of the manifest, and the first rows of what was left out (why and where, not what a shopper wrote)."""
    manifest = dataset.manifest
    rejected = dataset.rejected()
    shown = [name for name in ("table", "file", "row", "column", "reason") if name in rejected.columns]
    return {
        "shop": manifest["shop"],
        "hash": manifest["hash"],
        "tables": {
            name: {
                key: value for key, value in table.items() if key in COUNTED or key.startswith(("without_", "columns"))
            }
            for name, table in manifest["tables"].items()
        },
        "media": {kind: manifest[kind] for kind in ("pictures", "sounds", "shapes") if kind in manifest},
        "rejected": rejected.select(shown).head(ROWS).to_dicts(),
        "quarantine": dataset.media.quarantine().head(ROWS).to_dicts(),
        "warnings": manifest["warnings"],
    }


def _add_reports(service: FastAPI, served: Served) -> None:
    def listed() -> list[dict[str, Any]]:
        return [{"name": name, **brief(one.told)} for name, one in served.front.parts.reports.items()]

    # the operator's page asks under its own path, so that it does not count as traffic of the shop
    @service.get("/v1/operator/report", summary="The same for the operator's page", responses=PROBLEMS)
    @service.get("/v1/report", summary="Every report and comparison, in a line each", responses=PROBLEMS | REPORTED)
    async def reports() -> dict[str, list[dict[str, Any]]]:
        return {"reports": await served.work(listed)}

    @service.get("/v1/report/{name}", summary="One of them: report.json or compare.json", responses=PROBLEMS)
    async def report(name: str) -> dict[str, Any]:
        return dict(served.front.parts.need_report(name).told)

    @service.get("/v1/operator/report/{name}", summary="One in short, with its words", responses=PROBLEMS)
    async def short(name: str) -> dict[str, Any]:
        found = served.front.parts.need_report(name)
        return {**await served.work(lambda: outline(found.told)), "page": found.page.is_file()}

    @service.get(
        "/v1/operator/report/{name}/page",
        summary="One as a page",
        responses=PROBLEMS,
        response_class=FileResponse,
    )
    async def whole(name: str) -> FileResponse:
        file = served.front.parts.need_report(name).page
        if not file.is_file():
            what, todo = "there is no page of this report", "tuwen evaluate writes it; promote the report again"
            raise RequestError(HTTPStatus.NOT_FOUND, what, seen=name, todo=todo)
        return FileResponse(
            file, media_type="text/html; charset=utf-8", headers={"Content-Security-Policy": REPORT_POLICY}
        )


def _add_traffic(service: FastAPI, served: Served) -> None:
    @service.get("/v1/operator/traffic", summary="Requests and their time, and what is kept", responses=PROBLEMS)
    async def traffic() -> dict[str, Any]:
        store, measures = served.live.store, served.measures

        def read() -> dict[str, Any]:
            kinds, away = None, False
            try:
                kinds = None if store is None else store.events.kinds()
            except StoreUnavailable:
                away = True
            return {
                **measures.traffic(),
                "events": kinds,
                "away": away,
                "store": None if store is None else store.name,
            }

        return await served.work(read)

    @service.get(
        "/v1/operator/backlog", summary="What waits for the index and for the store, and how long", responses=PROBLEMS
    )
    async def waiting(request: Request) -> BacklogResponse:
        language = asked_for(request.headers)
        return await served.probe(lambda: backlog(served, language))

    @service.get("/v1/users", summary="Keys of shoppers that the dataset knows", responses=PROBLEMS)
    async def users(
        begins: Annotated[str, Query(max_length=512)] = "", count: Annotated[int, Query(ge=1, le=200)] = 20
    ) -> dict[str, list[str]]:
        front = served.front
        return {"users": await served.work(lambda: front.cards.users(begins, count))}


def backlog(served: Served, language: Language) -> BacklogResponse:
    """What waits in the outbox and in the journal; the journal can be read while the store is away."""
    outbox, journal, store = None, None, False
    if served.live.store is not None:
        with suppress(StoreUnavailable):
            served.live.store.ping()
            queue = served.front.outbox
            count = queue.backlog()
            fault = None if not count or queue.fault is None else said(queue.fault, language)
            outbox = OutboxBacklog(items=count, oldest_seconds=_age(queue.oldest() if count else None), fault=fault)
            store = True
    if (file := served.live.journal) is not None:
        entries = file.waiting()
        journal = JournalBacklog(
            events=entries.events, bytes=file.size(), most_bytes=file.largest, oldest_seconds=_age(entries.since)
        )
    return BacklogResponse(store=store, outbox=outbox, journal=journal)


def _age(moment: int | None) -> float | None:
    """Seconds since then; a clock that was set back makes none of them negative."""
    return None if moment is None else max(0.0, (moments.now() - moment) / 1e6)
