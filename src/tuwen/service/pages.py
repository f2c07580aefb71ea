"""The pages of a shop: files that ship with tuwen; all that they show they ask the API for."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse

from tuwen.service.problems import on_http_error
from tuwen.service.served import Served

WEB = Path(__file__).parent / "web"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
LOST = WEB / "missing.html"


def add_pages(service: FastAPI, served: Served) -> None:
    """The shop at ``/``, the operator's at ``/operator``, what they load, and a way home from a wrong address."""
    pages = {"/": "shop.html", "/operator": "operator.html"}
    for file in sorted((WEB / "shop").glob("*")):
        pages[f"/web/{file.name}"] = f"shop/{file.name}"
    for path, file_name in pages.items():
        _add(service, path, WEB / file_name)
    service.add_exception_handler(HTTPStatus.NOT_FOUND, _lost)


def _add(service: FastAPI, path: str, file: Path) -> None:
    @service.get(path, include_in_schema=False, response_class=FileResponse)
    async def send() -> FileResponse:
        return FileResponse(file, media_type=TYPES[file.suffix])


async def _lost(request: Request, error: Exception) -> Response:
    """No such path: a page for a person at a browser, a problem for a program."""
    if request.method in ("GET", "HEAD") and "text/html" in request.headers.get("accept", ""):
        return FileResponse(LOST, HTTPStatus.NOT_FOUND, media_type=TYPES[".html"])
    return await on_http_error(request, error)
