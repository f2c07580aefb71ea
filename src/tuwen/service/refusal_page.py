"""A refusal as a page: for a person whose browser asked for one and who can read no JSON."""

from __future__ import annotations

from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse
from starlette.types import Scope

from tuwen.service.language import Language, asked_for

# status → in English and Chinese: what it means for who shops, and what to do
WORDS: dict[int, dict[Language, tuple[str, str]]] = {
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: {
        "en": ("That is too large to send.", "Send less at once."),
        "zh": ("发送的内容过大。", "请减少内容后再发送。"),
    },
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: {
        "en": ("This address is too long.", "Shorten it, or begin again from the start page."),
        "zh": ("网址太长。", "请缩短网址，或从首页重新开始。"),
    },
    HTTPStatus.TOO_MANY_REQUESTS: {
        "en": ("That was a lot at once.", "Wait a moment, then load the page again."),
        "zh": ("操作过于频繁。", "请稍等片刻，再重新打开页面。"),
    },
    HTTPStatus.SERVICE_UNAVAILABLE: {
        "en": ("The shop is busy right now.", "Load the page again in a moment."),
        "zh": ("商店现在很忙。", "请稍后再打开页面。"),
    },
    HTTPStatus.INSUFFICIENT_STORAGE: {
        "en": ("The shop cannot save anything new right now.", "Look around as before, and try again later."),
        "zh": ("商店暂时无法保存新的内容。", "可以继续浏览，请稍后再试。"),
    },
}
OTHER: dict[Language, tuple[str, str]] = {
    "en": ("This page cannot be opened.", "Begin again from the start page."),
    "zh": ("无法打开此页面。", "请从首页重新开始。"),
}
_START: dict[Language, str] = {"en": "To the start page", "zh": "前往首页"}
_PAGE = """<!doctype html>
<html lang="{lang}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{what}</title>
<link rel="stylesheet" href="/web/look.css">
</head>
<body>
<main id="main">
  <div class="empty lost">
    <p class="number" aria-hidden="true">{status}</p>
    <h1>{what}</h1>
    <p>{todo}</p>
    <p class="row"><a class="button main" href="/">{start}</a></p>
  </div>
</main>
</body>
</html>
"""


def wants_page(scope: Scope) -> bool:
    """Whether a person opened an address that is no part of the API."""
    is_page = scope["method"] in ("GET", "HEAD") and not scope["path"].startswith(("/v1/", "/openapi", "/metrics"))
    return is_page and "text/html" in Headers(scope=scope).get("accept", "")


def refusal_page(scope: Scope, status: int, headers: dict[str, str]) -> HTMLResponse:
    """The page in the language of the request; it holds nothing of what was sent."""
    language = asked_for(Headers(scope=scope))
    what, todo = WORDS.get(status, {}).get(language, OTHER[language])
    lang = "zh-CN" if language == "zh" else "en"
    text = _PAGE.format(lang=lang, status=status, what=what, todo=todo, start=_START[language])
    return HTMLResponse(text, status, headers)
