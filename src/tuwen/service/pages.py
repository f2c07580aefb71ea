"""The pages of a shop: files that ship with tuwen; all that they show they ask the API for."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse

from tuwen.service.problems import on_http_error

if TYPE_CHECKING:  # a bundle alone has no shop, and neither SciPy nor a store
    from tuwen.service.served import Served

WEB = Path(__file__).parent / "web"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
READ_BY = anyio.open_file  # anyio loads it when it is first named: not while somebody waits for a page
LOST, LOST_ALONE = WEB / "missing.html", WEB / "missing-alone.html"


def add_pages(service: FastAPI, served: Served) -> None:
    """The shop at ``/``, the operator's at ``/operator``, what they load, and a way home from a wrong address."""
    pages = {"/": "shop.html", "/operator": "operator.html"}
    for file in sorted((WEB / "shop").glob("*")):
        pages[f"/web/{file.name}"] = f"shop/{file.name}"
    for path, file_name in pages.items():
        _add(service, path, WEB / file_name)
    service.add_exception_handler(HTTPStatus.NOT_FOUND, _lost)


def add_lost(service: FastAPI) -> None:
    """The same way home for a bundle alone, which has no shop: the page and what it loads."""
    for name in ("missing.js", "core.js", "look.css", "icon.svg"):
        _add(service, f"/web/{name}", WEB / "shop" / name)
    service.add_exception_handler(HTTPStatus.NOT_FOUND, _lost_alone)


def _add(service: FastAPI, path: str, file: Path) -> None:
    @service.get(path, include_in_schema=False, response_class=FileResponse)
    async def send() -> FileResponse:
        return FileResponse(file, media_type=TYPES[file.suffix])


async def _lost(request: Request, error: Exception, page: Path = LOST) -> Response:
    """No such path: a page for a person at a browser, a problem for a program."""
    if request.method in ("GET", "HEAD") and "text/html" in request.headers.get("accept", ""):
        return FileResponse(page, HTTPStatus.NOT_FOUND, media_type=TYPES[".html"])
    return await on_http_error(request, error)


async def _lost_alone(request: Request, error: Exception) -> Response:
    return await _lost(request, error, LOST_ALONE)
