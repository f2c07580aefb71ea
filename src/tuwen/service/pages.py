"""The pages of a shop: files that ship with tuwen; all that they show they ask the API for."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse

from tuwen.service.served import Served

WEB = Path(__file__).parent / "web"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}


def add_pages(service: FastAPI, served: Served) -> None:
    """The shop at ``/``, the operator's at ``/operator``, and what they load."""
    pages = {"/": "shop.html", "/operator": "operator.html"}
    for file in sorted((WEB / "shop").glob("*")):
        pages[f"/web/{file.name}"] = f"shop/{file.name}"
    for path, file_name in pages.items():
        _add(service, path, WEB / file_name)


def _add(service: FastAPI, path: str, file: Path) -> None:
    @service.get(path, include_in_schema=False, response_class=FileResponse)
    async def send() -> FileResponse:
        return FileResponse(file, media_type=TYPES[file.suffix])
