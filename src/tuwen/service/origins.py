"""Check which sites may send requests from a browser.

A page on the internet can make a browser send requests to 127.0.0.1: it cannot read the answer, but the work is done.
Browsers say where a request comes from (``Sec-Fetch-Site``, ``Origin``), and no page can change that. Programs send
neither.
"""

from __future__ import annotations

from collections.abc import Collection
from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from tuwen.service.problems import RequestError

OWN = ("same-origin", "none")  # none: typed, or from a bookmark


def check_origin(method: str, path: str, headers: Headers, origins: Collection[str]) -> None:
    """Args:
        origins: other sites that may ask.

    Raises:
        RequestError: 403, a page of another site asks, and it is no visit to a page of the service.
    """
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site in OWN or (site is None and origin is None):
        return
    source = origin or _origin_of(headers.get("referer", ""))  # an <img> has no origin, and perhaps a referer
    if source in origins or (site is None and _same_host(origin or "", headers.get("host", ""))):
        return
    visit = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest", "document") == "document"
    if visit and method in ("GET", "HEAD") and not path.startswith("/v1/"):
        return
    raise RequestError(
        HTTPStatus.FORBIDDEN,
        "a page of another site may not ask this service",
        where="Origin header" if origin else "Sec-Fetch-Site header",
        seen=(origin or site or "")[:100],
        todo="serve it with --origin and the address of that site",
    )


def _origin_of(address: str) -> str:
    try:
        parts = urlsplit(address[:2000])
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc}"


def _same_host(origin: str, host: str) -> bool:
    """Whether the origin is this host. For browsers that send no ``Sec-Fetch-Site``: plain HTTP, or old ones."""
    return _origin_of(origin).partition("://")[2].lower() == host.lower() != ""
